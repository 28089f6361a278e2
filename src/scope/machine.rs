//! What happens inside a scope's future: one poll loop, and the phases it goes through.
//!
//! The body and the in-task children lie in one [`Set`]; parallel children are counted in the [`Control`]. A scope is
//! *running*, while joining too, until everything in it is over; or *winding down*, once its token is tripped, by
//! itself or from around. Either way finalizers come last, one after the other, and then it is over.
//!
//! Invariants:
//!
//! - the scope holds its own token, and through it the region around, exactly while it has something that needs time to
//!   end: finalizers, parallel children, adopted futures (members with holds of their own count by themselves);
//! - a member's token is below the scope's before the member can be suspended with it;
//! - no user code runs, and nothing of the user's is dropped, while the inbox or the news are locked.

use std::future::Future;
use std::mem;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use super::child::Errors;
use super::kind::{ChildRunner, Kind, Member};
use super::orphans::{self, Orphans};
use super::parallel::by_task;
use crate::context::{self, Ambient, Due, Swap, Watch};
use crate::control::{Adopted, Control, News};
use crate::lane::Lane;
use crate::name::Name;
use crate::panic::{FirstPanic, Payload, catch};
use crate::runtime::Timer;
use crate::set::node::Ended;
use crate::set::{Answer, Key, Set};
use crate::token::{Hold, Level, Listener, Reason, Token};
use crate::tree;

/// What the handles of a scope share with its future.
pub(super) struct Core<'env, E, K: Kind> {
    pub(super) control: Arc<Control>,
    /// New children, and finalizers.
    pub(super) inbox: Lane<ChildRunner<'env, K>>,
    errors: OnceLock<Arc<Errors<E>>>,
}

impl<E, K: Kind> Core<'_, E, K> {
    pub(super) fn new() -> Arc<Self> {
        #[allow(clippy::arc_with_non_send_sync)] // It is `Sync` where the children are `Send`.
        Arc::new(Core { control: Control::new(), inbox: Lane::new(), errors: OnceLock::new() })
    }

    pub(super) fn errors(&self) -> &Arc<Errors<E>> {
        self.errors.get_or_init(Errors::new)
    }
}

/// Something a scope met with that is not part of its result.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<E> {
    /// A child failed, and the scope does not return its error: there was an earlier one, or a panic, or the scope was
    /// dropped.
    LateError {
        /// The child.
        task: Name,
        /// Its error.
        error: E,
    },
    /// A child did not end within the grace, and was dropped.
    Overrun {
        /// The child.
        task: Name,
    },
}

/// How often one poll of a scope looks whether there is more to do.
const ROUNDS: usize = 3;

/// The room for arrivals that a scope keeps after a rush.
const KEPT: usize = 1024;

/// Is told of [`Event`]s.
pub(super) type Observer<E> = Box<dyn FnMut(Event<E>) + Send>;

/// How a scope was set up.
pub(super) struct Policy<E> {
    pub(super) name: Name,
    /// Bounds each step of a wind-down.
    pub(super) grace: Option<Duration>,
    /// Bounds the wait for what is left when the body of a root is over.
    pub(super) linger: Option<Duration>,
    /// Whether an error leaves the other children running.
    pub(super) keep_going: bool,
    pub(super) observer: Option<Observer<E>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not polled yet.
    Fresh,
    Running,
    WindingDown,
    /// Everything is over, and whoever cancelled the region around drops this.
    Detached,
    Over,
}

/// What to do when the timer fires.
enum Alarm {
    /// Cancel what did not stop by itself.
    Stop(Reason),
    /// The grace, or the linger time, is over.
    Grace,
}

/// How a scope ended.
pub(super) struct End<T, E> {
    pub(super) output: Option<T>,
    pub(super) errors: Vec<(Name, E)>,
    pub(super) reason: Reason,
}

