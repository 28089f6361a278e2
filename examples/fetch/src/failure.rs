//! Why a request has failed.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use foster::Elapsed;
use foster::rate::RateLimited;
use foster::resource::GetError;
use foster::retry::RetryError;
use hyper::StatusCode;

/// The failure of the last attempt, and why it was the last one.
pub type FetchError = RetryError<Failure>;

/// Why an attempt of a request has failed.
#[derive(Debug)]
pub enum Failure {
    /// It is no address that begins with `http://`, or a header cannot be sent.
    Address(String),
    /// There was no connection.
    Connect(GetError<io::Error>),
    /// The limit of requests to this host would be kept only after the deadline.
    Limited(RateLimited),
    /// The answer, or the next chunk of it, did not come in time.
    Late(Elapsed),
    /// The connection broke off.
    Broken(hyper::Error),
    /// The server has answered with an error.
    Status {
        /// The status of the answer.
        status: StatusCode,
        /// How long the server wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// What was to be sent, or was received, is not the JSON that was expected.
    Json(serde_json::Error),
    /// What was received could not be written to the file.
    File(io::Error),
}

impl Failure {
    /// Returns whether another attempt may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Failure::Connect(error) => !error.is_closed(),
            Failure::Late(_) | Failure::Broken(_) => true,
            Failure::Status { status, .. } => *status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error(),
            Failure::Address(_) | Failure::Limited(_) | Failure::Json(_) | Failure::File(_) => false,
        }
    }

    /// Returns whether the server has certainly done nothing, so that even what must not be done
    /// twice can be sent again.
    ///
    /// A server that breaks off, or answers with a server error, may have done something before.
    pub fn is_undone(&self) -> bool {
        match self {
            Failure::Address(_) | Failure::Connect(_) | Failure::Limited(_) => true,
            Failure::Status { status, .. } => *status == StatusCode::TOO_MANY_REQUESTS,
            Failure::Late(_) | Failure::Broken(_) | Failure::Json(_) | Failure::File(_) => false,
        }
    }

    /// Returns how long the server wants to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Failure::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Address(address) => write!(f, "{address:?} cannot be asked for; is it an http:// address?"),
            Failure::Connect(error) => error.fmt(f),
            Failure::Limited(error) => error.fmt(f),
            Failure::Late(error) => write!(f, "the server has not answered in time: {error}"),
            Failure::Broken(error) => write!(f, "the connection broke off: {error}"),
            Failure::Status { status, .. } => write!(f, "the server has answered {status}"),
            Failure::Json(error) => write!(f, "this is not the expected JSON: {error}"),
            Failure::File(error) => write!(f, "the file cannot be written: {error}"),
        }
    }
}

// The messages contain those of the errors. So the source is what lies behind the error.
impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Failure::Connect(error) => error.source(),
            Failure::Broken(error) => error.source(),
            Failure::Json(error) => error.source(),
            Failure::File(error) => error.source(),
            Failure::Address(_) | Failure::Limited(_) | Failure::Late(_) | Failure::Status { .. } => None,
        }
    }
}
