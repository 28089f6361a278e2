//! Checks every link of a website: that the page exists, and that it has the `#fragment`.
//!
//! The library knows no runtime. It says *what* runs beside what, with foster's scopes, and opens
//! the sockets of `foster::net`. Whoever calls it brings the runtime, as the binary does for four.
//! (The executor among this package's dependencies is the binary's. Nothing in the library imports
//! one.)
//!
//! What runs:
//!
//! ```text
//! check                       one scope: the server beside the crawl
//! ├─ Server::serve            if a folder is checked; cancelled when the crawl has completed
//! │  ├─ connection            in parallel
//! │  └─ …
//! └─ the crawl                owns all that is known, alone
//!    ├─ visit                 in parallel: fetch a page, read it; as many as there are jobs
//!    ├─ …
//!    └─ connection's driver   in parallel; as many as are allowed per host
//! ```
//!
//! When [`check`] returns, nothing of this is left, whether the last page ended it, Ctrl-C, or a
//! panic.

mod address;
mod anchors;
mod client;
mod crawl;
mod files;
mod hosts;
mod page;
mod report;
mod server;
mod site;
#[cfg_attr(not(feature = "https"), path = "no_tls.rs")]
mod tls;
mod visit;

use std::io;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use foster::{ConcurrentStream, Scope, Task, Token};
use futures_util::StreamExt;
use regex_lite::Regex;

use crate::crawl::{Bounds, Crawl, Id};
use crate::files::Files;
use crate::hosts::Hosts;
use crate::server::Server;

pub use crate::report::{Broken, Reason, Report};
pub use crate::site::{Site, SiteError};
pub use crate::tls::{Tls, TlsError};

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
    /// The longest page that is read.
    pub max_page: ByteSize,
    /// Which addresses are left out: those whose names in the report match one of these.
    pub exclude: Vec<Regex>,
    /// Whether links to other hosts are checked: that the page exists.
    pub external: bool,
    /// Whom to trust at `https://` addresses. Without it nobody is trusted there.
    pub tls: Option<Tls>,
}

/// How far a check has come.
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
/// When `stop` is cancelled, the check ends early, in order, and reports what was found so far.
///
/// # Cancellation
///
/// If this future is dropped, what was found is lost. What runs on other threads passes to the
/// enclosing scope, or to the runtime.
///
/// # Errors
///
/// When a folder cannot be served. A file that cannot be read and a host that does not answer are
/// findings in the report.
pub async fn check(
    site: &Site,
    config: &Config,
    stop: &Token,
    observe: &mut (dyn FnMut(Progress) + Send),
) -> io::Result<Report> {
    let began = foster::now();
    foster::scope(async |s| {
        let (mut crawl, server) = match site {
            Site::Host { start, within } => {
                let (exclude, external) = (config.exclude.clone(), config.external);
                let bounds = Bounds { mount: None, within: within.clone(), exclude, external };
                (Crawl::of_host(start, bounds), None)
            }
            Site::Folder { root, part, mount } => {
                let files = Files::of_folder(root.clone(), mount.clone());
                serve(&s, files, part.clone(), config).await?
            }
            Site::Bundled => serve(&s, Files::bundled(), Vec::new(), config).await?,
        };
        let visits = async {
            visit_all(&mut crawl, config, observe).await;
            while crawl.moves_on() {
                visit_all(&mut crawl, config, observe).await;
            }
        };
        // Interrupted or not, the report says how many addresses are left.
        let _ = stop.run_until_cancelled(visits).await;
        if let Some(server) = server {
            server.cancel();
        }
        Ok(crawl.into_report(foster::now() - began))
    })
    .await
}

/// Serves files beside the crawl of them, which begins with the pages in the folder `part`.
async fn serve(
    s: &Scope<'_>,
    files: Files,
    part: Vec<String>,
    config: &Config,
) -> io::Result<(Crawl, Option<Task<()>>)> {
    let server = Server::bind(files.clone()).await?;
    let site = server.url()?;
    let (exclude, external) = (config.exclude.clone(), config.external);
    let bounds = Bounds { mount: Some(files.folder(&[])), within: files.folder(&part), exclude, external };
    let survey = s.spawn_blocking(move || files.survey(&part)).await;
    Ok((Crawl::of_files(site, survey, bounds), Some(s.spawn(server.serve()))))
}

/// Visits every address of `crawl`, including those that become known on the way.
async fn visit_all(crawl: &mut Crawl, config: &Config, observe: &mut (dyn FnMut(Progress) + Send)) {
    let site = Arc::new(crawl.site().clone());
    foster::scope(async |s| {
        let mut hosts = Hosts::new(&site, config, s.clone());
        // Lasts, so that the site's connections are used to the end.
        let _client = hosts.client(&site);
        let (frontier, addresses) = foster::queue::unbounded::<(Id, Box<str>)>();
        let mut visits = pin!(addresses.map_concurrent(config.jobs.get(), |address| {
            let (id, address) = address.into_parts().0;
            let url = address::at(&site, &address);
            s.spawn_parallel(visit::visit(hosts.client(&url), site.clone(), id, url))
        }));
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
