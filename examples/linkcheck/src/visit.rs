//! One visit: ask for an address, and resolve what the page there refers to.

use std::sync::Arc;

use crate::address::{Place, Resolver, Target};
use crate::client::{Answer, Client};
use crate::crawl::{Id, Visit};
use crate::page::Page;

/// Visits `path`.
pub(crate) async fn visit(client: Arc<Client>, id: Id, path: Box<str>) -> (Id, Visit) {
    let found = match client.fetch(&path).await {
        Ok(Answer::Page(page)) => resolve(&client, &path, page),
        Ok(Answer::File) => Visit::File,
        Ok(Answer::Moved(location)) => Visit::Moved(Resolver::new(client.site(), &path, None).resolve(&location)),
        Err(reason) => Visit::Broken(reason),
    };
    (id, found)
}

fn resolve(client: &Client, path: &str, page: Page) -> Visit {
    let resolver = Resolver::new(client.site(), path, page.base.as_deref());
    let onward = page.onward.and_then(|address| inside(resolver.resolve(&address)));
    let links = page.links.into_iter().map(|(address, lines)| (resolver.resolve(&address), lines)).collect();
    Visit::Page { anchors: page.anchors, links, onward }
}

fn inside(target: Target) -> Option<Place> {
    match target {
        Target::Inside(place) => Some(place),
        _ => None,
    }
}
