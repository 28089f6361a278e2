//! Ends a scope early: what is dropped, in which order, and what is waited for.
//!
//! The page [`cancel`](crate::cancel) explains the protocol. A scope winds down in steps:
//!
//! - What needs no time to end is dropped, newest first.
//! - What has holds is polled on, for as long as the grace allows.
//! - What has not ended by then is dropped, too, and reported by name.
//! - What is `'static`, and this scope cannot wait for, is transferred to the enclosing scope.

use std::mem;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use super::poll_member::take_out;
use super::{Alarm, Body, Custody, Grace, Machine, Phase};
use crate::cancel::Idle;
use crate::cancel::reason::{Cause, Causes, Reason};
use crate::cancel::token::{Level, Token};
use crate::context::{self, Ambient, Ending};
use crate::engine::Key;
use crate::name::Name;
use crate::scope::control::Control;
use crate::scope::kind::{Kind, Member};
use crate::scope::options::Notice;
use crate::scope::transfer::{self, Orphans};

impl<'env, T, E, K: Kind> Machine<'env, T, E, K> {
    /// Acts on the level of the scope's token, if it has been raised.
    pub(super) fn check<B>(&mut self, body: &mut Body<'_, B>, ambient: &Ambient, cx: &Context<'_>) {
        let Some(level) = self.control().known_token().map(Token::level) else { return };
        if level >= Level::Cancelled && self.is_running() {
            self.wind_down(body, ambient);
        }
        match &mut self.phase {
            Phase::WindingDown { grace: Grace::Overdue, .. } => {}
            Phase::WindingDown { grace, .. } if level == Level::Overdue => {
                *grace = Grace::Overdue;
                self.overrun(body);
            }
            Phase::WindingDown { grace: Grace::Passed(idle), .. } => {
                // A finalizer has a grace of its own, and is alone in the set by now.
                let has_members = self.finalizing.is_none() && !self.set.is_empty();
                if has_members && idle.is_stuck(self.core.hub().known_token(), cx) {
                    self.stop_all(body, |_| true);
                }
            }
            _ => {}
        }
    }

    /// Begins the wind-down: drops what needs no time to end, newest first.
    ///
    /// The reason is noted first, because the tasks of what is dropped have it. Parallel children
    /// are told to end after the drops, as the page on scopes promises.
    pub(super) fn wind_down<B>(&mut self, body: &mut Body<'_, B>, ambient: &Ambient) {
        if !ambient.is_calm() {
            // Something that encloses the scope may have been cancelled before it, in this poll. The
            // scope's token is linked after that.
            if let Some(first) = self.control().why_doomed() {
                self.control().token().raise_for(Level::Cancelled, &first);
            }
        }
        let reason = self.control().refusal();
        self.phase = Phase::WindingDown { reason, grace: Grace::Running };
        // This replaces the alarm of a stop, which has nothing left to do.
        self.set_alarm(Alarm::Grace, self.policy.grace.or(self.policy.linger), ambient);
        self.stop_all(body, |member| !member.is_finalizer() && !member.is_held());
        Arc::clone(self.control()).tell_parallel(&mut self.panics);
        // The members that are left are polled once more, so that they wait for their last hold.
        let keys: Vec<Key> = self.set.keys().collect();
        keys.into_iter().for_each(|key| self.set.wake(key));
    }

    /// Ends one child that its task has cancelled.
    ///
    /// A child that needs no time to end is dropped now. Another is dropped when it is suspended
    /// without a hold.
    pub(super) fn cancel_child(&mut self, key: Key) {
        let Some(member) = self.set.get(key) else { return };
        let member = member.get_mut();
        if !member.runner.as_ref().is_some_and(|runner| runner.header().is_cancelled()) {
            return;
        }
        member.trip();
        if member.is_held() {
            self.set.wake(key);
        } else {
            self.stop(key);
        }
    }

    /// Drops a child or a finalizer.
    pub(super) fn stop(&mut self, key: Key) {
        let Some(member) = self.set.get(key) else { return };
        // The runner is taken out first. `refuse` drops the future outside of its region, keeps its
        // panic and tells the task the reason, and the set would do none of this.
        let runner = take_out(&mut member.get_mut().runner, self.core.hub());
        self.set.remove(key);
        if self.finalizing == Some(key) {
            self.finalizing = None;
        }
        if let Some(runner) = runner {
            self.refuse_cancelled(runner);
        }
    }

