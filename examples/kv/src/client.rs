//! A client, which finds the leader and tries again.

use std::error::Error;
use std::fmt;
use std::io;
use std::iter;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use foster::retry;

use crate::link::Link;
use crate::protocol::{Refused, Reply, Request, Write};

/// How long a client waits for one node.
const ANSWER: Duration = Duration::from_secs(1);

/// How long it waits between two attempts, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// A client of the service.
///
/// It makes one request at a time, as `&mut self` says. To have more under way, make more clients.
#[derive(Debug)]
pub struct Client {
    id: u64,
    /// The number of its last write.
    number: u64,
    links: Vec<Link>,
    /// Which node is asked next.
    next: AtomicUsize,
}

impl Client {
    /// Creates a client. No other client, now or ever, may have the same `id`.
    ///
    /// # Panics
    ///
    /// Panics if there is no address.
    pub fn new(id: u64, addresses: &[String]) -> Client {
        assert!(!addresses.is_empty(), "a client needs the address of a node");
        let links = addresses.iter().map(|address| Link::new(address)).collect();
        Client { id, number: 0, links, next: AtomicUsize::new(0) }
    }

    /// Returns the value of a key.
    ///
    /// # Errors
    ///
    /// Without a deadline it tries again until there is an answer. Under a
    /// [timeout](foster::timeout) it returns an error as soon as no other attempt could begin.
    pub async fn get(&mut self, key: &str) -> Result<Option<String>, ClientError> {
        self.ask(&Request::Get { key: key.to_string() }).await
    }

    /// Sets the value of a key, and returns the one before.
    ///
    /// # Errors
    ///
    /// As [`get`](Client::get) does. The write may be done then, or be done later, but not any more
    /// when another write of this client was answered. An error also says that no node will do it.
    pub async fn put(&mut self, key: &str, value: &str) -> Result<Option<String>, ClientError> {
        self.number += 1;
        let (client, number) = (self.id, self.number);
        self.ask(&Request::Put(Write { client, number, key: key.to_string(), value: value.to_string() })).await
    }

    async fn ask(&self, request: &Request) -> Result<Option<String>, ClientError> {
        let pauses = iter::successors(Some(PAUSES.0), |pause| Some((2 * *pause).min(PAUSES.1)));
        let attempts = retry(pauses, || self.attempt(request)).jitter();
        match attempts.await.map_err(ClientError::Unavailable)? {
            Ok(value) => Ok(value),
            Err(refused) => Err(ClientError::Refused(refused)),
        }
    }

    /// Asks one node. If that is in vain, the next attempt asks another one.
    async fn attempt(&self, request: &Request) -> io::Result<Result<Option<String>, Refused>> {
        let asked = self.next.load(Relaxed);
        let reply = self.links[asked].ask(request, ANSWER).await;
        let leader = match reply {
            Ok(Reply::Value(value)) => return Ok(Ok(value)),
            Ok(Reply::Refused(refused)) => return Ok(Err(refused)),
            Ok(Reply::NotLeader { leader }) => leader.filter(|leader| *leader < self.links.len()),
            _ => None,
        };
        self.next.store(leader.unwrap_or((asked + 1) % self.links.len()), Relaxed);
        Err(reply.err().unwrap_or_else(|| io::Error::other("no leader is known")))
    }
}

/// Why a request has failed.
#[derive(Debug)]
pub enum ClientError {
    /// No node has answered before the deadline. Try again later.
    Unavailable(io::Error),
    /// No node will do it.
    Refused(Refused),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Unavailable(_) => f.write_str("no node has answered in time; is a majority of them up?"),
            ClientError::Refused(refused) => refused.fmt(f),
        }
    }
}

impl Error for ClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ClientError::Unavailable(error) => Some(error),
            ClientError::Refused(_) => None,
        }
    }
}