/// What became of a member.
enum Exit<'env, K: Kind> {
    Ended,
    Failed(ChildRunner<'env, K>, Option<Payload>),
    /// It ended, and its value, which nobody waits for, panicked when it was dropped.
    Panicked(Payload),
    /// To be dropped: cancelled, and it needs no more time.
    Stopped(ChildRunner<'env, K>),
    /// The body is over, or to be dropped for that reason.
    Body,
}

/// A scope's state, but for its body.
pub(super) struct Machine<'env, T, E, K: Kind> {
    pub(super) core: Arc<Core<'env, E, K>>,
    pub(super) policy: Policy<E>,
    phase: Phase,
    /// Dropped before what they may borrow from one another is not a question: children borrow from outside only.
    set: Set<Member<'env, K>>,
    adopted: Set<AdoptedMember>,
    /// The last one runs first.
    finalizers: Vec<ChildRunner<'env, K>>,
    finalizing: Option<Key>,
    /// Emptied whenever the lanes are.
    arrivals: Vec<ChildRunner<'env, K>>,
    news: Vec<News>,
    /// The next child's age; and whether slots are no longer in the order of age.
    births: u32,
    reordered: bool,
    listener: Option<Listener>,
    hold: Option<Hold>,
    alarm: Option<(Alarm, Pin<Box<Timer>>)>,
    /// Whether the grace of the wind-down around is over: finalizers get a single poll.
    overdue: bool,
    /// Whether parallel children, and the news of them, are somebody else's.
    handed_on: bool,
    reason: Option<Arc<Reason>>,
    output: Option<T>,
    panics: FirstPanic,
}

struct AdoptedMember {
    future: Adopted,
    token: Option<Token>,
}

/// The body, where the machine may poll it and drop it.
pub(super) type Body<'a, B> = Pin<&'a mut Option<B>>;

impl<'env, T, E, K: Kind> Machine<'env, T, E, K> {
    pub(super) fn new(core: Arc<Core<'env, E, K>>, name: Name) -> Self {
        Machine {
            core,
            policy: Policy { name, grace: None, linger: None, keep_going: false, observer: None },
            phase: Phase::Fresh,
            set: Set::new(),
            adopted: Set::new(),
            finalizers: Vec::new(),
            finalizing: None,
            arrivals: Vec::new(),
            news: Vec::new(),
            births: 0,
            reordered: false,
            listener: None,
            hold: None,
            alarm: None,
            overdue: false,
            handed_on: false,
            reason: None,
            output: None,
            panics: FirstPanic::default(),
        }
    }

    fn control(&self) -> &Arc<Control> {
        &self.core.control
    }

    pub(super) fn poll<B>(&mut self, mut body: Body<'_, B>, cx: &mut Context<'_>) -> Poll<End<T, E>>
    where
        B: Future<Output = Result<T, E>>,
    {
        context::with(|ambient| {
            match self.phase {
                Phase::Over => panic!("scope `{}` was polled after it was ready", self.policy.name),
                Phase::Detached => return Poll::Pending,
                Phase::Fresh if ambient.is_tripped() => return Poll::Pending,
                Phase::Fresh => self.start(ambient),
                Phase::Running | Phase::WindingDown => {}
            }
            if ambient.is_tripped() {
                // Made if there was none, so that `settle` passes the cancellation on.
                self.control().token();
            }
            self.settle(ambient, cx);
            let flow = {
                let mut scope = Some(Arc::clone(self.control()));
                let (mut inside, mut member) = (true, true);
                let _scope = Swap::new(&ambient.scope, &mut scope);
                let _inside = Swap::new(&ambient.inside, &mut inside);
                let _member = Swap::new(&ambient.member, &mut member);
                match ambient.is_drawing() {
                    true => self.turn_drawn(&mut body, ambient, cx),
                    false => self.turn(&mut body, ambient, cx),
                }
            };
            self.update_hold(ambient);
            self.settle(ambient, cx);
            match flow {
                ControlFlow::Continue(()) => {
                    if self.has_news_of_token() {
                        cx.waker().wake_by_ref();
                    }
                    Poll::Pending
                }
                ControlFlow::Break(()) => self.finish(ambient),
            }
        })
    }

