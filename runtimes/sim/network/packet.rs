//! What goes over the links, and how it is called in a trace.

use std::fmt;
use std::sync::Arc;

/// One end of a connection. The one that connected is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EndId {
    pub(super) connection: u64,
    pub(super) end: usize,
}

impl EndId {
    /// The other end of the same connection.
    pub(super) fn peer(self) -> EndId {
        EndId { end: 1 - self.end, ..self }
    }
}

/// A packet under way.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Packet {
    pub(super) to: EndId,
    pub(super) content: Content,
    /// How many packets to this end were sent before it.
    pub(super) number: u64,
}

/// What a packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Content {
    /// Asks for a connection.
    Connect,
    /// There is one now.
    Connected,
    /// Nobody listens there, or has a socket.
    Refused,
    /// So many bytes. Those of a connection lie in its buffer already.
    Bytes(usize),
    /// Nothing more comes.
    End,
    /// The connection is gone.
    Reset,
}

impl Content {
    pub(super) fn bytes(self) -> usize {
        if let Content::Bytes(bytes) = self { bytes } else { 0 }
    }

    /// Tells contents apart in the digest of a trace.
    fn number(self) -> u64 {
        match self {
            Content::Connect => 0,
            Content::Connected => 1,
            Content::Refused => 2,
            Content::End => 3,
            Content::Reset => 4,
            Content::Bytes(bytes) => 5 + bytes as u64,
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Content::Connect => f.write_str("connect"),
            Content::Connected => f.write_str("connected"),
            Content::Refused => f.write_str("refused"),
            Content::Bytes(1) => f.write_str("1 byte"),
            Content::Bytes(bytes) => write!(f, "{bytes} bytes"),
            Content::End => f.write_str("end"),
            Content::Reset => f.write_str("reset"),
        }
    }
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Fate {
    Arrived,
    /// It waits at a clogged link.
    Held,
    /// It will be sent again, if it is not a datagram.
    Lost,
}

/// A packet in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Seen {
    pub(super) from: Arc<str>,
    pub(super) to: Arc<str>,
    pub(super) content: Content,
    pub(super) fate: Fate,
}

impl Seen {
    /// Tells packets apart in the digest of a trace.
    pub(in super::super) fn number(&self) -> u64 {
        self.content.number() << 2 | self.fate as u64
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen { from, to, content, fate } = self;
        write!(f, "{from} → {to}: {content}")?;
        f.write_str(match fate {
            Fate::Arrived => "",
            Fate::Held => ", held",
            Fate::Lost => ", lost",
        })
    }
}
