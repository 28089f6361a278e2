//! A connection in memory.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Read};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_io::{AsyncRead, AsyncWrite};

use super::split::{self, ReadHalf, Split, WriteHalf};
use crate::engine::atomics::ShortLock;
use crate::panic::wake_all;
use crate::trace::tree;

/// Creates a connection in memory, of which each direction holds up to `capacity` bytes.
///
/// It needs no runtime and no network. Use it to test what works on any stream: a small capacity
/// makes reads and writes come in pieces. The counterpart of Trio's `memory_stream_pair` and of
/// `tokio::io::duplex`.
///
/// # Panics
///
/// Panics if `capacity` is 0.
///
/// ```
/// # futures::executor::block_on(async {
/// use foster::gather;
/// use futures::io::{AsyncReadExt, AsyncWriteExt};
///
/// let (mut client, mut server) = foster::net::duplex(4);
/// let send = async {
///     client.write_all(b"more than four bytes").await?;
///     client.close().await
/// };
/// let mut text = String::new();
/// let (sent, received) = gather((send, server.read_to_string(&mut text))).await;
/// sent?;
/// assert_eq!((received?, text.as_str()), (20, "more than four bytes"));
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[track_caller]
pub fn duplex(capacity: usize) -> (Duplex, Duplex) {
    assert!(capacity > 0, "a connection needs room for at least one byte");
    let [there, back] = [(); 2].map(|()| Arc::new(Pipe::new(capacity)));
    (Duplex { reads: back.clone(), writes: there.clone() }, Duplex { reads: there, writes: back })
}

/// One end of a connection in memory, which [`duplex`] makes.
///
/// It behaves as a [`TcpStream`](super::TcpStream) does: references read and write, at most one
/// task does each, and [`close`](AsyncWrite::poll_close) ends one direction. Once an end is
/// dropped, the other one reads what is left and then the end of the stream, and its writes fail
/// with `BrokenPipe`.
///
/// # Cancellation
///
/// A dropped read or write loses nothing. In a [cancelled region](crate::cancel#regions) they do
/// what can be done at once, and begin no wait.
///
/// # Cost
///
/// The memory for the bytes grows with their number, up to the capacity, and is kept.
pub struct Duplex {
    reads: Arc<Pipe>,
    writes: Arc<Pipe>,
}

impl Duplex {
    /// Splits this end into two halves for two tasks. [`ReadHalf::reunite`] undoes it.
    pub fn into_split(self) -> (ReadHalf<Duplex>, WriteHalf<Duplex>) {
        split::split(self)
    }

    fn write(&self, cx: &mut Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.writes.poll(cx, |state| state.write(buffers), |state| &mut state.writer, "room in a connection in memory")
    }
}

impl Drop for Duplex {
    fn drop(&mut self) {
        self.writes.change(State::end);
        self.reads.change(State::refuse);
    }
}

impl Split for Duplex {}

impl split::private::EndWriting for Duplex {
    fn end_writing(&self) {
        self.writes.change(State::end);
    }
}

impl AsyncRead for &Duplex {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let what = "bytes from a connection in memory";
        self.reads.poll(cx, |state| state.read(buffer), |state| &mut state.reader, what).map(Ok)
    }
}

impl AsyncWrite for &Duplex {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, buffers)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writes.change(State::end);
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Duplex {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Duplex {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_write_vectored(cx, buffers)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_close(cx)
    }
}

impl fmt::Debug for Duplex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Duplex").finish_non_exhaustive()
    }
}

/// One direction.
struct Pipe {
    state: ShortLock<State>,
}

struct State {
    bytes: VecDeque<u8>,
    capacity: usize,
    /// Nothing more is written.
    ended: bool,
    /// Nothing more is read.
    refused: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Whom to wake when the lock has been released.
    wake: [Option<Waker>; 2],
}

impl State {
    /// Takes some bytes. Returns `None` if there are none yet.
    fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        if self.bytes.is_empty() && !self.ended && !buffer.is_empty() {
            return None;
        }
        let mut filled = 0;
        // The bytes may lie in two pieces, each of which is read by itself.
        while filled < buffer.len() {
            match self.bytes.read(&mut buffer[filled..]) {
                Ok(read) if read > 0 => filled += read,
                _ => break,
            }
        }
        if filled > 0 {
            self.wake[1] = self.writer.take();
        }
        Some(filled)
    }

    /// Puts some bytes. Returns `None` if there is no room.
    fn write(&mut self, buffers: &[IoSlice<'_>]) -> Option<io::Result<usize>> {
        if self.ended || self.refused {
            let why = if self.ended { "this direction was closed" } else { "the other end was dropped" };
            return Some(Err(io::Error::new(ErrorKind::BrokenPipe, why)));
        }
        let before = self.bytes.len();
        for buffer in buffers {
            let room = self.capacity - self.bytes.len();
            self.bytes.extend(&buffer[..buffer.len().min(room)]);
        }
        let written = self.bytes.len() - before;
        if written == 0 && buffers.iter().any(|buffer| !buffer.is_empty()) {
            return None;
        }
        if written > 0 {
            self.wake[0] = self.reader.take();
        }
        Some(Ok(written))
    }

    fn end(&mut self) {
        self.ended = true;
        self.wake_both();
    }

    fn refuse(&mut self) {
        self.refused = true;
        self.wake_both();
    }

    fn wake_both(&mut self) {
        self.wake = [self.reader.take(), self.writer.take()];
    }
}

impl Pipe {
    fn new(capacity: usize) -> Self {
        let state = State {
            bytes: VecDeque::new(),
            capacity,
            ended: false,
            refused: false,
            reader: None,
            writer: None,
            wake: [None, None],
        };
        Pipe { state: ShortLock::new(state) }
    }

    /// Changes the state under the lock, and wakes when it has been released.
    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.lock();
        let result = change(&mut state);
        let wake = mem::take(&mut state.wake);
        drop(state);
        wake_all(wake.into_iter().flatten());
        result
    }

    /// Tries, unless it is to give way. If that does nothing, leaves a waker and tries again under
    /// the same lock.
    fn poll<R>(
        &self,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut(&mut State) -> Option<R>,
        place: fn(&mut State) -> &mut Option<Waker>,
        what: &str,
    ) -> Poll<R> {
        if super::gives_way(cx) {
            return Poll::Pending;
        }
        if let Some(done) = self.change(&mut attempt) {
            return Poll::Ready(done);
        }
        tree::waiting(|| what.to_string());
        if super::is_tripped() {
            return Poll::Pending;
        }
        // A waker is the caller's code: it is cloned, and the old one dropped, without the lock.
        let mut waker = Some(cx.waker().clone());
        let done = self.change(|state| {
            let done = attempt(state);
            if done.is_none() {
                mem::swap(place(state), &mut waker);
            }
            done
        });
        done.map_or(Poll::Pending, Poll::Ready)
    }
}