    fn start(&mut self, ambient: &Ambient) {
        self.phase = Phase::Running;
        if let Some(around) = ambient.scope() {
            drop(self.control().around.set(around));
        }
        #[cfg(feature = "sim")]
        if ambient.watch.get() != Watch::No {
            // In one block, so that all the children of a small scope can change places.
            self.set = Set::with_capacity(64);
        }
        self.set.insert(Member::body());
        self.births = 1;
    }

    /// Puts the scope's token, if somebody asked for it, in its place in the tree, and listens to it.
    fn settle(&mut self, ambient: &Ambient, cx: &mut Context<'_>) {
        if let Some(token) = self.core.control.known_token() {
            ambient.link(token);
            self.listener.get_or_insert_with(|| Listener::new(token.clone())).listen(cx.waker());
        }
    }

    /// Whether the token's level has not been acted on: a token that was made in this poll learns of a cancellation
    /// around only when it is put in its place, before anybody listens to it.
    fn has_news_of_token(&self) -> bool {
        self.core.control.known_token().is_some_and(|token| match token.level() {
            Level::Live | Level::Asked => false,
            Level::Cancelled => self.phase == Phase::Running,
            Level::Overdue => !self.overdue,
        })
    }

    fn update_hold(&mut self, ambient: &Ambient) {
        let needed = self.finalizing.is_some()
            || !self.finalizers.is_empty()
            || !self.adopted.is_empty()
            || (self.control().parallel() > 0 && !self.handed_on);
        if !needed {
            self.hold = None;
        } else if self.hold.is_none() && ambient.inside.get() {
            self.hold = Some(self.control().token().hold());
        }
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
        let _ = tree::afresh(Arc::as_ptr(&self.core).addr(), || {
            flow = tree::named(name, || self.turn(body, ambient, cx));
            if flow.is_break() { Poll::Ready(()) } else { Poll::Pending }
        });
        flow
    }

    /// Goes on until nothing is ready. `Break`: the scope is over.
    fn turn<B>(&mut self, body: &mut Body<'_, B>, ambient: &Ambient, cx: &mut Context<'_>) -> ControlFlow<()>
    where
        B: Future<Output = Result<T, E>>,
    {
        for _ in 0..ROUNDS {
            self.take_in(ambient);
            self.check(body, ambient);
            self.poll_adopted(ambient, cx);
            self.poll_members(body, ambient, cx);
            if self.phase == Phase::Running && self.control().is_cancelled() {
                continue;
            }
            if self.overdue && !self.drop_overdue_finalizer() {
                continue;
            }
            if self.set.is_empty() && self.adopted.is_empty() && self.next(ambient)? {
                continue;
            }
            if self.poll_alarm(cx) {
                self.ring(body);
                continue;
            }
            if self.sleep(cx) {
                return ControlFlow::Continue(());
            }
        }
        // Others want a turn, too: a child that spawns whenever it is polled would keep this going for ever.
        cx.waker().wake_by_ref();
        ControlFlow::Continue(())
    }

    /// Lets both lanes sleep, or neither: false if something has come in.
    fn sleep(&self, cx: &Context<'_>) -> bool {
        self.core.inbox.sleep(cx.waker()) && (self.handed_on || self.control().news.sleep(cx.waker()))
    }

    /// Nothing is left in the sets. True if there is more to do now; `Break` if the scope is over.
    fn next(&mut self, ambient: &Ambient) -> ControlFlow<(), bool> {
        if self.control().parallel() > 0 && !self.handed_on {
            return ControlFlow::Continue(false);
        }
        // After the look at the parallel children, so that what the last of them left behind is seen.
        if !self.core.inbox.is_empty() || !(self.handed_on || self.control().news.is_empty()) {
            return ControlFlow::Continue(true);
        }
        if let Some(finalizer) = self.finalizers.pop() {
            if self.phase == Phase::WindingDown {
                self.set_alarm(Alarm::Grace, self.policy.grace, ambient);
            }
            self.finalizing = Some(self.set.insert(Member::new(finalizer)));
            return ControlFlow::Continue(true);
        }
        if !self.handed_on && !self.control().close_parallel() {
            return ControlFlow::Continue(true);
        }
        ControlFlow::Break(())
    }

