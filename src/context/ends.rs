//! With what a future ends that is polled here, beside its region.

use std::cell::Cell;
use std::sync::Arc;

use super::{Ambient, Replaced, Swap};
use crate::cancel::token::{Token, Tokens};

/// Whether a future ends with the nearest scope, and whether with the [tokens](Ambient::tokens).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct EndsWith(u8);

impl EndsWith {
    pub(crate) const NOTHING: Self = EndsWith(0);
    pub(crate) const SCOPE: Self = EndsWith(1);
    pub(crate) const TOKENS: Self = EndsWith(2);

    #[inline]
    pub(crate) const fn and(self, other: Self) -> Self {
        EndsWith(self.0 | other.0)
    }

    #[inline]
    pub(crate) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns a number below 4.
    #[inline]
    pub(super) const fn bits(self) -> usize {
        self.0 as usize
    }
}

impl Ambient {
    /// Runs `f` as what ends with `token`. `tokens` is kept from one call to the next.
    pub(crate) fn until<R>(&self, token: &Token, tokens: &mut Tokens, f: impl FnOnce() -> R) -> R {
        let (ends_with, none) = (self.ends_with.get(), Cell::new(None));
        let enclosing = if ends_with.contains(EndsWith::TOKENS) { &self.tokens } else { &none };
        Self::renew(tokens, enclosing, || token.clone());
        let _tokens = Swap::new(&self.tokens, tokens);
        let _ends_with = Replaced::new(&self.ends_with, ends_with.and(EndsWith::TOKENS));
        f()
    }

    /// Returns the tokens with which what is polled here ends.
    pub(crate) fn tokens(&self) -> Tokens {
        if self.ends_with.get().contains(EndsWith::TOKENS) {
            Self::peek(&self.tokens, |first| first.cloned())
        } else {
            None
        }
    }

    /// Returns an address that stands for the [`tokens`](Self::tokens), or 0 if there are none.
    #[inline]
    pub(super) fn tokens_address(&self) -> usize {
        if self.ends_with.get().contains(EndsWith::TOKENS) {
            Self::peek(&self.tokens, |first| first.map_or(0, |first| Arc::as_ptr(first).addr()))
        } else {
            0
        }
    }
}
