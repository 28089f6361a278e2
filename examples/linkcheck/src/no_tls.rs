//! Stands for [`tls`](crate::tls) in a build without the feature `https`: says how to get it.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;

use foster::net::TcpStream;
use url::Host;

use crate::report::Reason;

/// Why no certificate is trusted.
pub(crate) const NOBODY: &str = "nobody is, as https is not built in; build linkcheck with `--features https`";

/// Which certificates of `https://` hosts are trusted. This build has none.
#[derive(Debug, Clone)]
pub struct Tls {
    never: Infallible,
}

impl Tls {
    /// Trusts the authorities that browsers trust, and the certificates in `files`, which are in
    /// the PEM format.
    ///
    /// # Errors
    ///
    /// If linkcheck is built without the feature `https`, as it is here.
    pub fn new(_files: &[PathBuf]) -> Result<Self, TlsError> {
        Err(TlsError)
    }

    pub(crate) async fn secure(&self, _host: &Host<&str>, _stream: TcpStream) -> Result<TcpStream, Reason> {
        match self.never {}
    }
}

/// Why no `https://` host can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsError;

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("https is not built in; build linkcheck with `--features https`")
    }
}

impl std::error::Error for TlsError {}
