//! Datagrams: the sockets that send and receive them, and how they travel.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Weak;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::super::due::{Chore, Due};
use super::super::faults::Fault;
use super::super::world::{State, World};
use super::link::Flow;
use super::packet::{Content, Fate};
use super::socket::{add_troubles, has_crashed, is_over, poll, wait};
use super::state::{HostId, Network, covers, overlap};
use crate::runtime::network::Datagrams;
use crate::trace::tree;

/// How many bytes a datagram has at most: 65,535, less the headers of IPv4 and of UDP.
const LONGEST: usize = 65_507;

/// A socket for datagrams.
pub(super) struct Bound {
    pub(super) host: HostId,
    pub(super) address: SocketAddr,
    /// The only one that is received from, and whom `send` sends to.
    peer: Option<SocketAddr>,
    /// What has arrived and nobody has received, with the senders.
    queue: VecDeque<(SocketAddr, Vec<u8>)>,
    /// How much room the queue takes.
    held: usize,
    /// The error that the next operation returns.
    error: Option<ErrorKind>,
    pub(super) receiver: Option<Waker>,
}

/// Returns how much room a datagram takes. Many empty ones must not fit either.
fn room_for(bytes: &[u8]) -> usize {
    bytes.len().max(1)
}

/// From which socket to which one a datagram goes.
#[derive(Clone, Copy, Debug)]
struct Way {
    from: (HostId, SocketAddr),
    to: (HostId, SocketAddr),
}

/// A datagram under way.
#[derive(Clone, Debug)]
pub(in super::super) struct Datagram {
    way: Way,
    /// `None` in the report that there is no such socket.
    bytes: Option<Vec<u8>>,
}

impl Datagram {
    pub(super) fn content(&self) -> Content {
        self.bytes.as_ref().map_or(Content::Refused, |bytes| Content::Bytes(bytes.len()))
    }
}

impl Network {
    /// Adds a socket for datagrams.
    ///
    /// # Errors
    ///
    /// Returns an error if the address is not the host's, or in use.
    pub(super) fn bind(&mut self, host: HostId, address: SocketAddr) -> io::Result<u64> {
        let address = self.own_address(host, address, |network, address| {
            let mut bound = network.bound.values();
            bound.any(|other| other.host == host && overlap(other.address, address.ip(), address.port()))
        })?;
        let number = self.number();
        let (queue, held) = (VecDeque::new(), 0);
        self.bound.insert(number, Bound { host, address, peer: None, queue, held, error: None, receiver: None });
        Ok(number)
    }

    /// Returns the socket that takes what goes this way.
    fn bound_at(&mut self, way: Way) -> Option<&mut Bound> {
        let (host, address) = way.to;
        self.bound.values_mut().find(|bound| {
            let is_at = bound.host == host && overlap(bound.address, address.ip(), address.port());
            is_at && bound.peer.is_none_or(|peer| peer == way.from.1)
        })
    }

    /// Returns the address that `to` sees of a socket.
    fn seen_from(&self, bound: &Bound, to: SocketAddr) -> SocketAddr {
        if bound.address.ip().is_unspecified() {
            return SocketAddr::new(self.ip_towards(bound.host, to), bound.address.port());
        }
        bound.address
    }

    /// Returns which way a datagram of so many bytes goes, or why it does not.
    fn way(&self, socket: u64, length: usize, to: Option<SocketAddr>) -> io::Result<Way> {
        let bound = self.bound.get(&socket).ok_or_else(has_crashed)?;
        let to = to.or(bound.peer).ok_or(ErrorKind::NotConnected)?;
        if length > LONGEST {
            return Err(io::Error::from_raw_os_error(TOO_LONG));
        }
        if !covers(bound.address.ip(), to.ip()) && bound.address.is_ipv4() != to.is_ipv4() {
            let text = format!("from {} there is no way to {to}, of another family", bound.address);
            return Err(io::Error::new(ErrorKind::InvalidInput, text));
        }
        let host = self.host_at(to.ip(), bound.host).ok_or(ErrorKind::HostUnreachable)?;
        let from = self.seen_from(bound, to);
        if from.ip().is_loopback() && host != bound.host {
            return Err(io::Error::new(ErrorKind::InvalidInput, format!("from {from} there is no way to other hosts")));
        }
        Ok(Way { from: (bound.host, from), to: (host, to) })
    }
}

