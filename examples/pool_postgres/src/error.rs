//! Why there is no connection, and why a transaction was rolled back.

use std::error::Error as StdError;
use std::{fmt, io};

use foster::resource::GetError;
use tokio_postgres::error::SqlState;

/// Why there is no connection to the server.
#[derive(Debug)]
pub enum ConnectError {
    /// The server cannot be reached.
    Unreachable(io::Error),
    /// The server has refused the connection.
    Refused(tokio_postgres::Error),
    /// The scope of the pool has ended.
    ScopeEnded,
}

/// Why a transaction was rolled back, unless its body has an error of its own.
#[derive(Debug)]
pub enum Error {
    /// The pool has no connection.
    Pool(GetError<ConnectError>),
    /// The server has refused a statement, or the connection was lost.
    Postgres(tokio_postgres::Error),
    /// The connection was lost during the commit. So nobody knows whether the transaction was
    /// committed or rolled back.
    Unknown(tokio_postgres::Error),
}

impl Error {
    /// Returns true if the connection was lost, or there is none because the server does not run.
    ///
    /// Later, the same transaction may succeed.
    pub fn is_connection_lost(&self) -> bool {
        match self {
            Error::Pool(error) => error.error().is_some_and(ConnectError::is_temporary),
            Error::Postgres(error) => is_lost(error),
            Error::Unknown(_) => true,
        }
    }

    /// Returns the code by which the server says what is wrong.
    pub fn code(&self) -> Option<&SqlState> {
        match self {
            Error::Postgres(error) | Error::Unknown(error) => error.code(),
            Error::Pool(_) => None,
        }
    }
}

impl ConnectError {
    fn is_temporary(&self) -> bool {
        match self {
            ConnectError::Unreachable(_) => true,
            ConnectError::Refused(error) => is_lost(error),
            ConnectError::ScopeEnded => false,
        }
    }
}

/// Whether the server has ended the connection, or does not take one now.
pub(crate) fn is_lost(error: &tokio_postgres::Error) -> bool {
    const LOST: [SqlState; 4] = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::TOO_MANY_CONNECTIONS,
    ];
    let is_io = error.source().is_some_and(|source| source.is::<io::Error>());
    error.is_closed() || is_io || error.code().is_some_and(|code| LOST.contains(code))
}

/// An error of the server is told in its own words. The driver calls all of them "db error".
struct Message<'a>(&'a tokio_postgres::Error);

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.as_db_error(), self.0.source()) {
            (Some(error), _) => write!(f, "{} ({})", error.message(), error.code().code()),
            (None, Some(source)) => write!(f, "{}: {source}", self.0),
            (None, None) => self.0.fmt(f),
        }
    }
}

impl From<GetError<ConnectError>> for Error {
    fn from(error: GetError<ConnectError>) -> Self {
        Error::Pool(error)
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Error::Postgres(error)
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Unreachable(error) => write!(f, "the server cannot be reached: {error}"),
            ConnectError::Refused(error) => write!(f, "the server refuses the connection: {}", Message(error)),
            ConnectError::ScopeEnded => f.write_str("the scope of the pool has ended"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Pool(error) => error.fmt(f),
            Error::Postgres(error) if is_lost(error) => write!(f, "the connection was lost: {}", Message(error)),
            Error::Postgres(error) => Message(error).fmt(f),
            Error::Unknown(error) => {
                write!(f, "it is unknown whether this was committed, as the connection was lost: {}", Message(error))
            }
        }
    }
}

// The messages contain those of the errors inside, so there is no source to add.
impl StdError for ConnectError {}
impl StdError for Error {}
