//! Why a transaction was rolled back.

use std::fmt;

use foster::resource::GetError;
use rusqlite::ErrorCode;

/// Why a transaction was rolled back, unless its body has an error of its own.
#[derive(Debug)]
pub enum Error {
    /// The pool has no connection.
    Pool(GetError<rusqlite::Error>),
    /// SQLite has refused a statement.
    Sqlite(rusqlite::Error),
}

impl Error {
    /// Returns true if somebody else held the database's lock for too long.
    pub fn is_busy(&self) -> bool {
        matches!(self, Error::Sqlite(error) if is_busy(error))
    }
}

pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

impl From<GetError<rusqlite::Error>> for Error {
    fn from(error: GetError<rusqlite::Error>) -> Self {
        Error::Pool(error)
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Error::Sqlite(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Pool(error) => error.fmt(f),
            Error::Sqlite(error) if is_busy(error) => {
                write!(f, "{error}; another process writes to it, try again or wait longer")
            }
            Error::Sqlite(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    // The message contains that of the error. So the source is what lies behind the error.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Pool(error) => error.source(),
            Error::Sqlite(error) => error.source(),
        }
    }
}
