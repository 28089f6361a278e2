//! The state of a crawl: which addresses are known, what each turned out to be, and which links are
//! broken.
//!
//! Nothing here waits and nothing is shared. One task owns the state, and records each visit in it.
//!
//! # Memory
//!
//! Each address is stored once. Of a page that has been read, the [`Anchors`] remain. Of a link
//! whose target is known, nothing remains. A link whose target is still to be visited costs eight
//! bytes, in the [`Waiting`] of that target. The pages in flight cost little, because
//! [`client`](crate::client) and [`files`](crate::files) hold only pieces of them.

use std::collections::HashMap;
use std::mem;
use std::time::Duration;

use indexmap::IndexMap;
use percent_encoding::percent_decode_str;
use regex_lite::Regex;
use url::Url;

use crate::Progress;
use crate::address::{self, Place, Target};
use crate::anchors::Anchors;
use crate::files::Survey;
use crate::report::{Broken, Reason, Report};
use crate::site::is_below;

/// How many redirects in a row are followed.
const MAX_REDIRECTS: u8 = 10;

/// What a visit to an address found.
#[derive(Debug)]
pub(crate) enum Visit {
    /// A page, its links with their lines, and where it sends its readers on to.
    Page { anchors: Anchors, links: Vec<(Target, Vec<u32>)>, onward: Option<Place> },
    /// A document without links of its own.
    File,
    /// A redirect.
    Moved(Target),
    /// Nothing that a link could lead to.
    Broken(Reason),
}

/// The index of an address in [`Crawl::known`].
pub(crate) type Id = u32;

/// What is known of an address.
enum State {
    /// To be visited. `hops` redirects led here.
    Open {
        waiting: Waiting,
        hops: u8,
    },
    /// Only redirects lead here, and too many of them, so it is not visited.
    TooFar,
    /// It is to be left out, so it is not visited, and whatever leads here is fine.
    Excluded,
    /// A page. Fragments that it lacks are looked for where it sends its readers on to.
    Page {
        anchors: Anchors,
        onward: Option<Next>,
    },
    File,
    Moved(Next),
    MovedOutside,
    Broken(Reason),
}

/// Where a redirect leads. Its fragment, if it has one, replaces that of the link.
struct Next {
    id: Id,
    fragment: Option<Box<str>>,
}

/// Links that wait for one address to be visited: to the address itself, or to another that
/// redirects to it.
type Waiting = HashMap<(Id, Box<str>), Vec<Mention>>;

/// One occurrence of a link.
#[derive(Clone, Copy)]
struct Mention {
    page: Id,
    line: u32,
}

/// Whether a link leads somewhere.
enum Verdict {
    Fine,
    Broken(Reason),
    /// Not known before this address has been visited.
    Waits(Id),
}

/// See the [module](self).
pub(crate) struct Crawl {
    site: Url,
    bounds: Bounds,
    known: IndexMap<Box<str>, State>,
    /// Addresses that have become known since they were last taken.
    fresh: Vec<Id>,
    open: usize,
    /// The address at another host that the start leads to.
    elsewhere: Option<Url>,
    /// How many other hosts the start has led to.
    moves: u8,
    report: Report,
}

/// How far a crawl goes.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// The path below which the site has the files, if it is made of files. What is not below it is
    /// outside the site. The report names files by their paths from there.
    pub(crate) mount: Option<String>,
    /// The path below which pages are searched for links. Other pages are read if a link leads to
    /// them.
    pub(crate) within: String,
    /// What is left out, by the names of targets in the report.
    pub(crate) exclude: Vec<Regex>,
    /// Whether links to other hosts are checked. If not, they are outside.
    pub(crate) external: bool,
}

impl Crawl {
    /// A crawl of the host that `start` names, from there on.
    pub(crate) fn of_host(start: &Url, bounds: Bounds) -> Self {
        let mut crawl = Crawl::new(start.clone(), bounds);
        crawl.begin(&Place::new(start, start).address);
        crawl
    }

    /// A crawl of files that are served at `site`, from all pages of `survey` on.
    pub(crate) fn of_files(site: Url, survey: Survey, bounds: Bounds) -> Self {
        let mut crawl = Crawl::new(site, bounds);
        for path in &survey.pages {
            crawl.begin(path);
        }
        for (name, reason) in survey.unreadable {
            if !crawl.excludes(&name) {
                crawl.report.broken.push(Broken { page: name.clone(), line: 0, target: name, reason });
            }
        }
        crawl
    }

    fn new(site: Url, bounds: Bounds) -> Self {
        let (known, report) = (IndexMap::new(), Report::default());
        Crawl { site, bounds, known, fresh: Vec::new(), open: 0, elsewhere: None, moves: 0, report }
    }