    /// Takes in what came from the handles and from further away.
    fn take_in(&mut self, ambient: &Ambient) {
        let mut arrivals = mem::take(&mut self.arrivals);
        self.core.inbox.drain(&mut arrivals);
        for runner in arrivals.drain(..) {
            #[cfg(feature = "sim")]
            if ambient.watch.get() != Watch::No {
                runner.watch();
            }
            self.arrive(runner);
        }
        arrivals.shrink_to(KEPT);
        self.arrivals = arrivals;

        if self.handed_on {
            return;
        }
        let mut news = mem::take(&mut self.news);
        self.control().news.drain(&mut news);
        for item in news.drain(..) {
            self.hear(item, ambient);
        }
        self.news = news;
    }

    fn arrive(&mut self, mut runner: ChildRunner<'env, K>) {
        let header = runner.header();
        if header.finalizer {
            self.finalizers.push(runner);
        } else if self.control().is_cancelled() || header.is_cancelled() {
            let reason = match header.is_cancelled() {
                true => by_task(),
                false => self.control().refusal(),
            };
            self.control().ended_one();
            self.panics.run_result(runner.refuse(Some(Arc::new(reason))));
        } else {
            self.reordered |= self.control().ended.load(Ordering::Relaxed) > 0;
            header.set_age(self.births);
            self.births = self.births.wrapping_add(1);
            let key = self.set.insert(Member::new(runner));
            let member = self.set.get(key).and_then(|member| member.get_mut().runner.as_ref());
            if member.is_some_and(|runner| runner.header().set_place_and_check(key.index() as u32)) {
                // In this moment, and its task did not know the place.
                self.cancel_child(key);
            }
        }
    }

    fn hear(&mut self, item: News, ambient: &Ambient) {
        match item {
            News::Adopt(future) => {
                self.adopted.insert(AdoptedMember { future, token: None });
            }
            News::Spawn(future) => self.arrive(K::child(future)),
            News::CancelChild(key) => self.cancel_child(key),
            News::Stop(reason, grace) => {
                if self.phase == Phase::Running {
                    self.set_alarm(Alarm::Stop(reason), Some(grace), ambient);
                }
            }
            News::Panicked(payload) => self.fail(&by_drop(), Some(payload)),
            News::Failed(mut runner, payload) => {
                let name = runner.name();
                self.fail(&name, payload);
                self.panics.run_result(runner.refuse(Some(Arc::new(Reason::Failed(name)))));
            }
        }
    }

    /// Ends one child, if its task said so: at once if it needs no time, or else when it is suspended without a hold.
    fn cancel_child(&mut self, key: Key) {
        let Some(member) = self.set.get(key) else { return };
        let member = member.get_mut();
        if !member.runner.as_ref().is_some_and(|runner| runner.header().is_cancelled()) {
            return;
        }
        if let Some(token) = &member.token {
            token.raise(Level::Cancelled, &by_task());
        }
        match member.is_held() {
            true => self.set.wake(key),
            false => self.stop(key, &Arc::new(by_task())),
        }
    }

    /// Drops a member.
    fn stop(&mut self, key: Key, reason: &Arc<Reason>) {
        let Some(member) = self.set.get(key) else { return };
        let runner = member.get_mut().runner.take();
        self.set.remove(key);
        if self.finalizing == Some(key) {
            self.finalizing = None;
        } else {
            self.control().ended_one();
        }
        if let Some(mut runner) = runner {
            self.panics.run_result(runner.refuse(Some(Arc::clone(reason))));
        }
    }

    /// Notes a failure, and cancels the rest unless the scope is to go on.
    fn fail(&mut self, name: &Name, payload: Option<Payload>) {
        let panicked = payload.is_some();
        if let Some(payload) = payload {
            self.panics.add(payload);
        }
        if panicked || !self.policy.keep_going {
            self.control().cancel(&Reason::Failed(name.clone()));
        }
    }

