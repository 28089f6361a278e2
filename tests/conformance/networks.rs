//! What the conformance says of a network that is wrong in one way.

use std::future::Future;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use foster::net::{TcpListener, TcpStream, UdpSocket};
use foster::runtime::network::{
    Acceptor, Address, Connection, DatagramSocket, Datagrams, ListenOptions, Listener, Network, NetworkFuture, Socket,
};
use foster::runtime::{Blocking, Clock, Job, RunError, Runtime, Timer};
use foster::runtimes::Basic;
use foster::testing::conformance::{self, Conformance, checks};
use foster::{Handle, Instant};
use futures::io::{AsyncRead, AsyncWrite};
use futures::task::{FutureObj, Spawn, SpawnError};
use futures::{FutureExt, StreamExt};

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// Of what it reads, it loses the last byte of a full buffer.
    LosesBytes,
    /// It forgets who waits for bytes.
    ForgetsReaders,
    /// Closing ends both directions.
    ClosesBoth,
    /// It takes whatever is written.
    TakesAll,
    /// It connects to anything.
    AnswersEverywhere,
    /// It has no datagrams, which is none.
    NoDatagrams,
    /// It cuts datagrams off.
    CutsDatagrams,
    /// A peek takes the datagram.
    PeekTakes,
    /// A socket with a peer receives from anybody.
    HearsAnybody,
    /// It sees no room for datagrams, where there is some.
    SeesNoRoom,
}

/// The sockets of another runtime, spoilt.
struct Spoilt {
    basic: Handle,
    flaw: Flaw,
}

fn start(flaw: Flaw) -> Handle {
    Handle::new(Spoilt { basic: Basic::current_thread().into(), flaw })
}

impl Spawn for Spoilt {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.basic.spawn_obj(future)
    }
}

impl Clock for Spoilt {
    fn now(&self) -> Instant {
        self.basic.now()
    }

    fn timer(&self, at: Instant) -> Timer {
        self.basic.timer(at)
    }
}

impl Blocking for Spoilt {
    fn spawn_blocking(&self, job: Job) -> Result<(), SpawnError> {
        self.basic.spawn_blocking(job)
    }
}

impl Runtime for Spoilt {
    fn name(&self) -> &'static str {
        "spoilt"
    }

    fn block_on(&self, root: Pin<&mut dyn Future<Output = ()>>) -> Result<(), RunError> {
        self.basic.try_run(root)
    }

    fn network(&self) -> Option<&dyn Network> {
        Some(self)
    }
}

impl Network for Spoilt {
    fn connect(&self, address: &Address) -> NetworkFuture<Socket> {
        let (basic, flaw, address) = (self.basic.clone(), self.flaw, address.tcp().unwrap());
        Box::pin(async move {
            let connected = basic.enter(TcpStream::connect(address)).await;
            let stream = match connected {
                Err(_) if flaw == Flaw::AnswersEverywhere => {
                    let listener = basic.enter(TcpListener::bind("127.0.0.1:0")).await?;
                    basic.enter(TcpStream::connect(listener.local_addr()?)).await?
                }
                connected => connected?,
            };
            Ok(Socket::boxed(Wire { stream, flaw }))
        })
    }

    fn listen(&self, address: &Address, _: &ListenOptions) -> io::Result<Listener> {
        let bound = self.basic.enter(TcpListener::bind(address.tcp().unwrap())).now_or_never();
        let listener = bound.expect("an address needs no lookup")?;
        Ok(Listener::boxed(Bound { listener, flaw: self.flaw }))
    }

    fn bind(&self, address: SocketAddr) -> io::Result<DatagramSocket> {
        if self.flaw == Flaw::NoDatagrams {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let bound = self.basic.enter(UdpSocket::bind(address)).now_or_never();
        let socket = bound.expect("an address needs no lookup")?;
        Ok(DatagramSocket::boxed(Post { socket, peer: OnceLock::new(), flaw: self.flaw }))
    }
}

struct Bound {
    listener: TcpListener,
    flaw: Flaw,
}

impl Acceptor for Bound {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Socket, Address)>> {
        self.listener.incoming().poll_next_unpin(cx).map(|accepted| {
            let stream = accepted.expect("it has no end")?;
            let peer = stream.peer_addr()?;
            Ok((Socket::boxed(Wire { stream, flaw: self.flaw }), peer.into()))
        })
    }

    fn local_address(&self) -> io::Result<Address> {
        self.listener.local_addr().map(Address::from)
    }
}

struct Wire {
    stream: TcpStream,
    flaw: Flaw,
}

