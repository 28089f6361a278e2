//! What is to be checked, as it is named on a command line.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use url::Url;

use crate::files::names;

/// What is to be checked. [`FromStr`] makes it from a word of a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Site {
    /// The small site that comes with the program. Some of its links are broken.
    Bundled,
    /// A site of files, which is served on the loopback interface.
    #[non_exhaustive]
    Folder {
        /// The folder with the site's files.
        root: PathBuf,
        /// The names that lead from there to the folder whose pages are checked.
        part: Vec<String>,
        /// The names along the path below which the site has its files.
        mount: Vec<String>,
    },
    /// A host that is reached by HTTP, in plain or by TLS.
    #[non_exhaustive]
    Host {
        /// The page from which the others are reached.
        start: Url,
        /// The path below which pages are checked, with a slash at its end.
        within: String,
    },
}

impl Site {
    /// Takes `root` for the folder of the whole site, of which this folder is a part.
    ///
    /// # Errors
    ///
    /// When this is no folder, or none in `root`.
    pub fn with_root(self, root: &Path) -> Result<Self, SiteError> {
        let Site::Folder { root: folder, mount, .. } = self else {
            return Err(SiteError::new("--root is for a folder; for an address, see --within".to_owned()));
        };
        let (root, folder) = (real(root)?, real(&folder)?);
        let outside = |_| SiteError::new(format!("`{}` is not in the folder `{}`", folder.display(), root.display()));
        let part = folder.strip_prefix(&root).map_err(outside)?;
        let part: Option<_> = part.iter().map(|name| name.to_str().map(str::to_owned)).collect();
        let part = part.ok_or_else(|| SiteError::new(format!("`{}` is not UTF-8", folder.display())))?;
        Ok(Site::Folder { root, part, mount })
    }

    /// Puts the files of this folder below `path` of the site; what is not below it is outside.
    ///
    /// # Errors
    ///
    /// When this is no folder, or `path` no plain path.
    pub fn with_mount(self, path: &str) -> Result<Self, SiteError> {
        let Site::Folder { root, part, .. } = self else {
            return Err(SiteError::new("--mount is for a folder".to_owned()));
        };
        match names(path) {
            Some(mount) if path.starts_with('/') => Ok(Site::Folder { root, part, mount }),
            _ => Err(SiteError::new(format!("`{path}` is not a path of a site, such as `/docs`"))),
        }
    }

    /// Checks only the pages below `prefix`, a path.
    ///
    /// # Errors
    ///
    /// When this is no host, or the page to start from is not below `prefix`.
    pub fn with_prefix(self, prefix: &str) -> Result<Self, SiteError> {
        let Site::Host { start, .. } = self else {
            return Err(SiteError::new("--within is for an address; for a folder, see --root".to_owned()));
        };
        let mut within = match start.join(prefix) {
            Ok(url) if url.origin() == start.origin() => url.path().to_owned(),
            _ => return Err(SiteError::new(format!("`{prefix}` is not a path of {start}"))),
        };
        if !within.ends_with('/') {
            within.push('/');
        }
        if !is_below(start.path(), &within) {
            return Err(SiteError::new(format!("{start} is not within `{within}`, so no page would be checked")));
        }
        Ok(Site::Host { start, within })
    }
}

/// A path without links, so that one can be compared with another.
fn real(path: &Path) -> Result<PathBuf, SiteError> {
    let missing = |error: io::Error| {
        let (path, kind) = (path.display(), error.kind());
        SiteError::new(format!("`{path}`: {kind}; --root is a folder, and --mount the path of a site"))
    };
    path.canonicalize().map_err(missing)
}

/// Whether `path` leads to `folder`, a path with a slash at its end, or down from there.
pub(crate) fn is_below(path: &str, folder: &str) -> bool {
    path.starts_with(folder) || path.split('?').next() == folder.strip_suffix('/')
}

impl FromStr for Site {
    type Err = SiteError;

    /// An address if it looks like one, else a folder, which must exist.
    fn from_str(word: &str) -> Result<Self, SiteError> {
        let path = Path::new(word);
        if path.is_dir() {
            return Ok(Site::Folder { root: path.to_owned(), part: Vec::new(), mount: Vec::new() });
        }
        match word.split_once("://") {
            Some((scheme, _)) if ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) => {
                match Url::parse(word) {
                    Ok(start) => Ok(Site::Host { start, within: "/".to_owned() }),
                    Err(error) => Err(SiteError::new(format!("`{word}` is not an address: {error}"))),
                }
            }
            Some((scheme, _)) => Err(SiteError::new(format!(
                "{scheme}:// is not supported, only http:// and https:// are; or check the folder that the site is \
                 built into"
            ))),
            None if path.exists() => {
                Err(SiteError::new(format!("`{word}` is not a folder; name the folder that holds the site")))
            }
            None => Err(SiteError::new(format!("there is no folder `{word}`; an address begins with http://"))),
        }
    }
}

/// Why a word or an option names nothing that could be checked.
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