/// EMSGSIZE, or WSAEMSGSIZE, which have no kind of their own.
const TOO_LONG: i32 = match () {
    () if cfg!(windows) => 10_040,
    () if cfg!(any(target_os = "linux", target_os = "android")) => 90,
    () => 40,
};

impl State {
    /// Returns between which hosts a datagram goes, if it can be sent.
    pub(super) fn hosts_of(&self, socket: u64, length: usize, to: Option<SocketAddr>) -> Option<(HostId, HostId)> {
        let has_failed = self.network.bound.get(&socket)?.error.is_some();
        let way = self.network.way(socket, length, to).ok()?;
        (!has_failed).then_some((way.from.0, way.to.0))
    }

    /// Sends a datagram, with what goes wrong.
    fn send_datagram(
        &mut self,
        socket: u64,
        bytes: &[u8],
        to: Option<SocketAddr>,
        fault: Option<Fault>,
        wakers: &mut Vec<Waker>,
    ) -> io::Result<usize> {
        if let Some(error) = self.network.bound.get_mut(&socket).and_then(|bound| bound.error.take()) {
            return Err(error.into());
        }
        let way = self.network.way(socket, bytes.len(), to)?;
        let (from_host, to_host) = (way.from.0, way.to.0);
        let datagram = Datagram { way, bytes: Some(bytes.to_vec()) };
        let mut late = Duration::ZERO;
        match fault {
            Some(Fault::Delay(by)) => late = by,
            Some(Fault::Lose) => {
                self.note_packet(from_host, to_host, datagram.content(), Fate::Lost);
                return Ok(bytes.len());
            }
            Some(Fault::Duplicate) => self.let_go(datagram.clone(), late, wakers),
            Some(Fault::Cut(time)) => self.cut_for(from_host, to_host, time),
            Some(Fault::Crash(time)) => self.chores.push_back(Chore::Crash(to_host, time)),
            _ => {}
        }
        self.let_go(datagram, late, wakers);
        Ok(bytes.len())
    }

    /// Lets a datagram go on its way. Others may overtake it.
    pub(super) fn let_go(&mut self, datagram: Datagram, late: Duration, wakers: &mut Vec<Waker>) {
        let Some(datagram) = self.passing(datagram) else { return };
        let (now, way, bytes) = (self.elapsed, datagram.way, datagram.content().bytes());
        let arrival = self.network.arrival(way.from.0, way.to.0, bytes, now).saturating_add(late);
        if arrival <= now {
            self.land(datagram, wakers);
        } else {
            self.schedule_due(arrival, Due::Datagram(Box::new(datagram)));
        }
    }

    /// Returns a datagram, unless its link does not transport it. Nobody sends it again.
    fn passing(&mut self, datagram: Datagram) -> Option<Datagram> {
        let (from, to) = (datagram.way.from.0, datagram.way.to.0);
        let fate = match self.network.flow(from, to) {
            Flow::Open if self.network.hosts[to].is_up => return Some(datagram),
            Flow::Open | Flow::Cut => Fate::Lost,
            Flow::Clogged => Fate::Held,
        };
        self.note_packet(from, to, datagram.content(), fate);
        if fate == Fate::Held {
            self.network.wire(from, to).held.push(datagram);
        }
        None
    }

    /// Lets a datagram arrive that was under way.
    pub(in super::super) fn land(&mut self, datagram: Datagram, wakers: &mut Vec<Waker>) {
        let Some(datagram) = self.passing(datagram) else { return };
        let (way, content) = (datagram.way, datagram.content());
        let (from, to) = (way.from.0, way.to.0);
        let most = self.network.link(from, to).buffer;
        let Some(bound) = self.network.bound_at(way) else {
            // A report that nobody can be told about leaves no trace.
            if datagram.bytes.is_some() {
                self.note_packet(from, to, content, Fate::Lost);
                let report = Datagram { way: Way { from: way.to, to: way.from }, bytes: None };
                self.let_go(report, Duration::ZERO, wakers);
            }
            return;
        };
        match datagram.bytes {
            Some(bytes) if bound.held + room_for(&bytes) > most => {
                return self.note_packet(from, to, content, Fate::Lost);
            }
            Some(bytes) => {
                bound.held += room_for(&bytes);
                bound.queue.push_back((way.from.1, bytes));
            }
            // As with real sockets, only one with a peer hears of it.
            None if bound.peer.is_none() => return,
            None => bound.error = Some(ErrorKind::ConnectionRefused),
        }
        wakers.extend(bound.receiver.take());
        if from != to || content == Content::Refused {
            self.note_packet(from, to, content, Fate::Arrived);
        }
    }

