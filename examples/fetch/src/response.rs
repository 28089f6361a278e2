//! A response, which is read in chunks.

use std::time::Duration;

use foster::timeout;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{AsHeaderName, RETRY_AFTER};
use hyper::http::response::Parts;
use serde::de::DeserializeOwned;

use crate::failure::Failure;
use crate::host::Exchange;

/// What is read of an unwanted body, in bytes, so that its connection can be used again.
const MAX_UNWANTED: usize = 64 << 10;

/// A response whose head has come, and whose body is yet to be read.
///
/// It has a connection of the session until the body was read to its end. Dropped before, it closes
/// the connection.
#[derive(Debug)]
pub struct Response {
    head: Parts,
    /// There until the body has ended or broken off.
    reading: Option<Reading>,
    timeout: Duration,
}

#[derive(Debug)]
struct Reading {
    // Before the connection, which is not closed while somebody reads from it.
    body: Incoming,
    exchange: Exchange,
}

impl Response {
    pub(crate) fn new(response: hyper::Response<Incoming>, exchange: Exchange, timeout: Duration) -> Self {
        let (head, body) = response.into_parts();
        let mut response = Response { head, reading: Some(Reading { body, exchange }), timeout };
        response.end_if_known();
        response
    }

    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// Returns a header, if it is there and is text.
    pub fn header(&self, name: impl AsHeaderName) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    /// Returns how long the server wants to be left alone. It may also say so by a date, which is
    /// not understood here.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.header(RETRY_AFTER)?.parse().ok().map(Duration::from_secs)
    }

    /// Returns the next chunk of the body, or `None` at its end.
    ///
    /// # Errors
    ///
    /// Returns an error if the chunk does not come in time, or the connection breaks off. Then the
    /// connection is closed, and there are no more chunks.
    ///
    /// # Cancellation
    ///
    /// No chunk is lost if the future is dropped.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        while let Some(reading) = &mut self.reading {
            let frame = match timeout(self.timeout, reading.body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(None) => {
                    self.end();
                    break;
                }
                Ok(Some(Err(error))) => {
                    self.reading = None;
                    return Err(Failure::Broken(error));
                }
                Err(elapsed) => {
                    self.reading = None;
                    return Err(Failure::Late(elapsed));
                }
            };
            self.end_if_known();
            if let Ok(chunk) = frame.into_data() {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    /// Returns the rest of the body.
    ///
    /// # Errors
    ///
    /// As [`chunk`](Response::chunk).
    pub async fn bytes(mut self) -> Result<Bytes, Failure> {
        let Some(mut all) = self.chunk().await?.map(Vec::from) else { return Ok(Bytes::new()) };
        while let Some(chunk) = self.chunk().await? {
            all.extend_from_slice(&chunk);
        }
        Ok(all.into())
    }

    /// Returns what the body contains as JSON.
    ///
    /// # Errors
    ///
    /// As [`chunk`](Response::chunk), and if the body does not contain such a value.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, Failure> {
        serde_json::from_slice(&self.bytes().await?).map_err(Failure::Json)
    }

    /// Reads an unwanted body to its end. If it is long or breaks off, its connection is closed.
    pub(crate) async fn skip(mut self) {
        let mut length = 0;
        while let Ok(Some(chunk)) = self.chunk().await {
            length += chunk.len();
            if length > MAX_UNWANTED {
                break;
            }
        }
    }

    /// Returns the connection at the last chunk, if it can be told that it is the last one.
    fn end_if_known(&mut self) {
        if self.reading.as_ref().is_some_and(|reading| reading.body.is_end_stream()) {
            self.end();
        }
    }

    fn end(&mut self) {
        if let Some(Reading { exchange, .. }) = self.reading.take() {
            exchange.done();
        }
    }
}
