//! What goes wrong on the network, by chance or as planned.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::super::faults::{Fault, Faults, Injector, Moment, checked};
use super::super::world::{State, World};
use super::packet::EndId;
use super::state::HostId;

/// The chances of what goes wrong on the network.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct NetworkFaults {
    refuse: f64,
    reset: f64,
    lose: f64,
    duplicate: f64,
    cut: f64,
    cut_for: Duration,
    crash: f64,
    down_for: Duration,
}

impl NetworkFaults {
    pub(in super::super) fn is_none(&self) -> bool {
        self.refuse + self.reset + self.lose + self.duplicate + self.cut + self.crash == 0.0
    }
}

impl Faults {
    /// Sets the chance that a connection is refused.
    ///
    /// # Panics
    ///
    /// Panics if `chance` is not between 0 and 1.
    #[track_caller]
    pub fn refuse_connections(mut self, chance: f64) -> Self {
        self.network.refuse = checked(chance);
        self
    }

    /// Sets the chance that a write resets its connection, with some of the bytes still arriving.
    ///
    /// # Panics
    ///
    /// Panics if `chance` is not between 0 and 1.
    #[track_caller]
    pub fn reset_connections(mut self, chance: f64) -> Self {
        self.network.reset = checked(chance);
        self
    }

    /// Sets the chance that what is written is lost at first.
    ///
    /// It is sent again 200 milliseconds later, as TCP does. What is written after it waits for it.
    /// A datagram is lost for good.
    ///
    /// # Panics
    ///
    /// Panics if `chance` is not between 0 and 1.
    #[track_caller]
    pub fn lose_packets(mut self, chance: f64) -> Self {
        self.network.lose = checked(chance);
        self
    }

    /// Sets the chance that a datagram arrives twice.
    ///
    /// # Panics
    ///
    /// Panics if `chance` is not between 0 and 1.
    #[track_caller]
    pub fn duplicate_datagrams(mut self, chance: f64) -> Self {
        self.network.duplicate = checked(chance);
        self
    }

    /// Sets the chance, at each write to another host, that the link between the two is cut, for up
    /// to `most`.
    ///
    /// # Panics
    ///
    /// Panics if `chance` is not between 0 and 1.
    #[track_caller]
    pub fn cut_links(mut self, chance: f64, most: Duration) -> Self {
        (self.network.cut, self.network.cut_for) = (checked(chance), most);
        self
    }

    /// Sets the chance, at each write to a host that has a [program](super::Host::program), that it
    /// crashes. It restarts up to `most` later.
    ///
    /// # Panics
    ///
    /// Panics if `chance` is not between 0 and 1.
    #[track_caller]
    pub fn crash_hosts(mut self, chance: f64, most: Duration) -> Self {
        (self.network.crash, self.network.down_for) = (checked(chance), most);
        self
    }
}

impl Injector {
    /// Returns whether a connection is refused.
    fn refuses(&mut self, from: &str, to: &str) -> bool {
        let planned = self.faults.planned(&Moment::Connect { from, to });
        planned == Some(Fault::Refuse) || self.chance(self.faults.network.refuse)
    }

    /// Returns what happens to bytes that are written, or to a datagram.
    fn write(&mut self, written: &Written) -> Option<Fault> {
        let Written { from, to, bytes, number, .. } = written;
        let planned = self.faults.planned(&Moment::Write { from, to, bytes: *bytes, number: *number });
        if let Some(Fault::Reset | Fault::Lose | Fault::Duplicate | Fault::Delay(_) | Fault::Cut(_) | Fault::Crash(_)) =
            planned
        {
            return planned;
        }
        let chances = self.faults.network.clone();
        if written.is_datagram && self.chance(chances.duplicate) {
            return Some(Fault::Duplicate);
        }
        if !written.is_datagram && self.chance(chances.reset) {
            return Some(Fault::Reset);
        }
        if self.chance(chances.lose) {
            return Some(Fault::Lose);
        }
        if from != to && self.chance(chances.cut) {
            return Some(Fault::Cut(self.random.up_to(chances.cut_for)));
        }
        if from != to && written.restarts && self.chance(chances.crash) {
            return Some(Fault::Crash(self.random.up_to(chances.down_for)));
        }
        None
    }
}

/// Bytes that are about to be written, or a datagram that is about to be sent.
struct Written {
    from: Arc<str>,
    to: Arc<str>,
    bytes: usize,
    number: u64,
    is_datagram: bool,
    /// Whether the host that they go to has a program.
    restarts: bool,
}

/// How many bytes a write takes, and what goes wrong with them.
pub(super) struct Planned {
    pub(super) bytes: usize,
    pub(super) fault: Option<Fault>,
}

impl World {
    /// Returns whether a connection is refused that a host asks for.
    pub(super) fn refuses(&self, from: HostId, to: SocketAddr) -> bool {
        if self.injector.is_none() {
            return false;
        }
        let state = self.lock();
        let name = |host: HostId| state.network.hosts[host].name.clone();
        let Some((from, to)) = state.network.host_at(to.ip(), from).map(|to| (name(from), name(to))) else {
            return false;
        };
        drop(state);
        self.inject(|injector| Some(injector.refuses(&from, &to))).unwrap_or(false)
    }

    /// Decides what goes wrong with a write. The plan of faults is code of others, and so it is
    /// asked before the state is locked for the write.
    pub(super) fn plan_write(&self, id: EndId, bytes: usize) -> Option<Planned> {
        self.injector.as_ref()?;
        let written = self.lock().about_to_write(id, bytes)?;
        let fault = self.inject(|injector| injector.write(&written));
        Some(Planned { bytes: written.bytes, fault })
    }

    /// Decides what goes wrong with a datagram.
    pub(super) fn plan_datagram(&self, socket: u64, bytes: usize, to: Option<SocketAddr>) -> Option<Fault> {
        self.injector.as_ref()?;
        let mut state = self.lock();
        let (from, to) = state.hosts_of(socket, bytes, to)?;
        let written = Written { is_datagram: true, ..state.written(from, to, bytes) };
        drop(state);
        self.inject(|injector| injector.write(&written))
    }
}

impl State {
    /// Returns how many bytes a write takes of which nothing goes wrong.
    pub(super) fn unplanned(&mut self, id: EndId, bytes: usize) -> Planned {
        let Some(ends) = self.network.connections.get(&id.connection) else { return Planned { bytes: 0, fault: None } };
        let (from, to) = (ends[id.end].host, ends[1 - id.end].host);
        let room = self.network.link(from, to).buffer.saturating_sub(ends[1 - id.end].stream.len());
        Planned { bytes: self.network.part_of(room.min(bytes), from, to), fault: None }
    }

    /// Returns what is about to be written, if that is anything.
    fn about_to_write(&mut self, id: EndId, bytes: usize) -> Option<Written> {
        let ends = self.network.connections.get(&id.connection)?;
        let (from, to) = (ends[id.end].host, ends[1 - id.end].host);
        if !ends[id.end].can_write() {
            return None;
        }
        let bytes = self.unplanned(id, bytes).bytes;
        if bytes == 0 {
            return None;
        }
        Some(self.written(from, to, bytes))
    }

    fn written(&mut self, from: HostId, to: HostId, bytes: usize) -> Written {
        let network = &mut self.network;
        network.writes += 1;
        let (number, restarts) = (network.writes, network.hosts[to].program.is_some());
        let name = |host: HostId| network.hosts[host].name.clone();
        Written { from: name(from), to: name(to), bytes, number, is_datagram: false, restarts }
    }
}
