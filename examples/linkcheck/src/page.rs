//! Reads a page: the addresses it refers to, with their lines, and the anchors that it offers.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use html_escape::decode_html_entities;
use indexmap::IndexMap;
use lol_html::errors::RewritingError;
use lol_html::send::{Element, HtmlRewriter, Settings};
use lol_html::{MemorySettings, element};

use crate::anchors::{Anchors, digest};

/// The longest tag or comment that is read, in bytes. Pictures are put into pages by such tags.
const MAX_TAG: usize = 8 << 20;

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

/// Reads a page piece by piece, and keeps nothing of the text.
pub(crate) struct PageReader {
    parser: HtmlRewriter<'static, fn(&[u8])>,
    found: Arc<Mutex<Found>>,
}

impl PageReader {
    pub(crate) fn new() -> Self {
        let found = Arc::new(Mutex::new(Found::default()));
        let memory = MemorySettings::new().with_max_allowed_memory_usage(MAX_TAG);
        let finder = Arc::clone(&found);
        let settings = Settings::new_send()
            // What browsers tolerate is tolerated.
            .with_strict(false)
            .with_memory_settings(memory)
            .append_element_content_handler(element!("*", move |element: &mut Element<'_, '_>| {
                lock(&finder).see(element);
                Ok(())
            }));
        PageReader { parser: HtmlRewriter::new(settings, |_| {}), found }
    }

    /// Reads on.
    ///
    /// # Errors
    ///
    /// When a tag or a comment has no end in sight. Then the page cannot be read.
    pub(crate) fn read(&mut self, piece: &[u8]) -> Result<(), RewritingError> {
        lock(&self.found).lines.read(piece);
        self.parser.write(piece)
    }

    /// Ends the page.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub(crate) fn finish(self) -> Result<Page, RewritingError> {
        self.parser.end()?;
        let mut found = lock(&self.found);
        let anchors = mem::take(&mut found.anchors).into_iter().collect();
        Ok(Page { anchors, ..mem::take(&mut found.page) })
    }
}

fn lock(found: &Mutex<Found>) -> MutexGuard<'_, Found> {
    found.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What has been found so far.
#[derive(Default)]
struct Found {
    page: Page,
    anchors: Vec<u64>,
    lines: Lines,
}

/// What an attribute's value is to us.
enum Role {
    Anchor,
    Base,
    Link,
    Links,
}

impl Role {
    fn of(tag: &str, attribute: &str) -> Option<Self> {
        match (tag, attribute) {
            (_, "id" | "name") => Some(Role::Anchor),
            ("base", "href") => Some(Role::Base),
            ("a" | "area" | "link", "href")
            | ("audio" | "embed" | "iframe" | "img" | "input", "src")
            | ("script" | "source" | "track" | "video", "src")
            | ("object", "data")
            | ("video", "poster") => Some(Role::Link),
            ("img" | "source", "srcset") => Some(Role::Links),
            _ => None,
        }
    }
}

impl Found {
    fn see(&mut self, element: &Element<'_, '_>) {
        let line = self.lines.at(element.source_location().bytes().start);
        let tag = element.tag_name();
        for attribute in element.attributes() {
            if let Some(role) = Role::of(&tag, &attribute.name()) {
                self.note(role, &decode_html_entities(&attribute.value()), line);
            }
        }
        if tag == "meta" {
            self.follow_refresh(element, line);
        }
    }

    fn note(&mut self, role: Role, value: &str, line: u32) {
        match role {
            Role::Anchor => self.anchors.push(digest(value.as_bytes())),
            Role::Base => drop(self.page.base.get_or_insert_with(|| value.to_owned())),
            Role::Link => self.link(value, line),
            Role::Links => candidates(value).for_each(|address| self.link(address, line)),
        }
    }

    fn follow_refresh(&mut self, meta: &Element<'_, '_>, line: u32) {
        let is_refresh = |kind: String| kind.eq_ignore_ascii_case("refresh");
        if !meta.get_attribute("http-equiv").is_some_and(is_refresh) {
            return;
        }
        let content = meta.get_attribute("content").unwrap_or_default();
        if let Some((delay, address)) = refresh(&decode_html_entities(&content)) {
            self.link(address, line);
            if delay.trim().parse() == Ok(0.0) {
                self.page.onward.get_or_insert_with(|| address.to_owned());
            }
        }
    }

    fn link(&mut self, address: &str, line: u32) {
        match self.page.links.get_mut(address) {
            Some(lines) => lines.push(line),
            None => drop(self.page.links.insert(address.to_owned(), vec![line])),
        }
    }
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

/// Counts lines on the way through a page.
#[derive(Default)]
struct Lines {
    /// Where lines end that have been read and not been passed.
    ends: VecDeque<usize>,
    read: usize,
    passed: u32,
}

impl Lines {
    fn read(&mut self, piece: &[u8]) {
        self.ends.extend(memchr::memchr_iter(b'\n', piece).map(|at| self.read + at));
        self.read += piece.len();
    }

    /// The line of an offset, which is not before the last one that was asked for.
    fn at(&mut self, offset: usize) -> u32 {
        let passed = self.ends.partition_point(|&end| end < offset);
        self.ends.drain(..passed);
        self.passed = self.passed.saturating_add(passed as u32);
        self.passed.saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever pieces a page comes in, it says the same.
    fn parse(html: &str) -> Page {
        let pages = [1, 2, 3, 5, 8, usize::MAX].map(|size| {
            let mut reader = PageReader::new();
            html.as_bytes().chunks(size).for_each(|piece| reader.read(piece).expect("a page"));
            reader.finish().expect("a page")
        });
        let said = pages.each_ref().map(|page| format!("{page:?}"));
        said.iter().for_each(|other| assert_eq!(*other, said[0]));
        pages.into_iter().next_back().expect("six")
    }

    fn links(html: &str) -> Vec<(String, Vec<u32>)> {
        parse(html).links.into_iter().collect()
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
        let page = parse("<base target=_top><base href=/one/><base href=/two/>");
        assert_eq!(page.base.as_deref(), Some("/one/"));
    }

    #[test]
    fn a_refresh_without_delay_sends_readers_on() {
        let page = parse("<meta content=\"0; URL='next.html'\" http-equiv=Refresh>");
        assert_eq!(page.onward.as_deref(), Some("next.html"));
        let page = parse("<meta http-equiv=refresh content='5;url=next.html'>");
        assert_eq!(page.onward, None);
        assert_eq!(page.links.into_iter().collect::<Vec<_>>(), [link("next.html", &[1])]);
    }
}
