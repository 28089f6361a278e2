//! One visit: ask for an address, and resolve what the page there refers to.

use std::sync::Arc;

use url::{Position, Url};

use crate::address::{Place, Resolver, Target};
use crate::client::{Answer, Client};
use crate::crawl::{Id, Visit};
use crate::page::Page;

/// Visits `url`, which is met in a check of `site`. The client is one for its host.
pub(crate) async fn visit(client: Arc<Client>, site: Arc<Url>, id: Id, url: Url) -> (Id, Visit) {
    let found = match client.fetch(&url[Position::BeforePath..Position::AfterQuery]).await {
        Ok(Answer::Page(page)) => resolve(&site, url, page),
        Ok(Answer::File) => Visit::File,
        Ok(Answer::Moved(location)) => Visit::Moved(Resolver::new(&site, url, None).resolve(&location)),
        Err(reason) => Visit::Broken(reason),
    };
    (id, found)
}

fn resolve(site: &Url, url: Url, page: Page) -> Visit {
    let resolver = Resolver::new(site, url, page.base.as_deref());
    let onward = page.onward.and_then(|address| document(resolver.resolve(&address)));
    let links = page.links.into_iter().map(|(address, lines)| (resolver.resolve(&address), lines)).collect();
    Visit::Page { anchors: page.anchors, links, onward }
}

fn document(target: Target) -> Option<Place> {
    match target {
        Target::Document(place) => Some(place),
        _ => None,
    }
}
