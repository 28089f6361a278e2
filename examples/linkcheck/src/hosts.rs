//! The hosts that a check asks, each through one client.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use foster::Scope;
use foster::rate::CircuitBreaker;
use url::Url;

use crate::Config;
use crate::client::{Client, breaker};

/// Finds the client for an address.
///
/// A host is a scheme, a name and a port. Its client lasts as long as somebody has it. Then its
/// idle connections are closed, so that a check of many hosts has no more connections than visits.
/// What is known of a host that does not answer lasts to the end.
pub(crate) struct Hosts<'a> {
    /// The site that is checked. Its host is the only one whose pages are read.
    site: &'a Url,
    config: &'a Config,
    /// Owns what drives the connections.
    scope: Scope<'static>,
    known: HashMap<String, Host>,
}

struct Host {
    client: Weak<Client>,
    breaker: Arc<CircuitBreaker>,
}

impl<'a> Hosts<'a> {
    pub(crate) fn new(site: &'a Url, config: &'a Config, scope: Scope<'static>) -> Self {
        Hosts { site, config, scope, known: HashMap::new() }
    }

    /// The client for the host of `url`.
    pub(crate) fn client(&mut self, url: &Url) -> Arc<Client> {
        let unknown = || Host { client: Weak::new(), breaker: breaker() };
        let host = self.known.entry(url.origin().ascii_serialization()).or_insert_with(unknown);
        if let Some(client) = host.client.upgrade() {
            return client;
        }
        let reads_pages = url.origin() == self.site.origin();
        let (breaker, scope) = (host.breaker.clone(), self.scope.clone());
        let client = Arc::new(Client::new(url, reads_pages, breaker, self.config, scope));
        host.client = Arc::downgrade(&client);
        client
    }
}
