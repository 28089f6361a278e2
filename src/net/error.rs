//! Errors of the network, with what was tried and with which address.

use std::error::Error;
use std::fmt::{self, Display};
use std::io;

/// Adds what was tried, and with which address, to the message of an error. It keeps its kind.
pub(super) fn at(error: io::Error, tried: &'static str, address: impl Display) -> io::Error {
    io::Error::new(error.kind(), At { tried, address: address.to_string(), source: error })
}

/// Returns the text of an address for a message.
pub(super) fn place(address: io::Result<impl Display>) -> String {
    address.map_or_else(|_| String::from("an unknown address"), |address| address.to_string())
}

/// An error, with what was tried and with which address.
#[derive(Debug)]
struct At {
    tried: &'static str,
    address: String,
    source: io::Error,
}

impl Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.tried, self.address, self.source)
    }
}

impl Error for At {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}
