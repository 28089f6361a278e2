//! The documents of a site that is served from here: a folder's files, or the bundled ones.
//!
//! Each file has one address. Requests for anything else that leads to it (a folder's name, another
//! spelling, a query) are redirected there, so that a check reads it once.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use url::Url;
use walkdir::{DirEntry, WalkDir};

use crate::report::Reason;

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

/// The documents of a site, or of a part of one.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    source: Source,
    /// The names along the path below which the site has the documents.
    mount: Vec<String>,
}

/// Where documents come from.
#[derive(Debug, Clone)]
enum Source {
    Folder(PathBuf),
    Bundled,
}

/// What a walk through the files met.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// The addresses of all pages, in order.
    pub(crate) pages: Vec<String>,
    /// The files and folders that cannot be looked at, by their paths, and why.
    pub(crate) unreadable: Vec<(String, Reason)>,
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

impl Survey {
    fn refuse(&mut self, path: &Path, why: String) {
        let name = if path.as_os_str().is_empty() { ".".into() } else { path.to_string_lossy() };
        self.unreadable.push((name.into_owned(), Reason::Unreadable(why)));
    }
}

/// A document's content, read piece by piece, so that only one piece of it is in memory.
#[derive(Debug)]
pub(crate) struct Content {
    first: Bytes,
    rest: Option<File>,
    length: u64,
}

impl Content {
    /// Opens a file, and reads its first piece, which is all that most files have. Blocks.
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
    /// The files below `root`, which the site has below `mount`.
    pub(crate) fn of_folder(root: PathBuf, mount: Vec<String>) -> Self {
        Files { source: Source::Folder(root), mount }
    }

    /// The files of the bundled site.
    pub(crate) fn bundled() -> Self {
        Files { source: Source::Bundled, mount: Vec::new() }
    }

    /// The path of the folder that `names` lead to, with a slash at its end.
    pub(crate) fn folder(&self, names: &[String]) -> String {
        self.address(names.iter().map(String::as_str).chain([""]))
    }

    /// Walks through the folder that `part` leads to. Blocks.
    ///
    /// What cannot be looked at does not end the walk.
    pub(crate) fn survey(&self, part: &[String]) -> Survey {
        let mut survey = Survey::default();
        match &self.source {
            Source::Folder(root) => self.walk(root, part, &mut survey),
            Source::Bundled => {
                let files = BUNDLED.iter().filter(|(name, _)| is_page(Path::new(name)));
                survey.pages.extend(files.map(|(name, _)| self.address(name.split('/'))));
            }
        }
        survey.pages.sort_unstable();
        survey
    }

    fn walk(&self, root: &Path, part: &[String], survey: &mut Survey) {
        let mut entries = WalkDir::new(root.join(part.iter().collect::<PathBuf>())).into_iter();
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let why = error.io_error().map_or_else(|| error.to_string(), |error| error.kind().to_string());
                    survey.refuse(below(root, error.path().unwrap_or(root)), why);
                    continue;
                }
            };
            let path = below(root, entry.path());
            let Some(names) = path.iter().map(|name| name.to_str()).collect::<Option<Vec<_>>>() else {
                survey.refuse(path, "the name is not UTF-8, so it has no address".to_owned());
                if entry.file_type().is_dir() {
                    entries.skip_current_dir();
                }
                continue;
            };
            if is_page(path) {
                match is_file(&entry) {
                    Ok(true) => survey.pages.push(self.address(names)),
                    Ok(false) => {}
                    Err(error) => survey.refuse(path, error.kind().to_string()),
                }
            }
        }
    }

    /// The address of a file.
    fn address<'a>(&'a self, names: impl IntoIterator<Item = &'a str>) -> String {
        address(self.mount.iter().map(String::as_str).chain(names))
    }

    /// The document that `path_and_query` stands for. Blocks, because it opens a file.
    ///
    /// Paths lead nowhere but down from the folder.
    ///
    /// # Errors
    ///
    /// When there is something that cannot be read.
    pub(crate) fn find(&self, path_and_query: &str) -> io::Result<Document> {
        let path = path_and_query.split('?').next().unwrap_or_default();
        let Some(mut names) = names(path).and_then(|names| Some(names.strip_prefix(&*self.mount)?.to_vec())) else {
            return Ok(Document::Missing);
        };
        if self.is_folder(&names)? {
            names.push("index.html".to_owned());
        } else if path.ends_with('/') {
            return Ok(Document::Missing);
        }
        let Some(content) = self.open(&names)? else {
            return Ok(Document::Missing);
        };
        let address = self.address(names.iter().map(String::as_str));
        if address != path_and_query {
            return Ok(Document::Elsewhere(address));
        }
        let kind = mime_guess::from_path(&address).first_or_octet_stream();
        Ok(Document::Content(content, kind.to_string()))
    }

    fn is_folder(&self, names: &[String]) -> io::Result<bool> {
        match &self.source {
            Source::Folder(root) => exists(&root.join(names.iter().collect::<PathBuf>()), fs::Metadata::is_dir),
            Source::Bundled => {
                let folder = names.iter().map(|name| format!("{name}/")).collect::<String>();
                Ok(BUNDLED.iter().any(|(name, _)| name.starts_with(&folder)))
            }
        }
    }

    fn open(&self, names: &[String]) -> io::Result<Option<Content>> {
        match &self.source {
            Source::Folder(root) => {
                let file = root.join(names.iter().collect::<PathBuf>());
                exists(&file, fs::Metadata::is_file)?.then(|| Content::open(&file)).transpose()
            }
            Source::Bundled => {
                let found = BUNDLED.iter().find(|(name, _)| name.split('/').eq(names));
                Ok(found.map(|&(_, content)| content.into()))
            }
        }
    }
}

/// `path` as seen from `root`.
fn below<'a>(root: &Path, path: &'a Path) -> &'a Path {
    path.strip_prefix(root).unwrap_or(path)
}

/// Whether there is something at `path` that `is` what is asked for.
///
/// # Errors
///
/// When a folder on the way does not let anyone look.
fn exists(path: &Path, is: fn(&fs::Metadata) -> bool) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(is(&metadata)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        Err(_) => Ok(false),
    }
}

/// Whether an entry is a file, or a link to one.
fn is_file(entry: &DirEntry) -> io::Result<bool> {
    if entry.file_type().is_symlink() {
        return fs::metadata(entry.path()).map(|metadata| metadata.is_file());
    }
    Ok(entry.file_type().is_file())
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
pub(crate) fn names(path: &str) -> Option<Vec<String>> {
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

/// The path along `names`, spelled as `url` spells it, so that resolving leaves it as it is.
fn address<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut url = Url::parse("http://localhost/").expect("a valid address");
    url.path_segments_mut().expect("http has paths").clear().extend(names);
    url.path().to_owned()
}
