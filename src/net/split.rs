//! The two halves of a stream, for two tasks.

use std::error::Error;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

/// A stream that can be split. References to it read and write.
pub trait Split: private::EndWriting + Send + Sync + 'static {}

pub(super) mod private {
    /// Lets a half end its direction when it is dropped.
    pub trait EndWriting {
        /// Tells the peer that nothing more comes.
        fn end_writing(&self);
    }
}

pub(super) fn split<S: Split>(stream: S) -> (ReadHalf<S>, WriteHalf<S>) {
    let stream = Arc::new(stream);
    (ReadHalf { stream: stream.clone() }, WriteHalf { stream: Some(stream) })
}

/// The half of a stream that reads.
///
/// Dropping it closes nothing: what the peer sends meanwhile stays unread.
pub struct ReadHalf<S> {
    stream: Arc<S>,
}

/// The half of a stream that writes.
///
/// Dropping it tells the peer that nothing more comes, as [`close`] does. The half that reads goes
/// on.
///
/// [`close`]: AsyncWrite::poll_close
pub struct WriteHalf<S: Split> {
    /// `None` once it has been reunited.
    stream: Option<Arc<S>>,
}

impl<S: Split> ReadHalf<S> {
    /// Puts the two halves of a stream together again.
    ///
    /// # Errors
    ///
    /// Returns the halves if they are not of the same stream.
    ///
    /// ```
    /// let (client, _server) = foster::net::duplex(8);
    /// let (read, write) = client.into_split();
    /// let client = read.reunite(write)?;
    /// # drop(client); Ok::<(), foster::net::ReuniteError<_>>(())
    /// ```
    pub fn reunite(self, mut write: WriteHalf<S>) -> Result<S, ReuniteError<S>> {
        let together = write.stream.take_if(|stream| Arc::ptr_eq(stream, &self.stream)).is_some();
        match Arc::try_unwrap(self.stream) {
            Ok(stream) if together => Ok(stream),
            // Nobody but the two halves refers to the stream.
            Ok(stream) => Err(ReuniteError { read: ReadHalf { stream: Arc::new(stream) }, write }),
            Err(stream) => Err(ReuniteError { read: ReadHalf { stream }, write }),
        }
    }

    /// Returns the stream, for its addresses and settings.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: Split> WriteHalf<S> {
    /// Returns the stream, for its addresses and settings.
    pub fn get_ref(&self) -> &S {
        self.stream.as_ref().expect("a half that was reunited is gone")
    }
}

impl<S: Split> Drop for WriteHalf<S> {
    fn drop(&mut self) {
        if let Some(stream) = &self.stream {
            stream.end_writing();
        }
    }
}

impl<S: Split> AsyncRead for ReadHalf<S>
where
    for<'a> &'a S: AsyncRead + Unpin,
{
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_ref()).poll_read(cx, buffer)
    }
}

impl<S: Split> AsyncWrite for WriteHalf<S>
where
    for<'a> &'a S: AsyncWrite + Unpin,
{
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_ref()).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_ref()).poll_write_vectored(cx, buffers)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_ref()).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_ref()).poll_close(cx)
    }
}

impl<S: fmt::Debug> fmt::Debug for ReadHalf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadHalf").field(&self.stream).finish()
    }
}

impl<S: Split + fmt::Debug> fmt::Debug for WriteHalf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WriteHalf").field(self.get_ref()).finish()
    }
}

/// The error of [`ReadHalf::reunite`]: the halves are not of the same stream. It has them.
pub struct ReuniteError<S: Split> {
    read: ReadHalf<S>,
    write: WriteHalf<S>,
}

impl<S: Split> ReuniteError<S> {
    /// Returns the halves.
    pub fn into_halves(self) -> (ReadHalf<S>, WriteHalf<S>) {
        (self.read, self.write)
    }
}

impl<S: Split> fmt::Debug for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReuniteError").finish_non_exhaustive()
    }
}

impl<S: Split> fmt::Display for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are not of the same stream")
    }
}

impl<S: Split> Error for ReuniteError<S> {}
