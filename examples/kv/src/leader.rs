//! What the leader does: it sends its log to the others, and answers clients.

use foster::{scope, sleep, timeout};

use crate::link::Link;
use crate::node::{ANSWER, HEARTBEAT, Node, Reads};
use crate::protocol::{Refused, Reply, Write};
use crate::replica::Replica;

/// The most that a key and its value may have.
const MOST: usize = 64 << 10;

impl Node {
    /// Leads an epoch, until there is a later one.
    pub(crate) async fn lead(&self, epoch: u64) {
        scope(async |s| {
            for other in self.others() {
                s.spawn(self.send_to(other, epoch));
            }
            drop(self.wait_for(|replica| !replica.leads(epoch)).await);
            s.cancel("there is a later epoch");
        })
        .await;
    }

    /// Sends the log to another node, message by message.
    async fn send_to(&self, other: usize, epoch: u64) {
        let link = Link::new(&self.addresses[other]);
        loop {
            let replica = self.replica.lock().await;
            if !replica.leads(epoch) {
                return;
            }
            let Some((message, round)) = replica.message_to(other) else { return };
            drop(replica);

            match link.ask(&message, ANSWER).await {
                Ok(Reply::Appended { epoch: theirs, .. }) if theirs > epoch => return self.see(theirs).await,
                Ok(Reply::Appended { held, .. }) => {
                    let mut replica = self.replica.lock().await;
                    if replica.leads(epoch) {
                        replica.hear(other, held, round);
                        self.changed.notify_all();
                    }
                }
                // It is down or cut off.
                _ => sleep(HEARTBEAT).await,
            }
            // A heartbeat is due, if there is no news by then.
            _ = timeout(HEARTBEAT, self.wait_for(|replica| replica.has_news_for(other))).await;
        }
    }

    /// Answers a read.
    ///
    /// All that was answered before is in the log of the leader of the time. If that is this node,
    /// then the value is right as soon as its log up to here is committed.
    pub(crate) async fn get(&self, key: &str) -> Reply {
        let mut replica = self.replica.lock().await;
        let (epoch, length) = (replica.epoch(), replica.log.len());
        let Some(round) = replica.begin_round() else { return not_leader(&replica) };
        self.changed.notify_all();
        let asks_nobody = self.reads == Reads::Unconfirmed;
        let is_done = |replica: &mut Replica| {
            let is_confirmed = asks_nobody || replica.is_confirmed(round);
            !replica.leads(epoch) || is_confirmed && replica.has_committed(length)
        };
        replica = self.changed.wait_for(replica, is_done).await;
        if !replica.leads(epoch) {
            return not_leader(&replica);
        }
        Reply::Value(replica.store.get(key))
    }

    /// Does a write, and answers it when it is committed.
    pub(crate) async fn put(&self, write: Write) -> Reply {
        if write.len() > MOST {
            return Reply::Refused(Refused::TooLong);
        }
        let mut replica = self.replica.lock().await;
        let epoch = replica.epoch();
        if !replica.leads(epoch) {
            return not_leader(&replica);
        }
        let length = replica.push(Some(write.clone())).await;
        self.changed.notify_all();
        let is_done = |replica: &mut Replica| !replica.leads(epoch) || replica.has_committed(length);
        replica = self.changed.wait_for(replica, is_done).await;
        if !replica.leads(epoch) {
            // Whether the write will be done, the next leader knows.
            return not_leader(&replica);
        }
        replica.store.answer(&write).map_or_else(Reply::Refused, Reply::Value)
    }
}

fn not_leader(replica: &Replica) -> Reply {
    Reply::NotLeader { leader: replica.leader }
}
