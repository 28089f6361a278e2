//! A network of one's own, in memory and in virtual time: what the addresses do is written down.

use std::collections::HashMap;
use std::future::{Future, pending};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use foster::net::{Duplex, duplex};
use foster::runtime::network::{
    Acceptor, Address, Connection, DatagramSocket, Datagrams, ListenOptions, Listener, Network, NetworkFuture, Socket,
};
use foster::runtime::{Blocking, Clock, Job, RunError, Runtime, Timer};
use foster::runtimes::Sim;
use foster::testing::Drops;
use foster::{Handle, Instant, sleep};
use futures::channel::mpsc;
use futures::io::{AsyncRead, AsyncWrite};
use futures::task::{FutureObj, Spawn, SpawnError};

/// What an address does with whoever connects to it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Does {
    /// Answers after a while.
    Answers(Duration),
    /// Refuses after a while.
    Refuses(Duration),
    /// Nothing, ever.
    Swallows,
}

/// What the addresses do, and what has been tried. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Plan {
    pub(crate) addresses: Arc<Mutex<HashMap<SocketAddr, Does>>>,
    pub(crate) names: Arc<Mutex<HashMap<String, Vec<IpAddr>>>>,
    /// When each attempt began, and to which address.
    pub(crate) attempts: Arc<Mutex<Vec<(Instant, SocketAddr)>>>,
    /// The attempts that are over.
    pub(crate) ended: Drops,
    /// What listeners accept next.
    pub(crate) incoming: Arc<Mutex<Option<mpsc::UnboundedReceiver<io::Result<Duplex>>>>>,
    /// Where datagrams go, if there are any.
    pub(crate) datagrams: Arc<Mutex<Option<NoRoom>>>,
}

impl Plan {
    pub(crate) fn of(addresses: impl IntoIterator<Item = (SocketAddr, Does)>) -> Self {
        let plan = Plan::default();
        plan.addresses.lock().unwrap().extend(addresses);
        plan
    }

    /// A simulation that has this network.
    pub(crate) fn sim(&self) -> Handle {
        Handle::new(Own { sim: Sim::new(3).into(), plan: self.clone() })
    }

    /// Where attempts went, with the milliseconds from `start` to their beginning.
    pub(crate) fn attempts(&self, start: Instant) -> Vec<(u128, SocketAddr)> {
        let attempts = self.attempts.lock().unwrap();
        attempts.iter().map(|(at, address)| ((*at - start).as_millis(), *address)).collect()
    }
}

/// A simulation with a network. Without a plan it has none.
struct Own {
    sim: Handle,
    plan: Plan,
}

impl Spawn for Own {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.sim.spawn_obj(future)
    }
}

impl Clock for Own {
    fn now(&self) -> Instant {
        self.sim.now()
    }

    fn timer(&self, at: Instant) -> Timer {
        self.sim.timer(at)
    }
}

impl Blocking for Own {
    fn spawn_blocking(&self, job: Job) -> Result<(), SpawnError> {
        self.sim.spawn_blocking(job)
    }
}

impl Runtime for Own {
    fn name(&self) -> &'static str {
        "own"
    }

    fn block_on(&self, root: Pin<&mut dyn Future<Output = ()>>) -> Result<(), RunError> {
        self.sim.try_run(root)
    }

    fn network(&self) -> Option<&dyn Network> {
        Some(&self.plan)
    }
}

impl Network for Plan {
    fn connect(&self, address: &Address) -> NetworkFuture<Socket> {
        let address = address.tcp().unwrap();
        let does = self.addresses.lock().unwrap()[&address];
        let (attempts, guard) = (self.attempts.clone(), self.ended.guard());
        Box::pin(async move {
            let _guard = guard;
            attempts.lock().unwrap().push((foster::now(), address));
            match does {
                Does::Swallows => pending().await,
                Does::Refuses(after) => {
                    sleep(after).await;
                    Err(ErrorKind::ConnectionRefused.into())
                }
                Does::Answers(after) => {
                    sleep(after).await;
                    let (here, there) = duplex(16);
                    std::mem::forget(there);
                    Ok(Socket::boxed(InMemory(here, address)))
                }
            }
        })
    }

