//! The state of the network: hosts, links, listeners and connections.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use super::super::schedule::Random;
use super::super::trace::TaskLabel;
use super::datagram::Bound;
use super::link::{Flow, Link, Wire};
use super::packet::{Content, EndId, Packet};
use super::socket::has_crashed;
use crate::runtime::Handle;

/// The place of a host in the list. The first one is where a program runs that names no host.
pub(in super::super) type HostId = usize;

/// What a host runs, now and after each restart.
pub(super) type Program = Arc<dyn Fn(&Handle) + Send + Sync>;

/// A host.
pub(super) struct HostState {
    pub(super) name: Arc<str>,
    pub(super) ip: IpAddr,
    /// `None` for the first host. A handle to that would keep the simulation alive.
    pub(super) handle: Option<Handle>,
    pub(super) is_up: bool,
    /// How often it has crashed or restarted.
    pub(super) changes: u64,
    pub(super) program: Option<Program>,
    /// What arrived while the host was down. It is sent again after the restart.
    pub(super) parked: Vec<Packet>,
    next_port: u16,
    /// How many sockets the host may have.
    pub(super) most_sockets: usize,
}

/// A listener.
pub(super) struct Listening {
    pub(super) host: HostId,
    pub(super) address: SocketAddr,
    pub(super) backlog: usize,
    /// The connections that nobody has accepted. Those beyond the backlog have not been answered,
    /// and those whose client has not heard of the answer cannot be accepted.
    pub(super) queue: VecDeque<u64>,
    pub(super) waker: Option<Waker>,
}

impl Listening {
    /// Takes the connection at this place out of the queue. Returns the client that must be
    /// answered then.
    pub(super) fn take_out(&mut self, place: usize) -> Option<EndId> {
        self.queue.remove(place);
        let last = self.backlog - 1;
        let connection = *self.queue.get(last).filter(|_| place <= last)?;
        Some(EndId { connection, end: 0 })
    }
}

/// Who holds an end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Here,
    /// Nobody, since it was dropped, or since nobody has asked for it yet. What arrives is answered
    /// by a reset.
    Closed,
    /// Nobody, since its host has crashed. After the restart, what arrives is answered by a reset.
    Crashed,
}

/// One end of a connection, with what comes to it.
pub(super) struct ConnectionEnd {
    pub(super) host: HostId,
    pub(super) address: SocketAddr,
    pub(super) presence: Presence,
    /// Whether the other end has answered, which is so for the client's end first.
    pub(super) is_connected: bool,
    /// Whether somebody has it, which is so from the connect or the accept on.
    pub(super) is_held: bool,
    /// The bytes that come to this end: first those that have arrived, and then those under way.
    pub(super) stream: VecDeque<u8>,
    pub(super) arrived: usize,
    /// Whether the end of the stream has arrived.
    pub(super) has_ended: bool,
    /// Whether a reset has arrived.
    pub(super) is_reset: bool,
    /// The error that the next operation returns.
    pub(super) error: Option<io::ErrorKind>,
    pub(super) reads_no_more: bool,
    pub(super) writes_no_more: bool,
    /// Whether it is reset when it is dropped.
    pub(super) resets_on_drop: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
    /// When the last packet arrives that is under way to this end. None overtakes it, as long as
    /// its link is open.
    pub(super) last_arrival: Duration,
    /// How many packets have been sent to this end.
    pub(super) sent: u64,
    /// The number of the packet that this end takes in next.
    expected: u64,
    /// What has arrived before a packet that was sent earlier.
    early: BTreeMap<u64, Packet>,
}

