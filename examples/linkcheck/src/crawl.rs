//! The state of a crawl: which addresses are known, what each turned out to be, and which links are broken.
//!
//! Nothing here waits and nothing here is shared: one task owns it, and is told of each visit.
//!
//! # Memory
//!
//! Each address is stored once. Of a page that has been read remain its [`Anchors`], of a link whose target is known
//! nothing at all. A link whose target is still to be visited costs eight bytes, in the [`Waiting`] of that target.
//! The pages in flight cost little: see [`client`](crate::client) and [`files`](crate::files), which hold pieces of them.

use std::collections::HashMap;
use std::mem;
use std::time::Duration;

use indexmap::IndexMap;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::Progress;
use crate::address::{self, Place, Target};
use crate::anchors::Anchors;
use crate::report::{Broken, Reason, Report};

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

/// Where a redirect leads; its fragment, if it has one, replaces that of the link.
struct Next {
    id: Id,
    fragment: Option<Box<str>>,
}

/// Links that wait for one address to be visited: to the address itself, or to another that redirects to it.
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
    /// Whether `site` is a folder of files, so that people know its pages by their paths.
    is_folder: bool,
    known: IndexMap<Box<str>, State>,
    /// Addresses that have become known since they were last taken.
    fresh: Vec<Id>,
    open: usize,
    report: Report,
}

impl Crawl {
    /// A crawl of the host that `start` names, from there on.
    pub(crate) fn of_host(start: &Url) -> Self {
        Crawl::new(start.clone(), false, &[Place::new(start).path])
    }

    /// A crawl of files that are served at `site`, from all its pages on.
    pub(crate) fn of_files(site: &Url, pages: &[String]) -> Self {
        Crawl::new(site.clone(), true, pages)
    }

    fn new(site: Url, is_folder: bool, pages: &[String]) -> Self {
        let (known, report) = (IndexMap::new(), Report::default());
        let mut crawl = Crawl { site, is_folder, known, fresh: Vec::new(), open: 0, report };
        for path in pages {
            let page = crawl.intern(path, 0);
            crawl.settle(page, "", [Mention { page, line: 0 }]);
        }
        crawl
    }

    /// An address of the site, if not of its start.
    pub(crate) fn site(&self) -> &Url {
        &self.site
    }

    /// The addresses to be visited that have not been taken yet.
    pub(crate) fn take_fresh(&mut self) -> Vec<(Id, Box<str>)> {
        let ids = mem::take(&mut self.fresh);
        ids.into_iter().map(|id| (id, self.path(id).into())).collect()
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
        for (target, lines) in links {
            self.follow(id, target, &lines);
        }
    }

    fn judge(&mut self, id: Id, visit: Visit) -> (State, Vec<(Target, Vec<u32>)>) {
        match visit {
            Visit::Page { anchors, links, onward } => {
                self.report.pages += 1;
                let onward = onward.map(|place| self.next(id, place)).filter(|next| next.id != id);
                (State::Page { anchors, onward }, links)
            }
            Visit::File => {
                self.report.files += 1;
                (State::File, Vec::new())
            }
            Visit::Moved(Target::Inside(place)) => (State::Moved(self.next(id, place)), Vec::new()),
            Visit::Moved(Target::Outside) => (State::MovedOutside, Vec::new()),
            Visit::Moved(Target::Malformed { why, .. }) => (State::Broken(Reason::Malformed(why)), Vec::new()),
            Visit::Broken(reason) => (State::Broken(reason), Vec::new()),
        }
    }

    fn next(&mut self, from: Id, place: Place) -> Next {
        let hops = match self.known[from as usize] {
            State::Open { hops, .. } => hops + 1,
            _ => 0,
        };
        Next { id: self.intern(&place.path, hops), fragment: place.fragment.map(String::into_boxed_str) }
    }

    /// The id of an address, which `hops` redirects led to; one that was not known is to be visited.
    fn intern(&mut self, path: &str, hops: u8) -> Id {
        let index = match self.known.get_index_of(path) {
            Some(index) => index,
            None => self.known.insert_full(path.into(), State::TooFar).0,
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
            Target::Inside(place) => {
                let id = self.intern(&place.path, 0);
                let mentions = lines.iter().map(|&line| Mention { page, line });
                self.settle(id, place.fragment.as_deref().unwrap_or(""), mentions);
            }
            Target::Outside => self.report.outside += lines.len(),
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
                State::File | State::MovedOutside => return Verdict::Fine,
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

    /// What was found; `interrupted` if there was more to visit.
    pub(crate) fn into_report(mut self, elapsed: Duration) -> Report {
        self.report.elapsed = elapsed;
        self.report.unchecked = self.open;
        self.report.interrupted = self.open > 0;
        self.report.broken.sort();
        self.report
    }

    fn path(&self, id: Id) -> &str {
        self.known.get_index(id as usize).expect("an interned id").0
    }

    /// A page as people know it: the file in the folder, or its address.
    fn name(&self, id: Id) -> String {
        let path = self.path(id);
        if self.is_folder {
            percent_decode_str(path.trim_start_matches('/')).decode_utf8_lossy().into_owned()
        } else {
            address::at(&self.site, path).into()
        }
    }

    /// An address with its fragment.
    fn target_name(&self, id: Id, fragment: &str) -> String {
        let path = self.path(id);
        let mut name: String = match self.is_folder {
            true => path.trim_start_matches('/').to_owned(),
            false => address::at(&self.site, path).into(),
        };
        if !fragment.is_empty() {
            name.push('#');
            name.push_str(fragment);
        }
        name
    }
}
