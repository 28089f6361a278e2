//! Sockets for datagrams, on the network of a runtime that has them. Others pass.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;

use super::network::good;
use crate::future::gather;
use crate::net::UdpSocket;
use crate::runtime::Handle;
use crate::scope::scope;
use crate::testing::{CountingWaker, poll_once};
use crate::time::yield_now;

table! {
    Network a_datagram_arrives_whole_with_its_sender:
        "Network: a datagram arrives whole, with the address that an answer goes to",
    Network the_rest_of_a_datagram_is_lost:
        "Network: what the buffer has no room for is lost, and the next datagram is not",
    Network a_peek_leaves_the_datagram:
        "Network: a datagram that was peeked at is still there",
    Network a_peer_is_the_only_sender:
        "Network: a socket with a peer sends to it, and receives from nobody else",
    Network a_dropped_receive_loses_no_datagram:
        "Network: a receive that is dropped while it waits takes no datagram",
    Network the_receiver_that_polled_last_is_woken:
        "S12: who receives is woken by the waker of its latest poll",
    Network what_is_tried_does_not_wait:
        "Network: a receive that is tried takes what is there, and returns `WouldBlock` if that is nothing",
    Network everybody_who_waits_for_room_is_woken:
        "Network: several tasks may wait for room for datagrams, and it comes",
    Network sockets_for_datagrams_work_in_other_tasks:
        "Network: sockets for datagrams are used by tasks that did not make them",
    Network a_port_for_datagrams_is_taken_once:
        "Network: a second socket at the same address is refused with `AddrInUse`",
}

/// A socket on a free port, and where it is. `None` if the network has no datagrams.
async fn bound() -> Option<(UdpSocket, SocketAddr)> {
    let bound = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await;
    if bound.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unsupported) {
        return None;
    }
    let socket = good("binding a socket", bound);
    let address = good("the address of a socket", socket.local_addr());
    Some((socket, address))
}

/// Runs a check with two sockets, if there are any.
fn with_two(handle: &Handle, check: impl AsyncFnOnce((UdpSocket, SocketAddr), (UdpSocket, SocketAddr))) {
    handle.run(async {
        if let (Some(one), Some(other)) = (bound().await, bound().await) {
            check(one, other).await;
        }
    });
}

async fn send(socket: &UdpSocket, datagram: &[u8], to: SocketAddr) {
    let sent = good("sending a datagram", socket.send_to(datagram, to).await);
    assert_eq!(sent, datagram.len(), "a datagram is sent whole");
}

/// Receives a datagram of up to eight bytes.
async fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 8];
    let (length, from) = good("receiving a datagram", socket.recv_from(&mut buffer).await);
    (buffer[..length].to_vec(), from)
}

fn a_datagram_arrives_whole_with_its_sender(handle: &Handle) {
    with_two(handle, async |(client, here), (server, there)| {
        for datagram in [&b"one"[..], b"", b"two more"] {
            send(&client, datagram, there).await;
            let (received, from) = receive(&server).await;
            assert_eq!((&received[..], from), (datagram, here));
            send(&server, &received, from).await;
            assert_eq!(receive(&client).await, (received, there));
        }
    });
}

fn the_rest_of_a_datagram_is_lost(handle: &Handle) {
    with_two(handle, async |(client, _), (server, there)| {
        send(&client, b"longer", there).await;
        let mut buffer = [0; 4];
        // Windows reports an error, and the rest is lost all the same.
        let received = server.recv(&mut buffer).await;
        assert!(cfg!(windows) || good("receiving a datagram", received) == 4);
        assert_eq!(&buffer, b"long");
        send(&client, b"next", there).await;
        assert_eq!(receive(&server).await.0, b"next");
    });
}

fn a_peek_leaves_the_datagram(handle: &Handle) {
    with_two(handle, async |(client, here), (server, there)| {
        send(&client, b"kept", there).await;
        let mut buffer = [0; 8];
        for _ in 0..2 {
            assert_eq!(good("peeking", server.peek_from(&mut buffer).await), (4, here));
            assert_eq!(&buffer[..4], b"kept");
        }
        assert_eq!(receive(&server).await.0, b"kept");
    });
}