impl ConnectionEnd {
    /// Creates an end that nobody has.
    fn new(host: HostId, address: SocketAddr) -> Self {
        ConnectionEnd {
            host,
            address,
            presence: Presence::Closed,
            is_connected: false,
            is_held: false,
            stream: VecDeque::new(),
            arrived: 0,
            has_ended: false,
            is_reset: false,
            error: None,
            reads_no_more: false,
            writes_no_more: false,
            resets_on_drop: false,
            reader: None,
            writer: None,
            last_arrival: Duration::ZERO,
            sent: 0,
            expected: 0,
            early: BTreeMap::new(),
        }
    }

    /// Returns the packet if it is its turn. Otherwise it is kept until then.
    pub(super) fn in_turn(&mut self, packet: Packet) -> Option<Packet> {
        if packet.number != self.expected {
            self.early.insert(packet.number, packet);
            return None;
        }
        self.expected += 1;
        Some(packet)
    }

    /// Takes the packet out that arrived early and whose turn it is.
    pub(super) fn next_early(&mut self) -> Option<Packet> {
        let packet = self.early.remove(&self.expected)?;
        self.expected += 1;
        Some(packet)
    }

    /// Whether a write would send something.
    pub(super) fn can_write(&self) -> bool {
        self.presence == Presence::Here && self.error.is_none() && !self.is_reset && !self.writes_no_more
    }

    /// Takes the wakers of those who wait at this end.
    pub(super) fn take_wakers(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.reader.take());
        wakers.extend(self.writer.take());
    }
}

/// The network of a simulation.
pub(in super::super) struct Network {
    pub(super) hosts: Vec<HostState>,
    /// Between two hosts that are as by default, there may be none.
    pub(super) wires: BTreeMap<(HostId, HostId), Wire>,
    /// What a link between two hosts is like, if nobody has said so.
    pub(super) between: Link,
    within: Link,
    pub(super) listeners: BTreeMap<u64, Listening>,
    pub(super) connections: BTreeMap<u64, [ConnectionEnd; 2]>,
    /// The sockets for datagrams.
    pub(super) bound: BTreeMap<u64, Bound>,
    made: u64,
    /// How many writes and datagrams there have been.
    pub(super) writes: u64,
    /// Random numbers of its own, so that the network does not change the schedule. `None` if only
    /// the schedule chooses.
    pub(super) random: Option<Random>,
}

impl Network {
    /// Creates a network of one host. If it is `exact`, it decides nothing by chance.
    pub(in super::super) fn new(seed: u64, exact: bool) -> Self {
        let between = if exact { Link::within() } else { Link::new() };
        let mut network = Network {
            hosts: Vec::new(),
            wires: BTreeMap::new(),
            between,
            within: Link::within(),
            listeners: BTreeMap::new(),
            connections: BTreeMap::new(),
            bound: BTreeMap::new(),
            made: 0,
            writes: 0,
            random: (!exact).then_some(Random(seed.rotate_left(16) ^ 0x6e65_7477_6f72_6b73)),
        };
        network.add_host("localhost", None);
        network
    }

