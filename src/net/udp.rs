//! Sockets for datagrams.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
#[cfg(unix)]
use std::os::fd::BorrowedFd;
use std::pin::pin;
use std::task::{Context, Poll};

use super::connect::begin;
use super::endpoint::Endpoint;
use super::lookup::first_to;
use super::turn::SocketTurn;
use super::{error, gives_way, on_network, waits};
use crate::runtime::network::{DatagramSocket, Waits};
use crate::sync::Mutex;
use crate::trace::tree;

/// A socket for UDP datagrams, on the network of whatever runtime it was made on.
///
/// A datagram arrives whole or not at all. On its way it may be lost, arrive twice, or overtake
/// others, and nobody is told. [`Sim`](crate::runtimes) does all of this by seed.
///
/// Several tasks may send and receive at once. Those that wait take turns, in the order in which
/// they came. The socket may be used from any task of any runtime, as long as the one that it was
/// made on runs. The counterpart of asyncio's `create_datagram_endpoint`, of Trio's
/// `socket.SOCK_DGRAM` and of `tokio::net::UdpSocket`.
///
/// # Cancellation
///
/// A `recv_from` that is dropped has taken no datagram, and a `send_to` that is dropped has sent
/// none. In a [cancelled region](crate::cancel#regions) they take what is there and send what fits,
/// and begin no wait.
///
/// # Cost
///
/// No allocation for a datagram.
///
/// # Examples
///
/// An echo server, as in asyncio's documentation of `DatagramProtocol`:
///
/// ```
/// # #[cfg(feature = "async-io")]
/// # futures::executor::block_on(async {
/// use foster::net::UdpSocket;
/// use foster::scope;
///
/// async fn echo(socket: UdpSocket) -> std::io::Result<()> {
///     let mut buffer = [0; 1500];
///     loop {
///         let (length, client) = socket.recv_from(&mut buffer).await?;
///         socket.send_to(&buffer[..length], client).await?;
///     }
/// }
///
/// let server = UdpSocket::bind("127.0.0.1:0").await?;
/// let address = server.local_addr()?;
/// scope(async |s| {
///     s.spawn(echo(server));
///     let client = UdpSocket::bind("127.0.0.1:0").await?;
///     client.connect(address).await?;
///     client.send(b"Hello World!").await?;
///     let mut answer = [0; 1500];
///     let length = client.recv(&mut answer).await?;
///     assert_eq!(&answer[..length], b"Hello World!");
///     s.cancel("the answer is here");
///     std::io::Result::Ok(())
/// })
/// .await
/// # ?; std::io::Result::Ok(()) }).unwrap();
/// ```
///
/// Settings that must be made before the binding are made by the crate `socket2`:
///
/// ```
/// # #[cfg(feature = "async-io")]
/// # futures::executor::block_on(async {
/// use foster::net::UdpSocket;
/// use socket2::{Domain, Socket, Type};
/// use std::net::{Ipv4Addr, SocketAddr};
///
/// let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
/// socket.set_reuse_address(true)?;
/// socket.set_recv_buffer_size(1 << 20)?;
/// socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
/// let socket = UdpSocket::from_std(socket.into())?;
/// # drop(socket); std::io::Result::Ok(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct UdpSocket {
    pub(super) socket: DatagramSocket,
    /// Where it was bound. A socket of a simulated host that has crashed does not know it any more.
    at: Option<SocketAddr>,
    /// A socket wakes whoever polled it last, so only one task waits for datagrams at a time, and
    /// one for room.
    receiving: Mutex<()>,
    sending: Mutex<()>,
}

impl UdpSocket {
    /// Binds a socket to `at`. Port 0 takes a free one, which [`local_addr`](Self::local_addr)
    /// returns.
    ///
    /// `(Ipv4Addr::UNSPECIFIED, 0)` suits a client. If `at` is a name with several addresses, this
    /// takes the first that can be had.
    ///
    /// # Cancellation
    ///
    /// Dropping the future leaves nothing behind. In a
    /// [cancelled region](crate::cancel#regions) it does not begin.
    ///
    /// # Errors
    ///
    /// Returns an error, which names the address, if it is in use, is not one of this machine's, or
    /// may not be used. The kind is `Unsupported` if the network has no datagrams.
    pub async fn bind(at: impl Into<Endpoint>) -> io::Result<UdpSocket> {
        let at = at.into();
        first_to("bind to", at, |address| on_network(|network| network.bind(address))).await.map(UdpSocket::new)
    }

