//! What is to be checked, as it is named on a command line.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use url::Url;

/// What is to be checked. Made from a command line's word by [`FromStr`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Site {
    /// The small site that comes with the program. Some of its links are broken.
    Bundled,
    /// A folder of files: all its pages, served on the loopback interface.
    Folder(PathBuf),
    /// A host that is reached by plain HTTP: the pages that can be reached from this one.
    Host(Url),
}

impl FromStr for Site {
    type Err = SiteError;

    /// An address if it looks like one, else a folder, which must exist.
    fn from_str(word: &str) -> Result<Self, SiteError> {
        let path = Path::new(word);
        if path.is_dir() {
            return Ok(Site::Folder(path.to_owned()));
        }
        match word.split_once("://") {
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") => match Url::parse(word) {
                Ok(url) => Ok(Site::Host(url)),
                Err(error) => Err(SiteError::new(format!("`{word}` is not an address: {error}"))),
            },
            Some((scheme, _)) => Err(SiteError::new(format!(
                "{scheme}:// is not supported, only http:// is; check the folder that the site is built into, or \
                 serve it over http:// on this machine"
            ))),
            None if path.exists() => {
                Err(SiteError::new(format!("`{word}` is not a folder; name the folder that holds the site")))
            }
            None => Err(SiteError::new(format!("there is no folder `{word}`; an address begins with http://"))),
        }
    }
}

/// Why a word names nothing that could be checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteError {
    message: String,
}

impl SiteError {
    fn new(message: String) -> Self {
        SiteError { message }
    }
}

impl fmt::Display for SiteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SiteError {}
