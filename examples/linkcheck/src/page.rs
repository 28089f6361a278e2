//! Reads a page: the addresses it refers to, with their lines, and the anchors that it offers.

use std::borrow::Cow;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};

use html5gum::emitters::callback::{CallbackEmitter, CallbackEvent};
use html5gum::{Span, Tokenizer};
use indexmap::IndexMap;
use percent_encoding::percent_decode_str;

/// What a page says, with addresses as they are written in it.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Each address once, with the lines that refer to it.
    pub(crate) links: IndexMap<String, Vec<u32>>,
    pub(crate) anchors: Anchors,
    /// What relative addresses are relative to, if not to the page itself.
    pub(crate) base: Option<String>,
    /// Where the page sends its readers on to, at once.
    pub(crate) onward: Option<String>,
}

impl Page {
    /// Reads `html`. There is no page that cannot be read: what browsers tolerate is tolerated.
    pub(crate) fn parse(html: &[u8]) -> Self {
        let mut reader = Reader::new(html);
        let mut emitter = CallbackEmitter::new(|event: CallbackEvent<'_>, span: Span<usize>| {
            reader.see(&event, span.start);
            None::<Infallible>
        });
        emitter.naively_switch_states(true);
        let Ok(()) = Tokenizer::new_with_emitter(html, emitter).finish();
        reader.page.anchors = Anchors::new(reader.anchors);
        reader.page
    }
}

/// Collects a [`Page`] from the tokenizer's events.
struct Reader<'a> {
    page: Page,
    anchors: Vec<u64>,
    lines: Lines<'a>,
    /// The start tag that is being read, and where it began; empty between tags.
    tag: Vec<u8>,
    tag_start: usize,
    attribute: Vec<u8>,
    refresh: Refresh,
}

/// The two attributes that make `<meta>` send readers on, in whichever order they come.
#[derive(Default)]
struct Refresh {
    asked: bool,
    content: String,
}

impl<'a> Reader<'a> {
    fn new(html: &'a [u8]) -> Self {
        Reader {
            page: Page::default(),
            anchors: Vec::new(),
            lines: Lines { html, offset: 0, line: 1 },
            tag: Vec::new(),
            tag_start: 0,
            attribute: Vec::new(),
            refresh: Refresh::default(),
        }
    }

    fn see(&mut self, event: &CallbackEvent<'_>, offset: usize) {
        match event {
            CallbackEvent::OpenStartTag { name } => {
                replace(&mut self.tag, name);
                self.tag_start = offset;
                self.refresh = Refresh::default();
            }
            CallbackEvent::AttributeName { name } => replace(&mut self.attribute, name),
            CallbackEvent::AttributeValue { value } => self.attribute(value),
            CallbackEvent::CloseStartTag { .. } => {
                self.close();
                self.tag.clear();
            }
            _ => {}
        }
    }

    fn attribute(&mut self, value: &[u8]) {
        match (&*self.tag, &*self.attribute) {
            // An end tag's attributes mean nothing.
            (b"", _) => {}
            (_, b"id" | b"name") => self.anchors.push(digest(value)),
            (b"base", b"href") => drop(self.page.base.get_or_insert_with(|| text(value).into_owned())),
            (b"meta", b"http-equiv") => self.refresh.asked = value.eq_ignore_ascii_case(b"refresh"),
            (b"meta", b"content") => self.refresh.content = text(value).into_owned(),
            (b"a" | b"area" | b"link", b"href")
            | (b"audio" | b"embed" | b"iframe" | b"img" | b"input", b"src")
            | (b"script" | b"source" | b"track" | b"video", b"src")
            | (b"object", b"data")
            | (b"video", b"poster") => self.link(&text(value)),
            (b"img" | b"source", b"srcset") => {
                candidates(&text(value)).for_each(|address| self.link(address));
            }
            _ => {}
        }
    }

    fn close(&mut self) {
        if !self.refresh.asked {
            return;
        }
        let content = std::mem::take(&mut self.refresh.content);
        if let Some((delay, address)) = refresh(&content) {
            self.link(address);
            if delay.trim().parse() == Ok(0.0) {
                self.page.onward.get_or_insert_with(|| address.to_owned());
            }
        }
    }

    fn link(&mut self, address: &str) {
        let line = self.lines.at(self.tag_start);
        match self.page.links.get_mut(address) {
            Some(lines) => lines.push(line),
            None => drop(self.page.links.insert(address.to_owned(), vec![line])),
        }
    }
}

fn replace(buffer: &mut Vec<u8>, content: &[u8]) {
    buffer.clear();
    buffer.extend_from_slice(content);
}

fn text(value: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(value)
}

