//! What happens inside a scope's future: one poll loop, and the phases that a scope goes through.
//!
//! The body and the in-task children lie in one [`Set`]. The [`Control`] counts the parallel
//! children. A scope is *running* until it is cancelled or has completed, also while it joins. It
//! is *winding down* from when its token is cancelled, by the scope itself or by an enclosing
//! region, until everything in it has ended. Either way the finalizers come last, one after the
//! other, and then the scope has completed. A body that has the scope to itself is polled without
//! the set (`alone.rs`).
//!
//! Invariants:
//!
//! - A scope that is alone between polls sleeps on its bell.
//! - The scope holds its own token, and through it the enclosing region, exactly while it has
//!   something that needs time to end: finalizers, parallel children, adopted futures, or a failure
//!   to return. Members with holds of their own count by themselves.
//! - A member's token is below the scope's before the member can be suspended with it.
//! - No user code runs, and nothing of the user's is dropped, while the inbox or the news are
//!   locked.

mod adopted;
mod alone;
mod enclosing;
mod failure;
mod poll_member;
mod take_in;
mod wind_down;

use std::future::Future;
use std::mem;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use self::adopted::AdoptedMember;
use self::alone::Alone;
use self::enclosing::Enclosing;
use self::failure::by_drop;
use self::poll_member::{Exit, Visit};
use super::kind::{ChildRunner, Kind, Member};
use super::options::{End, Policy};
use crate::cancel::Idle;
use crate::cancel::reason::Reason;
use crate::cancel::token::{Hold, Level, TokenListener};
use crate::context::ends::EndsWith;
use crate::context::{self, Ambient, Replaced, Swap, Watch};
use crate::engine::atomics::{Ordering, fence};
use crate::engine::{Answer, Key, Set};
use crate::name::Name;
use crate::panic::{FirstPanic, Payload, catch};
use crate::runtime::Timer;
use crate::scope::control::{Control, Parts};
use crate::task::hub::Typed;
use crate::trace::tree;

/// What the handles of a scope share with its future: the [`Control`], by which they also reach the
/// inbox, which has new children and finalizers, and the errors.
pub(super) type Core<'env, E, K> = Typed<Parts, ChildRunner<'env, K>, E>;

/// How many rounds one poll of a scope makes at most.
///
/// Three are the fewest in which a scope can complete at once: the body spawns, the children run,
/// and the body awaits them.
const ROUNDS: usize = 3;

/// How far a scope is.
enum Phase {
    /// Not polled yet.
    Fresh,
    /// Everything goes on, also while the body has completed and children have not.
    Running,
    /// The scope is cancelled, for this reason. What needs time to end goes on.
    WindingDown { reason: Arc<Reason>, grace: Grace },
    /// Everything has ended. The enclosing region, which was cancelled, drops the scope's future.
    Detached,
    /// The scope has completed, or is being dropped.
    Ended,
}

/// How far the grace of a wind-down is.
enum Grace {
    /// It has not passed, or there is none.
    Running,
    /// The scope's own grace for its children has passed. Those with holds let go of them.
    Passed(Idle),
    /// The grace of an enclosing wind-down has passed. Then a finalizer is polled once, too.
    Overdue,
}

impl Phase {
    fn into_reason(self) -> Option<Arc<Reason>> {
        match self {
            Phase::WindingDown { reason, .. } => Some(reason),
            _ => None,
        }
    }
}

/// Who waits for the parallel children, and hears their news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Custody {
    /// This scope does.
    Own,
    /// The enclosing scope hears the news. There are no parallel children, or nobody waits for
    /// them.
    Transferred,
    /// An [`Orphans`](super::transfer::Orphans) waits for them, and has the news and the bell.
    Orphaned,
}

/// What to do when the alarm's time has come.
enum Alarm {
    /// Cancel what did not stop by itself.
    Stop(Arc<Reason>),
    /// End what has overrun the grace, or the linger time.
    Grace,
}