    fn listen(&self, address: &Address, _: &ListenOptions) -> io::Result<Listener> {
        let incoming = self.incoming.lock().unwrap().take();
        let incoming = incoming.ok_or(ErrorKind::AddrInUse)?;
        Ok(Listener::boxed(Incoming { incoming: Mutex::new(incoming), address: address.clone() }))
    }

    fn bind(&self, _: SocketAddr) -> io::Result<DatagramSocket> {
        let datagrams = self.datagrams.lock().unwrap().clone().ok_or(ErrorKind::Unsupported)?;
        Ok(DatagramSocket::boxed(datagrams))
    }

    fn lookup(&self, host: &str) -> Option<NetworkFuture<Vec<IpAddr>>> {
        let found = self.names.lock().unwrap().get(host).cloned();
        Some(Box::pin(async move { found.ok_or_else(|| ErrorKind::NotFound.into()) }))
    }
}

/// A connection in memory to an address.
pub(crate) struct InMemory(pub(crate) Duplex, pub(crate) SocketAddr);

impl Connection for InMemory {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut &self.0).poll_read(cx, buffer)
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut &self.0).poll_write(cx, bytes)
    }

    fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &self.0).poll_close(cx)
    }

    fn shutdown(&self, _: Shutdown) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn local_address(&self) -> io::Result<Address> {
        Err(ErrorKind::AddrNotAvailable.into())
    }

    fn peer_address(&self) -> io::Result<Address> {
        Ok(self.1.into())
    }
}

struct Incoming {
    incoming: Mutex<mpsc::UnboundedReceiver<io::Result<Duplex>>>,
    address: Address,
}

impl Acceptor for Incoming {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Socket, Address)>> {
        let next = futures::Stream::poll_next(Pin::new(&mut *self.incoming.lock().unwrap()), cx);
        let peer = SocketAddr::from(([10, 0, 0, 9], 9));
        match next {
            Poll::Ready(Some(accepted)) => {
                Poll::Ready(accepted.map(|end| (Socket::boxed(InMemory(end, peer)), peer.into())))
            }
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    fn local_address(&self) -> io::Result<Address> {
        Ok(self.address.clone())
    }
}

/// Has no room for datagrams until it is opened, and wakes who polled it last. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct NoRoom {
    pub(crate) sent: Arc<AtomicUsize>,
    /// How often it was asked for a datagram. There are none.
    pub(crate) asked: Arc<AtomicUsize>,
    /// Whether a wait for room fails.
    pub(crate) is_broken: Arc<AtomicBool>,
    is_open: Arc<AtomicBool>,
    sender: Arc<Mutex<Option<Waker>>>,
}

impl NoRoom {
    pub(crate) fn open(&self) {
        self.is_open.store(true, SeqCst);
        let sender = self.sender.lock().unwrap().take();
        sender.into_iter().for_each(Waker::wake);
    }
}

impl Datagrams for NoRoom {
    fn poll_receive(&self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.asked.fetch_add(1, SeqCst);
        Poll::Pending
    }

    fn poll_peek(&self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        Poll::Pending
    }

    fn poll_send(&self, cx: &mut Context<'_>, datagram: &[u8], _: Option<SocketAddr>) -> Poll<io::Result<usize>> {
        if !self.is_open.load(SeqCst) {
            self.sender.lock().unwrap().replace(cx.waker().clone());
            return Poll::Pending;
        }
        self.sent.fetch_add(1, SeqCst);
        Poll::Ready(Ok(datagram.len()))
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_broken.load(SeqCst) {
            return Poll::Ready(Err(ErrorKind::NetworkDown.into()));
        }
        if !self.is_open.load(SeqCst) {
            self.sender.lock().unwrap().replace(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn connect(&self, _: SocketAddr) -> io::Result<()> {
        Ok(())
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        Err(ErrorKind::AddrNotAvailable.into())
    }

    fn peer_address(&self) -> io::Result<SocketAddr> {
        Err(ErrorKind::NotConnected.into())
    }
}
