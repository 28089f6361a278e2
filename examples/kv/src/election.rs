//! What a candidate does: it asks for votes.

use foster::future::quorum;
use foster::now;

use crate::link::Link;
use crate::node::{ANSWER, Node};
use crate::protocol::{Reply, Request};

impl Node {
    /// Stands for election in a new epoch. Returns the epoch if a majority votes for this node.
    pub(crate) async fn stand(&self) -> Option<u64> {
        let mut replica = self.replica.lock().await;
        let epoch = replica.epoch() + 1;
        replica.enter(epoch, Some(self.id)).await;
        replica.heard = now();
        let (end, majority) = (replica.log.end(), replica.majority());
        drop(replica);
        self.changed.notify_all();

        let request = Request::Vote { epoch, candidate: self.id, end };
        let votes = self.others().map(|other| self.ask_for_vote(other, &request));
        // Its own vote is the first one. The last ones are not waited for.
        quorum(majority - 1, votes.collect::<Vec<_>>()).await.ok()?;

        let mut replica = self.replica.lock().await;
        // There may be a later epoch by now.
        if replica.epoch() != epoch {
            return None;
        }
        replica.begin_to_lead().await;
        Some(epoch)
    }

    async fn ask_for_vote(&self, other: usize, request: &Request) -> Result<(), ()> {
        match Link::new(&self.addresses[other]).ask(request, ANSWER).await {
            Ok(Reply::Voted { granted: true, .. }) => Ok(()),
            Ok(Reply::Voted { epoch, .. }) => {
                self.see(epoch).await;
                Err(())
            }
            _ => Err(()),
        }
    }
}
