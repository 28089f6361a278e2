//! What a check found, and how it is told to people and to programs.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

/// What a check found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Pages read: HTML documents.
    pub pages: usize,
    /// Other documents that were only asked for: style sheets, pictures, scripts.
    pub files: usize,
    /// Documents of other hosts that were only asked for.
    pub external: usize,
    /// Links seen, those to the outside included.
    pub links: usize,
    /// Links that leave the site and are not checked.
    pub outside: usize,
    /// Links to what was to be left out.
    pub excluded: usize,
    /// Known addresses that were not looked at, because the check was interrupted.
    pub unchecked: usize,
    /// Broken links, by page, line and target.
    pub broken: Vec<Broken>,
    /// Whether the check was ended early.
    pub interrupted: bool,
    /// How long it took.
    pub elapsed: Duration,
}

/// A link that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Broken {
    /// The page that holds the link: a file of the folder that was checked, or an address.
    pub page: String,
    /// The line of its tag; 0 if it is the page itself that cannot be read.
    pub line: u32,
    /// Where the link leads.
    pub target: String,
    /// Why that is no good.
    pub reason: Reason,
}

/// Why a link is broken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// The server answered with this status, and this phrase of its own or of the standard.
    Status(u16, String),
    /// The page exists, but nothing in it has the fragment's name.
    NoSuchFragment,
    /// More redirects than anyone should follow.
    Redirects,
    /// No complete answer within this time.
    TimedOut(Duration),
    /// The connection could not be made, or broke.
    Connection(String),
    /// It was not asked for, because the host has not answered for so many documents in a row.
    GivenUp(u32),
    /// The address to start from leads there, which is not within the path that is checked.
    Elsewhere(String),
    /// The answer makes no sense, or is too long.
    Answer(String),
    /// The file or the folder cannot be read.
    Unreadable(String),
    /// The host has not shown a certificate that is trusted.
    Certificate(String),
    /// What the link says is not an address.
    Malformed(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Status(code, phrase) if phrase.is_empty() => write!(f, "status {code}"),
            Reason::Status(code, phrase) => write!(f, "{code} {phrase}"),
            Reason::NoSuchFragment => f.write_str("the page has no such fragment"),
            Reason::Redirects => f.write_str("too many redirects"),
            Reason::TimedOut(limit) => write!(f, "no answer within {limit:?}"),
            Reason::Connection(why) | Reason::Answer(why) => f.write_str(why),
            Reason::GivenUp(documents) => {
                write!(f, "not asked for: the host has not answered for {documents} documents in a row")
            }
            Reason::Elsewhere(address) => write!(f, "leads to {address}, which is not within what is checked"),
            Reason::Unreadable(why) => write!(f, "cannot be read: {why}"),
            Reason::Certificate(why) => write!(f, "the certificate is not trusted: {why}"),
            Reason::Malformed(why) => write!(f, "not an address: {why}"),
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Report {
    /// Pages read per second.
    pub fn pages_per_second(&self) -> f64 {
        self.pages as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Writes the report for people: one line per broken link, then a summary.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write_text(&self, mut out: impl Write) -> io::Result<()> {
        for broken in &self.broken {
            writeln!(out, "{broken}")?;
        }
        writeln!(out, "{self}")
    }

    /// Writes the report for programs: one JSON object.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write_json(&self, mut out: impl Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut out, self)?;
        writeln!(out)
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut report = serializer.serialize_struct("Report", 11)?;
        report.serialize_field("pages", &self.pages)?;
        report.serialize_field("files", &self.files)?;
        report.serialize_field("external", &self.external)?;
        report.serialize_field("links", &self.links)?;
        report.serialize_field("outside", &self.outside)?;
        report.serialize_field("excluded", &self.excluded)?;
        report.serialize_field("unchecked", &self.unchecked)?;
        report.serialize_field("interrupted", &self.interrupted)?;
        report.serialize_field("seconds", &self.elapsed.as_secs_f64())?;
        report.serialize_field("pages_per_second", &self.pages_per_second())?;
        report.serialize_field("broken", &self.broken)?;
        report.end()
    }
}

impl Serialize for Broken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut broken = serializer.serialize_struct("Broken", 4)?;
        broken.serialize_field("page", &self.page)?;
        broken.serialize_field("line", &self.line)?;
        broken.serialize_field("target", &self.target)?;
        broken.serialize_field("reason", &self.reason)?;
        broken.end()
    }
}

/// `index.html:12: missing.html: 404 Not Found`, as compilers and linters do.
impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.page, self.reason),
            line => write!(f, "{}:{line}: {}: {}", self.page, self.target, self.reason),
        }
    }
}

/// The summary.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.interrupted {
            let addresses = counted(self.unchecked, "known address", "known addresses");
            write!(f, "Interrupted, {addresses} unchecked. ")?;
        }
        let pages = counted(self.pages, "page", "pages");
        let files = counted(self.files, "other file", "other files");
        let links = counted(self.links, "link", "links");
        let (outside, broken, seconds) = (self.outside, self.broken.len(), self.elapsed.as_secs_f64());
        let excluded = if self.excluded > 0 { format!(" and {} excluded", self.excluded) } else { String::new() };
        let external = match self.external {
            0 => String::new(),
            n => format!("{n} at other hosts, "),
        };
        write!(f, "{pages}, {files}, {external}{links} ({outside} to the outside{excluded}, unchecked), ")?;
        write!(f, "{broken} broken; {seconds:.1} s, {:.0} pages per second", self.pages_per_second())
    }
}

/// `1 page`, `2 pages`.
fn counted(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}
