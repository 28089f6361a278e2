//! The state of a node, and the rules by which it changes. Nothing here waits, the disk aside.

use foster::{Instant, now};

use crate::log::Log;
use crate::node::Retries;
use crate::protocol::{Entry, Request, Write};
use crate::store::Store;

/// A message ends with the entry that makes it longer than this. A slow link must be able to carry
/// one before the time for its answer is over.
const BATCH: usize = 64 << 10;

/// What a node knows.
#[derive(Debug)]
pub(crate) struct Replica {
    id: usize,
    nodes: usize,
    retries: Retries,
    pub(crate) log: Log,
    /// So many entries are on the disks of a majority, and stay.
    committed: usize,
    /// What the committed entries make.
    pub(crate) store: Store,
    /// Who leads the epoch, if this node knows it.
    pub(crate) leader: Option<usize>,
    /// When it last heard of a leader or a candidate that it follows.
    pub(crate) heard: Instant,
    /// What it knows about the others, if it leads.
    lead: Option<Lead>,
}

/// What the leader knows about the others, each in its place. Its own place is not used.
#[derive(Debug)]
struct Lead {
    /// How many entries to assume that the other one has.
    next: Vec<usize>,
    /// How many entries the other one has for sure.
    held: Vec<usize>,
    /// The latest round in which the other one has answered.
    answered: Vec<u64>,
    /// The number of the round: what is sent from now on belongs to it.
    round: u64,
}

impl Replica {
    pub(crate) fn new(id: usize, nodes: usize, retries: Retries, log: Log) -> Self {
        let (committed, store, heard) = (0, Store::default(), now());
        Replica { id, nodes, retries, log, committed, store, leader: None, heard, lead: None }
    }

    /// So many nodes are more than half of them, this one included.
    pub(crate) fn majority(&self) -> usize {
        self.nodes / 2 + 1
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.log.epoch()
    }

    /// Returns whether this node leads the epoch.
    pub(crate) fn leads(&self, epoch: u64) -> bool {
        self.epoch() == epoch && self.lead.is_some()
    }

    /// Enters a later epoch, without a vote. Returns whether this is one.
    pub(crate) async fn see(&mut self, epoch: u64) -> bool {
        let later = epoch > self.epoch();
        if later {
            self.enter(epoch, None).await;
        }
        later
    }

    /// Enters an epoch, in which there is no leader yet.
    pub(crate) async fn enter(&mut self, epoch: u64, vote: Option<usize>) {
        self.log.enter(epoch, vote).await;
        (self.leader, self.lead) = (None, None);
    }

    /// Begins to lead the epoch. The first entry of a leader commits those of others before it.
    pub(crate) async fn begin_to_lead(&mut self) {
        let next = vec![self.log.len(); self.nodes];
        self.leader = Some(self.id);
        self.lead = Some(Lead { next, held: vec![0; self.nodes], answered: vec![0; self.nodes], round: 0 });
        self.push(None).await;
    }

    /// Appends an entry, as the leader does. Returns the length of the log with it.
    pub(crate) async fn push(&mut self, write: Option<Write>) -> usize {
        self.log.push(Entry { epoch: self.epoch(), write }).await;
        // Where there is one node, it is the majority.
        self.commit_what_is_held();
        self.log.len()
    }

    /// Begins a round, and returns its number. Returns `None` if this node does not lead.
    pub(crate) fn begin_round(&mut self) -> Option<u64> {
        let lead = self.lead.as_mut()?;
        lead.round += 1;
        Some(lead.round)
    }

    /// Returns what the leader sends to `other` next, and the round.
    pub(crate) fn message_to(&self, other: usize) -> Option<(Request, u64)> {
        let lead = self.lead.as_ref()?;
        let after = self.log.position(lead.next[other])?;
        let mut length = 0;
        let entries = self.log.entries()[after.length..].iter().take_while(|entry| {
            let has_room = length < BATCH;
            length += entry.len();
            has_room
        });
        let entries = entries.cloned().collect();
        let (epoch, leader, committed) = (self.epoch(), self.id, self.committed);
        Some((Request::Append { epoch, leader, after, entries, committed }, lead.round))
    }