/// The delay and the address in `0; URL='page.html'`.
fn refresh(content: &str) -> Option<(&str, &str)> {
    let (delay, rest) = content.split_once([';', ','])?;
    let (key, address) = rest.split_once('=')?;
    let address = address.trim().trim_matches(['"', '\'']);
    key.trim().eq_ignore_ascii_case("url").then_some((delay, address))
}

/// The addresses in `small.png 1x, large.png 2x`.
fn candidates(srcset: &str) -> impl Iterator<Item = &str> {
    let mut rest = srcset;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([',', ' ', '\t', '\n', '\r', '\x0c']);
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (address, after) = rest.split_at(end);
        let bare = address.trim_end_matches(',');
        // Without a comma of its own, a description such as `2x` follows, up to the next comma.
        let described = bare.len() == address.len();
        rest = if described { after.split_once(',').map_or("", |(_, next)| next) } else { after };
        (!bare.is_empty()).then_some(bare)
    })
}

/// Counts lines on the way through a page, so that each byte is looked at once.
struct Lines<'a> {
    html: &'a [u8],
    offset: usize,
    line: u32,
}

impl Lines<'_> {
    fn at(&mut self, offset: usize) -> u32 {
        if offset > self.offset {
            let passed = &self.html[self.offset..offset.min(self.html.len())];
            let breaks = memchr::memchr_iter(b'\n', passed).count();
            self.line = self.line.saturating_add(u32::try_from(breaks).unwrap_or(u32::MAX));
            self.offset = offset;
        }
        self.line
    }
}

/// The anchors of a page, as sorted 64-bit digests.
///
/// Eight bytes each, however long their names: this is what stays in memory of a page that has been read. Two names of
/// one page with the same digest would be needed to miss a broken fragment.
#[derive(Debug, Default)]
pub(crate) struct Anchors(Box<[u64]>);

impl Anchors {
    fn new(mut digests: Vec<u64>) -> Self {
        digests.sort_unstable();
        digests.dedup();
        Anchors(digests.into())
    }

    /// Whether a browser would find `fragment`: literally, percent-decoded, or as the top of the page.
    ///
    /// `12-34` stands for its two ends, as in the listings of rustdoc, whose script selects the lines between.
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

fn digest(name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(html: &str) -> Vec<(String, Vec<u32>)> {
        Page::parse(html.as_bytes()).links.into_iter().collect()
    }

    fn link(address: &str, lines: &[u32]) -> (String, Vec<u32>) {
        (address.to_owned(), lines.to_vec())
    }

    #[test]
    fn a_link_has_the_line_of_its_tag() {
        let html = "<p>\n<a\n href=one>1</a> <img src='two'>\n\n<a href=\"one\">again</a>";
        assert_eq!(links(html), [link("one", &[2, 5]), link("two", &[3])]);
    }

    #[test]
    fn character_references_are_decoded() {
        assert_eq!(links(r#"<a href="?a=1&amp;b=&#50;">"#), [link("?a=1&b=2", &[1])]);
    }

    #[test]
    fn comments_scripts_styles_and_end_tags_hold_no_links() {
        let html = "<!-- <a href=1> --><script>'<a href=2>'</script><style><a href=3></style>
            <textarea><a href=4></textarea><title><a href=5></title></a href=6><a href=7>";
        assert_eq!(links(html), [link("7", &[2])]);
    }

    #[test]
    fn a_srcset_holds_several_links() {
        let html = "<img srcset='a,b.png, c.png 1x,d.png 2x , e.png'>";
        let expected = ["a,b.png", "c.png", "d.png", "e.png"].map(|address| link(address, &[1]));
        assert_eq!(links(html), expected);
    }

    #[test]
    fn the_first_base_counts() {
        let page = Page::parse(b"<base target=_top><base href=/one/><base href=/two/>");
        assert_eq!(page.base.as_deref(), Some("/one/"));
    }

    #[test]
    fn a_refresh_without_delay_sends_readers_on() {
        let page = Page::parse(b"<meta content=\"0; URL='next.html'\" http-equiv=Refresh>");
        assert_eq!(page.onward.as_deref(), Some("next.html"));
        let page = Page::parse(b"<meta http-equiv=refresh content='5;url=next.html'>");
        assert_eq!(page.onward, None);
        assert_eq!(page.links.into_iter().collect::<Vec<_>>(), [link("next.html", &[1])]);
    }

    #[test]
    fn anchors_are_found_as_browsers_find_them() {
        let page = "<p id=one><a name='caf\u{e9}'></a><b id=3><b id=9><b id='a%20b'>";
        let anchors = Page::parse(page.as_bytes()).anchors;
        for fragment in ["", "top", "TOP", "one", "caf%C3%A9", "3-9", "a%20b", "one:~:text=two"] {
            assert!(anchors.offer(fragment), "{fragment}");
        }
        for fragment in ["One", "two", "3-10", "-", "3-", "a b"] {
            assert!(!anchors.offer(fragment), "{fragment}");
        }
    }
}
