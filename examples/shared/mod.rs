//! A library that chooses no runtime.
//!
//! [`fetch_many`] knows foster and the standard library. How a page is fetched is its caller's to say, who knows the runtime.

use std::future::Future;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use foster::{ConcurrentIterator, timeout, try_scope};

/// What [`fetch_many`] has got.
#[derive(Debug, PartialEq)]
pub(crate) struct Pages {
    /// In the order in which they came.
    pub(crate) pages: Vec<String>,
    /// Whether the deadline came before the last of them.
    pub(crate) late: bool,
}

/// Logs in, fetches the pages at `paths`, at most `limit` at a time and for no longer than `within`, and logs out.
///
/// It logs out whatever happens: after the last page, after an error, after the deadline, and when its own caller
/// cancels it. What was fetched by the deadline is returned.
///
/// # Errors
///
/// With the first error of `fetch`. The other fetches are dropped then.
pub(crate) async fn fetch_many<Fetch>(
    paths: &[&str],
    limit: usize,
    within: Duration,
    fetch: impl Fn(String) -> Fetch + Sync,
) -> io::Result<Pages>
where
    Fetch: Future<Output = io::Result<String>> + Send,
{
    let pages = Mutex::new(Vec::new());
    let session = try_scope(|s| {
        let (fetch, pages) = (&fetch, &pages);
        async move {
            fetch("/login".to_string()).await?;
            s.defer(async move { fetch("/logout".to_string()).await.map(drop) });
            let fetches = paths.iter().try_each_concurrent(limit, |path| async move {
                let page = fetch(path.to_string()).await?;
                pages.lock().unwrap_or_else(PoisonError::into_inner).push(page);
                Ok(())
            });
            fetches.await
        }
    });
    let late = match timeout(within, session).await {
        Ok(ended) => ended.map(|()| false)?,
        Err(_elapsed) => true,
    };
    Ok(Pages { pages: pages.into_inner().unwrap_or_else(PoisonError::into_inner), late })
}
