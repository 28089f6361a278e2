//! The links between hosts: what they are like, and what is on them.

use std::time::Duration;

use super::super::schedule::Random;
use super::datagram::Datagram;
use super::packet::Packet;

/// Says what a link between two hosts is like, in one direction.
///
/// By default, a byte takes between one and two milliseconds from one host to another, and no time
/// within a host. The seed decides. There is no limit to the bandwidth, and a direction of a
/// connection holds 64 KiB that the reader has not read.
///
/// A simulation that follows a [tape](super::super::Builder::tape), as those of
/// [`explore_all`](crate::testing::explore_all) do, chooses among orders only. In it a link has no
/// jitter, splits nothing, and by default has no latency.
///
/// ```
/// use foster::runtimes::{Sim, sim::Link};
/// use std::time::Duration;
///
/// let sim = Sim::new(7);
/// let (_client, _server) = (sim.host("client"), sim.host("server"));
/// let slow = Link::new().latency(Duration::from_millis(80)).bandwidth(56_000 / 8);
/// sim.network().set("client", "server", slow);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a link does nothing until it is set"]
pub struct Link {
    pub(super) latency: Duration,
    pub(super) jitter: Duration,
    /// In bytes a second, or 0 for no limit.
    bandwidth: u64,
    pub(super) buffer: usize,
    pub(super) splits: bool,
}

impl Link {
    /// Creates a link between hosts as it is by default.
    pub fn new() -> Self {
        let millisecond = Duration::from_millis(1);
        Link { latency: millisecond, jitter: millisecond, ..Link::within() }
    }

    /// Creates the link within a host.
    pub(super) fn within() -> Self {
        Link { latency: Duration::ZERO, jitter: Duration::ZERO, bandwidth: 0, buffer: 64 * 1024, splits: true }
    }

    /// Sets how long a packet takes at least.
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Sets up to how much longer a packet takes. The seed decides. The bytes of one connection
    /// stay in order, and datagrams overtake each other.
    pub fn jitter(mut self, most: Duration) -> Self {
        self.jitter = most;
        self
    }

    /// Sets how many bytes a second go over the link, all connections together.
    ///
    /// # Panics
    ///
    /// Panics if it is 0. A link over which nothing goes is [clogged](super::Links::clog).
    #[track_caller]
    pub fn bandwidth(mut self, bytes: u64) -> Self {
        assert!(bytes > 0, "nothing would ever arrive: use `Links::clog` for that");
        self.bandwidth = bytes;
        self
    }

    /// Sets how many bytes one direction of a connection holds, under way and unread, before its
    /// writer waits. It hears of the room that a read makes at once, also through a link that is
    /// slow or broken. A datagram that would make a socket hold more bytes that nobody has received
    /// is lost.
    ///
    /// # Panics
    ///
    /// Panics if it is 0.
    #[track_caller]
    pub fn buffer(mut self, bytes: usize) -> Self {
        assert!(bytes > 0, "nobody could ever write");
        self.buffer = bytes;
        self
    }

    /// Reads and writes as much as there is and fits, each time.
    ///
    /// By default, the seed decides that some reads and writes take a part of it, as real ones do.
    pub fn whole(mut self) -> Self {
        self.splits = false;
        self
    }

    /// Returns how long `bytes` occupy the link.
    fn occupied_by(&self, bytes: usize) -> Duration {
        if self.bandwidth == 0 {
            return Duration::ZERO;
        }
        let nanos = bytes as u128 * 1_000_000_000 / u128::from(self.bandwidth);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl Default for Link {
    fn default() -> Self {
        Link::new()
    }
}

/// Whether a link transports what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Open,
    /// What is sent waits at the link.
    Clogged,
    /// What is sent is lost, and sent again after the repair.
    Cut,
}

/// One direction between two hosts.
#[derive(Debug)]
pub(super) struct Wire {
    /// `None` if the link is as all are by default.
    pub(super) link: Option<Link>,
    pub(super) flow: Flow,
    /// How often it was stopped or repaired.
    pub(super) changes: u64,
    /// What waits for the repair.
    pub(super) parked: Vec<Packet>,
    /// The datagrams that wait at a clogged link.
    pub(super) held: Vec<Datagram>,
    /// When what has been sent so far no longer occupies the link.
    free_at: Duration,
}

impl Wire {
    pub(super) fn new() -> Self {
        Wire { link: None, flow: Flow::Open, changes: 0, parked: Vec::new(), held: Vec::new(), free_at: Duration::ZERO }
    }

    /// Returns when a packet of so many bytes arrives that is sent at `now`.
    pub(super) fn arrival(
        &mut self,
        default: &Link,
        bytes: usize,
        now: Duration,
        random: Option<&mut Random>,
    ) -> Duration {
        let link = self.link.as_ref().unwrap_or(default);
        let left = if link.bandwidth == 0 {
            now
        } else {
            self.free_at = self.free_at.max(now).saturating_add(link.occupied_by(bytes));
            self.free_at
        };
        let jitter = random.map_or(Duration::ZERO, |random| random.up_to(link.jitter));
        left.saturating_add(link.latency).saturating_add(jitter)
    }
}
