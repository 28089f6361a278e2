//! Datagrams between sockets that behave, and to nobody.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use foster::net::UdpSocket;
use foster::testing::poll_once;
use foster::{gather, scope, yield_now};

use super::cancelled::in_a_cancelled_region;
use super::own::{NoRoom, Plan};
use super::sockets;

/// A socket on a free port, and where it is.
async fn bound() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Two sockets that are each other's peer.
async fn pair() -> (UdpSocket, UdpSocket) {
    let ((one, first), (other, second)) = (bound().await, bound().await);
    one.connect(second).await.unwrap();
    other.connect(first).await.unwrap();
    (one, other)
}

/// The next datagram.
async fn next(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 2000];
    let length = socket.recv(&mut buffer).await.unwrap();
    buffer.truncate(length);
    buffer
}

sockets! {
    async fn datagrams_go_both_ways_and_keep_their_bounds() {
        let ((client, from), (server, to)) = (bound().await, bound().await);
        let mut buffer = [0; 100];
        for datagram in [&b"one"[..], b"", b"two and more"] {
            assert_eq!(client.send_to(datagram, to).await.unwrap(), datagram.len());
            assert_eq!(server.recv_from(&mut buffer).await.unwrap(), (datagram.len(), from));
            assert_eq!(&buffer[..datagram.len()], datagram);
            server.send_to(datagram, from).await.unwrap();
            assert_eq!(next(&client).await, datagram);
        }
    }

    async fn a_socket_with_a_peer_receives_from_nobody_else() {
        let ((client, from), (server, to), (stranger, _)) = (bound().await, bound().await, bound().await);
        assert_eq!(client.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
        client.connect(to).await.unwrap();
        assert_eq!(client.peer_addr().unwrap(), to);
        stranger.send_to(b"strange", from).await.unwrap();
        client.send(b"question").await.unwrap();
        assert_eq!(next(&server).await, b"question");
        server.send_to(b"answer", from).await.unwrap();
        assert_eq!(next(&client).await, b"answer");
        client.connect(stranger.local_addr().unwrap()).await.unwrap();
        client.send(b"hello").await.unwrap();
        assert_eq!(next(&stranger).await, b"hello");
    }

    async fn names_are_looked_up() {
        let server = UdpSocket::bind("localhost:0").await.unwrap();
        let to = server.local_addr().unwrap();
        let client = UdpSocket::bind((to.ip(), 0)).await.unwrap();
        client.connect(("localhost", to.port())).await.unwrap();
        client.send(b"hello").await.unwrap();
        assert_eq!(next(&server).await, b"hello");
        let malformed = UdpSocket::bind("localhost").await.unwrap_err();
        assert_eq!(malformed.kind(), ErrorKind::InvalidInput);
    }

    async fn a_connect_takes_the_first_address_that_suits_the_socket() {
        let ((client, _), (server, to)) = (bound().await, bound().await);
        client.connect([(Ipv6Addr::LOCALHOST, to.port()).into(), to]).await.unwrap();
        client.send(b"hello").await.unwrap();
        assert_eq!(next(&server).await, b"hello");
    }

    #[cfg_attr(windows, ignore = "Windows reports an error")]
    async fn what_the_buffer_has_no_room_for_is_lost() {
        let (client, server) = pair().await;
        client.send(b"123456").await.unwrap();
        client.send(b"next").await.unwrap();
        let mut buffer = [0; 4];
        assert_eq!(server.recv(&mut buffer).await.unwrap(), 4);
        assert_eq!(&buffer, b"1234");
        assert_eq!(next(&server).await, b"next");
    }

    async fn what_is_peeked_at_is_still_there() {
        let ((client, from), (server, to)) = (bound().await, bound().await);
        let mut buffer = [0; 8];
        assert!(poll_once(&mut pin!(server.peek_from(&mut buffer))).await.is_pending());
        client.send_to(b"kept", to).await.unwrap();
        for _ in 0..2 {
            assert_eq!(server.peek_from(&mut buffer).await.unwrap(), (4, from));
        }
        assert_eq!(next(&server).await, b"kept");
        assert!(!in_a_cancelled_region(async { drop(server.peek_from(&mut buffer).await) }).await);
    }

    async fn a_dropped_receive_loses_no_datagram() {
        let (client, server) = pair().await;
        for byte in 0..20 {
            assert!(poll_once(&mut pin!(server.recv_from(&mut [0; 8]))).await.is_pending());
            client.send(&[byte]).await.unwrap();
            assert_eq!(next(&server).await, [byte]);
        }
    }

    // It had the turn, and kept it as long as the region was not dropped.
    async fn who_does_not_wait_in_a_cancelled_region_keeps_nobody_from_receiving() {
        let (client, server) = pair().await;
        let mut buffer = [0; 8];
        let (mut receives, mut peeks) = (Box::pin(next(&server)), Box::pin(server.peek_from(&mut buffer)));
        assert!(in_a_cancelled_region(async {
            assert!(poll_once(receives.as_mut()).await.is_pending());
            assert!(poll_once(peeks.as_mut()).await.is_pending());
        })
        .await);
        client.send(b"sent").await.unwrap();
        assert_eq!(next(&server).await, b"sent");
    }

    async fn a_cancelled_region_takes_what_is_there_and_begins_no_wait() {
        let (client, server) = pair().await;
        assert!(!in_a_cancelled_region(async { drop(next(&server).await) }).await);
        assert!(in_a_cancelled_region(async { assert_eq!(client.send(b"sent").await.unwrap(), 4) }).await);
        // It has arrived, as the one who waits for it knows.
        server.peek_from(&mut [0; 8]).await.unwrap();
        assert!(in_a_cancelled_region(async { assert_eq!(next(&server).await, b"sent") }).await);
        assert!(!in_a_cancelled_region(async { drop(UdpSocket::bind("127.0.0.1:0").await) }).await);
        let to = server.local_addr().unwrap();
        assert!(!in_a_cancelled_region(async { drop(client.connect(to).await) }).await);
    }

    async fn nobody_in_a_cancelled_region_takes_the_place_of_who_waits() {
        let (client, server) = pair().await;
        scope(async |s| {
            let receiver = s.spawn(next(&server));
            yield_now().await;
            assert!(!in_a_cancelled_region(async { drop(next(&server).await) }).await);
            let poll = async { drop(poll_fn(|cx| server.poll_recv_from(cx, &mut [0; 8])).await) };
            assert!(!in_a_cancelled_region(poll).await);
            client.send(b"for the first").await.unwrap();
            assert_eq!(receiver.await, b"for the first");
            let by_hand = s.spawn(async { poll_fn(|cx| server.poll_recv_from(cx, &mut [0; 8])).await.unwrap().0 });
            yield_now().await;
            assert!(!in_a_cancelled_region(async { drop(server.peek_from(&mut [0; 8]).await) }).await);
            client.send(b"next").await.unwrap();
            assert_eq!(by_hand.await, 4);
        })
        .await;
    }

    async fn who_peeks_and_who_receives_take_turns() {
        let (client, server) = pair().await;
        scope(async |s| {
            let peeks = s.spawn(async { server.peek_from(&mut [0; 8]).await.unwrap().0 });
            let receives = s.spawn(next(&server));
            yield_now().await;
            client.send(b"one").await.unwrap();
            assert_eq!((peeks.await, receives.await), (3, b"one".to_vec()));
        })
        .await;
    }

    async fn receivers_take_turns() {
        let (client, server) = pair().await;
        let mut receivers: Vec<_> = (0..5).map(|_| Box::pin(next(&server))).collect();
        for receiver in &mut receivers {
            assert!(poll_once(receiver).await.is_pending());
        }
        // Who has the turn goes away.
        drop(receivers.remove(0));
        for byte in 0..4 {
            client.send(&[byte]).await.unwrap();
        }
        receivers.reverse();
        let received = gather(receivers).await;
        assert_eq!(received, [[3], [2], [1], [0]]);
    }

    async fn tasks_on_the_runtime_share_a_socket() {
        let ((server, to), (client, _)) = (bound().await, bound().await);
        let client = Arc::new(client);
        scope(async |s| {
            s.spawn_parallel(async move {
                let mut buffer = [0; 8];
                for _ in 0..8 {
                    let (length, from) = server.recv_from(&mut buffer).await.unwrap();
                    server.send_to(&buffer[..length], from).await.unwrap();
                }
            });
            let mut answers: Vec<_> = (0..8_u8)
                .map(|byte| {
                    let client = client.clone();
                    s.spawn_parallel(async move {
                        client.send_to(&[byte], to).await.unwrap();
                        next(&client).await
                    })
                })
                .collect();
            let mut bytes = Vec::new();
            for answer in &mut answers {
                bytes.extend(answer.await);
            }
            bytes.sort_unstable();
            assert_eq!(bytes, [0, 1, 2, 3, 4, 5, 6, 7]);
        })
        .await;
    }

    async fn a_state_machine_polls_the_socket() {
        let ((client, from), (server, to)) = (bound().await, bound().await);
        assert_eq!(poll_fn(|cx| client.poll_send_to(cx, b"polled", to)).await.unwrap(), 6);
        let mut buffer = [0; 8];
        assert_eq!(poll_fn(|cx| server.poll_recv_from(cx, &mut buffer)).await.unwrap(), (6, from));
        assert_eq!(&buffer[..6], b"polled");
    }

    async fn errors_name_the_address() {
        let ((client, address), (server, to)) = (bound().await, bound().await);
        let taken = UdpSocket::bind(address).await.unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        assert!(taken.to_string().starts_with(&format!("cannot bind to {address}: ")), "{taken}");
        let long = client.send_to(&[0; 70_000], to).await.unwrap_err();
        assert!(long.to_string().starts_with(&format!("cannot send to {to}: ")), "{long}");
        let nobody = client.send(b"to whom?").await.unwrap_err();
        assert!(nobody.to_string().starts_with("cannot send to its peer, which `connect` sets: "), "{nobody}");
        drop(server);
        // To send to nobody is no error.
        assert_eq!(client.send_to(b"lost", to).await.unwrap(), 4);
    }

    #[cfg_attr(not(target_os = "linux"), ignore = "others report it later, or not at all")]
    async fn a_peer_that_is_not_there_is_reported_once() {
        let ((client, from), (server, to)) = (bound().await, bound().await);
        client.connect(to).await.unwrap();
        drop(server);
        client.send(b"lost").await.unwrap();
        let refused = client.send(b"not sent").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert!(refused.to_string().starts_with(&format!("cannot send to {to}: ")), "{refused}");
        client.send(b"lost").await.unwrap();
        // tokio does not wake who receives for this.
        if foster::Handle::try_current().unwrap().name() == "tokio" {
            client.send(b"not sent").await.unwrap_err();
        } else {
            let refused = client.recv(&mut [0; 8]).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            assert!(refused.to_string().starts_with(&format!("cannot receive from {to}: ")), "{refused}");
        }
        let server = UdpSocket::bind(to).await.unwrap();
        server.send_to(b"here again", from).await.unwrap();
        assert_eq!(next(&client).await, b"here again");
    }

    async fn settings_are_made_on_the_socket() {
        let (socket, _) = bound().await;
        assert!(!socket.broadcast().unwrap());
        socket.set_broadcast(true).unwrap();
        assert!(socket.broadcast().unwrap());
        socket.set_ttl(7).unwrap();
        socket.set_multicast_ttl_v4(3).unwrap();
        assert_eq!((socket.ttl().unwrap(), socket.multicast_ttl_v4().unwrap()), (7, 3));
        socket.set_multicast_loop_v4(false).unwrap();
        assert!(!socket.multicast_loop_v4().unwrap());
        let (group, interface) = (Ipv4Addr::new(239, 255, 7, 7), Ipv4Addr::LOCALHOST);
        socket.leave_multicast_v4(group, interface).unwrap_err();
        socket.join_multicast_v4(group, interface).unwrap();
        socket.leave_multicast_v4(group, interface).unwrap();
        // Some machines have no IPv6.
        if let Ok(socket) = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).await {
            socket.set_multicast_loop_v6(false).unwrap();
            assert!(!socket.multicast_loop_v6().unwrap());
            let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x77);
            socket.leave_multicast_v6(group, 0).unwrap_err();
            if socket.join_multicast_v6(group, 0).is_ok() {
                socket.leave_multicast_v6(group, 0).unwrap();
            }
        }
    }

    async fn sockets_of_std_come_and_go() {
        let std = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::from_std(std).unwrap();
        let (server, to) = bound().await;
        client.send_to(b"std", to).await.unwrap();
        assert_eq!(next(&server).await, b"std");
        #[cfg(unix)]
        assert!(client.as_fd().is_some());
        let std = client.into_std().unwrap();
        assert_eq!(std.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock, "it stays non-blocking");
        UdpSocket::from_std(std).unwrap();
    }
}