    /// Drops the members that `which` picks, newest first.
    pub(super) fn stop_all<B>(&mut self, body: &mut Body<'_, B>, which: impl Fn(&Member<'env, K>) -> bool) {
        let keys: Vec<Key> = self.set.keys().collect();
        let mut ages = Vec::with_capacity(keys.len());
        for key in keys {
            if let Some(member) = self.set.get(key) {
                let member = member.get_mut();
                if which(member) {
                    ages.push((member.age(), key, member.runner.is_none()));
                }
            }
        }
        // Vacant slots are used again, so the order of the slots need not be that of age.
        ages.sort_unstable_by_key(|&(age, ..)| age);
        for (_, key, is_body) in ages.into_iter().rev() {
            if is_body {
                self.drop_body(body);
                self.set.remove(key);
            } else {
                self.stop(key);
            }
        }
    }

    /// Drops the body of a scope that is cancelled, or dropped itself.
    pub(super) fn drop_body<B>(&mut self, body: &mut Body<'_, B>) {
        let _why = self.control().cause().map(Ending::new);
        self.panics.run(|| context::outside(|| body.set(None)));
    }

    /// Sets the alarm for `after` from now. `None` clears it.
    pub(super) fn set_alarm(&mut self, alarm: Alarm, after: Option<Duration>, ambient: &Ambient) {
        let at = after.and_then(|after| ambient.now().checked_add(after));
        self.alarm = at.map(|at| (alarm, Box::pin(ambient.timer(at))));
    }

    /// Returns whether the alarm's time has come.
    pub(super) fn poll_alarm(&mut self, cx: &mut Context<'_>) -> bool {
        self.alarm.as_mut().is_some_and(|(_, timer)| timer.as_mut().poll(cx).is_ready())
    }

    /// Does what the alarm was set for.
    pub(super) fn ring<B>(&mut self, body: &mut Body<'_, B>) {
        match self.alarm.take() {
            Some((Alarm::Stop(reason), _)) => self.control().cancel(&reason),
            Some((Alarm::Grace, _)) => {
                if let Phase::WindingDown { grace: grace @ Grace::Running, .. } = &mut self.phase {
                    *grace = Grace::Passed(Idle::default());
                }
                self.overrun(body);
            }
            None => {}
        }
    }

    /// Ends what has overrun the grace: drops it, or transfers what is `'static`.
    ///
    /// A member with holds is told by its token, and lets go of them in a few polls. So a scope in
    /// there gives its finalizers their turn. The member is dropped after that.
    fn overrun<B>(&mut self, body: &mut Body<'_, B>) {
        let reason = self.control().refusal();
        let is_overdue = self.is_overdue();
        let stays = |member: &Member<'env, K>| if member.is_finalizer() { is_overdue } else { member.is_held() };
        let keys: Vec<Key> = self.set.keys().collect();
        for key in keys {
            let Some(member) = self.set.get(key) else { continue };
            if is_overdue && member.is_finalizer() {
                // Its one turn may be to come. It is dropped, and named, after that.
                continue;
            }
            let token = member.token.clone().filter(|_| stays(&member));
            let is_named = token.as_ref().is_none_or(|token| token.level() < Level::Overdue);
            if is_named {
                let name = member.runner.as_ref().map_or_else(|| self.policy.name.clone(), |runner| runner.name());
                self.report_overrun(name);
            }
            if let Some(token) = token {
                token.raise(Level::Overdue, &reason);
                self.set.wake(key);
            }
        }
        self.stop_all(body, |member| !stays(member));
        self.transfer(None);
    }

    /// Reports to the token and the observer that `task` has overrun the grace.
    pub(super) fn report_overrun(&mut self, task: Name) {
        if let Some(token) = self.control().known_token() {
            token.report_overrun(&task);
        }
        if let Some(observer) = &mut self.policy.observer {
            self.panics.run(|| observer(Notice::Overrun { task }));
        }
    }

    /// Drops the running finalizer, which has had its one poll, in a wind-down whose grace has
    /// passed.
    ///
    /// Returns whether there was one, so that there is more to do.
    pub(super) fn drop_overdue_finalizer(&mut self) -> bool {
        let Some(key) = self.finalizing else { return false };
        if let Some(name) = self.set.get(key).and_then(|member| member.runner.as_ref().map(|runner| runner.name())) {
            self.report_overrun(name);
            self.stop(key);
        }
        true
    }

    /// Transfers what is `'static` and has not ended: adopted futures, and the wait for parallel
    /// children.
    ///
    /// They go to the enclosing scope, or to the runtime that is found if there is none.
    pub(super) fn transfer(&mut self, enclosing: Option<Arc<Control>>) {
        let had_custody = self.custody == Custody::Own;
        if had_custody {
            self.custody = Custody::Transferred;
            self.end_parallel();
        }
        let enclosing = enclosing.or_else(|| self.control().enclosing());
        if enclosing.is_none() && !context::finishes() {
            self.lose_adopted();
            return;
        }
        self.transfer_adopted(enclosing.as_ref());
        if had_custody {
            self.transfer_parallel(enclosing);
        }
    }

    /// Tells the parallel children to end, if they have not been told.
    ///
    /// They have been, unless nobody has cancelled the scope, or they were spawned just now.
    fn end_parallel(&mut self) {
        let control = Arc::clone(self.control());
        if !control.close_parallel() {
            control.cancel(&Arc::new(Reason::Dropped));
            control.tell_parallel(&mut self.panics);
        }
    }

    /// Leaves the wait for the parallel children to `enclosing`, if there are any left.
    fn transfer_parallel(&mut self, enclosing: Option<Arc<Control>>) {
        let control = Arc::clone(self.control());
        if control.close_parallel() {
            // From here on, what is sent goes to the enclosing scope at once. The finalizers, which
            // still have their turn, may wait for it.
            self.close_news(enclosing.as_ref());
            return;
        }
        self.custody = Custody::Orphaned;
        let wait = Box::pin(Orphans::new(control, enclosing.clone()));
        self.panics.run(|| context::adopt(enclosing.as_ref(), wait));
    }

    /// Closes both lanes, and deals with what is still in them.
    pub(super) fn close(&mut self, enclosing: Option<&Arc<Control>>) {
        self.close_inbox();
        if self.custody == Custody::Orphaned {
            // The lane and the bell are the `Orphans`' now, even if the last child has just ended:
            // it may be about to ring.
            return;
        }
        self.close_news(enclosing);
        self.control().bell.unhang();
    }

    /// Closes the inbox, and refuses the children and finalizers that are still in it.
    fn close_inbox(&mut self) {
        if let Some(children) = self.core.close() {
            children.for_each_rev(|runner| self.refuse_before_it_begins(runner));
        }
    }

    /// Closes the lane of the news, and transfers what is still in it to `enclosing`, or to the
    /// scope in which this one was polled last.
    fn close_news(&mut self, enclosing: Option<&Arc<Control>>) {
        let Some(news) = self.control().news().close() else { return };
        let enclosing = enclosing.cloned().or_else(|| self.control().enclosing());
        news.for_each(|item| transfer::forward(item, self.core.hub(), enclosing.as_ref(), &mut self.panics));
    }

    /// Ends a scope whose future is dropped before it completed.
    pub(in crate::scope) fn abandon<B>(&mut self, body: &mut Body<'_, B>) {
        if matches!(self.phase, Phase::Ended | Phase::Detached) {
            return;
        }
        let (here, why) = context::with(|ambient| {
            let doomed = || if ambient.is_tripped() { ambient.why_tripped() } else { None };
            // What is dropping this has looked outwards.
            (ambient.scope(), ambient.why_ending().or_else(doomed))
        });
        // The enclosing scope is the one in which this one was polled last. If that has completed,
        // it is the one in which this one is dropped.
        let last = self.control().enclosing();
        let living = last.clone().filter(|last| !last.news().is_closed());
        // If both are none, the search goes on outwards from the last one, although that has
        // completed.
        let enclosing = living.or(here).or(last);
        self.phase = Phase::Ended;
        let mut causes = Causes::default();
        causes.add(why);
        causes.add(self.control().cause());
        let mut cause = causes.into_first().unwrap_or_else(|| Cause::now(Arc::new(Reason::Dropped)));
        // As with a token, the reason stays that of a stop that came before.
        let asked = self.control().known_token().filter(|token| !token.is_tripped());
        if let Some(asked) = asked.and_then(Token::cause).filter(|asked| asked.at.is_before(cause.at)) {
            cause.reason = asked.reason;
        }
        // New children are refused before anything is dropped, because a destructor may spawn.
        self.control().set_dropped(cause.clone());
        self.control().refuse_parallel();
        // Nobody else could see a cancellation, which would allocate a token, and wake the poller.
        if self.control().parallel() > 0 || self.control().known_token().is_some() {
            let control = Arc::clone(self.control());
            self.panics.run(|| control.cancel(&cause.reason));
        }
        // What waits in the inbox is newer than every member.
        self.close_inbox();
        self.stop_all(body, |_| true);
        // In a scope that was never polled, the body is no member yet.
        self.drop_body(body);
        let _why = Ending::new(cause);
        for mut finalizer in mem::take(&mut self.finalizers).into_iter().rev() {
            self.panics.run_result(context::outside(|| finalizer.refuse(None)));
        }
        self.report(self.core.end_errors());
        self.transfer(enclosing.clone());
        self.close(enclosing.as_ref());
        self.enclosing.forget_child(self.control());
        transfer::pass_up_panic(mem::take(&mut self.panics), enclosing.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::panic::Location;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Poll, Wake, Waker};

    use super::*;
    use crate::scope::control::{News, Parts};
    use crate::scope::kind::AnyThread;
    use crate::scope::state::Core;
    use crate::task::cell::Runner;
    use crate::task::crew::Membership;

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    fn machine() -> Machine<'static, (), Infallible, AnyThread> {
        Machine::new(Core::<Infallible, AnyThread>::new(Parts::new()), Name::from("inner"))
    }

    /// A waker that panicked after the scope's last step had the scope dropped before it had ended.
    #[test]
    fn a_scope_that_is_dropped_after_its_last_step_leaves_no_wait_behind() {
        let mut machine = machine();
        let enclosing = Control::bare();
        assert!(machine.control().close_parallel());
        machine.transfer(Some(Arc::clone(&enclosing)));
        assert!(enclosing.news().is_empty(), "something waits for children that there cannot be");
    }

    /// A child that has been counted as ended, and was about to say so, said it to nobody: the wait
    /// for it hung.
    #[test]
    fn a_scope_that_ends_between_its_last_orphans_end_and_the_news_of_it_leaves_the_wait_its_waker() {
        let mut machine = machine();
        let (inner, enclosing) = (Arc::clone(machine.control()), Control::bare());
        let child = Membership::join(&inner);
        machine.transfer(Some(Arc::clone(&enclosing)));
        drop(child);

        // As if the wait had fallen asleep before the ring that was in this.
        let woken = Arc::new(Woken::default());
        inner.bell.rouse();
        assert!(inner.bell.sleep(&Waker::from(Arc::clone(&woken))));
        machine.close(Some(&enclosing));
        inner.bell.ring();
        assert!(woken.0.load(Ordering::SeqCst));
    }

    /// Another thread may have sent it, and let go of the scope, after the scope's last look.
    #[test]
    fn a_child_of_one_who_has_let_go_of_the_scope_is_refused_at_the_end() {
        let mut machine = machine();
        let (child, mut task) = Runner::new(async { Ok(()) }, Location::caller(), ());
        assert!(machine.core.push(child.shared(), &machine.control().bell).is_ok());
        assert!(context::with(|ambient| machine.finish(ambient)).is_ready());
        let polled = task.poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(Some(Err(_)))), "the child is forgotten");
    }

    /// The wait for the orphans took the ring for a child that was sent in the scope's last poll.
    /// So the scope, which nobody else reached any more, ended as if there was no child, whose task
    /// waited for ever.
    #[test]
    fn a_child_that_comes_after_the_last_look_is_refused_although_the_wait_for_orphans_took_its_ring() {
        let mut machine = machine();
        let (inner, enclosing) = (Arc::clone(machine.control()), Control::bare());
        let orphan = Membership::join(&inner);
        machine.transfer(Some(Arc::clone(&enclosing)));

        let (child, mut task) = Runner::new(async { Ok(()) }, Location::caller(), ());
        assert!(machine.core.push(child.shared(), &inner.bell).is_ok());
        drop((orphan, inner));
        let cx = &mut Context::from_waker(Waker::noop());
        enclosing.news().take().for_each(|item| {
            let News::Adopt(mut wait) = item else { panic!("nothing else is transferred") };
            assert!(wait.as_mut().poll(cx).is_ready());
        });
        assert!(context::with(|ambient| machine.finish(ambient)).is_ready());
        assert!(matches!(task.poll(cx), Poll::Ready(Some(Err(_)))), "the child is forgotten");
    }
}
