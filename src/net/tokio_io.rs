//! Bridges between the traits for bytes of the `futures` crates and those of tokio.
//!
//! | to give | to | use |
//! |---|---|---|
//! | a stream of foster's | a library that takes `tokio::io::{AsyncRead, AsyncWrite}` | [`ForTokio`] |
//! | a stream of tokio's | a library that takes the traits of `futures` | [`FromTokio`] |
//!
//! They need no runtime of tokio's: a [`TcpStream`](super::TcpStream) of any runtime can be given
//! to such a library. That it also spawns or sleeps with tokio is another matter.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io as neutral;
use tokio::io::{self as theirs, ReadBuf};

use super::wraps;

/// Gives a stream of the `futures` traits the traits of tokio.
///
/// ```
/// # #[cfg(feature = "tokio")]
/// # futures::executor::block_on(async {
/// use foster::net::{duplex, tokio_io::ForTokio};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// let (client, server) = duplex(16);
/// let (mut client, mut server) = (ForTokio::new(client), ForTokio::new(server));
/// client.write_all(b"hello").await?;
/// client.shutdown().await?;
/// let mut text = String::new();
/// server.read_to_string(&mut text).await?;
/// assert_eq!(text, "hello");
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ForTokio<S>(S);

/// Gives a stream of tokio's the traits of the `futures` crates.
///
/// ```
/// # futures::executor::block_on(async {
/// use foster::net::tokio_io::FromTokio;
/// use futures::io::{AsyncReadExt, AsyncWriteExt};
///
/// let (client, server) = tokio::io::duplex(16);
/// let (mut client, mut server) = (FromTokio::new(client), FromTokio::new(server));
/// client.write_all(b"hello").await?;
/// client.close().await?;
/// let mut text = String::new();
/// server.read_to_string(&mut text).await?;
/// assert_eq!(text, "hello");
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FromTokio<S>(S);

wraps!(ForTokio);
wraps!(FromTokio);

impl<S: neutral::AsyncRead + Unpin> theirs::AsyncRead for ForTokio<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // This fills memory with zeros once, and not with each read.
        let read = ready!(Pin::new(&mut self.0).poll_read(cx, buffer.initialize_unfilled()))?;
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl<S: neutral::AsyncWrite + Unpin> theirs::AsyncWrite for ForTokio<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, buffers)
    }

    /// The traits of `futures` cannot be asked. A stream without vectored writes takes the first
    /// buffer, which is right, too.
    fn is_write_vectored(&self) -> bool {
        true
    }
}

impl<S: theirs::AsyncRead + Unpin> neutral::AsyncRead for FromTokio<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl<S: theirs::AsyncWrite + Unpin> neutral::AsyncWrite for FromTokio<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, buffers)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
