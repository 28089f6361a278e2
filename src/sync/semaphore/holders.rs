//! Who holds permits, as far as that was observed.

use std::fmt;

use crate::name::Name;

/// Holders that are named in a report. The others are counted.
const NAMED: usize = 8;

/// The names of those who hold permits.
///
/// A permit does not know under whose name it was noted. So one that comes back is crossed out for
/// the child that gives it back, or else for the one that has held longest.
pub(super) struct Holders(Vec<Holder>);

struct Holder {
    name: Name,
    count: usize,
}

impl Holders {
    pub(super) const fn new() -> Self {
        Holders(Vec::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes who holds `count` permits.
    pub(super) fn note(&mut self, name: Name, count: usize) {
        if count > 0 {
            self.0.push(Holder { name, count });
        }
    }

    /// Crosses out `count` permits that the child of this name gives back, and what is more than
    /// are in use then.
    #[cold]
    pub(super) fn cross_out(&mut self, name: Option<&Name>, mut count: usize, in_use: usize) {
        if let Some(name) = name {
            for holder in self.0.iter_mut().rev().filter(|holder| holder.name == *name) {
                let part = holder.count.min(count);
                (holder.count, count) = (holder.count - part, count - part);
            }
        }
        let mut excess = self.0.iter().map(|holder| holder.count).sum::<usize>().saturating_sub(in_use);
        for holder in &mut self.0 {
            let part = holder.count.min(excess);
            (holder.count, excess) = (holder.count - part, excess - part);
        }
        self.0.retain(|holder| holder.count > 0);
    }

    pub(super) fn names(&self) -> Vec<Name> {
        self.0.iter().map(|holder| holder.name.clone()).collect()
    }
}

/// Says who holds what somebody waits for, in a report. Says nothing if it is not known.
pub(crate) struct HeldBy(pub(crate) Vec<Name>);

impl fmt::Display for HeldBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, name) in self.0.iter().take(NAMED).enumerate() {
            write!(f, "{}`{name}`", if place == 0 { ", held by " } else { ", " })?;
        }
        match self.0.len().saturating_sub(NAMED) {
            0 => Ok(()),
            others => write!(f, " and {others} others"),
        }
    }
}
