//! What a follower does: it waits, votes and appends.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use foster::{now, sleep_until};

use crate::node::{Node, PATIENCE};
use crate::protocol::{Entry, Position, Reply};

impl Node {
    /// Waits until there has been no word of a leader for too long.
    pub(crate) async fn follow(&self) {
        loop {
            let replica = self.replica.lock().await;
            let until = replica.heard + patience(self.id, replica.epoch());
            drop(replica);
            if now() >= until {
                return;
            }
            sleep_until(until).await;
        }
    }

    /// Answers a candidate. A node votes once in an epoch, for a candidate that has all that may be
    /// committed.
    pub(crate) async fn vote(&self, epoch: u64, candidate: usize, end: Position) -> Reply {
        self.see(epoch).await;
        let mut replica = self.replica.lock().await;
        let is_free = replica.log.vote().is_none_or(|vote| vote == candidate);
        let granted = epoch == replica.epoch() && is_free && end >= replica.log.end();
        if granted {
            replica.log.enter(epoch, Some(candidate)).await;
            replica.heard = now();
        }
        Reply::Voted { epoch: replica.epoch(), granted }
    }

    /// Answers the leader: appends its entries, if the log has what is before them.
    pub(crate) async fn append(
        &self,
        epoch: u64,
        leader: usize,
        after: Position,
        entries: Vec<Entry>,
        committed: usize,
    ) -> Reply {
        self.see(epoch).await;
        let mut replica = self.replica.lock().await;
        if epoch < replica.epoch() {
            return Reply::Appended { epoch: replica.epoch(), held: Err(0) };
        }
        (replica.leader, replica.heard) = (Some(leader), now());
        if replica.log.position(after.length) != Some(after) {
            let shorter = replica.log.len().min(after.length.saturating_sub(1));
            return Reply::Appended { epoch, held: Err(shorter) };
        }
        let held = after.length + entries.len();
        replica.log.merge(after.length, entries).await;
        // What is behind `held` may differ from the log of the leader.
        replica.commit(committed.min(held));
        Reply::Appended { epoch, held: Ok(held) }
    }
}

/// Returns how long a node waits for the leader of the epoch after this one. The nodes differ, so
/// that one of them is first, and an epoch without a winner makes them differ anew.
fn patience(id: usize, epoch: u64) -> Duration {
    let mut hasher = DefaultHasher::new();
    (id, epoch).hash(&mut hasher);
    PATIENCE + PATIENCE * (hasher.finish() % 256) as u32 / 256
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use foster::runtimes::Sim;

    use super::*;
    use crate::log::tests::Nowhere;
    use crate::node::Rules;
    use crate::protocol::Write;

    fn entry(epoch: u64, number: u64) -> Entry {
        let (key, value) = (String::from("x"), format!("{epoch}.{number}"));
        Entry { epoch, write: Some(Write { client: 1, number, key, value }) }
    }

    /// What the message of a leader does not reach may be of a leader before, which has failed to
    /// commit it, and is replaced later.
    #[test]
    fn what_lies_behind_the_entries_of_a_message_is_not_committed() {
        Sim::new(1).run(async {
            let addresses = ["one:80", "two:80", "three:80"].map(String::from).to_vec();
            let node = Node::open(0, addresses, Rules::default(), Arc::new(Nowhere)).await.unwrap();
            let start = Position { epoch: 0, length: 0 };
            node.append(1, 1, start, vec![entry(1, 1), entry(1, 2), entry(1, 3)], 0).await;

            let first = Position { epoch: 1, length: 1 };
            let reply = node.append(2, 2, first, Vec::new(), 3).await;
            assert!(matches!(reply, Reply::Appended { epoch: 2, held: Ok(1) }), "{reply:?}");
            assert_eq!(node.replica.lock().await.store.get("x").as_deref(), Some("1.1"));

            node.append(2, 2, first, vec![entry(2, 2), entry(2, 3)], 3).await;
            assert_eq!(node.replica.lock().await.store.get("x").as_deref(), Some("2.3"));
        });
    }
}
