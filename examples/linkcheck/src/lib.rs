//! Checks every link of a website: that the page exists, and that it has the `#fragment`.
//!
//! The library knows no runtime. It says *what* runs beside what, with foster's scopes, and asks for sockets through
//! [`Network`]; whoever calls it brings both, as the binary does for four runtimes. (The runtimes among this
//! package's dependencies are the binary's; nothing in the library imports one.)
//!
//! What runs:
//!
//! ```text
//! check                       one scope: the server beside the crawl
//! ├─ Server::serve            if a folder is checked; ends by cancellation when the crawl is over
//! │  ├─ connection            in parallel
//! │  └─ …
//! └─ the crawl                owns all that is known, alone
//!    ├─ visit                 in parallel: fetch a page, read it; as many as there are jobs
//!    ├─ …
//!    └─ connection's driver   in parallel; as many as are allowed per host
//! ```
//!
//! Whatever ends the check, be it the last page, Ctrl-C or a panic, when [`check`] returns nothing of this is left.

mod address;
mod anchors;
mod client;
mod crawl;
mod files;
mod net;
mod page;
mod report;
mod server;
mod site;
mod visit;

use std::io;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use foster::{ConcurrentStream, Scope, Task, Token};
use futures_util::StreamExt;

use crate::client::Client;
use crate::crawl::Crawl;
use crate::files::Files;
use crate::server::Server;

pub use crate::net::{Listener, Network, Stream};
pub use crate::report::{Broken, Reason, Report};
pub use crate::site::{Site, SiteError};

/// How a site is checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// How many pages are in work at a time.
    pub jobs: NonZeroUsize,
    /// How many connections to a host there are at a time.
    pub per_host: NonZeroUsize,
    /// How long an answer may take, connecting included.
    pub timeout: Duration,
    /// How often a request is repeated that failed for a reason that may pass.
    pub retries: u32,
}

/// How far a check is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Addresses that are known so far.
    pub known: usize,
    /// Those of them that were visited.
    pub visited: usize,
    /// Broken links found.
    pub broken: usize,
}

/// Checks every link of `site`, and tells `observe` of the progress.
///
/// When `stop` is cancelled the check ends early, in order, and reports what was found so far.
///
/// # Cancellation
///
/// What was found is lost; nothing goes on behind the caller's back.
///
/// # Errors
///
/// When a folder cannot be read or served. That a host does not answer is in the report.
pub async fn check(
    network: Arc<dyn Network>,
    site: &Site,
    config: &Config,
    stop: &Token,
    observe: &mut (dyn FnMut(Progress) + Send),
) -> io::Result<Report> {
    let began = foster::now();
    foster::scope(|s| async move {
        let (mut crawl, server) = match site {
            Site::Host(start) => (Crawl::of_host(start), None),
            Site::Folder(path) => serve(&s, &*network, Files::Folder(path.clone())).await?,
            Site::Bundled => serve(&s, &*network, Files::Bundled).await?,
        };
        let visits = visit_all(&mut crawl, network, config, observe);
        // Interrupted or not, the report says how many addresses are left.
        let _ = stop.run_until_cancelled(visits).await;
        if let Some(server) = server {
            server.cancel();
        }
        Ok(crawl.into_report(foster::now() - began))
    })
    .await
}

/// Serves files beside the crawl of them.
async fn serve(s: &Scope<'_>, network: &dyn Network, files: Files) -> io::Result<(Crawl, Option<Task<()>>)> {
    let server = Server::bind(network, files.clone()).await?;
    let site = server.url()?;
    let pages = s.spawn_blocking(move || files.pages()).await?;
    Ok((Crawl::of_files(&site, &pages), Some(s.spawn(server.serve()))))
}

/// Visits every address of `crawl`, those included that become known on the way.
async fn visit_all(
    crawl: &mut Crawl,
    network: Arc<dyn Network>,
    config: &Config,
    observe: &mut (dyn FnMut(Progress) + Send),
) {
    foster::scope(|s| async move {
        let client = Arc::new(Client::new(network, crawl.site(), config, s.clone()));
        let (frontier, addresses) = async_channel::unbounded();
        let visit = |(id, path)| s.spawn_parallel(visit::visit(client.clone(), id, path));
        let mut visits = pin!(addresses.map_concurrent(config.jobs.get(), visit));
        loop {
            for address in crawl.take_fresh() {
                frontier.try_send(address).expect("the receiver is in this function");
            }
            observe(crawl.progress());
            if crawl.is_complete() {
                break;
            }
            if let Some((id, found)) = visits.next().await {
                crawl.record(id, found);
            }
        }
    })
    .await
}