    /// Returns whether there is something to say to `other`, apart from a heartbeat.
    pub(crate) fn has_news_for(&self, other: usize) -> bool {
        let news = |lead: &Lead| lead.next[other] < self.log.len() || lead.answered[other] < lead.round;
        self.lead.as_ref().is_none_or(news)
    }

    /// Takes the answer of another node to what the leader has sent it in this round.
    pub(crate) fn hear(&mut self, other: usize, held: Result<usize, usize>, round: u64) {
        let Some(lead) = &mut self.lead else { return };
        lead.answered[other] = round;
        lead.next[other] = held.unwrap_or_else(|shorter| shorter);
        lead.held[other] = held.unwrap_or(0);
        self.commit_what_is_held();
    }

    /// Returns whether a majority has answered in this round or later.
    pub(crate) fn is_confirmed(&self, round: u64) -> bool {
        let Some(lead) = &self.lead else { return false };
        let others = lead.answered.iter().filter(|answered| **answered >= round).count();
        others + 1 >= self.majority()
    }

    pub(crate) fn has_committed(&self, length: usize) -> bool {
        self.committed >= length
    }

    /// Commits what a majority has. An entry of an earlier epoch may be replaced even then, unless
    /// one of this epoch is behind it.
    fn commit_what_is_held(&mut self) {
        let Some(lead) = &self.lead else { return };
        let mut held = lead.held.clone();
        held[self.id] = self.log.len();
        held.sort_unstable();
        let length = held[self.nodes - self.majority()];
        if self.log.position(length).is_some_and(|end| end.epoch == self.epoch()) {
            self.commit(length);
        }
    }

    /// Does the writes of the first `length` entries that were not done yet.
    pub(crate) fn commit(&mut self, length: usize) {
        let length = length.min(self.log.len());
        while self.committed < length {
            if let Some(write) = &self.log.entries()[self.committed].write {
                self.store.apply(write, self.retries);
            }
            self.committed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use foster::runtimes::Sim;

    use super::*;
    use crate::log::tests::Nowhere;

    /// A write of a value to `x`, as an entry of this epoch.
    fn entry(epoch: u64, value: &str) -> Entry {
        let write = Write { client: 1, number: epoch, key: String::from("x"), value: value.to_string() };
        Entry { epoch, write: Some(write) }
    }

    /// Runs `test` with node 0 of three, which has not heard of anybody.
    fn with_replica(test: impl AsyncFnOnce(Replica)) {
        Sim::new(1).run(async {
            let log = Log::open(Arc::new(Nowhere)).await.unwrap();
            test(Replica::new(0, 3, Retries::Once, log)).await;
        });
    }

    /// Of three nodes, the second one led epoch 2 and is cut off, with an entry that nobody else
    /// has. It may win epoch 4 with the vote of the third, whose last entry is of epoch 1, and then
    /// it replaces that entry, although two nodes have it.
    #[test]
    fn an_entry_of_an_earlier_epoch_is_committed_by_one_of_this_epoch_behind_it() {
        with_replica(async |mut replica| {
            replica.see(1).await;
            replica.log.merge(0, vec![entry(1, "old")]).await;
            replica.see(3).await;
            replica.begin_to_lead().await;
            replica.hear(2, Ok(1), 0);
            assert!(!replica.has_committed(1), "the second node may still replace it");
            assert_eq!(replica.store.get("x"), None);
            replica.hear(2, Ok(2), 0);
            assert!(replica.has_committed(2), "the third node does not vote for the second one any more");
            assert_eq!(replica.store.get("x").as_deref(), Some("old"));
        });
    }

    #[test]
    fn what_less_than_a_majority_holds_is_not_committed() {
        with_replica(async |mut replica| {
            replica.see(1).await;
            replica.begin_to_lead().await;
            replica.push(entry(1, "new").write).await;
            assert!(!replica.has_committed(1));
            replica.hear(1, Ok(1), 0);
            assert!(replica.has_committed(1) && !replica.has_committed(2));
            replica.hear(2, Err(0), 0);
            assert!(!replica.has_committed(2));
            replica.hear(2, Ok(2), 0);
            assert!(replica.has_committed(2));
        });
    }
}
