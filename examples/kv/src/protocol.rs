//! What nodes and clients say to each other. Each request has one reply.

use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A request to a node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// From a client: what is the value?
    Get { key: String },
    /// From a client: change a value.
    Put(Write),
    /// From a candidate: may I lead this epoch? The end of its log says what it has.
    Vote { epoch: u64, candidate: usize, end: Position },
    /// From the leader: append these entries behind `after`, and so many of all are committed.
    Append { epoch: u64, leader: usize, after: Position, entries: Vec<Entry>, committed: usize },
}

/// The answer of a node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// To a client: the value, or the one that a write has replaced.
    Value(Option<String>),
    /// To a client: ask the leader, which may be this one.
    NotLeader { leader: Option<usize> },
    /// To a client: no node will do this.
    Refused(Refused),
    /// To a candidate.
    Voted { epoch: u64, granted: bool },
    /// To the leader: the log is the same up to this length. Or it is not, and the leader should
    /// try this shorter length.
    Appended { epoch: u64, held: Result<usize, usize> },
}

/// A write, which sets `key` to `value`.
///
/// Its client and its number say which one it is. A client has one write under way at a time, and
/// counts them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Write {
    pub(crate) client: u64,
    pub(crate) number: u64,
    pub(crate) key: String,
    pub(crate) value: String,
}

impl Write {
    /// Returns how many bytes the key and the value have.
    pub(crate) fn len(&self) -> usize {
        self.key.len() + self.value.len()
    }
}

/// An entry of the log, written by the leader of an epoch. The first one of each epoch has no
/// write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) epoch: u64,
    pub(crate) write: Option<Write>,
}

impl Entry {
    /// Returns about how many bytes it has.
    pub(crate) fn len(&self) -> usize {
        64 + self.write.as_ref().map_or(0, Write::len)
    }
}

/// A place in a log: behind so many entries, of which the last one has this epoch. Two logs that
/// have the same position are the same up to there.
///
/// The greater of two ends belongs to the log that has all that may be committed, so the epoch
/// comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Position {
    pub(crate) epoch: u64,
    pub(crate) length: usize,
}

/// Why a write was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refused {
    /// The key and the value together are longer than 64 KiB.
    TooLong,
    /// The client has made a later write since. Use another number for each client.
    Superseded,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::TooLong => "the key and the value are longer than 64 KiB; store them in parts",
            Refused::Superseded => "the client has made a later write; give each client a number of its own",
        })
    }
}

impl Error for Refused {}