    /// Adds a page that is checked whether or not a link leads to it.
    fn begin(&mut self, path: &str) {
        let page = self.intern(path, 0);
        self.settle(page, "", [Mention { page, line: 0 }]);
    }

    /// An address of the site, if not of its start.
    pub(crate) fn site(&self) -> &Url {
        &self.site
    }

    /// The addresses to be visited that have not been taken yet.
    pub(crate) fn take_fresh(&mut self) -> Vec<(Id, Box<str>)> {
        let ids = mem::take(&mut self.fresh);
        ids.into_iter().map(|id| (id, self.address(id).into())).collect()
    }

    /// Whether every known address has been visited.
    pub(crate) fn is_complete(&self) -> bool {
        self.open == 0
    }

    pub(crate) fn progress(&self) -> Progress {
        let known = self.known.len();
        Progress { known, visited: known - self.open, broken: self.report.broken.len() }
    }

    /// Takes in what the visit to `id` found.
    pub(crate) fn record(&mut self, id: Id, visit: Visit) {
        let (state, links) = self.judge(id, visit);
        self.open -= 1;
        if let State::Open { waiting, .. } = mem::replace(&mut self.known[id as usize], state) {
            for ((target, fragment), mentions) in waiting {
                self.settle(target, &fragment, mentions);
            }
        }
        if is_below(self.address(id), &self.bounds.within) {
            for (target, lines) in links {
                self.follow(id, target, &lines);
            }
        }
    }

    fn judge(&mut self, id: Id, visit: Visit) -> (State, Vec<(Target, Vec<u32>)>) {
        match visit {
            Visit::Page { anchors, links, onward } => {
                self.report.pages += 1;
                let onward = onward.filter(|place| self.holds(place));
                let onward = onward.map(|place| self.next(id, place)).filter(|next| next.id != id);
                (State::Page { anchors, onward }, links)
            }
            Visit::File if address::is_external(self.address(id)) => {
                self.report.external += 1;
                (State::File, Vec::new())
            }
            Visit::File => {
                self.report.files += 1;
                (State::File, Vec::new())
            }
            Visit::Moved(Target::Document(place)) if address::is_external(&place.address) && self.is_at_start(id) => {
                self.elsewhere = Some(address::at(&self.site, &place.address));
                (State::MovedOutside, Vec::new())
            }
            Visit::Moved(Target::Document(place)) if self.holds(&place) => {
                (State::Moved(self.next(id, place)), Vec::new())
            }
            Visit::Moved(Target::Document(_) | Target::Other) => (State::MovedOutside, Vec::new()),
            Visit::Moved(Target::Malformed { why, .. }) => (State::Broken(Reason::Malformed(why)), Vec::new()),
            Visit::Broken(reason) => (State::Broken(reason), Vec::new()),
        }
    }

    fn next(&mut self, from: Id, place: Place) -> Next {
        let hops = match self.known[from as usize] {
            State::Open { hops, .. } => hops + 1,
            _ => 0,
        };
        Next { id: self.intern(&place.address, hops), fragment: place.fragment.map(String::into_boxed_str) }
    }

    /// Whether this is the address to start from, or one to which that redirects.
    fn is_at_start(&self, id: Id) -> bool {
        let is_of_host = self.bounds.mount.is_none();
        is_of_host && self.known[..id as usize].values().all(|state| matches!(state, State::Moved(_)))
    }

    /// Whether a place is one that is checked.
    fn holds(&self, place: &Place) -> bool {
        if address::is_external(&place.address) {
            return self.bounds.external;
        }
        self.bounds.mount.as_ref().is_none_or(|mount| is_below(&place.address, mount))
    }

    fn excludes(&self, name: &str) -> bool {
        self.bounds.exclude.iter().any(|pattern| pattern.is_match(name))
    }

    /// Whether a link is left out, because of its target or of the fragment there.
    fn excludes_link(&self, target: Id, fragment: &str) -> bool {
        matches!(self.known[target as usize], State::Excluded)
            || (!self.bounds.exclude.is_empty() && self.excludes(&self.target_name(target, fragment)))
    }

    /// The id of an address, to which `hops` redirects led. If it was not known, it is to be
    /// visited.
    fn intern(&mut self, address: &str, hops: u8) -> Id {
        let index = match self.known.get_index_of(address) {
            Some(index) => index,
            None => {
                let is_excluded = !self.bounds.exclude.is_empty() && self.excludes(&self.address_name(address));
                let state = if is_excluded { State::Excluded } else { State::TooFar };
                self.known.insert_full(address.into(), state).0
            }
        };
        let id = Id::try_from(index).expect("fewer than four billion addresses");
        if hops <= MAX_REDIRECTS && matches!(self.known[index], State::TooFar) {
            self.known[index] = State::Open { waiting: Waiting::new(), hops };
            self.fresh.push(id);
            self.open += 1;
        }
        id
    }

