//! Breaks and repairs the links between hosts.

use std::fmt;
use std::sync::Arc;

use super::super::world::World;
use super::link::{Flow, Link};
use super::state::HostId;

/// The links between the hosts of a simulation. [`Sim::network`](super::super::Sim::network)
/// returns it.
///
/// Each method takes effect at once, so a test breaks a link at an instant by a
/// [`sleep`](crate::sleep) before it. Names are those of [hosts](super::super::Sim::host).
///
/// # Panics
///
/// Each method panics if there is no host of a name.
///
/// ```
/// use foster::net::TcpStream;
/// use foster::runtimes::Sim;
/// use foster::timeout;
/// use std::time::Duration;
///
/// let sim = Sim::new(7);
/// let (client, _server) = (sim.host("client"), sim.host("server"));
/// sim.network().partition("client", "server");
/// let connected = client.run(timeout(Duration::from_secs(5), TcpStream::connect("server:80")));
/// assert!(connected.is_err(), "nothing fails by itself");
/// assert!(sim.trace().to_string().contains("client → server: connect, lost"));
/// ```
#[derive(Clone)]
pub struct Links(Arc<World>);

impl Links {
    pub(in super::super) fn of(world: Arc<World>) -> Self {
        Links(world)
    }

    /// Sets what the link between two hosts is like, in both directions.
    #[track_caller]
    pub fn set(&self, one: &str, other: &str, link: Link) {
        let (one, other) = self.hosts(one, other);
        let network = &mut self.0.lock().network;
        network.wire(one, other).link = Some(link.clone());
        network.wire(other, one).link = Some(link);
    }

    /// Sets what the links between hosts are like whose link nobody has [set](Links::set).
    pub fn set_all(&self, link: Link) {
        self.0.lock().network.between = link;
    }

    /// Cuts the link between two hosts, in both directions.
    ///
    /// Nothing arrives, what is under way included, and nothing fails until somebody's timeout
    /// does. What is lost is sent again after the [repair](Links::repair), as TCP does, and
    /// datagrams are not.
    #[track_caller]
    pub fn partition(&self, one: &str, other: &str) {
        self.partition_one_way(one, other);
        self.partition_one_way(other, one);
    }

    /// Cuts the link from one host to another. What comes from there still arrives.
    #[track_caller]
    pub fn partition_one_way(&self, from: &str, to: &str) {
        self.stop(from, to, Flow::Cut);
    }

    /// Cuts the links between a host and all others that there are.
    #[track_caller]
    pub fn isolate(&self, host: &str) {
        for other in self.others(host) {
            self.partition(host, &other);
        }
    }

    /// Clogs the link from one host to another. What is sent waits there until the
    /// [repair](Links::repair), and arrives then.
    #[track_caller]
    pub fn clog(&self, from: &str, to: &str) {
        self.stop(from, to, Flow::Clogged);
    }

    /// Repairs the link between two hosts, in both directions.
    ///
    /// What was lost is sent again 200 milliseconds later.
    #[track_caller]
    pub fn repair(&self, one: &str, other: &str) {
        let (one, other) = self.hosts(one, other);
        self.0.change(|state, wakers| {
            state.repair(one, other, wakers);
            state.repair(other, one, wakers);
        });
    }

    /// Repairs all links.
    pub fn repair_all(&self) {
        self.0.change(|state, wakers| {
            let broken: Vec<(HostId, HostId)> = state.network.wires.keys().copied().collect();
            for (from, to) in broken {
                state.repair(from, to, wakers);
            }
        });
    }

    /// Resets the connections between two hosts, as a firewall does that forgets them.
    ///
    /// What is under way still arrives.
    #[track_caller]
    pub fn reset(&self, one: &str, other: &str) {
        let (one, other) = self.hosts(one, other);
        self.0.change(|state, wakers| state.reset_between(one, other, wakers));
    }

    #[track_caller]
    fn stop(&self, from: &str, to: &str, flow: Flow) {
        let (from, to) = self.hosts(from, to);
        self.0.change(|state, _| state.stop_link(from, to, flow));
    }

    fn others(&self, host: &str) -> Vec<String> {
        let state = self.0.lock();
        state.network.hosts.iter().map(|other| other.name.to_string()).filter(|other| other != host).collect()
    }

    #[track_caller]
    fn hosts(&self, one: &str, other: &str) -> (HostId, HostId) {
        let state = self.0.lock();
        let network = &state.network;
        let message = match (network.host_named(one), network.host_named(other)) {
            (Some(one), Some(other)) => return (one, other),
            (None, _) => network.unknown(one),
            (Some(_), None) => network.unknown(other),
        };
        drop(state);
        panic!("{message}");
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").finish_non_exhaustive()
    }
}