    /// Sees to the token.
    fn check<B>(&mut self, body: &mut Body<'_, B>, ambient: &Ambient) {
        if self.phase == Phase::Running && self.control().is_cancelled() {
            self.wind_down(body, ambient);
        }
        let overdue = self.control().known_token().is_some_and(|token| token.level() == Level::Overdue);
        if overdue && !self.overdue {
            self.overdue = true;
            self.overrun(body);
        }
    }

    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> bool {
        self.alarm.as_mut().is_some_and(|(_, timer)| timer.as_mut().poll(cx).is_ready())
    }

    fn ring<B>(&mut self, body: &mut Body<'_, B>) {
        match self.alarm.take() {
            Some((Alarm::Stop(reason), _)) => self.control().cancel(&reason),
            Some((Alarm::Grace, _)) => self.overrun(body),
            None => {}
        }
    }

    fn set_alarm(&mut self, alarm: Alarm, after: Option<Duration>, ambient: &Ambient) {
        let at = after.and_then(|after| ambient.now().checked_add(after));
        self.alarm = at.map(|at| (alarm, Box::pin(ambient.timer(at))));
    }

    /// Drops what needs no time to end, newest first.
    fn wind_down<B>(&mut self, body: &mut Body<'_, B>, ambient: &Ambient) {
        self.phase = Phase::WindingDown;
        self.reason = Some(Arc::new(self.control().refusal()));
        self.set_alarm(Alarm::Grace, self.policy.grace.or(self.policy.linger), ambient);
        let reason = self.reason.clone().unwrap_or_else(|| Arc::new(self.control().refusal()));
        self.stop_all(body, &reason, |member| !member.is_finalizer() && !member.is_held());
        // What is left is polled once more, which has it wait for its last hold.
        let keys: Vec<Key> = self.set.keys().collect();
        keys.into_iter().for_each(|key| self.set.wake(key));
    }

