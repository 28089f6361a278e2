//! Frames: the length of a message in four bytes, and then the message, as JSON.
//!
//! Connections carry them, and the log on disk consists of them.

use std::io::{self, ErrorKind};

use futures_util::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest message. It has two long writes at most, of which JSON may make six times as much.
/// Whoever claims to send a longer one is no node of ours.
const MOST: usize = 1 << 20;

/// The length of the length.
const HEAD: usize = 4;

/// Writes a message. If this is dropped, a part of the frame may be written, so the connection must
/// be closed.
pub(crate) async fn write(stream: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> io::Result<()> {
    stream.write_all(&encode(message)?).await
}

/// Reads a message. If this is dropped, a part of the frame may be lost, so the connection must be
/// closed.
pub(crate) async fn read<T: DeserializeOwned>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
    let mut head = [0; HEAD];
    stream.read_exact(&mut head).await?;
    let length = checked(u32::from_be_bytes(head) as usize)?;
    let mut body = Vec::new();
    // The memory grows with what has come, not with what was claimed.
    stream.take(length as u64).read_to_end(&mut body).await?;
    if body.len() < length {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&body)?)
}

/// Returns the frame of a message.
pub(crate) fn encode(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; HEAD];
    serde_json::to_writer(&mut frame, message)?;
    let length = checked(frame.len() - HEAD)?;
    frame[..HEAD].copy_from_slice(&(length as u32).to_be_bytes());
    Ok(frame)
}

/// Returns the message at the beginning of `bytes`, and what follows it. Returns `None` if there is
/// no whole message.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<(T, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
    let (body, rest) = rest.split_at_checked(u32::from_be_bytes(*head) as usize)?;
    Some((serde_json::from_slice(body).ok()?, rest))
}

fn checked(length: usize) -> io::Result<usize> {
    if length > MOST {
        let message = format!("a message of {length} bytes, where {MOST} are the most");
        return Err(io::Error::new(ErrorKind::InvalidData, message));
    }
    Ok(length)
}