    /// Adds a host, whose address follows from how many there are.
    pub(super) fn add_host(&mut self, name: &str, handle: Option<Handle>) -> HostId {
        let number = self.hosts.len() as u32 + 1;
        self.hosts.push(HostState {
            name: name.into(),
            ip: Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 0)) + number).into(),
            handle,
            is_up: true,
            changes: 0,
            program: None,
            parked: Vec::new(),
            next_port: FIRST_PORT,
            most_sockets: usize::MAX,
        });
        self.hosts.len() - 1
    }

    /// Returns the label of a task on a host, unless that is down.
    pub(in super::super) fn placed(&self, host: HostId, label: TaskLabel) -> Option<TaskLabel> {
        let on = &self.hosts[host];
        let label = if host == 0 { label } else { TaskLabel::On(Arc::new((on.name.clone(), label))) };
        on.is_up.then_some(label)
    }

    pub(super) fn host_named(&self, name: &str) -> Option<HostId> {
        self.hosts.iter().position(|host| &*host.name == name)
    }

    /// Returns the host that an address means on `host`.
    pub(super) fn host_at(&self, ip: IpAddr, host: HostId) -> Option<HostId> {
        if ip.is_loopback() || ip.is_unspecified() {
            return Some(host);
        }
        self.hosts.iter().position(|other| other.ip == ip)
    }

    pub(super) fn wire(&mut self, from: HostId, to: HostId) -> &mut Wire {
        self.wires.entry((from, to)).or_insert_with(Wire::new)
    }

    /// Returns what the link from one host to another is like.
    pub(super) fn link(&self, from: HostId, to: HostId) -> &Link {
        let own = self.wires.get(&(from, to)).and_then(|wire| wire.link.as_ref());
        own.unwrap_or(if from == to { &self.within } else { &self.between })
    }

    pub(super) fn flow(&self, from: HostId, to: HostId) -> Flow {
        self.wires.get(&(from, to)).map_or(Flow::Open, |wire| wire.flow)
    }

    /// Returns when a packet of so many bytes arrives that is sent at `now`.
    pub(super) fn arrival(&mut self, from: HostId, to: HostId, bytes: usize, now: Duration) -> Duration {
        let default = if from == to { &self.within } else { &self.between };
        let wire = self.wires.entry((from, to)).or_insert_with(Wire::new);
        wire.arrival(default, bytes, now, self.random.as_mut())
    }

    /// Returns how many of `bytes` one operation takes.
    pub(super) fn part_of(&mut self, bytes: usize, from: HostId, to: HostId) -> usize {
        if bytes < 2 || !self.link(from, to).splits {
            return bytes;
        }
        let Some(random) = &mut self.random else { return bytes };
        if random.below(4) == 0 { 1 + random.below(bytes - 1) } else { bytes }
    }

    pub(super) fn end(&mut self, id: EndId) -> Option<&mut ConnectionEnd> {
        self.connections.get_mut(&id.connection).map(|ends| &mut ends[id.end])
    }

    /// Returns the number of something new.
    pub(super) fn number(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    /// Adds a connection that nobody has answered.
    pub(super) fn connect(&mut self, from: (HostId, SocketAddr), to: (HostId, SocketAddr)) -> u64 {
        let number = self.number();
        let client = ConnectionEnd { presence: Presence::Here, is_held: true, ..ConnectionEnd::new(from.0, from.1) };
        self.connections.insert(number, [client, ConnectionEnd::new(to.0, to.1)]);
        number
    }

    /// Returns the packet by which a client asks again whose server has crashed since. The client
    /// has heard of no answer, and so nothing is under way that must be told apart from it.
    pub(super) fn ask_again(&mut self, connection: u64) -> Option<Packet> {
        let [client, server] = self.connections.get_mut(&connection)?;
        client.sent = client.expected;
        *server = ConnectionEnd { sent: 1, ..ConnectionEnd::new(server.host, server.address) };
        Some(Packet { to: EndId { connection, end: 1 }, content: Content::Connect, number: 0 })
    }

    /// Adds a listener.
    ///
    /// # Errors
    ///
    /// Returns an error if the address is not the host's, or in use.
    pub(super) fn listen(&mut self, host: HostId, address: SocketAddr, backlog: usize) -> io::Result<u64> {
        let address = self.own_address(host, address, |network, address| {
            let mut listeners = network.listeners.values();
            listeners.any(|other| other.host == host && overlap(other.address, address.ip(), address.port()))
        })?;
        let number = self.number();
        let queue = VecDeque::new();
        self.listeners.insert(number, Listening { host, address, backlog: backlog.max(1), queue, waker: None });
        Ok(number)
    }

    /// Returns an address of `host`, with a port that nothing uses if it has none.
    ///
    /// # Errors
    ///
    /// Returns an error if the address is not the host's, or in use.
    pub(super) fn own_address(
        &mut self,
        host: HostId,
        address: SocketAddr,
        is_used: impl FnOnce(&Self, SocketAddr) -> bool,
    ) -> io::Result<SocketAddr> {
        if self.host_at(address.ip(), host) != Some(host) {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let port = if address.port() == 0 { self.free_port(host)? } else { address.port() };
        let address = SocketAddr::new(address.ip(), port);
        if is_used(self, address) { Err(io::ErrorKind::AddrInUse.into()) } else { Ok(address) }
    }

    /// Returns the address of `host` that `to` sees.
    pub(super) fn ip_towards(&self, host: HostId, to: SocketAddr) -> IpAddr {
        if to.ip().is_loopback() { to.ip() } else { self.hosts[host].ip }
    }

    /// Returns the listener for connections to an address of a host.
    pub(super) fn listener_at(&mut self, (host, address): (HostId, SocketAddr)) -> Option<&mut Listening> {
        let mut listeners = self.listeners.values_mut();
        listeners.find(|other| other.host == host && overlap(other.address, address.ip(), address.port()))
    }

    /// Takes a port of `host` that nothing uses.
    ///
    /// # Errors
    ///
    /// Returns an error if all are in use.
    pub(super) fn free_port(&mut self, host: HostId) -> io::Result<u16> {
        for _ in FIRST_PORT..u16::MAX {
            let port = self.hosts[host].next_port;
            self.hosts[host].next_port = if port == u16::MAX { FIRST_PORT } else { port + 1 };
            let uses = |of: HostId, address: SocketAddr| of == host && address.port() == port;
            let listens = self.listeners.values().any(|other| uses(other.host, other.address));
            let is_bound = self.bound.values().any(|other| uses(other.host, other.address));
            if !listens && !is_bound && !self.connections.values().any(|ends| uses(ends[0].host, ends[0].address)) {
                return Ok(port);
            }
        }
        Err(io::ErrorKind::AddrNotAvailable.into())
    }

    /// Returns how many sockets a host has.
    fn sockets(&self, host: HostId) -> usize {
        let listeners = self.listeners.values().filter(|other| other.host == host).count();
        let bound = self.bound.values().filter(|other| other.host == host).count();
        let is_open = |end: &&ConnectionEnd| end.host == host && end.presence == Presence::Here && end.is_held;
        listeners + bound + self.connections.values().flatten().filter(is_open).count()
    }

    /// Returns an error if a host is down, or may not have another socket.
    pub(super) fn admit_socket(&self, host: HostId) -> io::Result<()> {
        let most = self.hosts[host].most_sockets;
        if !self.hosts[host].is_up {
            return Err(has_crashed());
        }
        if most != usize::MAX && self.sockets(host) >= most {
            // EMFILE or WSAEMFILE, which have no kind of their own.
            return Err(io::Error::from_raw_os_error(if cfg!(windows) { 10_024 } else { 24 }));
        }
        Ok(())
    }

    /// Forgets a connection that nobody holds.
    pub(super) fn forget_if_over(&mut self, connection: u64) {
        let over = |ends: &[ConnectionEnd; 2]| ends.iter().all(|end| end.presence != Presence::Here);
        if self.connections.get(&connection).is_some_and(over) {
            self.connections.remove(&connection);
        }
    }
}

/// The first port that is given to connections.
const FIRST_PORT: u16 = 49_152;

/// Whether a socket that is bound to an address takes what comes to `ip` and `port`, or cannot
/// exist beside one there.
pub(super) fn overlap(bound: SocketAddr, ip: IpAddr, port: u16) -> bool {
    bound.port() == port && (bound.ip() == ip || covers(bound.ip(), ip) || covers(ip, bound.ip()))
}

/// Whether `any` stands for all addresses of a family, and for this one among them. Those of IPv6
/// include those of IPv4, as on most systems.
pub(super) fn covers(any: IpAddr, one: IpAddr) -> bool {
    any.is_unspecified() && (any.is_ipv6() || one.is_ipv4())
}