    /// Receives a datagram. A `peek` leaves it there.
    fn receive(
        &mut self,
        socket: u64,
        buffer: &mut [u8],
        peek: bool,
        waker: &mut Option<Waker>,
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let Some(bound) = self.network.bound.get_mut(&socket) else { return Poll::Ready(Err(has_crashed())) };
        if let Some(error) = bound.error.take() {
            return Poll::Ready(Err(error.into()));
        }
        let Some((from, bytes)) = bound.queue.front() else { return wait(&mut bound.receiver, waker) };
        let received = (bytes.len().min(buffer.len()), *from);
        buffer[..received.0].copy_from_slice(&bytes[..received.0]);
        if !peek {
            bound.held -= room_for(bytes);
            bound.queue.pop_front();
        }
        Poll::Ready(Ok(received))
    }
}

/// Says for what datagram a socket waits, and of whom.
fn waits_for(world: &World, socket: u64) -> String {
    let state = world.lock();
    let network = &state.network;
    let Some(bound) = network.bound.get(&socket) else { return "a datagram".to_string() };
    let here = &network.hosts[bound.host].name;
    let peer = bound.peer.and_then(|peer| network.host_at(peer.ip(), bound.host));
    let Some(peer) = peer else { return format!("a datagram to port {}, at {here}", bound.address.port()) };
    let mut text = format!("a datagram of {}, at {here}", network.hosts[peer].name);
    add_troubles(&mut text, network, bound.host, peer);
    text
}

/// A socket for datagrams, as programs hold it.
pub(super) struct SimDatagrams {
    pub(super) world: Weak<World>,
    pub(super) socket: u64,
}

impl SimDatagrams {
    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        peek: bool,
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let polled = poll(&self.world, cx, |world, waker| world.lock().receive(self.socket, buffer, peek, waker));
        if polled.is_pending() {
            tree::waiting(|| self.world.upgrade().map_or_else(String::new, |world| waits_for(&world, self.socket)));
        }
        polled
    }

    fn with<R>(&self, f: impl FnOnce(&mut Network) -> io::Result<R>) -> io::Result<R> {
        let world = self.world.upgrade().ok_or_else(is_over)?;
        f(&mut world.lock().network)
    }
}

impl Datagrams for SimDatagrams {
    fn poll_receive(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.poll_receive(cx, buffer, false)
    }

    fn poll_peek(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.poll_receive(cx, buffer, true)
    }

    fn poll_send(&self, _: &mut Context<'_>, datagram: &[u8], to: Option<SocketAddr>) -> Poll<io::Result<usize>> {
        let Some(world) = self.world.upgrade() else { return Poll::Ready(Err(is_over())) };
        let fault = world.plan_datagram(self.socket, datagram.len(), to);
        Poll::Ready(world.change(|state, wakers| state.send_datagram(self.socket, datagram, to, fault, wakers)))
    }

    /// There is always room.
    fn poll_writable(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn connect(&self, peer: SocketAddr) -> io::Result<()> {
        self.with(|network| {
            network.way(self.socket, 0, Some(peer))?;
            network.bound.get_mut(&self.socket).ok_or_else(has_crashed)?.peer = Some(peer);
            Ok(())
        })
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.with(|network| {
            let bound = network.bound.get(&self.socket).ok_or_else(has_crashed)?;
            Ok(bound.peer.map_or(bound.address, |peer| network.seen_from(bound, peer)))
        })
    }

    fn peer_address(&self) -> io::Result<SocketAddr> {
        self.with(|network| {
            let bound = network.bound.get(&self.socket).ok_or_else(has_crashed)?;
            bound.peer.ok_or_else(|| ErrorKind::NotConnected.into())
        })
    }
}

impl Drop for SimDatagrams {
    fn drop(&mut self) {
        let Some(world) = self.world.upgrade() else { return };
        let gone = world.lock().network.bound.remove(&self.socket);
        // It may hold a waker, whose drop is code of others.
        drop(gone);
    }
}
