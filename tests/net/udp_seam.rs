//! The seam of a library like `quinn`: one task receives, and many connections send by trying, each
//! with a poller of its own that waits for room.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll, ready};

use foster::net::UdpSocket;
use foster::testing::{poll_once, settle};
use foster::{gather, scope, yield_now};

use super::cancelled::in_a_cancelled_region;
use super::harness;
use super::own::{NoRoom, Plan};
use super::sockets;

/// What the library asks of a socket, as `quinn::AsyncUdpSocket`.
trait Seam: Send + Sync + Debug + 'static {
    fn poller(self: Arc<Self>) -> Pin<Box<dyn Poller>>;
    fn try_send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()>;
    fn poll_receive(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>>;
}

/// Waits for room, for one connection.
trait Poller: Send {
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl Seam for UdpSocket {
    fn poller(self: Arc<Self>) -> Pin<Box<dyn Poller>> {
        Box::pin(Room { socket: self, waiting: None })
    }

    fn try_send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        self.try_send_to(datagram, to).map(drop)
    }

    fn poll_receive(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.poll_recv_from(cx, buffer)
    }
}

struct Room {
    socket: Arc<UdpSocket>,
    waiting: Option<Pin<Box<dyn Future<Output = io::Result<()>> + Send>>>,
}

impl Poller for Room {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = self.socket.clone();
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(async move { socket.writable().await }));
        let polled = ready!(waiting.as_mut().poll(cx));
        self.waiting = None;
        Poll::Ready(polled)
    }
}

/// A connection of the library: it sends, and waits where it must.
async fn converse(socket: Arc<dyn Seam>, datagrams: Vec<[u8; 2]>, to: SocketAddr) {
    let mut room = socket.clone().poller();
    for datagram in datagrams {
        poll_fn(|cx| {
            loop {
                match socket.try_send(&datagram, to) {
                    Err(full) if full.kind() == ErrorKind::WouldBlock => {
                        ready!(room.as_mut().poll_writable(cx)).unwrap();
                    }
                    sent => {
                        sent.unwrap();
                        return Poll::Ready(());
                    }
                }
            }
        })
        .await;
    }
}

sockets! {
    async fn connections_send_over_one_socket_and_a_task_receives() {
        let server: Arc<dyn Seam> = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let client = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let to = client.local_addr().unwrap();
        scope(async |s| {
            let connections: Vec<_> = (0..8)
                .map(|id| s.spawn_parallel(converse(server.clone(), (0..4).map(|n| [id, n]).collect(), to)))
                .collect();
            let mut received = BTreeSet::new();
            let mut buffer = [0; 2];
            while received.len() < 32 {
                let client: &dyn Seam = &*client;
                poll_fn(|cx| client.poll_receive(cx, &mut buffer)).await.unwrap();
                received.insert(buffer);
            }
            gather(connections).await;
        })
        .await;
    }

    async fn a_wait_for_room_begins_in_no_cancelled_region_and_is_in_nobodys_way() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let to = socket.local_addr().unwrap();
        assert!(!in_a_cancelled_region(async { drop(socket.writable().await) }).await);
        assert!(in_a_cancelled_region(async { assert_eq!(socket.try_send_to(b"sent", to).unwrap(), 4) }).await);
        let mut waits = Vec::new();
        for _ in 0..3 {
            // Whether room has been seen already differs.
            let mut wait = Box::pin(socket.writable());
            if poll_once(&mut wait).await.is_pending() {
                waits.push(wait);
            }
        }
        // They are there, and nobody polls them.
        socket.send_to(b"sent", to).await.unwrap();
        assert_eq!(socket.recv(&mut [0; 8]).await.unwrap(), 4);
        drop(waits.pop());
        for ready in gather(waits).await {
            ready.unwrap();
        }
        // Now every reactor knows of the room, and the wait would be over at once.
        assert!(!in_a_cancelled_region(async { drop(socket.writable().await) }).await);
    }

    /// On the loopback interface there is always room. A Unix socket in the clothes of one for UDP
    /// has some for a few datagrams only.
    #[cfg(unix)]
    async fn room_comes_when_the_peer_has_received() {
        use std::os::fd::OwnedFd;
        use std::os::unix::net::UnixDatagram;

        let (here, there) = UnixDatagram::pair().unwrap();
        let socket = UdpSocket::from_std(OwnedFd::from(here).into()).unwrap();
        scope(async |s| {
            let mut sent: usize = 0;
            for _ in 0..3 {
                while let Ok(length) = socket.try_send(b"!") {
                    assert_eq!(length, 1);
                    sent += 1;
                }
                // It has not been told of room that is not there.
                let full = socket.try_send(b"!").unwrap_err();
                assert_eq!(full.kind(), ErrorKind::WouldBlock, "{full}");
                let waiting = [s.spawn(socket.writable()), s.spawn(socket.writable())];
                for _ in 0..10 {
                    yield_now().await;
                }
                assert!(waiting.iter().all(|task| !task.is_finished()), "there is no room");
                for _ in 0..sent {
                    there.recv(&mut [0; 8]).unwrap();
                }
                sent = 0;
                for task in waiting {
                    task.await.unwrap();
                }
            }
        })
        .await;
    }
}

