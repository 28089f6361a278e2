//! Shows a library that chooses no runtime.
//!
//! [`fetch_many`] uses foster and the standard library. Its caller knows the runtime, and passes a
//! function that fetches a page.

use std::future::Future;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use foster::{ConcurrentIterator, timeout, try_scope};

/// The pages that [`fetch_many`] returns.
#[derive(Debug, PartialEq)]
pub(crate) struct Pages {
    /// The pages, in the order in which they were fetched.
    pub(crate) pages: Vec<String>,
    /// Whether the deadline passed before the last page was fetched.
    pub(crate) late: bool,
}

/// Logs in, fetches the pages at `paths`, and logs out.
///
/// It fetches at most `limit` pages at a time. When `within` has passed, it returns what it has.
/// Once logged in, it logs out in every case: after the last page, an error, or the deadline.
///
/// # Errors
///
/// Returns the first error of `fetch`, when the other fetches have been dropped.
///
/// # Cancellation
///
/// A cancellation by foster waits until it has logged out. If other code drops the future, it does
/// not log out.
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
    let session = try_scope(async |s| {
        fetch("/login".to_string()).await?;
        s.defer(async { fetch("/logout".to_string()).await.map(drop) });
        let fetches = paths.iter().try_each_concurrent(limit, async |path| {
            let page = fetch(path.to_string()).await?;
            pages.lock().unwrap_or_else(PoisonError::into_inner).push(page);
            Ok(())
        });
        fetches.await
    });
    let late = match timeout(within, session).await {
        Ok(ended) => ended.map(|()| false)?,
        Err(_elapsed) => true,
    };
    Ok(Pages { pages: pages.into_inner().unwrap_or_else(PoisonError::into_inner), late })
}
