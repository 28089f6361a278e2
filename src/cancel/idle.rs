//! Ends the wait for what still has holds past a grace, and that nobody polls.

use std::task::Context;

use super::token::Token;

/// How many polls in a row, or rounds of a scope, may bring no progress once the grace has passed.
/// After that, what still has holds counts as something that nobody polls. What lies between may
/// return early, with other futures polled: the engine after its budget, and so do sets of other
/// crates.
const LIMIT: u16 = 256;

/// Counts the polls in a row, past a grace, in which nothing inside has made progress.
///
/// Whatever is polled then lets go of its holds in a few polls: a shield in one, and a scope when
/// each of its finalizers has had a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Idle(u16);

impl Idle {
    /// Counts a poll. `token` tells whether there was progress in it. Returns whether what still
    /// has holds is not polled any more. Asks for another poll otherwise, to find that out.
    pub(crate) fn is_stuck(&mut self, token: Option<&Token>, cx: &Context<'_>) -> bool {
        let progress = token.is_some_and(Token::take_progress);
        self.0 = if progress { 0 } else { self.0 + 1 };
        if self.0 < LIMIT {
            cx.waker().wake_by_ref();
        }
        self.0 >= LIMIT
    }
}