#[test]
fn who_tries_takes_nobodys_place_on_a_network_of_ones_own() {
    let (plan, room) = (Plan::default(), NoRoom::default());
    plan.datagrams.lock().unwrap().replace(room.clone());
    plan.sim().run(async {
        let socket = UdpSocket::bind("10.0.0.1:1").await.unwrap();
        let to = SocketAddr::from(([10, 0, 0, 2], 2));
        assert_eq!(socket.try_send_to(b"tried", to).unwrap_err().kind(), ErrorKind::WouldBlock);
        scope(async |s| {
            let given_up = s.spawn(socket.writable());
            let waiting: Vec<_> = (0..3).map(|_| s.spawn(socket.writable())).collect();
            let sender = s.spawn(socket.send_to(b"1", to));
            settle().await;
            given_up.cancel();
            settle().await;
            assert_eq!(socket.try_send_to(b"tried", to).unwrap_err().kind(), ErrorKind::WouldBlock);
            room.open();
            for ready in gather(waiting).await {
                ready.unwrap();
            }
            assert_eq!(sender.await.unwrap(), 1);
            assert_eq!(socket.try_send_to(b"2", to).unwrap(), 1);
        })
        .await;
    });
    assert_eq!(room.sent.load(SeqCst), 2);
}

#[test]
fn who_tries_to_receive_takes_the_place_of_who_receives_and_not_of_who_sends() {
    let (plan, room) = (Plan::default(), NoRoom::default());
    plan.datagrams.lock().unwrap().replace(room.clone());
    plan.sim().run(async {
        let socket = &UdpSocket::bind("10.0.0.1:1").await.unwrap();
        let to = SocketAddr::from(([10, 0, 0, 2], 2));
        let tries = async || {
            let before = room.asked.load(SeqCst);
            assert_eq!(socket.try_recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
            room.asked.load(SeqCst) - before
        };
        scope(async |s| {
            let sender = s.spawn(socket.send_to(b"1", to));
            settle().await;
            assert_eq!(tries().await, 1, "beside one who sends");
            sender.cancel();
            let receiver = s.spawn(async { socket.recv(&mut [0; 8]).await });
            settle().await;
            assert_eq!(tries().await, 0, "in the turn of one who receives");
            receiver.cancel();
        })
        .await;
    });
}

#[test]
fn a_wait_for_room_on_a_network_of_ones_own_begins_in_no_cancelled_region_and_says_how_it_failed() {
    let (plan, room) = (Plan::default(), NoRoom::default());
    plan.datagrams.lock().unwrap().replace(room.clone());
    plan.sim().run(async {
        let socket = UdpSocket::bind("10.0.0.1:1").await.unwrap();
        room.open();
        assert!(!in_a_cancelled_region(async { drop(socket.writable().await) }).await);
        socket.writable().await.unwrap();
        room.is_broken.store(true, SeqCst);
        let failed = socket.writable().await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::NetworkDown);
        assert!(failed.to_string().contains("wait for room at"), "{failed}");
    });
}

/// Linux delivers on the loopback interface before it returns. Tokio tries only what its reactor
/// has heard of.
#[cfg(target_os = "linux")]
#[test]
fn who_tries_on_a_socket_of_the_system_takes_what_another_one_waits_for() {
    for runtime in [harness::smol, harness::async_std, harness::basic] {
        harness::run(runtime, || async {
            let socket = &UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let to = socket.local_addr().unwrap();
            scope(async |s| {
                let receiver = s.spawn(async { socket.recv(&mut [0; 8]).await });
                for _ in 0..10 {
                    yield_now().await;
                }
                socket.try_send_to(b"tried", to).unwrap();
                assert_eq!(socket.try_recv(&mut [0; 8]).unwrap(), 5);
                socket.try_send_to(b"waited", to).unwrap();
                assert_eq!(receiver.await.unwrap(), 6);
            })
            .await;
        });
    }
}
