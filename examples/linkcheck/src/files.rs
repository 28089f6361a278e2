//! The documents of a site that is served from here: a folder's files, or the bundled ones.
//!
//! Each file has one address. Whatever else leads to it (a folder's name, another spelling, a query) is redirected
//! there, so that a check reads it once.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use url::Url;
use walkdir::WalkDir;

/// The bundled site, with broken links in it.
const BUNDLED: &[(&str, &[u8])] = &[
    ("index.html", include_bytes!("../site/index.html")),
    ("guide/index.html", include_bytes!("../site/guide/index.html")),
    ("guide/links & fragments.html", include_bytes!("../site/guide/links & fragments.html")),
    ("moved.html", include_bytes!("../site/moved.html")),
    ("style.css", include_bytes!("../site/style.css")),
];

/// How much of a file is read at a time, in bytes.
const PIECE: u64 = 64 << 10;

/// Where the documents of a site come from.
#[derive(Debug, Clone)]
pub(crate) enum Files {
    Folder(PathBuf),
    Bundled,
}

/// What a path stands for.
#[derive(Debug)]
pub(crate) enum Document {
    /// This content, of this type.
    Content(Content, String),
    /// The same document, at its one address.
    Elsewhere(String),
    Missing,
}

/// A document's content, read piece by piece, so that no more of it is in memory than one piece.
#[derive(Debug)]
pub(crate) struct Content {
    first: Bytes,
    rest: Option<File>,
    length: u64,
}

impl Content {
    /// Opens a file, and reads its first piece, which is all there is of most. Blocks.
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let first = piece(&mut file)?;
        let rest = (length > first.len() as u64).then_some(file);
        Ok(Content { first, rest, length })
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The first piece, and the file with the others, if there are any.
    pub(crate) fn into_parts(self) -> (Bytes, Option<File>) {
        (self.first, self.rest)
    }
}

impl From<&'static [u8]> for Content {
    fn from(content: &'static [u8]) -> Self {
        Content { first: Bytes::from_static(content), rest: None, length: content.len() as u64 }
    }
}

/// The next piece of a file; empty at its end. Blocks.
pub(crate) fn piece(file: &mut File) -> io::Result<Bytes> {
    let mut piece = Vec::new();
    file.take(PIECE).read_to_end(&mut piece)?;
    Ok(piece.into())
}

impl Files {
    /// The addresses of all pages, in order.
    pub(crate) fn pages(&self) -> io::Result<Vec<String>> {
        let mut pages = Vec::new();
        match self {
            Files::Folder(root) => {
                for entry in WalkDir::new(root) {
                    let entry = entry?;
                    if is_page(entry.path()) && entry.path().is_file() {
                        pages.push(folder_address(root, entry.path())?);
                    }
                }
            }
            Files::Bundled => {
                let files = BUNDLED.iter().filter(|(name, _)| is_page(Path::new(name)));
                pages.extend(files.map(|(name, _)| address(name.split('/'))));
            }
        }
        pages.sort_unstable();
        Ok(pages)
    }

    /// The document that `path_and_query` stands for. Blocks: it opens a file.
    ///
    /// Paths lead nowhere but down from the folder.
    pub(crate) fn find(&self, path_and_query: &str) -> io::Result<Document> {
        let path = path_and_query.split('?').next().unwrap_or_default();
        let Some(mut names) = names(path) else {
            return Ok(Document::Missing);
        };
        if self.is_folder(&names) {
            names.push("index.html".to_owned());
        } else if path.ends_with('/') {
            return Ok(Document::Missing);
        }
        let Some(content) = self.open(&names)? else {
            return Ok(Document::Missing);
        };
        let address = address(names.iter().map(String::as_str));
        if address != path_and_query {
            return Ok(Document::Elsewhere(address));
        }
        let kind = mime_guess::from_path(&address).first_or_octet_stream();
        Ok(Document::Content(content, kind.to_string()))
    }

    fn is_folder(&self, names: &[String]) -> bool {
        match self {
            Files::Folder(root) => root.join(names.iter().collect::<PathBuf>()).is_dir(),
            Files::Bundled => {
                let folder = names.iter().map(|name| format!("{name}/")).collect::<String>();
                BUNDLED.iter().any(|(name, _)| name.starts_with(&folder))
            }
        }
    }

    fn open(&self, names: &[String]) -> io::Result<Option<Content>> {
        match self {
            Files::Folder(root) => {
                let file = root.join(names.iter().collect::<PathBuf>());
                file.is_file().then(|| Content::open(&file)).transpose()
            }
            Files::Bundled => {
                let found = BUNDLED.iter().find(|(name, _)| name.split('/').eq(names));
                Ok(found.map(|&(_, content)| content.into()))
            }
        }
    }
}

/// Whether a path's extension says that it is a page, or leaves it open.
pub(crate) fn may_be_page(path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    mime_guess::from_path(path).first_raw().is_none_or(is_html)
}

/// Whether a content type is that of a page.
pub(crate) fn is_html(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("text/html") || essence.eq_ignore_ascii_case("application/xhtml+xml")
}

fn is_page(file: &Path) -> bool {
    mime_guess::from_path(file).first_raw().is_some_and(is_html)
}

/// The decoded names along a path, or `None` if one is not a plain name.
fn names(path: &str) -> Option<Vec<String>> {
    path.split('/').filter(|segment| !segment.is_empty()).map(name).collect()
}

fn name(segment: &str) -> Option<String> {
    let name = percent_decode_str(segment).decode_utf8().ok()?;
    let mut components = Path::new(&*name).components();
    match (components.next(), components.next()) {
        // Compared, because `a/` has the same components as `a`.
        (Some(Component::Normal(plain)), None) if plain == &*name && !name.contains('\0') => Some(name.into_owned()),
        _ => None,
    }
}

fn folder_address(root: &Path, file: &Path) -> io::Result<String> {
    let relative = file.strip_prefix(root).unwrap_or(file);
    let names: Option<Vec<_>> = relative.iter().map(|name| name.to_str()).collect();
    let names = names.ok_or_else(|| {
        let message = format!("the name of {} is not UTF-8, so it has no address", file.display());
        io::Error::new(io::ErrorKind::InvalidData, message)
    })?;
    Ok(address(names))
}

/// The address of a file, spelled as `url` spells it, so that it stays the same through any resolving.
fn address<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut url = Url::parse("http://localhost/").expect("a valid address");
    url.path_segments_mut().expect("http has paths").clear().extend(names);
    url.path().to_owned()
}
