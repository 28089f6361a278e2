//! Errors of the network, with what was tried and with which address.

use std::error::Error;
use std::fmt::{self, Display};
use std::io;

/// Adds what was tried, and with which address, to the message of an error. It keeps its kind.
pub(super) fn at(error: io::Error, tried: &'static str, address: impl Display) -> io::Error {
    io::Error::new(error.kind(), At { tried, address: address.to_string(), source: error })
}

/// Returns the only error, or one for several, of the kind of the first, which is its source.
pub(super) fn all(mut errors: Vec<io::Error>) -> io::Error {
    if errors.len() == 1 {
        return errors.remove(0);
    }
    let texts: Vec<_> = errors.iter().map(io::Error::to_string).collect();
    let first = errors.swap_remove(0);
    io::Error::new(first.kind(), All { message: texts.join("; "), first })
}

/// Returns the number that the operating system gave an error.
///
/// The errors of [`net`](super) have what was tried in their message, and the error of the
/// operating system as their source. [`io::Error::raw_os_error`] does not look there.
///
/// ```
/// # #[cfg(feature = "async-io")]
/// # futures::executor::block_on(async {
/// use foster::net::{self, TcpListener};
///
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let address = listener.local_addr()?;
/// let std = std::net::TcpListener::bind(address).unwrap_err();
/// let error = TcpListener::bind(address).await.unwrap_err();
/// assert_eq!(net::raw_os_error(&error), std.raw_os_error());
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub fn raw_os_error(error: &io::Error) -> Option<i32> {
    let mut source = error.get_ref().map(|inner| inner as &(dyn Error + 'static));
    let mut number = error.raw_os_error();
    while let (None, Some(error)) = (number, source) {
        number = error.downcast_ref().and_then(io::Error::raw_os_error);
        source = error.source();
    }
    number
}

/// Returns the text of an address for a message.
pub(super) fn place(address: Option<impl Display>) -> String {
    address.map_or_else(|| String::from("an unknown address"), |address| address.to_string())
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

/// The errors of several addresses.
#[derive(Debug)]
struct All {
    message: String,
    first: io::Error,
}

impl Display for All {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for All {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.first)
    }
}