/// The state of a scope, without the body, which lies beside it in the scope's future.
pub(super) struct Machine<'env, T, E, K: Kind> {
    pub(super) core: Core<'env, E, K>,
    /// The control, for the context. The context has it during a poll, and it is kept here between
    /// polls.
    lent: Option<Arc<Control>>,
    pub(super) policy: Policy<E>,
    phase: Phase,
    /// The body, the in-task children, and the finalizer that is running.
    set: Set<Member<'env, K>>,
    /// Whether the body is all that is left to poll, and has the caller's waker in place of the
    /// set's.
    alone: Alone,
    /// Made for the first future that is adopted.
    adopted: Option<Box<Set<AdoptedMember>>>,
    /// Those that have not run yet. The last one runs first.
    finalizers: Vec<ChildRunner<'env, K>>,
    finalizing: Option<Key>,
    /// The age of the next child: its number in the order of arrival.
    births: u32,
    enclosing: Enclosing,
    /// Wakes the scope when the level of its own token rises.
    listener: Option<TokenListener>,
    hold: Option<Hold>,
    alarm: Option<(Alarm, Pin<Box<Timer>>)>,
    custody: Custody,
    output: Option<T>,
    panics: FirstPanic,
}

/// The body, as the machine polls it and drops it.
pub(super) type Body<'a, B> = Pin<&'a mut Option<B>>;

impl<'env, T, E, K: Kind> Machine<'env, T, E, K> {
    #[inline]
    pub(super) fn new(core: Core<'env, E, K>, name: Name) -> Self {
        Machine {
            core,
            lent: None,
            policy: Policy { name, grace: None, linger: None, keep_going: false, observer: None },
            phase: Phase::Fresh,
            set: Set::new(),
            alone: Alone::No,
            adopted: None,
            finalizers: Vec::new(),
            finalizing: None,
            births: 0,
            enclosing: Enclosing::default(),
            listener: None,
            hold: None,
            alarm: None,
            custody: Custody::Own,
            output: None,
            panics: FirstPanic::default(),
        }
    }

    fn control(&self) -> &Arc<Control> {
        self.core.hub()
    }

    fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running)
    }

    fn is_winding_down(&self) -> bool {
        matches!(self.phase, Phase::WindingDown { .. })
    }

    fn is_overdue(&self) -> bool {
        matches!(self.phase, Phase::WindingDown { grace: Grace::Overdue, .. })
    }

    pub(super) fn poll<B>(&mut self, mut body: Body<'_, B>, ambient: &Ambient, cx: &mut Context<'_>) -> Poll<End<T, E>>
    where
        B: Future<Output = Result<T, E>>,
    {
        let is_tripped = ambient.is_tripped();
        match self.phase {
            Phase::Ended => panic!("scope `{}` was polled after it was ready", self.policy.name),
            Phase::Detached => return Poll::Pending,
            // Nothing new starts in a cancelled region. Its owner drops this scope.
            Phase::Fresh if is_tripped => return Poll::Pending,
            Phase::Fresh => self.start(ambient),
            Phase::Running | Phase::WindingDown { .. } => {}
        }
        self.enclosing.is_cancelled = false;
        let _calm = ambient.note_calm(!is_tripped);
        self.enclosing.note_deadlines(self.core.hub(), ambient);
        if self.poll_alone(&mut body, is_tripped, ambient, cx) {
            return Poll::Pending;
        }
        self.enclosing.follow(self.core.hub(), ambient);
        if is_tripped {
            // Made if there was none, so that `settle` passes the cancellation on.
            self.control().token();
        }
        // Before the turn, so that the turn sees what an enclosing region was told meanwhile.
        self.settle(ambient, cx);
        let flow = self.within(ambient, |machine| {
            if ambient.is_drawing() {
                machine.turn_drawn(&mut body, ambient, cx)
            } else {
                machine.turn(&mut body, ambient, cx)
            }
        });
        if flow.is_break() {
            // First, because `finish` may leave the scope pending. The enclosing region drops it
            // when this hold has ended.
            self.hold = None;
            return self.finish(ambient);
        }
        // After the turn, which shows what needs time to end, and before the token is linked, so
        // that the enclosing region never sees it there without the hold.
        let needs_time = self.update_hold(ambient);
        // Once more, as the turn or the hold may have made the token.
        self.settle(ambient, cx);
        // Last, because the token may have been raised when it was linked.
        if self.has_news_of_token() {
            cx.waker().wake_by_ref();
        }
        self.rest(needs_time, cx.waker());
        Poll::Pending
    }

    /// Runs `f` as what this scope contains.
    #[inline]
    fn within<R>(&mut self, ambient: &Ambient, f: impl FnOnce(&mut Self) -> R) -> R {
        let mut scope = self.lent.take().or_else(|| Some(Arc::clone(self.control())));
        let result = {
            let _scope = Swap::new(&ambient.scope, &mut scope);
            let _inside = Replaced::new(&ambient.inside, true);
            let _ends_with = Replaced::new(&ambient.ends_with, EndsWith::SCOPE);
            f(self)
        };
        self.lent = scope;
        result
    }

    fn start(&mut self, #[cfg_attr(not(feature = "sim"), allow(unused))] ambient: &Ambient) {
        self.phase = Phase::Running;
        #[cfg(feature = "sim")]
        if ambient.watch.get() != Watch::No {
            // In one block, so that all the children of a small scope can change places.
            self.set = Set::with_capacity(64);
        }
        self.set.insert(Member::body());
        // The body has the age 0, and so is dropped last.
        self.births = 1;
    }

    /// Links the scope's token, if somebody asked for it, below the enclosing region's, and listens
    /// to it.
    fn settle(&mut self, ambient: &Ambient, cx: &mut Context<'_>) {
        if let Some(token) = self.core.hub().known_token() {
            ambient.link(token);
            self.listener.get_or_insert_with(|| TokenListener::new(token.clone())).listen(cx.waker());
        }
    }

    /// Returns whether the token's level was raised and has not been acted on.
    ///
    /// A token that was made in this poll learns of an enclosing cancellation only when it is
    /// linked, and that is before anybody listens to it.
    fn has_news_of_token(&self) -> bool {
        self.control().known_token().is_some_and(|token| match token.level() {
            Level::Live | Level::Asked => false,
            Level::Cancelled => self.is_running(),
            Level::Overdue => !self.is_overdue(),
        })
    }

    /// Takes a hold, or lets go of it. Returns whether the scope needs time to end, which it does
    /// also outside of regions, where there is nothing to hold.
    #[inline]
    fn update_hold(&mut self, ambient: &Ambient) -> bool {
        let needed = self.finalizing.is_some()
            || !self.finalizers.is_empty()
            || self.has_adopted()
            || (self.custody == Custody::Own && self.control().parallel() > 0)
            || self.has_failed();
        if !needed {
            if self.hold.is_some() {
                self.hold = None;
            }
        } else if self.hold.is_none() && ambient.inside.get() {
            self.hold = Some(self.control().token().hold());
        }
        needed
    }

    /// Returns whether there is a panic or an error that the scope has yet to return.
    fn has_failed(&self) -> bool {
        self.panics.is_some() || self.core.has_errors()
    }

    /// Polls every member, for a drawing of the tree.
    fn turn_drawn<B>(&mut self, body: &mut Body<'_, B>, ambient: &Ambient, cx: &mut Context<'_>) -> ControlFlow<()>
    where
        B: Future<Output = Result<T, E>>,
    {
        let keys: Vec<Key> = self.set.keys().collect();
        keys.into_iter().for_each(|key| self.set.wake(key));
        if self.policy.linger.is_some() {
            return self.turn(body, ambient, cx);
        }
        let name = tree::quoted("scope ", &self.policy.name);
        let mut flow = ControlFlow::Continue(());
        let _ = tree::afresh(Arc::as_ptr(self.core.hub()).addr(), name.clone(), || {
            flow = tree::named(name, || self.turn(body, ambient, cx));
            if flow.is_break() { Poll::Ready(()) } else { Poll::Pending }
        });
        flow
    }

    /// Works until nothing is ready, for a few rounds at most. `Break` means that the scope has
    /// completed.
    fn turn<B>(&mut self, body: &mut Body<'_, B>, ambient: &Ambient, cx: &mut Context<'_>) -> ControlFlow<()>
    where
        B: Future<Output = Result<T, E>>,
    {
        for round in 1..=ROUNDS {
            // The news of cancelled children come before the wind-down, which tells the reason of
            // the scope to all others. The wind-down comes before the polls, so that nothing that
            // it drops is polled.
            self.take_in(ambient);
            self.check(body, ambient, cx);
            self.poll_adopted(ambient, cx);
            let ended = self.control().ended();
            self.poll_members(body, ambient);
            if self.is_running() && self.control().is_cancelled() {
                // By a member in this round. `check` drops the others before anything else.
                continue;
            }
            if self.enclosing.is_cancelled {
                // The next poll finds the enclosing region cancelled.
                break;
            }
            if self.is_overdue() && self.drop_overdue_finalizer() {
                continue;
            }
            if self.set.is_empty() && !self.has_adopted() && self.next(ambient)? {
                continue;
            }
            if self.poll_alarm(cx) {
                self.ring(body);
                continue;
            }
            if self.fall_asleep(round, ended, ambient, cx) {
                return ControlFlow::Continue(());
            }
        }
        // Other tasks want a turn: a child that spawns whenever it is polled would keep this going
        // forever. What came in the last round may need a hold, so it is taken in before this
        // returns.
        self.take_in(ambient);
        cx.waker().wake_by_ref();
        ControlFlow::Continue(())
    }

    /// Goes to sleep after a round, on the set and on the bell. `ended` children had ended before
    /// the round. Returns false if there is more to do now.
    #[inline]
    fn fall_asleep(&mut self, round: usize, ended: usize, ambient: &Ambient, cx: &Context<'_>) -> bool {
        // After `transfer` nobody rings for this scope. `take_in` looks at the inbox in each round,
        // refuses the children, and keeps the finalizers.
        let own = self.custody == Custody::Own;
        if own && self.control().bell.is_rung() {
            return false;
        }
        if !self.set.is_empty() && !self.set.sleep(cx.waker()) {
            // Whoever awaits a child that has ended goes on now. Members that only wake themselves
            // and each other wait until other tasks have had a turn. A simulation has its turn
            // between any two, so that it can cancel the scope there.
            if round < ROUNDS && self.control().ended() != ended && ambient.watch.get() == Watch::No {
                return false;
            }
            cx.waker().wake_by_ref();
            // What is polled again need not sleep on the bell. A body without children does, as it
            // may be alone from now on.
            if self.set.len() > 1 {
                return true;
            }
        }
        !own || self.control().bell.sleep(cx.waker())
    }

    /// Takes the next step of a scope in which no member and no adopted future is left: starts the
    /// next finalizer, or ends the scope. Does nothing while there are parallel children.
    ///
    /// Returns true if there is more to do now, and `Break` if the scope has completed.
    fn next(&mut self, ambient: &Ambient) -> ControlFlow<(), bool> {
        let own = self.custody == Custody::Own;
        if own && self.control().parallel() > 0 {
            return ControlFlow::Continue(false);
        }
        // The bell is looked at after the count of parallel children, so that what the last of them
        // sent is seen. Without custody the bell tells nothing of the inbox, because the `Orphans`
        // rouse it for all calls.
        let arrived = if own { self.control().bell.is_rung() } else { !self.core.is_empty() };
        if arrived {
            return ControlFlow::Continue(true);
        }
        if let Some(finalizer) = self.finalizers.pop() {
            if let Some(token) = self.core.hub().known_token() {
                token.note_progress();
            }
            if self.is_winding_down() {
                self.set_alarm(Alarm::Grace, self.policy.grace, ambient);
            }
            self.finalizing = Some(self.set.insert(Member::new(finalizer)));
            return ControlFlow::Continue(true);
        }
        if own && !self.is_sole() && !self.control().close_parallel() {
            return ControlFlow::Continue(true);
        }
        ControlFlow::Break(())
    }

    /// Returns whether nobody else has the control, so that nothing more can come, and there is
    /// nothing to refuse.
    ///
    /// One reference to the control is the machine's, and one is the context's, or kept for it. The
    /// bell tells whether others have sent something before they let go.
    fn is_sole(&self) -> bool {
        // Once the bell is the `Orphans`', they take a ring for the inbox as any other.
        if self.custody != Custody::Own || Arc::strong_count(self.control()) > 2 {
            return false;
        }
        // It pairs with the release by which the last other owner let go, whose rings are seen
        // below.
        fence(Ordering::Acquire);
        !self.control().bell.is_rung()
    }

    /// Polls the members that are ready, until the pass is over. Once the scope has been cancelled,
    /// or an enclosing one with which it ends, the rest are passed over.
    fn poll_members<B>(&mut self, body: &mut Body<'_, B>, ambient: &Ambient)
    where
        B: Future<Output = Result<T, E>>,
    {
        loop {
            let control = self.core.hub();
            let (finalizing, winding_down) = (self.finalizing, self.is_winding_down());
            let mut visit = Visit { control, winding_down, body: &mut *body, exit: None, ambient };
            let polled = self.set.poll_pass(|key, member, cx| {
                if !winding_down && (control.is_cancelled() || self.enclosing.look(ambient)) {
                    // By a member of this pass. This one keeps its place, if it is not dropped.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                visit.poll(member.get_mut(), cx).map(|()| {
                    if visit.exit.is_none() && finalizing != Some(key) {
                        // The common case, in which there is no need to return.
                        Answer::Done
                    } else {
                        Answer::Last(key)
                    }
                })
            });
            let exit = visit.exit;
            match polled {
                Poll::Ready(Some(key)) => self.exit(key, exit, body, ambient),
                Poll::Ready(None) | Poll::Pending => return,
            }
        }
    }

    /// Does what is to be done for a member that has ended.
    fn exit<B>(&mut self, key: Key, exit: Option<Exit<'env, K, T, E>>, body: &mut Body<'_, B>, ambient: &Ambient) {
        if self.finalizing == Some(key) {
            self.finalizing = None;
        }
        match exit {
            None => {}
            Some(Exit::Panicked(payload)) => self.fail_by_drop(&by_drop(), payload),
            Some(Exit::Failed(runner, payload)) => self.fail_child(runner, payload),
            Some(Exit::Stopped(runner)) => self.refuse_cancelled(runner),
            Some(Exit::Body(None)) => {
                self.drop_body(body);
                self.control().begin_to_join();
            }
            Some(Exit::Body(Some(result))) => {
                let dropped = catch(|| context::outside(|| body.set(None)));
                // The body's own panic counts, and not one of its destructor after it.
                self.ended_body(ambient, result);
                if let Err(payload) = dropped {
                    self.fail_by_drop(&self.policy.name.clone(), payload);
                }
            }
        }
    }

    fn ended_body(&mut self, ambient: &Ambient, result: Result<Result<T, E>, Payload>) {
        self.control().begin_to_join();
        match result {
            Ok(Ok(output)) => {
                self.output = Some(output);
                if self.policy.linger.is_some() {
                    self.set_alarm(Alarm::Grace, self.policy.linger, ambient);
                }
            }
            Ok(Err(error)) => {
                let name = self.policy.name.clone();
                self.core.errors().push(name.clone(), error);
                self.fail(&name, None);
            }
            Err(payload) => self.fail(&self.policy.name.clone(), Some(payload)),
        }
    }

    /// Ends the scope when everything in it has ended.
    ///
    /// The lanes are closed first, because what is refused there may still panic.
    fn finish(&mut self, ambient: &Ambient) -> Poll<End<T, E>> {
        let sole = self.is_sole();
        if !sole {
            self.close(None);
        }
        self.alarm = None;
        self.enclosing.forget_child(self.control());
        let mut errors = if sole && !self.core.has_errors() { Vec::new() } else { self.core.end_errors() };
        if errors.len() > 1 && !self.policy.keep_going && !self.panics.is_some() {
            self.report(errors.split_off(1));
        }
        // A panic wins over an error, and that of an observer does, too.
        if self.panics.is_some() {
            self.report(mem::take(&mut errors));
        }
        // Before a panic is resumed, so that the drop that follows has nothing to do.
        let reason = mem::replace(&mut self.phase, Phase::Ended).into_reason();
        let from_around = reason.is_some() && ambient.is_tripped();
        mem::take(&mut self.panics).resume();
        if from_around && errors.is_empty() {
            self.phase = Phase::Detached;
            return Poll::Pending;
        }
        Poll::Ready(End { output: self.output.take(), errors, reason })
    }
}
