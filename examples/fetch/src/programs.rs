//! The programs of the guides to aiohttp.

use foster::{ConcurrentIterator, queue, scope};
use futures_util::StreamExt;
use hyper::body::Bytes;

use crate::failure::FetchError;
use crate::session::Session;

/// Fetches pages, a limited number of them at once, and returns them in the order of `urls`.
///
/// In Python this is `asyncio.gather` over coroutines that all take the same semaphore.
pub async fn gather(session: &Session, urls: &[String], at_once: usize) -> Vec<Result<Bytes, FetchError>> {
    urls.iter().map_concurrent(at_once, |url| session.bytes(url)).in_order().collect().await
}

/// Fetches pages by workers that take addresses from a queue, and returns how many bytes came and
/// how many pages failed.
///
/// The workers run on the threads of the runtime, and share the session. In Python they are tasks
/// with an `asyncio.Queue`.
pub async fn share(session: &Session, urls: &[String], workers: usize) -> (usize, usize) {
    scope(async |s| {
        let (jobs, work) = queue::bounded::<String>(workers);
        let tasks: Vec<_> = (0..workers).map(|_| s.spawn_parallel(worker(session.clone(), work.clone()))).collect();
        drop(work);
        for url in urls {
            if jobs.send(url.clone()).await.is_err() {
                break;
            }
        }
        // Ends the workers when the queue is empty.
        jobs.close();
        let (mut bytes, mut failures) = (0, 0);
        for task in tasks {
            let (more, failed) = task.await;
            bytes += more;
            failures += failed;
        }
        (bytes, failures)
    })
    .await
}

async fn worker(session: Session, work: queue::Receiver<String>) -> (usize, usize) {
    let (mut bytes, mut failures) = (0, 0);
    while let Some(url) = work.recv().await {
        match session.bytes(&url).await {
            Ok(page) => bytes += page.len(),
            Err(_) => failures += 1,
        }
    }
    (bytes, failures)
}