    /// Drops the members that `which` picks, newest first.
    fn stop_all<B>(&mut self, body: &mut Body<'_, B>, reason: &Arc<Reason>, which: impl Fn(&Member<'env, K>) -> bool) {
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
        if self.reordered {
            ages.sort_unstable_by_key(|&(age, ..)| age);
        }
        for (_, key, is_body) in ages.into_iter().rev() {
            if is_body {
                self.panics.run(|| body.set(None));
                self.set.remove(key);
            } else {
                self.stop(key, reason);
            }
        }
    }

    /// The grace is over: what has not ended is dropped or handed on, and named.
    fn overrun<B>(&mut self, body: &mut Body<'_, B>) {
        let reason = self.reason.clone().unwrap_or_else(|| Arc::new(self.control().refusal()));
        let keys: Vec<Key> = self.set.keys().collect();
        for key in keys {
            if let Some(member) = self.set.get(key) {
                let name = member.runner.as_ref().map_or_else(|| self.policy.name.clone(), |runner| runner.name());
                self.report_overrun(name);
            }
        }
        self.stop_all(body, &reason, |_| true);
        self.hand_on(None);
    }

    fn report_overrun(&mut self, task: Name) {
        if let Some(token) = self.control().known_token() {
            token.report_overrun(&task);
        }
        if let Some(observer) = &mut self.policy.observer {
            self.panics.run(|| observer(Event::Overrun { task }));
        }
    }

    /// Under an overdue wind-down a finalizer has one poll. False if one was dropped, so that there is more to do.
    fn drop_overdue_finalizer(&mut self) -> bool {
        let Some(key) = self.finalizing else { return true };
        if let Some(name) = self.set.get(key).and_then(|member| member.runner.as_ref().map(|runner| runner.name())) {
            self.report_overrun(name);
            let reason = Arc::new(self.control().refusal());
            self.stop(key, &reason);
        }
        false
    }

    /// Gives away what is `'static` and not over: adopted futures, and the wait for parallel children.
    fn hand_on(&mut self, around: Option<Arc<Control>>) {
        let before = mem::replace(&mut self.handed_on, true);
        let Some(around) = self.control().around.get().cloned().or(around) else {
            self.panics.run(|| lose(&mut self.adopted));
            return;
        };
        let keys: Vec<Key> = self.adopted.keys().collect();
        for key in keys {
            if let Some(member) = self.adopted.get(key) {
                let future = mem::replace(&mut member.get_mut().future, Box::pin(std::future::ready(())));
                self.adopted.remove(key);
                orphans::adopt(&around, future, &mut self.panics);
            }
        }
        if !before && !self.control().close_parallel() {
            // They have been told, unless they have come in this moment.
            self.control().cancel(&Reason::Dropped);
            let wait = Box::pin(Orphans::new(Arc::clone(self.control()), Arc::clone(&around)));
            orphans::adopt(&around, wait, &mut self.panics);
        }
    }

    fn poll_adopted(&mut self, ambient: &Ambient, cx: &mut Context<'_>) {
        let mut never = Due::NEVER;
        let _due = Swap::new(&ambient.due, &mut never);
        let mut no = false;
        let _member = Swap::new(&ambient.member, &mut no);
        loop {
            let polled = self.adopted.poll_next(cx, |_, member, cx| {
                let member = member.get_mut();
                let _token = Swap::new(&ambient.token, &mut member.token);
                match catch(|| member.future.as_mut().poll(cx)) {
                    Ok(polled) => polled.map(Ok),
                    Err(payload) => Poll::Ready(Err(payload)),
                }
            });
            match polled {
                Poll::Ready(Some((_, Ok(())))) => {}
                Poll::Ready(Some((_, Err(payload)))) => self.fail(&Name::from("an adopted future"), Some(payload)),
                Poll::Ready(None) | Poll::Pending => return,
            }
        }
    }

    /// Polls the members that are ready, until the pass is over or the scope has been cancelled.
    fn poll_members<B>(&mut self, body: &mut Body<'_, B>, ambient: &Ambient, cx: &mut Context<'_>)
    where
        B: Future<Output = Result<T, E>>,
    {
        loop {
            let mut result = None;
            let control = &self.core.control;
            #[cfg(feature = "sim")]
            if ambient.watch.get() == Watch::Trace && !self.set.is_empty() {
                crate::set::shuffle::next();
            }
            let (finalizing, winding_down) = (self.finalizing, self.phase == Phase::WindingDown);
            let polled = self.set.poll_until(cx, |key, member, cx| {
                if !winding_down && control.is_cancelled() {
                    // By a member of this pass. This one keeps its place, if it is not dropped.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                let member = member.get_mut();
                let polled = match poll_member(member, body, &mut result, ambient, cx) {
                    Poll::Pending if member.token.is_some() => suspended(member, control, winding_down, cx),
                    polled => polled,
                };
                polled.map(|exit| match exit {
                    // The common case, in which there is no need to return.
                    Exit::Ended if finalizing.is_none() && (winding_down || !control.is_cancelled()) => {
                        control.ended_one();
                        Answer::Done
                    }
                    exit => Answer::Last((key, exit)),
                })
            });
            match polled {
                Poll::Ready(Some((key, exit))) => self.exit(key, exit, result, body, ambient),
                Poll::Ready(None) | Poll::Pending => return,
            }
            if self.phase == Phase::Running && self.control().is_cancelled() {
                return;
            }
        }
    }

    fn exit<B>(
        &mut self,
        key: Key,
        exit: Exit<'env, K>,
        result: Option<Result<Result<T, E>, Payload>>,
        body: &mut Body<'_, B>,
        ambient: &Ambient,
    ) {
        if self.finalizing == Some(key) {
            self.finalizing = None;
        } else if !matches!(exit, Exit::Body) {
            self.control().ended_one();
        }
        match exit {
            Exit::Ended => {}
            Exit::Panicked(payload) => self.fail(&by_drop(), Some(payload)),
            Exit::Failed(mut runner, payload) => {
                let name = runner.name();
                self.fail(&name, payload);
                self.panics.run_result(runner.refuse(Some(Arc::new(Reason::Failed(name)))));
            }
            Exit::Stopped(mut runner) => {
                let alone = runner.header().is_cancelled();
                let reason = if alone { by_task() } else { self.control().refusal() };
                self.panics.run_result(runner.refuse(Some(Arc::new(reason))));
            }
            Exit::Body => {
                self.panics.run(|| body.set(None));
                self.ended_body(ambient, result);
            }
        }
    }

    fn ended_body(&mut self, ambient: &Ambient, result: Option<Result<Result<T, E>, Payload>>) {
        let name = self.policy.name.clone();
        match result {
            Some(Ok(Ok(output))) => {
                self.output = Some(output);
                if self.policy.linger.is_some() {
                    self.set_alarm(Alarm::Grace, self.policy.linger, ambient);
                }
            }
            Some(Ok(Err(error))) => {
                self.core.errors().push(name.clone(), error);
                self.fail(&name, None);
            }
            Some(Err(payload)) => self.fail(&name, Some(payload)),
            None => {}
        }
    }

    /// Everything is over.
    fn finish(&mut self, ambient: &Ambient) -> Poll<End<T, E>> {
        self.close(None);
        self.alarm = None;
        if self.panics.is_some() {
            self.report_errors();
        }
        let errors = self.core.errors.get().map(|errors| errors.take()).unwrap_or_default();
        let from_around = self.phase == Phase::WindingDown && ambient.is_tripped();
        self.phase = Phase::Over;
        mem::take(&mut self.panics).resume();
        if from_around && errors.is_empty() {
            self.phase = Phase::Detached;
            return Poll::Pending;
        }
        let reason = self.reason.as_ref().map_or(Reason::Parent, |reason| Reason::clone(reason));
        Poll::Ready(End { output: self.output.take(), errors, reason })
    }

    /// Offers the errors that the scope will not return to the observer.
    fn report_errors(&mut self) {
        let (Some(errors), Some(observer)) = (self.core.errors.get(), &mut self.policy.observer) else { return };
        for (task, error) in errors.take() {
            self.panics.run(|| observer(Event::LateError { task, error }));
        }
    }

    /// Closes both lanes, and deals with what was still in them.
    fn close(&mut self, around: Option<&Arc<Control>>) {
        for mut runner in self.core.inbox.close().into_iter().rev() {
            let reason = Arc::new(self.control().refusal());
            self.panics.run_result(runner.refuse(Some(reason)));
        }
        let around = self.control().around.get().or(around).cloned();
        if self.control().parallel() > 0 && around.is_some() {
            // The orphans' wait listens to the news from here on.
            return;
        }
        for item in self.control().news.close() {
            orphans::forward(item, around.as_ref(), &mut self.panics);
        }
    }

    /// The scope's future is dropped before its end.
    pub(super) fn abandon<B>(&mut self, body: &mut Body<'_, B>) {
        if matches!(self.phase, Phase::Over | Phase::Detached) {
            return;
        }
        let around = context::try_with(|ambient| ambient.scope()).flatten();
        self.phase = Phase::Over;
        if self.control().parallel() > 0 || self.control().known_token().is_some() {
            self.control().cancel(&Reason::Dropped);
        }
        let reason = match &self.reason {
            Some(reason) => Arc::clone(reason),
            None => Arc::new(self.control().known_token().and_then(Token::reason).unwrap_or(Reason::Dropped)),
        };
        for mut runner in self.core.inbox.close().into_iter().rev() {
            self.panics.run_result(runner.refuse(Some(Arc::clone(&reason))));
        }
        self.stop_all(body, &reason, |_| true);
        self.panics.run(|| body.set(None));
        for mut finalizer in mem::take(&mut self.finalizers).into_iter().rev() {
            self.panics.run_result(finalizer.refuse(None));
        }
        self.report_errors();
        self.hand_on(around.clone());
        self.close(around.as_ref());
        mem::take(&mut self.panics).resume();
    }
}

