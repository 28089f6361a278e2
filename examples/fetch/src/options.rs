//! How a session treats its hosts.

use std::sync::Arc;
use std::time::Duration;

/// Sets the limits of a [`Session`](crate::Session).
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) limit: usize,
    pub(crate) limit_per_host: usize,
    pub(crate) rate: (u32, Duration),
    pub(crate) timeout: Duration,
    pub(crate) pauses: Arc<[Duration]>,
    pub(crate) budget: u32,
}

impl Options {
    /// Returns the defaults: 100 connections, 10 to each host, 100 requests a second to each host,
    /// and up to three retries.
    pub fn new() -> Self {
        Options {
            limit: 100,
            limit_per_host: 10,
            rate: (100, Duration::from_secs(1)),
            timeout: Duration::from_secs(10),
            pauses: [100, 200, 400].map(Duration::from_millis).into(),
            budget: 100,
        }
    }

    /// Sets how many connections there are at most. The `limit` of aiohttp's connector.
    pub fn limit(self, limit: usize) -> Self {
        Options { limit, ..self }
    }

    /// Sets how many connections to each host there are at most.
    pub fn limit_per_host(self, limit_per_host: usize) -> Self {
        Options { limit_per_host, ..self }
    }

    /// Sets how many requests are sent to each host in each period of `per`.
    pub fn rate(self, count: u32, per: Duration) -> Self {
        Options { rate: (count, per), ..self }
    }

    /// Sets how long a server may take to accept a connection, to begin its answer, and to send
    /// each further chunk.
    ///
    /// The wait for a connection does not count, because it is not the fault of the server. To
    /// limit the whole, put a [`timeout`](foster::timeout) around the request.
    pub fn timeout(self, timeout: Duration) -> Self {
        Options { timeout, ..self }
    }

    /// Sets the pauses before the retries of a request. There are as many retries as pauses.
    ///
    /// The time that is waited is a random part of each, in addition to what the server asks for.
    pub fn pauses(self, pauses: impl IntoIterator<Item = Duration>) -> Self {
        Options { pauses: pauses.into_iter().collect(), ..self }
    }

    /// Sets how many tokens the [budget](foster::retry::RetryBudget) for retries has, which all
    /// requests of the session share.
    pub fn budget(self, tokens: u32) -> Self {
        Options { budget: tokens, ..self }
    }
}

impl Default for Options {
    fn default() -> Self {
        Options::new()
    }
}