#[test]
fn everybody_who_waits_for_room_sends_in_the_end() {
    let (plan, room) = (Plan::default(), NoRoom::default());
    plan.datagrams.lock().unwrap().replace(room.clone());
    plan.sim().run(async {
        let socket = UdpSocket::bind("10.0.0.1:1").await.unwrap();
        let to = SocketAddr::from(([10, 0, 0, 2], 2));
        scope(async |s| {
            let given_up = s.spawn(socket.send_to(b"given up", to));
            let senders: Vec<_> = (0..4).map(|_| s.spawn(socket.send_to(b"1", to))).collect();
            foster::testing::settle().await;
            given_up.cancel();
            let cancelled = in_a_cancelled_region(async { drop(socket.send_to(b"cancelled", to).await) });
            assert!(!cancelled.await);
            room.open();
            for sent in gather(senders).await {
                assert_eq!(sent.unwrap(), 1);
            }
        })
        .await;
        assert_eq!(socket.set_broadcast(true).unwrap_err().kind(), ErrorKind::Unsupported);
        assert!(socket.as_fd().is_none());
        assert_eq!(socket.into_std().unwrap_err().kind(), ErrorKind::Unsupported);
    });
    assert_eq!(room.sent.load(SeqCst), 4);
}

#[test]
fn a_network_without_datagrams_says_so() {
    let plan = Plan::default();
    let refused = plan.sim().run(UdpSocket::bind("10.0.0.1:1")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    let std = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let refused = plan.sim().run(async { UdpSocket::from_std(std) }).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
}