fn a_peer_is_the_only_sender(handle: &Handle) {
    with_two(handle, async |(client, here), (server, there)| {
        let Some((stranger, _)) = bound().await else { return };
        assert_eq!(client.peer_addr().map_err(|error| error.kind()), Err(ErrorKind::NotConnected));
        good("connecting", client.connect(there).await);
        assert_eq!(good("the address of a peer", client.peer_addr()), there);
        send(&stranger, b"strange", here).await;
        assert_eq!(good("sending to the peer", client.send(b"hello").await), 5);
        assert_eq!(receive(&server).await, (b"hello".to_vec(), here));
        send(&server, b"answer", here).await;
        assert_eq!(receive(&client).await, (b"answer".to_vec(), there));
    });
}

fn a_dropped_receive_loses_no_datagram(handle: &Handle) {
    with_two(handle, async |(client, _), (server, there)| {
        for byte in 0..20 {
            assert!(poll_once(&mut pin!(server.recv(&mut [0; 8]))).await.is_pending());
            send(&client, &[byte], there).await;
            assert_eq!(receive(&server).await.0, [byte]);
        }
    });
}

fn the_receiver_that_polled_last_is_woken(handle: &Handle) {
    with_two(handle, async |(client, _), (server, there)| {
        assert!(CountingWaker::new().poll(pin!(receive(&server))).is_pending());
        scope(async |s| {
            let receiver = s.spawn(receive(&server));
            yield_now().await;
            send(&client, b"!", there).await;
            assert_eq!(receiver.await.0, b"!");
        })
        .await;
    });
}

fn what_is_tried_does_not_wait(handle: &Handle) {
    with_two(handle, async |(client, here), (server, there)| {
        let mut buffer = [0; 8];
        assert_eq!(server.try_recv(&mut buffer).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
        for byte in 0..3 {
            send(&client, &[byte], there).await;
        }
        let mut received = receive(&server).await.0;
        for _ in 1..3 {
            // It may be under way.
            good("peeking", server.peek_from(&mut buffer).await);
            assert_eq!(good("trying to receive", server.try_recv_from(&mut buffer)), (1, here));
            received.push(buffer[0]);
        }
        received.sort_unstable();
        assert_eq!(received, [0, 1, 2]);
        assert_eq!(server.try_recv(&mut buffer).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
    });
}

fn everybody_who_waits_for_room_is_woken(handle: &Handle) {
    with_two(handle, async |(client, _), (server, there)| {
        let send = async |byte: u8| {
            loop {
                good("waiting for room", client.writable().await);
                match client.try_send_to(&[byte], there) {
                    // Another one has taken the room.
                    Err(full) if full.kind() == ErrorKind::WouldBlock => {}
                    sent => return good("sending", sent),
                }
            }
        };
        gather((send(0), send(1), send(2))).await;
        let mut bytes = [receive(&server).await.0, receive(&server).await.0, receive(&server).await.0];
        bytes.sort_unstable();
        assert_eq!(bytes, [[0], [1], [2]]);
    });
}

fn sockets_for_datagrams_work_in_other_tasks(handle: &Handle) {
    with_two(handle, async |(client, _), (server, there)| {
        scope(async |s| {
            s.spawn_parallel(async move {
                let (datagram, from) = receive(&server).await;
                send(&server, &datagram, from).await;
            });
            let answer = s.spawn_parallel(async move {
                send(&client, b"hello", there).await;
                receive(&client).await.0
            });
            assert_eq!(answer.await, b"hello");
        })
        .await;
    });
}

fn a_port_for_datagrams_is_taken_once(handle: &Handle) {
    with_two(handle, async |(socket, address), _| {
        let taken = UdpSocket::bind(address).await.map(drop).map_err(|taken| taken.kind());
        assert_eq!(taken, Err(ErrorKind::AddrInUse), "two sockets at {address}");
        drop(socket);
        good("binding again", UdpSocket::bind(address).await);
    });
}
