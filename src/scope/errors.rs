//! Holds the errors of a scope that kept going.

use std::{fmt, slice, vec};

use crate::name::Name;

/// Holds all errors of a scope that [kept going](super::TryScopeFuture::keep_going). There is at
/// least one.
///
/// As an error, its [source](std::error::Error::source) is the first of them, and its text names
/// them all:
///
/// ```
/// # futures::executor::block_on(async {
/// let errors = foster::try_scope(async |s| {
///     s.named("left").spawn(async { Err::<(), _>("no disk") });
///     s.named("right").spawn(async { Err::<(), _>("no net") });
///     Ok(())
/// }).keep_going().await.unwrap_err();
/// assert_eq!(errors.to_string(), "`left` failed: no disk; `right` failed: no net");
/// assert_eq!(errors.into_vec(), ["no disk", "no net"]);
/// # });
/// ```
#[derive(Debug)]
pub struct Errors<E> {
    list: Vec<(Name, E)>,
}

impl<E> Errors<E> {
    /// `list` is not empty.
    pub(crate) fn new(list: Vec<(Name, E)>) -> Self {
        Errors { list }
    }

    /// Returns the errors, each with the name of what failed, in the order in which they happened.
    ///
    /// `for (name, error) in &errors` does the same. `for (name, error) in errors` takes the errors
    /// by value.
    pub fn iter(&self) -> ErrorsIter<'_, E> {
        ErrorsIter { list: self.list.iter() }
    }

    /// Returns the errors without the names, in the same order.
    pub fn into_vec(self) -> Vec<E> {
        self.list.into_iter().map(|(_, error)| error).collect()
    }

    /// Returns the first error, and drops the others.
    ///
    /// Use it where one error is expected, as in `scope.await.map_err(Errors::into_first)?`.
    pub fn into_first(self) -> E {
        let first = self.list.into_iter().next();
        first.map(|(_, error)| error).expect("there is at least one")
    }

    /// Returns how many errors there are. It is never zero.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.list.len()
    }
}

/// Iterates over the errors of a scope. [`Errors::iter`] returns it.
#[derive(Debug)]
pub struct ErrorsIter<'a, E> {
    list: slice::Iter<'a, (Name, E)>,
}

impl<'a, E> Iterator for ErrorsIter<'a, E> {
    type Item = (&'a Name, &'a E);

    fn next(&mut self) -> Option<Self::Item> {
        self.list.next().map(|(name, error)| (name, error))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.list.size_hint()
    }
}

impl<E> ExactSizeIterator for ErrorsIter<'_, E> {}

impl<'a, E> IntoIterator for &'a Errors<E> {
    type Item = (&'a Name, &'a E);
    type IntoIter = ErrorsIter<'a, E>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<E> IntoIterator for Errors<E> {
    type Item = (Name, E);
    type IntoIter = vec::IntoIter<(Name, E)>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl<E: fmt::Display> fmt::Display for Errors<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, error)) in self.list.iter().enumerate() {
            write!(f, "{}`{name}` failed: {error}", if i == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl<E: std::error::Error + 'static> std::error::Error for Errors<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.list.first().map(|(_, error)| error as _)
    }
}
