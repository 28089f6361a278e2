//! The hosts that a check asks, each through one client.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use foster::Scope;
use url::Url;

use crate::Config;
use crate::client::Client;

/// Finds the client for an address.
///
/// A host is a scheme, a name and a port. Its client lasts as long as somebody has it. Then its
/// idle connections are closed, so that a check of many hosts has no more connections than visits.
pub(crate) struct Hosts<'a> {
    /// The site that is checked. Its host is the only one whose pages are read.
    site: &'a Url,
    config: &'a Config,
    /// Owns what drives the connections.
    scope: Scope<'static>,
    clients: HashMap<String, Weak<Client>>,
}

impl<'a> Hosts<'a> {
    pub(crate) fn new(site: &'a Url, config: &'a Config, scope: Scope<'static>) -> Self {
        Hosts { site, config, scope, clients: HashMap::new() }
    }

    /// The client for the host of `url`.
    pub(crate) fn client(&mut self, url: &Url) -> Arc<Client> {
        let origin = url.origin().ascii_serialization();
        if let Some(client) = self.clients.get(&origin).and_then(Weak::upgrade) {
            return client;
        }
        let reads_pages = url.origin() == self.site.origin();
        let client = Arc::new(Client::new(url, reads_pages, self.config, self.scope.clone()));
        self.clients.insert(origin, Arc::downgrade(&client));
        client
    }
}