/// Who failed where a value that nobody waited for panicked when it was dropped.
fn by_drop() -> Name {
    Name::from("the destructor of a value")
}

/// Drops adopted futures that nobody is left to finish.
fn lose(adopted: &mut Set<AdoptedMember>) {
    #[cfg(feature = "sim")]
    crate::set::living::losing(|| adopted.clear());
    #[cfg(not(feature = "sim"))]
    adopted.clear();
}

/// Polls one member; what it shows in a drawing is the state it is left in.
fn poll_member<'env, T, E, K: Kind, B>(
    member: &mut Member<'env, K>,
    body: &mut Body<'_, B>,
    result: &mut Option<Result<Result<T, E>, Payload>>,
    ambient: &Ambient,
    cx: &mut Context<'_>,
) -> Poll<Exit<'env, K>>
where
    B: Future<Output = Result<T, E>>,
{
    match ambient.is_drawing() {
        true => tree::afresh((&raw const *member).addr(), || poll_inside(member, body, result, ambient, cx)),
        false => poll_inside(member, body, result, ambient, cx),
    }
}

/// Polls one member with its token in the context.
fn poll_inside<'env, T, E, K: Kind, B>(
    member: &mut Member<'env, K>,
    body: &mut Body<'_, B>,
    result: &mut Option<Result<Result<T, E>, Payload>>,
    ambient: &Ambient,
    cx: &mut Context<'_>,
) -> Poll<Exit<'env, K>>
where
    B: Future<Output = Result<T, E>>,
{
    let _token = Swap::new(&ambient.token, &mut member.token);
    let Some(runner) = &mut member.runner else {
        let Some(body) = body.as_mut().as_pin_mut() else { return Poll::Ready(Exit::Body) };
        return match catch(|| body.poll(cx)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => {
                *result = Some(Ok(output));
                Poll::Ready(Exit::Body)
            }
            Err(payload) => {
                *result = Some(Err(payload));
                Poll::Ready(Exit::Body)
            }
        };
    };
    let mut never = Due::NEVER;
    let mut no = false;
    let finalizer = runner.header().finalizer;
    let _due = finalizer.then(|| Swap::new(&ambient.due, &mut never));
    let _member = finalizer.then(|| Swap::new(&ambient.member, &mut no));
    let outer = ambient.child.replace(runner.id());
    let polled = match ambient.watch.get() {
        Watch::No => runner.poll(cx),
        watch => tree::child(watch, runner.name(), runner.header().age(), || runner.poll(cx)),
    };
    ambient.child.set(outer);
    let failed = match polled {
        Poll::Pending => return Poll::Pending,
        Poll::Ready(Ended::Value) => {
            let runner = member.runner.take();
            return Poll::Ready(catch(|| drop(runner)).map_or_else(Exit::Panicked, |()| Exit::Ended));
        }
        Poll::Ready(Ended::Failed) => None,
        Poll::Ready(Ended::Panicked(payload)) => Some(payload),
    };
    Poll::Ready(match member.runner.take() {
        Some(runner) => Exit::Failed(runner, failed),
        None => Exit::Ended,
    })
}

/// A member that has a token was suspended: puts the token in its place, and sees whether it is time to drop the member.
fn suspended<'env, K: Kind>(
    member: &mut Member<'env, K>,
    control: &Control,
    winding_down: bool,
    cx: &Context<'_>,
) -> Poll<Exit<'env, K>> {
    if member.is_finalizer() {
        return Poll::Pending;
    }
    let Some(token) = &member.token else { return Poll::Pending };
    token.attach(control.token());
    let alone = member.runner.as_ref().is_some_and(|runner| runner.header().is_cancelled());
    if !(winding_down || alone) {
        return Poll::Pending;
    }
    if token.is_held() {
        // The last hold may be let go of elsewhere: by a sibling that the future inside has moved to, on another thread.
        member.listener.get_or_insert_with(|| Box::new(Listener::new(token.clone()))).listen(cx.waker());
        if token.is_held() {
            return Poll::Pending;
        }
    }
    Poll::Ready(member.runner.take().map_or(Exit::Body, Exit::Stopped))
}
