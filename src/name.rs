//! Names of children, for people to read.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// Names a child, by a text or by the file and line that started it.
///
/// A name is made from a `&'static str` or a `String`. Two names are equal if they read the same.
/// Wherever foster takes a name, it takes one of these strings, too.
///
/// ```
/// # use foster::Name;
/// assert_eq!(Name::from("fetch").to_string(), "fetch");
/// ```
#[derive(Clone)]
pub struct Name(NameKind);

/// Two words: the niche of the `Arc` tells the variants apart.
#[derive(Clone)]
enum NameKind {
    At(&'static Location<'static>),
    Given(Arc<str>),
}

const _: () = assert!(size_of::<Name>() == 2 * size_of::<usize>());

impl Name {
    /// Returns the name that was given, or else the file and line of `at`.
    pub(crate) fn given_or_at(given: Option<&Name>, at: &'static Location<'static>) -> Self {
        given.cloned().unwrap_or_else(|| at.into())
    }

    /// Returns the caller's file and line.
    #[track_caller]
    pub(crate) fn caller() -> Self {
        Name(NameKind::At(Location::caller()))
    }
}

impl From<&'static Location<'static>> for Name {
    fn from(location: &'static Location<'static>) -> Self {
        Name(NameKind::At(location))
    }
}

impl From<&'static str> for Name {
    fn from(name: &'static str) -> Self {
        Name(NameKind::Given(name.into()))
    }
}

impl From<String> for Name {
    fn from(name: String) -> Self {
        Name(NameKind::Given(name.into()))
    }
}

impl From<Cow<'static, str>> for Name {
    fn from(name: Cow<'static, str>) -> Self {
        match name {
            Cow::Borrowed(name) => name.into(),
            Cow::Owned(name) => name.into(),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            NameKind::At(location) => write!(f, "{}:{}", location.file(), location.line()),
            NameKind::Given(name) => f.write_str(name),
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), f)
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Name {}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        match &self.0 {
            NameKind::At(_) => *self.to_string() == *other,
            NameKind::Given(name) => **name == *other,
        }
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}
