//! The places in a page that a fragment can lead to.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use percent_encoding::percent_decode_str;

/// The anchors of a page, as sorted 64-bit digests.
///
/// Each takes eight bytes, however long its name is. This is what stays in memory of a page that
/// has been read. A broken fragment would be missed only if it had the same digest as a name of its
/// page.
#[derive(Debug, Default)]
pub(crate) struct Anchors(Box<[u64]>);

/// Sorts and counts once what comes one by one.
impl FromIterator<u64> for Anchors {
    fn from_iter<I: IntoIterator<Item = u64>>(digests: I) -> Self {
        let mut digests: Vec<_> = digests.into_iter().collect();
        digests.sort_unstable();
        digests.dedup();
        Anchors(digests.into())
    }
}

impl Anchors {
    /// Whether a browser would find `fragment`: literally, percent-decoded, or as the page's top.
    ///
    /// `12-34` stands for its two ends, as in the listings of rustdoc, whose script selects the
    /// lines between them.
    pub(crate) fn offer(&self, fragment: &str) -> bool {
        // What follows `:~:` is text to highlight.
        let fragment = fragment.split_once(":~:").map_or(fragment, |(anchor, _)| anchor);
        let decoded: Cow<'_, [u8]> = percent_decode_str(fragment).into();
        fragment.is_empty()
            || self.contain(fragment.as_bytes())
            || self.contain(&decoded)
            || decoded.eq_ignore_ascii_case(b"top")
            || self.contain_lines(fragment)
    }

    fn contain_lines(&self, fragment: &str) -> bool {
        let is_end = |end: &str| end.bytes().all(|b| b.is_ascii_digit()) && self.contain(end.as_bytes());
        fragment.split_once('-').is_some_and(|(first, last)| is_end(first) && is_end(last))
    }

    fn contain(&self, name: &[u8]) -> bool {
        self.0.binary_search(&digest(name)).is_ok()
    }
}

/// What is kept of an anchor's name.
pub(crate) fn digest(name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_are_found_as_browsers_find_them() {
        let names = ["one", "caf\u{e9}", "3", "9", "a%20b"];
        let anchors: Anchors = names.iter().map(|name| digest(name.as_bytes())).collect();
        for fragment in ["", "top", "TOP", "one", "caf%C3%A9", "3-9", "a%20b", "one:~:text=two"] {
            assert!(anchors.offer(fragment), "{fragment}");
        }
        for fragment in ["One", "two", "3-10", "-", "3-", "a b"] {
            assert!(!anchors.offer(fragment), "{fragment}");
        }
    }
}