    fn new(socket: DatagramSocket) -> Self {
        UdpSocket { at: socket.local_address().ok(), socket, receiving: Mutex::new(()), sending: Mutex::new(()) }
    }

    /// Sets the peer: whom [`send`](Self::send) sends to, and the only one that is received from.
    ///
    /// Nothing is sent, so it succeeds also if nobody is there. If `to` is a name with several
    /// addresses, this takes the first that the socket can send to. Another call sets another peer.
    ///
    /// # Cancellation
    ///
    /// Dropping the future leaves the peer as it was. In a
    /// [cancelled region](crate::cancel#regions) it does not begin.
    ///
    /// # Errors
    ///
    /// Returns an error, which names the address, if there is no way to it, or if it is of another
    /// family than that of the socket.
    pub async fn connect(&self, to: impl Into<Endpoint>) -> io::Result<()> {
        let to = to.into();
        first_to("connect to", to, |address| self.socket.connect(address)).await
    }

    /// Receives a datagram, and returns its length and its sender.
    ///
    /// What `buffer` has no room for is lost. (Windows reports an error then.)
    ///
    /// # Cancellation
    ///
    /// Dropping the future loses no datagram. In a [cancelled region](crate::cancel#regions) it
    /// takes one that is there, and begins no wait.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system. With a [peer](Self::connect), that includes what
    /// the network reports of an earlier datagram: the kind is `ConnectionRefused` if nobody is
    /// there. The socket can be used further. tokio wakes nobody for such a report, so there the
    /// next [`send`](Self::send) returns it. Give the wait for an answer a
    /// [`timeout`](crate::timeout) anyway, since most losses are reported by nobody.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let mut turn = SocketTurn::new(&self.receiving);
        poll_fn(|cx| turn.poll(cx, |cx| self.poll_recv_from(cx, buffer))).await
    }

    /// Receives a datagram as [`recv_from`](Self::recv_from) does, and leaves it there for the next
    /// one who receives.
    ///
    /// # Cancellation
    ///
    /// As for [`recv_from`](Self::recv_from).
    ///
    /// # Errors
    ///
    /// As for [`recv_from`](Self::recv_from).
    pub async fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let mut turn = SocketTurn::new(&self.receiving);
        poll_fn(|cx| turn.poll(cx, |cx| self.received(cx, |waits| self.socket.poll_peek(waits, buffer)))).await
    }

    /// Receives a datagram as [`recv_from`](Self::recv_from) does, and returns its length.
    ///
    /// It comes from the [peer](Self::connect), or from anybody if there is none.
    ///
    /// # Cancellation
    ///
    /// As for [`recv_from`](Self::recv_from).
    ///
    /// # Errors
    ///
    /// As for [`recv_from`](Self::recv_from).
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.recv_from(buffer).await.map(|(length, _)| length)
    }

    /// Sends a datagram to `to`, and returns its length.
    ///
    /// It is sent at once, except while the operating system has no room for it. A name would cost
    /// a lookup each time, so this takes an address. [`lookup`](super::lookup) returns those of a
    /// name.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped while it waits has sent nothing. In a
    /// [cancelled region](crate::cancel#regions) it sends if there is room, and begins no wait.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system, with the address. A datagram of more than 65,507
    /// bytes is too long (EMSGSIZE). That nobody is there is no error. Some systems (macOS) refuse
    /// this on a socket with a [peer](Self::connect).
    pub async fn send_to(&self, datagram: &[u8], to: impl Into<SocketAddr>) -> io::Result<usize> {
        self.send_datagram(datagram, Some(to.into())).await
    }

    /// Sends a datagram to the [peer](Self::connect), and returns its length.
    ///
    /// # Cancellation
    ///
    /// As for [`send_to`](Self::send_to).
    ///
    /// # Errors
    ///
    /// As for [`send_to`](Self::send_to), if there is no peer, and what the network reports of
    /// earlier datagrams, as for [`recv_from`](Self::recv_from).
    pub async fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        self.send_datagram(datagram, None).await
    }

    /// Receives a datagram as [`recv_from`](Self::recv_from) does, if one is there.
    ///
    /// It does not wait for the turn of those who wait, and may take what one of them would get.
    ///
    /// # Errors
    ///
    /// As for [`recv_from`](Self::recv_from). The kind is `WouldBlock` if no datagram is there. On
    /// tokio it is that, too, for a datagram of which the reactor has not heard yet, and on a
    /// network that is not the system's while others wait.
    pub fn try_recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let received = self.at_once(&self.receiving, |socket| socket.poll_receive(None, buffer))?;
        received.map_err(|failed| self.cannot_receive(failed))
    }

    /// Receives a datagram as [`recv`](Self::recv) does, if one is there.
    ///
    /// # Errors
    ///
    /// As for [`try_recv_from`](Self::try_recv_from).
    pub fn try_recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.try_recv_from(buffer).map(|(length, _)| length)
    }

    /// Sends a datagram as [`send_to`](Self::send_to) does, if there is room.
    ///
    /// It does not wait for the turn of those who wait, and may take the room of one of them.
    ///
    /// # Errors
    ///
    /// As for [`send_to`](Self::send_to). The kind is `WouldBlock` if there is no room, for which
    /// [`writable`](Self::writable) waits. On a network that is not the system's it is that, too,
    /// while others wait.
    pub fn try_send_to(&self, datagram: &[u8], to: impl Into<SocketAddr>) -> io::Result<usize> {
        self.try_send_datagram(datagram, Some(to.into()))
    }

    /// Sends a datagram as [`send`](Self::send) does, if there is room.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send), and `WouldBlock` as for [`try_send_to`](Self::try_send_to).
    pub fn try_send(&self, datagram: &[u8]) -> io::Result<usize> {
        self.try_send_datagram(datagram, None)
    }

    fn try_send_datagram(&self, datagram: &[u8], to: Option<SocketAddr>) -> io::Result<usize> {
        let sent = self.at_once(&self.sending, |socket| socket.poll_send(None, datagram, to))?;
        sent.map_err(|failed| self.cannot_send(to, failed))
    }

    /// Calls what does not wait. Only sockets of the operating system take that from several tasks:
    /// elsewhere it would take the place of who waits.
    fn at_once<T>(&self, turn: &Mutex<()>, call: impl FnOnce(&DatagramSocket) -> Poll<T>) -> io::Result<T> {
        let turn = turn.try_lock();
        if turn.is_some() || self.socket.is_of_the_system() {
            if let Poll::Ready(done) = call(&self.socket) {
                return Ok(done);
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Waits until there may be room for a datagram.
    ///
    /// Somebody else may take the room, so go on with [`try_send_to`](Self::try_send_to), and wait
    /// again if that would block. Several tasks may wait. (On a network that is not the system's
    /// they take turns with those that send, so do not keep the future there without polling it.)
    /// With [`poll_recv_from`](Self::poll_recv_from) this is what `quinn` asks of a socket, up to
    /// what only its own calls of the system do: to send many datagrams at once, and congestion
    /// marks. The counterpart of `tokio::net::UdpSocket::writable`.
    ///
    /// # Cancellation
    ///
    /// Dropping the future loses nothing. In a [cancelled region](crate::cancel#regions) it stays
    /// pending.
    ///
    /// # Errors
    ///
    /// Returns an error if the runtime has ended.
    ///
    /// ```
    /// # #[cfg(feature = "async-io")]
    /// # futures::executor::block_on(async {
    /// use foster::net::UdpSocket;
    /// use std::io::{self, ErrorKind};
    /// use std::net::SocketAddr;
    ///
    /// /// Sends what is the newest when there is room, and not what was when it began to wait.
    /// async fn send_newest(
    ///     socket: &UdpSocket,
    ///     to: SocketAddr,
    ///     newest: impl Fn() -> u8,
    /// ) -> io::Result<()> {
    ///     loop {
    ///         match socket.try_send_to(&[newest()], to) {
    ///             Err(full) if full.kind() == ErrorKind::WouldBlock => socket.writable().await?,
    ///             sent => return sent.map(drop),
    ///         }
    ///     }
    /// }
    ///
    /// let sender = UdpSocket::bind("127.0.0.1:0").await?;
    /// let receiver = UdpSocket::bind("127.0.0.1:0").await?;
    /// send_newest(&sender, receiver.local_addr()?, || 7).await?;
    /// let mut buffer = [0];
    /// receiver.recv(&mut buffer).await?;
    /// assert_eq!(buffer, [7]);
    /// # io::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn writable(&self) -> io::Result<()> {
        begin().await;
        // Another network wakes whoever polled it last.
        let _turn = if self.socket.is_of_the_system() { None } else { Some(self.sending.lock().await) };
        let mut room = pin!(self.socket.writable());
        poll_fn(|cx| {
            if gives_way(cx) {
                return Poll::Pending;
            }
            let polled = room.as_mut().poll(cx);
            if polled.is_pending() {
                tree::waiting(|| format!("room for a datagram, at {}", self.here()));
            }
            polled.map_err(|failed| error::at(failed, "wait for room at", self.here()))
        })
        .await
    }

    async fn send_datagram(&self, datagram: &[u8], to: Option<SocketAddr>) -> io::Result<usize> {
        let mut turn = SocketTurn::new(&self.sending);
        poll_fn(|cx| turn.poll(cx, |cx| self.poll_send(cx, datagram, to))).await
    }

    /// Receives a datagram as [`recv_from`](Self::recv_from) does, for a protocol that is written
    /// as a state machine.
    ///
    /// Of the tasks that wait by this, and by [`recv_from`](Self::recv_from) and its like
    /// meanwhile, the last one is woken. So let one task receive.
    ///
    /// # Errors
    ///
    /// As for [`recv_from`](Self::recv_from).
    pub fn poll_recv_from(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.received(cx, |waits| self.socket.poll_receive(waits, buffer))
    }

    /// Sends a datagram as [`send_to`](Self::send_to) does, for a protocol that is written as a
    /// state machine.
    ///
    /// Of the tasks that wait by this, and by [`send_to`](Self::send_to) and its like meanwhile,
    /// the last one is woken. So let one task send.
    ///
    /// # Errors
    ///
    /// As for [`send_to`](Self::send_to).
    pub fn poll_send_to(&self, cx: &mut Context<'_>, datagram: &[u8], to: SocketAddr) -> Poll<io::Result<usize>> {
        self.poll_send(cx, datagram, Some(to))
    }

    fn poll_send(&self, cx: &mut Context<'_>, datagram: &[u8], to: Option<SocketAddr>) -> Poll<io::Result<usize>> {
        if gives_way(cx) {
            return Poll::Pending;
        }
        let sent = self.socket.poll_send(waits(cx), datagram, to);
        if sent.is_pending() {
            tree::waiting(|| format!("room for a datagram to {}", self.receiver(to)));
        }
        sent.map_err(|failed| self.cannot_send(to, failed))
    }

    fn here(&self) -> String {
        error::place(self.local_addr().ok().or(self.at))
    }

    fn receiver(&self, to: Option<SocketAddr>) -> String {
        match to.or_else(|| self.peer_addr().ok()) {
            Some(to) => to.to_string(),
            None => String::from("its peer, which `connect` sets"),
        }
    }

    fn cannot_send(&self, to: Option<SocketAddr>, failed: io::Error) -> io::Error {
        error::at(failed, "send to", self.receiver(to))
    }

    /// Receives by `receive`, and notes what is waited for.
    fn received<T>(
        &self,
        cx: &mut Context<'_>,
        receive: impl FnOnce(Waits<'_, '_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if gives_way(cx) {
            return Poll::Pending;
        }
        let polled = receive(waits(cx));
        if polled.is_pending() {
            tree::waiting(|| format!("datagram at {}", self.here()));
        }
        polled.map_err(|failed| self.cannot_receive(failed))
    }

    /// Names the peer, or this end where there is none.
    fn cannot_receive(&self, failed: io::Error) -> io::Error {
        match self.peer_addr() {
            Ok(peer) => error::at(failed, "receive from", peer),
            Err(_) => error::at(failed, "receive at", self.here()),
        }
    }

    /// Takes over a socket of the standard library, on the network in force.
    ///
    /// It becomes non-blocking.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no network here, or if it is none of the operating system.
    pub fn from_std(socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
        let at = socket.local_addr().ok();
        let registered = on_network(|network| network.register_datagrams(socket));
        registered.map(UdpSocket::new).map_err(|failed| error::at(failed, "take over the socket at", error::place(at)))
    }

    /// Returns the socket, which stays non-blocking.
    ///
    /// # Errors
    ///
    /// Returns an error if it is none of the operating system.
    pub fn into_std(self) -> io::Result<std::net::UdpSocket> {
        self.socket.into_system()
    }

    /// Returns the descriptor, or `None` if this is no socket of the operating system.
    #[cfg(unix)]
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket.descriptor()
    }

    /// Returns the address that it is bound to.
    ///
    /// # Errors
    ///
    /// Returns an error if the network does not know it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_address()
    }

    /// Returns the address of the [peer](Self::connect).
    ///
    /// # Errors
    ///
    /// Returns an error of the kind `NotConnected` if there is none.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_address()
    }
}
