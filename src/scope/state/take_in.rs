//! Takes in what was sent to a scope: children and finalizers by its handles, and news.

use super::failure::by_drop;
use super::{Alarm, Custody, Machine};
use crate::context::Ambient;
#[cfg(feature = "sim")]
use crate::context::Watch;
use crate::mailbox::Call;
use crate::scope::control::News;
use crate::scope::kind::{ChildRunner, Kind, Member};
use crate::task::cell::publish_places;

impl<'env, T, E, K: Kind> Machine<'env, T, E, K> {
    /// Takes in what the handles and others have sent.
    #[inline]
    pub(super) fn take_in(&mut self, ambient: &Ambient) {
        if self.custody != Custody::Own {
            // The bell, and with it the news, is no longer for this scope.
            self.take_children(ambient);
            return;
        }
        let calls = self.control().bell.rouse();
        // Children first: a future that they gave to the scope to adopt comes after them.
        if calls.has(Call::Inbox) {
            self.take_children(ambient);
        }
        if calls.has(Call::News) {
            self.control().news().take().for_each(|item| self.hear(item, ambient));
        }
    }

    fn take_children(&mut self, #[cfg_attr(not(feature = "sim"), allow(unused))] ambient: &Ambient) {
        self.core.take().for_each(|runner| {
            #[cfg(feature = "sim")]
            if ambient.watch.get() != Watch::No {
                runner.watch();
            }
            self.arrive(runner);
        });
        // A task that cancels its child now sends the place, or the child's poll sees the mark.
        publish_places();
    }

    fn arrive(&mut self, runner: ChildRunner<'env, K>) {
        let header = runner.header();
        if header.finalizer {
            self.finalizers.push(runner);
        } else if self.control().is_cancelled() || header.is_cancelled() {
            self.refuse_before_it_begins(runner);
        } else {
            header.set_age(self.births);
            self.births = self.births.wrapping_add(1);
            self.set.insert_with(|key| {
                runner.header().set_place(key.index() as u32);
                Member::new(runner)
            });
        }
    }

    fn hear(&mut self, item: News, ambient: &Ambient) {
        match item {
            News::Adopt(future) => self.adopt(future),
            // It has no task that could look for its place, so that need not be published.
            News::Spawn(future, at) => self.arrive(K::child(future, at)),
            News::CancelChild(key) => self.cancel_child(key),
            News::Stop(reason, grace) => {
                // A second stop replaces the alarm. The token keeps the first reason.
                if self.is_running() {
                    self.set_alarm(Alarm::Stop(reason), Some(grace), ambient);
                }
            }
            News::Panicked(payload) => self.fail_by_drop(&by_drop(), payload),
            News::Failed(runner, payload) => self.fail_child(runner, payload),
        }
    }
}
