//! A node: its parts, and who answers which request.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use foster::gather;
use foster::net::serve::serve;
use foster::net::{TcpListener, TcpStream};
use foster::sync::{Condition, Mutex, MutexGuard};

use crate::frame;
use crate::log::{Disk, Log};
use crate::protocol::{Reply, Request};
use crate::replica::Replica;

/// How long a follower waits at least for its leader, before it wants to lead. Every node waits
/// differently long, up to twice as long.
pub(crate) const PATIENCE: Duration = Duration::from_millis(500);

/// How long a node waits for the answer of another one.
pub(crate) const ANSWER: Duration = Duration::from_millis(400);

/// How often the leader tells the others that it is there.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(100);

/// What a node does. The default is right, and the rest is for tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    reads: Reads,
    retries: Retries,
}

/// When the leader answers a read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reads {
    /// When a majority has confirmed that it still leads.
    #[default]
    Confirmed,
    /// Without asking. That is wrong: the others may have another leader already.
    Unconfirmed,
}

/// What is done about a write that a client sends again, because it has got no answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retries {
    /// It is done once.
    #[default]
    Once,
    /// It is done each time. That is wrong: it may undo what others have written since.
    EachTime,
}

impl Rules {
    /// Sets when the leader answers a read.
    pub fn reads(self, reads: Reads) -> Self {
        Rules { reads, ..self }
    }

    /// Sets what is done about a write that comes again.
    pub fn retries(self, retries: Retries) -> Self {
        Rules { retries, ..self }
    }
}

/// One of the nodes that hold the values.
#[derive(Debug)]
pub struct Node {
    /// Which of the addresses is its own.
    pub(crate) id: usize,
    pub(crate) addresses: Vec<String>,
    pub(crate) reads: Reads,
    pub(crate) replica: Mutex<Replica>,
    /// Notifies all, whenever the replica has changed.
    pub(crate) changed: Condition,
}

impl Node {
    /// Reads what the node knows from its disk.
    ///
    /// All nodes have the same list of addresses, and `id` is the place of this one.
    ///
    /// # Errors
    ///
    /// Returns an error if the disk cannot be read.
    ///
    /// # Panics
    ///
    /// Panics if there is no such place.
    pub async fn open(id: usize, addresses: Vec<String>, rules: Rules, disk: Arc<dyn Disk>) -> io::Result<Node> {
        assert!(id < addresses.len(), "node {id} has no address among {addresses:?}");
        let replica = Replica::new(id, addresses.len(), rules.retries, Log::open(disk).await?);
        Ok(Node { id, addresses, reads: rules.reads, replica: Mutex::new(replica), changed: Condition::new() })
    }

    /// Answers requests that come to `listener`, and takes part in elections, until it is
    /// cancelled.
    ///
    /// # Cancellation
    ///
    /// The node may be dropped at any time, as by a crash. What it has promised is on its disk.
    ///
    /// # Panics
    ///
    /// Panics if the disk fails.
    pub async fn run(&self, listener: TcpListener) {
        let answers = serve(listener, async |stream| {
            // A connection that fails concerns who asked.
            _ = self.converse(stream).await;
        });
        gather((answers.run(), self.take_part())).await;
    }

    /// Follows, until the leader is silent. Then stands for election, and leads until there is
    /// another leader.
    async fn take_part(&self) {
        loop {
            self.follow().await;
            if let Some(epoch) = self.stand().await {
                self.lead(epoch).await;
            }
        }
    }

    async fn converse(&self, mut stream: TcpStream) -> io::Result<()> {
        loop {
            let request = frame::read(&mut stream).await?;
            frame::write(&mut stream, &self.answer(request).await).await?;
        }
    }

    async fn answer(&self, request: Request) -> Reply {
        match request {
            Request::Get { key } => self.get(&key).await,
            Request::Put(write) => self.put(write).await,
            Request::Vote { epoch, candidate, end } => self.vote(epoch, candidate, end).await,
            Request::Append { epoch, leader, after, entries, committed } => {
                self.append(epoch, leader, after, entries, committed).await
            }
        }
    }

    /// Waits until the replica is as it should be.
    pub(crate) async fn wait_for(&self, is_so: impl FnMut(&mut Replica) -> bool) -> MutexGuard<'_, Replica> {
        self.changed.wait_for(self.replica.lock().await, is_so).await
    }

    /// Enters a later epoch, if this is one.
    pub(crate) async fn see(&self, epoch: u64) {
        let mut replica = self.replica.lock().await;
        if replica.see(epoch).await {
            self.changed.notify_all();
        }
    }

    /// Returns the numbers of the other nodes.
    pub(crate) fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let id = self.id;
        (0..self.addresses.len()).filter(move |other| *other != id)
    }
}