impl Connection for Wire {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut nobody = Context::from_waker(Waker::noop());
        let cx = if self.flaw == Flaw::ForgetsReaders { &mut nobody } else { cx };
        let full = buffer.len();
        let read = Pin::new(&mut &self.stream).poll_read(cx, buffer);
        if self.flaw == Flaw::LosesBytes {
            return read.map_ok(|read| if read == full && read > 1 { read - 1 } else { read });
        }
        read
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut &self.stream).poll_write(cx, bytes);
        if self.flaw == Flaw::TakesAll { Poll::Ready(Ok(bytes.len())) } else { written }
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let both = self.flaw == Flaw::ClosesBoth;
        self.stream.shutdown(if both { Shutdown::Both } else { how })
    }

    fn local_address(&self) -> io::Result<Address> {
        self.stream.local_addr().map(Address::from)
    }

    fn peer_address(&self) -> io::Result<Address> {
        self.stream.peer_addr().map(Address::from)
    }
}

struct Post {
    socket: UdpSocket,
    /// The peer, if the socket does not know it.
    peer: OnceLock<SocketAddr>,
    flaw: Flaw,
}

impl Datagrams for Post {
    fn poll_receive(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut nobody = Context::from_waker(Waker::noop());
        let cx = if self.flaw == Flaw::ForgetsReaders { &mut nobody } else { cx };
        let received = self.socket.poll_recv_from(cx, buffer);
        received.map_ok(|(length, from)| (if self.flaw == Flaw::CutsDatagrams { length.min(3) } else { length }, from))
    }

    fn poll_peek(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        if self.flaw == Flaw::PeekTakes {
            return self.socket.poll_recv_from(cx, buffer);
        }
        pin!(self.socket.peek_from(buffer)).poll(cx)
    }

    fn poll_send(&self, cx: &mut Context<'_>, datagram: &[u8], to: Option<SocketAddr>) -> Poll<io::Result<usize>> {
        match to.or(self.peer.get().copied()) {
            Some(to) => self.socket.poll_send_to(cx, datagram, to),
            None => pin!(self.socket.send(datagram)).poll(cx),
        }
    }

    /// On the loopback interface there is room.
    fn poll_writable(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.flaw == Flaw::SeesNoRoom { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn connect(&self, peer: SocketAddr) -> io::Result<()> {
        if self.flaw == Flaw::HearsAnybody {
            return self.peer.set(peer).map_err(|_| io::ErrorKind::AlreadyExists.into());
        }
        self.socket.connect(peer).now_or_never().expect("an address needs no lookup")
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn peer_address(&self) -> io::Result<SocketAddr> {
        self.peer.get().map_or_else(|| self.socket.peer_addr(), |peer| Ok(*peer))
    }
}

#[test]
fn without_a_flaw_a_network_keeps_the_contract() {
    conformance::network(|| start(Flaw::None));
    conformance::network(|| start(Flaw::NoDatagrams));
}

#[test]
fn each_flaw_of_a_network_is_found() {
    let expected = [
        (Flaw::LosesBytes, "both_directions_work_at_once"),
        (Flaw::ForgetsReaders, "a_reader_is_woken_by_the_end_of_its_peer"),
        (Flaw::ForgetsReaders, "the_task_that_polled_last_is_woken"),
        (Flaw::ClosesBoth, "a_closed_direction_leaves_the_other_open"),
        (Flaw::TakesAll, "a_writer_waits_for_its_reader"),
        (Flaw::AnswersEverywhere, "nobody_listens_at_a_port_that_was_given_back"),
        (Flaw::ForgetsReaders, "the_receiver_that_polled_last_is_woken"),
        (Flaw::CutsDatagrams, "a_datagram_arrives_whole_with_its_sender"),
        (Flaw::PeekTakes, "a_peek_leaves_the_datagram"),
        (Flaw::HearsAnybody, "a_peer_is_the_only_sender"),
        (Flaw::SeesNoRoom, "everybody_who_waits_for_room_is_woken"),
    ];
    for (flaw, name) in expected {
        let check = checks().find(|check| check.name() == name).unwrap_or_else(|| panic!("no check named {name}"));
        let spoilt = Conformance::of(move || start(flaw)).with_network().patience(Duration::from_secs(2));
        let failure = check.run(&spoilt).expect_err(&format!("{flaw:?} was not found by {name}"));
        assert!(failure.to_string().contains(name), "{failure}");
        assert!(check.clause().starts_with("Network: ") || check.clause().starts_with("S12: "), "{failure}");
    }
}
