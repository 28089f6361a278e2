//! What a scope knows of what encloses it.

use crate::context::ends::EndsWith;
use crate::context::{Ambient, Enclosure};
use crate::runtime::Instant;
use crate::scope::control::Control;

/// What the polls of a scope have seen of the scopes, children and regions that enclose it.
#[derive(Default)]
pub(super) struct Enclosing {
    /// Where the last poll was. The control keeps what this stands for.
    place: Enclosure,
    /// The deadlines in force at the last poll: the fixed one, and the address of the first movable
    /// one, which the control keeps.
    deadlines: (Option<Instant>, usize),
    /// Whether something that encloses the scope was cancelled in the present poll, by a member of
    /// the scope. The scope's token tells of that in the next poll.
    pub(super) is_cancelled: bool,
}

impl Enclosing {
    /// Notes the deadlines for the scope's parallel children, if they have changed.
    #[inline]
    pub(super) fn note_deadlines(&mut self, control: &Control, ambient: &Ambient) {
        if self.deadlines != (None, 0) || ambient.has_deadline() {
            self.renew_deadlines(control, ambient);
        }
    }

    #[inline(never)]
    fn renew_deadlines(&mut self, control: &Control, ambient: &Ambient) {
        let deadlines = ambient.deadlines();
        let noted = deadlines.summary();
        if self.deadlines != noted {
            self.deadlines = noted;
            control.set_deadlines(deadlines);
        }
    }

    /// Whether the scope is polled where it was polled last.
    #[inline]
    pub(super) fn is_as_before(&self, ambient: &Ambient) -> bool {
        ambient.is_in(&self.place)
    }

    /// Notes the enclosing scope and child. They are others than before if the future was moved
    /// there.
    pub(super) fn follow(&mut self, control: &Control, ambient: &Ambient) {
        if !self.is_as_before(ambient) {
            self.place = ambient.enclosure();
            let ends_with_it = ambient.ends_with.get().contains(EndsWith::SCOPE);
            control.set_enclosing(ambient.scope(), ambient.mark(), ends_with_it, ambient.tokens());
        }
    }

    /// Lets go of the child and the tokens in which the scope lies, when the scope has ended.
    ///
    /// A task that is kept would keep the memory of that child, and the tokens. The enclosing scope
    /// stays, because what is sent to this one later passes on to it.
    pub(super) fn forget_child(&self, control: &Control) {
        if self.place.has_child_or_tokens() {
            control.forget_child();
        }
    }

    /// Looks whether something was cancelled, if this thread has asked for a cancellation since the
    /// last look.
    #[inline]
    pub(super) fn look(&mut self, ambient: &Ambient) -> bool {
        if !self.is_cancelled && !ambient.is_calm() {
            self.is_cancelled = ambient.is_tripped();
        }
        self.is_cancelled
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future, pending};
    use std::pin::pin;
    use std::sync::{Arc, Mutex, Weak};
    use std::task::{Context, Waker};

    use crate::cancel::token::Token;
    use crate::context;
    use crate::scope::scope;

    #[test]
    fn a_scope_that_has_ended_keeps_none_of_the_tokens_that_enclosed_it() {
        for completes in [true, false] {
            let (kept, first) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(Weak::new())));
            {
                let (keeps, finds) = (Arc::clone(&kept), Arc::clone(&first));
                let token = Token::new();
                let inside = scope(async move |s| {
                    *keeps.lock().unwrap() = Some(s);
                    if !completes {
                        pending::<()>().await;
                    }
                });
                let run = pin!(token.run_until_cancelled(async move {
                    let tokens = context::with(|ambient| ambient.tokens());
                    *finds.lock().unwrap() = tokens.as_ref().map_or_else(Weak::new, Arc::downgrade);
                    assert_eq!(finds.lock().unwrap().strong_count(), 2, "the region has one, and this");
                    drop(tokens);
                    inside.await;
                }));
                let polled = run.poll(&mut Context::from_waker(Waker::noop()));
                assert_eq!(polled.is_ready(), completes);
            }
            assert!(kept.lock().unwrap().is_some());
            assert!(first.lock().unwrap().upgrade().is_none(), "completes: {completes}");
        }
    }
}