    fn follow(&mut self, page: Id, target: Target, lines: &[u32]) {
        self.report.links += lines.len();
        match target {
            Target::Document(place) if self.holds(&place) => {
                let (id, fragment) = (self.intern(&place.address, 0), place.fragment.as_deref().unwrap_or(""));
                if self.excludes_link(id, fragment) {
                    self.report.excluded += lines.len();
                } else {
                    self.settle(id, fragment, lines.iter().map(|&line| Mention { page, line }));
                }
            }
            Target::Document(_) | Target::Other => self.report.outside += lines.len(),
            Target::Malformed { address, .. } if self.excludes(&address) => self.report.excluded += lines.len(),
            Target::Malformed { address, why } => {
                for &line in lines {
                    let (page, target, reason) = (self.name(page), address.clone(), Reason::Malformed(why.clone()));
                    self.report.broken.push(Broken { page, line, target, reason });
                }
            }
        }
    }

    /// Judges links to a fragment of an address, now or as soon as it has been visited.
    fn settle(&mut self, target: Id, fragment: &str, mentions: impl IntoIterator<Item = Mention>) {
        match self.verdict(target, fragment) {
            Verdict::Fine => {}
            Verdict::Broken(reason) => {
                let name = self.target_name(target, fragment);
                for Mention { page, line } in mentions {
                    let (page, target, reason) = (self.name(page), name.clone(), reason.clone());
                    self.report.broken.push(Broken { page, line, target, reason });
                }
            }
            Verdict::Waits(id) => {
                if let State::Open { waiting, .. } = &mut self.known[id as usize] {
                    waiting.entry((target, fragment.into())).or_default().extend(mentions);
                }
            }
        }
    }

    fn verdict<'a>(&'a self, mut id: Id, mut fragment: &'a str) -> Verdict {
        for _ in 0..=MAX_REDIRECTS {
            let next = match &self.known[id as usize] {
                State::Open { .. } => return Verdict::Waits(id),
                State::File | State::MovedOutside | State::Excluded => return Verdict::Fine,
                State::Broken(reason) => return Verdict::Broken(reason.clone()),
                State::TooFar => break,
                State::Page { anchors, .. } if anchors.offer(fragment) => return Verdict::Fine,
                State::Page { onward: None, .. } => return Verdict::Broken(Reason::NoSuchFragment),
                State::Page { onward: Some(next), .. } | State::Moved(next) => next,
            };
            id = next.id;
            fragment = next.fragment.as_deref().unwrap_or(fragment);
        }
        Verdict::Broken(Reason::Redirects)
    }

    /// Makes the host that the start leads to the site, if that is another one. Returns whether
    /// there is something to visit then.
    pub(crate) fn moves_on(&mut self) -> bool {
        let Some(start) = self.elsewhere.take() else { return false };
        let is_within = is_below(start.path(), &self.bounds.within);
        if is_within && self.moves < MAX_REDIRECTS {
            self.moves += 1;
            self.known.clear();
            self.site = start;
            let start = Place::new(&self.site, &self.site);
            self.begin(&start.address);
            return true;
        }
        let reason = if is_within { Reason::Redirects } else { Reason::Elsewhere(start.into()) };
        let page = self.name(0);
        self.report.broken.push(Broken { page: page.clone(), line: 0, target: page, reason });
        false
    }

    /// What was found; `interrupted` if there was more to visit.
    pub(crate) fn into_report(mut self, elapsed: Duration) -> Report {
        self.report.elapsed = elapsed;
        self.report.unchecked = self.open;
        self.report.interrupted = self.open > 0;
        self.report.broken.sort();
        self.report
    }

    fn address(&self, id: Id) -> &str {
        self.known.get_index(id as usize).expect("an interned id").0
    }

    /// The name of a page in the report: the file in the folder, or the address.
    fn name(&self, id: Id) -> String {
        let name = self.address_name(self.address(id));
        if self.bounds.mount.is_some() { percent_decode_str(&name).decode_utf8_lossy().into_owned() } else { name }
    }

    /// The name of a target in the report: a path in the folder, or an address.
    fn target_name(&self, id: Id, fragment: &str) -> String {
        let mut name = self.address_name(self.address(id));
        if !fragment.is_empty() {
            name.push('#');
            name.push_str(fragment);
        }
        name
    }

    /// The name of an address as a target without a fragment.
    fn address_name(&self, address: &str) -> String {
        match &self.bounds.mount {
            Some(mount) => address.strip_prefix(&**mount).unwrap_or(address).trim_start_matches('/').to_owned(),
            None => address::at(&self.site, address).into(),
        }
    }
}
