//! Downloads into a file, which go on where they have broken off.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use foster::blocking;
use hyper::StatusCode;
use hyper::header::{HeaderValue, RANGE};

use crate::failure::{Failure, FetchError};
use crate::session::{Call, Session};

impl Session {
    /// Writes a resource to a file, from where the file stands, chunk by chunk, and returns how
    /// many bytes it has.
    ///
    /// If the connection breaks off, the next attempt asks for the rest. So the resource must not
    /// change meanwhile. As long as a chunk is being written, no further one is read, and the
    /// server has to wait.
    ///
    /// # Errors
    ///
    /// Returns the failure of the last attempt, or that of the file. A part may be written then.
    ///
    /// # Cancellation
    ///
    /// A chunk that is being written is written to its end. The connection is closed.
    pub async fn download(&self, url: &str, file: File) -> Result<u64, FetchError> {
        let (file, written) = (Arc::new(file), AtomicU64::new(0));
        self.retry(true, async || self.download_rest(url, &file, &written).await).await?;
        Ok(written.into_inner())
    }

    async fn download_rest(&self, url: &str, file: &Arc<File>, written: &AtomicU64) -> Result<(), Failure> {
        let begin = written.load(Relaxed);
        let mut call = Call::get(url)?;
        if begin > 0 {
            let rest = HeaderValue::try_from(format!("bytes={begin}-")).expect("it is ASCII");
            call = call.header(RANGE, rest);
        }
        let mut response = self.send(call).await?;
        // A server may send the whole instead of the rest.
        let mut known = if response.status() == StatusCode::PARTIAL_CONTENT { 0 } else { begin };
        while let Some(mut chunk) = response.chunk().await? {
            let skipped = chunk.len().min(usize::try_from(known).unwrap_or(usize::MAX));
            known -= skipped as u64;
            let chunk = chunk.split_off(skipped);
            let (file, length) = (file.clone(), chunk.len() as u64);
            blocking(move || (&*file).write_all(&chunk)).await.map_err(Failure::File)?;
            written.fetch_add(length, Relaxed);
        }
        Ok(())
    }
}
