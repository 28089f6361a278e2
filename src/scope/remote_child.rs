//! Runs children on other tasks.
//!
//! A parallel child is one allocation besides the runtime's own: its node. A child that inherits a
//! deadline or values has another. The runtime polls a [`Pulse`], which lies in the node, too. It
//! keeps the node's memory until the runtime drops it, which may be long after the child has ended.
//! The [`Child`] is what the pulse polls, and what the scope may take back before the runtime has
//! begun with it. The node's [`RemoteState`] says which of the two has it.
//!
//! The runtime may finish the child, throw it away or refuse it. In each case the future is gone
//! before the scope hears of it, and so is a value that nobody will read.
//!
//! A child keeps its scope alive by being one of its [members](crate::task::crew). It does not keep
//! the runtime alive, of which it has a [`WeakHandle`].

use std::cell::UnsafeCell;
use std::future::Future;
use std::marker::PhantomPinned;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_task::{FutureObj, UnsafeFutureObj};

use super::task::Task;
use crate::cancel::reason::{Cause, Reason};
use crate::cancel::token::{Level, Token, TokenListener};
use crate::context::ends::EndsWith;
use crate::context::{self, Ambient, Ending, Inheritance, Place, Replaced, Watch};
use crate::engine::budget::Counted;
use crate::name::Name;
use crate::panic::{Payload, catch, discard};
use crate::runtime::{Blocking, Handle, Job, WeakHandle};
use crate::scope::control::{Control, News};
use crate::task::cell::{Ended, Extra, Failed, Memory, Node, Runner};
use crate::task::crew::{Lent, Membership};
use crate::task::remote::{Claim, Lasting, NextRemote, Remote, RemoteState};
use crate::trace::tree;

type ParallelNode<F, T> = Node<F, T, Arc<Reason>, Seat<F, T>>;

/// What a parallel child has in its node besides its future.
struct Seat<F, T>
where
    F: Future<Output = Result<T, Failed>> + Send + 'static,
    T: Send + 'static,
{
    name: Option<Name>,
    /// It is not dropped with the node, because the scope and the runtime look here first, also
    /// after that.
    state: ManuallyDrop<RemoteState>,
    /// It is not dropped with the node, either. Only the scope uses it.
    next: ManuallyDrop<NextRemote>,
    /// Accessed by whoever has the child, as the state says. `None` before the start and after the
    /// end.
    child: UnsafeCell<Option<Child<F, T>>>,
    /// Accessed through the one [`FutureObj`] alone, which puts the pulse in, polls it, and takes
    /// it out.
    pulse: UnsafeCell<MaybeUninit<Pulse<F, T>>>,
    /// The node may be dropped, by `&mut`, while its pulse is being polled. So no pointer to either
    /// is an exclusive one.
    _pinned: PhantomPinned,
}

impl<F, T> Seat<F, T>
where
    F: Future<Output = Result<T, Failed>> + Send + 'static,
    T: Send + 'static,
{
    fn new(name: Option<Name>) -> Self {
        Seat {
            name,
            state: ManuallyDrop::new(RemoteState::new()),
            next: ManuallyDrop::new(NextRemote::new()),
            child: UnsafeCell::new(None),
            pulse: UnsafeCell::new(MaybeUninit::uninit()),
            _pinned: PhantomPinned,
        }
    }
}

// SAFETY: the child is reached by one thread at a time, as the state says, and the pulse by the
// owner of the `FutureObj`; both are `Send` where the future and its value are.
#[allow(unsafe_code)]
unsafe impl<F, T> Sync for Seat<F, T>
where
    F: Future<Output = Result<T, Failed>> + Send + 'static,
    T: Send + 'static,
{
}

impl<F, T> Extra for Seat<F, T>
where
    F: Future<Output = Result<T, Failed>> + Send + 'static,
    T: Send + 'static,
{
    fn name(&self) -> Option<&Name> {
        self.name.as_ref()
    }

    /// Ends the child at once if it has not begun, and wakes it otherwise.
    fn tell(&self) {
        match self.state.claim() {
            Claim::Claimed => {
                // SAFETY: the state says that the child is this call's.
                #[allow(unsafe_code)]
                let child = unsafe { &mut *self.child.get() }.take();
                if let Some(child) = child {
                    child.cancel(None);
                }
            }
            Claim::Begun => self.state.wake(),
            Claim::Ended => {}
        }
    }
}

// SAFETY: `next` returns, and `tell` and `has_ended` look at, what no drop touches. Only where that
// says that the child has not begun is there more that they touch, and then the child's runner
// keeps the node.
#[allow(unsafe_code)]
unsafe impl<F, T> Lasting for Seat<F, T>
where
    F: Future<Output = Result<T, Failed>> + Send + 'static,
    T: Send + 'static,
{
    fn has_ended(&self) -> bool {
        self.state.has_ended()
    }

    fn next(&self) -> &NextRemote {
        &self.next
    }
}

/// A child, from its start to its end.
struct Child<F, T>
where
    F: Future<Output = Result<T, Failed>> + Send + 'static,
    T: Send + 'static,
{
    runner: Runner<ParallelNode<F, T>>,
    /// The token of the child's region. The context holds it while the child is polled.
    token: Option<Token>,
    surroundings: Surroundings,
    rest: Option<Box<RareState>>,
}

/// What only few children have.
#[derive(Default)]
struct RareState {
    inheritance: Option<Inheritance>,
    /// Listens to the region's token while the child is wound down and has holds.
    last_hold: Option<TokenListener>,
}

/// What is put into the context while a child is polled or dropped.
struct Surroundings {
    /// Borrowed from the roster of the scope.
    runtime: Option<Lent<WeakHandle>>,
    /// It is dropped last, because the scope may be gone after that.
    scope: Membership<Control>,
}

impl Surroundings {
    #[inline]
    fn within<R>(&self, ambient: &Ambient, rest: Option<&mut RareState>, f: impl FnOnce() -> R) -> R {
        // SAFETY: it comes back from the context, where nothing is dropped, and is not dropped
        // there.
        #[allow(unsafe_code)]
        let scope = unsafe { self.scope.copy() };
        // SAFETY: likewise.
        #[allow(unsafe_code)]
        let runtime = self.runtime.as_ref().map(|runtime| unsafe { runtime.copy() });
        let place = runtime.map_or(Place::Nowhere, Place::Child);
        ambient.elsewhere(scope, place, || ambient.inheriting(rest.and_then(|rest| rest.inheritance.as_mut()), f))
    }
}

impl<F, T> Child<F, T>
where
    F: Future<Output = Result<T, Failed>> + Send + 'static,
    T: Send + 'static,
{
    fn poll(&mut self, state: &RemoteState, cx: &mut Context<'_>) -> Poll<Ended> {
        // It is dropped without another poll, as in-task children are. If its task has cancelled
        // it, what is inside would not find that in the poll, and would start new things.
        let is_held = self.token.as_ref().is_some_and(Token::is_held);
        if self.is_cancelled() && !is_held {
            return Poll::Ready(self.refuse(None));
        }
        self.settle();
        if let Poll::Ready(ended) = self.poll_inside(cx) {
            return Poll::Ready(ended);
        }
        // Once more, because it may have made the token, or cancelled itself, in this poll.
        self.settle();
        // It stores its waker before it looks whether it is cancelled, because whoever cancels says
        // so first, and wakes then.
        state.suspend(cx.waker());
        if self.is_cancelled() && !self.is_held(cx) {
            return Poll::Ready(self.refuse(None));
        }
        Poll::Pending
    }

    fn poll_inside(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let Child { runner, token, surroundings, rest } = self;
        context::with(|ambient| {
            surroundings.within(ambient, rest.as_deref_mut(), || {
                ambient.enter(token, || {
                    let _ends_with = Replaced::new(&ambient.ends_with, EndsWith::SCOPE);
                    let _calm = ambient.note_calm(true);
                    let _counted = Counted::begin();
                    runner.poll(&ambient.child, cx)
                })
            })
        })
    }

    /// Links the region's token, if there is one, below the scope's.
    #[inline]
    fn settle(&self) {
        if let Some(token) = &self.token {
            token.attach(self.surroundings.scope.token());
            if self.runner.header().is_cancelled() {
                token.raise(Level::Cancelled, &Reason::by_task());
            }
        }
    }

    /// Returns whether something inside needs time to end. Then the waker is woken when that has
    /// ended.
    fn is_held(&mut self, cx: &Context<'_>) -> bool {
        let Some(token) = self.token.as_ref().filter(|token| token.is_held()) else { return false };
        let last_hold = &mut self.rest.get_or_insert_default().last_hold;
        last_hold.get_or_insert_with(|| TokenListener::new(token.clone())).listen(cx.waker());
        token.is_held()
    }

    fn is_cancelled(&self) -> bool {
        self.runner.header().is_cancelled() || self.surroundings.scope.is_cancelled()
    }

    /// Drops the future, and leaves a reason to its task: `reason`, or that of the cancellation.
    ///
    /// Destructors find the child's surroundings, but no region, because that one is about to end.
    fn refuse(&mut self, reason: Option<Reason>) -> Ended {
        let cause = match reason {
            Some(reason) if !self.is_cancelled() => Cause::now(Arc::new(reason)),
            _ => self.surroundings.scope.why_ends(self.runner.header()),
        };
        let Child { runner, surroundings, rest, .. } = self;
        let rest = rest.as_deref_mut();
        // Scopes inside that are dropped with it give this reason to their tasks.
        let reason = Arc::clone(&cause.reason);
        let _why = Ending::new(cause);
        let refuse = || context::outside(|| runner.refuse(Some(reason)));
        match context::with(|ambient| surroundings.within(ambient, rest, refuse)) {
            Ok(()) => Ended::Value,
            Err(payload) => Ended::Panicked(payload),
        }
    }

    /// Drops the runner, then tells the scope.
    fn end(self, ended: Ended) {
        let Child { runner, token, surroundings: Surroundings { scope, .. }, rest } = self;
        // The child is counted before the runner is dropped, which is when its task can tell.
        scope.finished_one();
        let rest = (token, rest);
        let failure = match ended {
            Ended::Value => None,
            Ended::Failed => Some(None),
            Ended::Panicked(payload) => Some(Some(payload)),
        };
        let dropped = match failure {
            None => catch(|| drop((runner, rest))),
            Some(payload) => {
                report(&scope, runner, payload);
                catch(|| drop(rest))
            }
        };
        if let Err(payload) = dropped {
            discard(scope.send(News::Panicked(payload)));
        }
        // The member is dropped last: a scope that sees none left sees all that they did.
        drop(scope);
    }

    /// Ends a child that has not begun or is thrown away. The caller has it, as the state says.
    fn cancel(mut self, reason: Option<Reason>) {
        let ended = self.refuse(reason);
        self.end(ended);
    }
}

fn report<F, T>(control: &Control, runner: Runner<ParallelNode<F, T>>, payload: Option<Payload>)
where
    F: Future<Output = Result<T, Failed>> + Send + 'static,
    T: Send + 'static,
{
    // The lane is open as long as the scope, or what is left of it, waits for the parallel
    // children.
    if let Err(News::Failed(mut runner, payload)) = control.send(News::Failed(runner.shared(), payload)) {
        let name = runner.name();
        discard(runner.refuse(Some(Arc::new(Reason::Failed(name)))));
        discard(runner);
        discard(payload);
    }
}

/// The future that the runtime polls, and drops when it is done with it.
struct Pulse<F, T>
where
    F: Future<Output = Result<T, Failed>> + Send + 'static,
    T: Send + 'static,
{
    /// The memory of the node in which this lies. The node may be dropped as soon as the child has
    /// ended.
    memory: Memory<ParallelNode<F, T>>,
}

impl<F, T> Pulse<F, T>
where
    F: Future<Output = Result<T, Failed>> + Send + 'static,
    T: Send + 'static,
{
    fn seat(&self) -> &Seat<F, T> {
        // SAFETY: the memory is there. What is used of the seat after a drop of the node is the
        // state, which is not dropped, and the place of the pulse, which is the `FutureObj`'s.
        #[allow(unsafe_code)]
        unsafe { &*self.memory.value() }.extra()
    }

    /// Returns the child, if the state says that it is the runtime's, and so this pulse's.
    fn child(&self) -> Option<*mut Option<Child<F, T>>> {
        let seat = self.seat();
        seat.state.begin().then(|| seat.child.get())
    }

    /// Takes the child out, and drops the waker that would wake it.
    fn take(&self, child: &mut Option<Child<F, T>>) -> Option<Child<F, T>> {
        self.seat().state.end();
        child.take()
    }
}

impl<F, T> Future for Pulse<F, T>
where
    F: Future<Output = Result<T, Failed>> + Send + 'static,
    T: Send + 'static,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(child) = self.child() else { return Poll::Ready(()) };
        // SAFETY: the child is this pulse's, and nobody else reaches it through the pulse.
        #[allow(unsafe_code)]
        let child = unsafe { &mut *child };
        let Some(running) = child else { return Poll::Ready(()) };
        let Poll::Ready(ended) = running.poll(&self.seat().state, cx) else { return Poll::Pending };
        if let Some(child) = self.take(child) {
            child.end(ended);
        }
        Poll::Ready(())
    }
}

impl<F, T> Drop for Pulse<F, T>
where
    F: Future<Output = Result<T, Failed>> + Send + 'static,
    T: Send + 'static,
{
    fn drop(&mut self) {
        let Some(child) = self.child() else { return };
        // SAFETY: the child is this pulse's, and nobody else reaches it through the pulse.
        #[allow(unsafe_code)]
        if let Some(child) = self.take(unsafe { &mut *child }) {
            child.cancel(Some(Reason::Shutdown));
        }
    }
}

/// A pulse on its way to the runtime.
struct Obj<F, T>(Pulse<F, T>)
where
    F: Future<Output = Result<T, Failed>> + Send + 'static,
    T: Send + 'static;

// SAFETY: `into_raw` gives a pointer to a pulse that stays where it is, in the node whose memory
// the pulse itself keeps; being `MaybeUninit` there, it outlasts a drop of the node. The pointer is
// used by the `FutureObj` alone, which polls the pulse by `&mut` and at the end gives it to `drop`,
// once.
#[allow(unsafe_code)]
unsafe impl<F, T> UnsafeFutureObj<'static, ()> for Obj<F, T>
where
    F: Future<Output = Result<T, Failed>> + Send + 'static,
    T: Send + 'static,
{
    fn into_raw(self) -> *mut (dyn Future<Output = ()> + 'static) {
        let Obj(pulse) = self;
        let place: *mut Pulse<F, T> = pulse.seat().pulse.get().cast();
        // SAFETY: the place is vacant: a node's pulse is made once, and has not been put there
        // before. The pointer came out of an `UnsafeCell` in a node, whose memory the pulse holds
        // and so outlives it there.
        unsafe { place.write(pulse) };
        place
    }

    unsafe fn drop(ptr: *mut (dyn Future<Output = ()> + 'static)) {
        // SAFETY: `ptr` is from `into_raw`, and not used after this. The pulse is moved out of the
        // node's memory before it is dropped, since that may free it.
        drop(unsafe { ptr.cast::<Pulse<F, T>>().read() });
    }
}

/// Starts `future` on `runtime`, as a child of the scope that `control` belongs to.
pub(super) fn spawn<F, T>(
    control: &Arc<Control>,
    runtime: &Handle,
    name: Option<Name>,
    at: &'static Location<'static>,
    future: F,
) -> Task<T>
where
    F: Future<Output = Result<T, Failed>> + Send + 'static,
    T: Send + 'static,
{
    start(control, Some(runtime), name, at, future, |obj| drop(runtime.runtime().spawn_obj(obj)))
}

/// Runs `job`, which is ready at its first poll, in the blocking pool of `runtime`, or in the
/// shared one.
pub(super) fn spawn_blocking<F, T>(
    control: &Arc<Control>,
    runtime: Option<Handle>,
    name: Option<Name>,
    at: &'static Location<'static>,
    job: F,
) -> Task<T>
where
    F: Future<Output = Result<T, Failed>> + Send + 'static,
    T: Send + 'static,
{
    start(control, runtime.as_ref(), name, at, job, |obj| {
        // The job is ready at its first poll, so it needs no waker.
        let mut obj = obj;
        let job: Job = Box::new(move || {
            let polled = Pin::new(&mut obj).poll(&mut Context::from_waker(Waker::noop()));
            debug_assert!(polled.is_ready());
        });
        drop(match &runtime {
            Some(runtime) => runtime.spawn_blocking(job),
            None => crate::runtime::blocking_pool::spawn(job),
        });
    })
}

fn start<F, T>(
    control: &Arc<Control>,
    runtime: Option<&Handle>,
    name: Option<Name>,
    at: &'static Location<'static>,
    future: F,
    spawn: impl FnOnce(FutureObj<'static, ()>),
) -> Task<T>
where
    F: Future<Output = Result<T, Failed>> + Send + 'static,
    T: Send + 'static,
{
    let (mut runner, reader, [memory, remote]) = Runner::with_memories(future, at, Seat::new(name));
    let task = Task::new(reader, None);
    let refusal = context::with(|ambient| ambient.refusal(control));
    let member = if refusal.is_none() { Membership::join(control) } else { None };
    let Some(scope) = member else {
        // The scope does not have this child, so whoever has called this hears of its panic.
        let reason = refusal.unwrap_or_else(|| control.refusal());
        if let Err(payload) = runner.refuse(Some(reason)) {
            std::panic::resume_unwind(payload);
        }
        return task;
    };
    let (inheritance, watched) =
        context::with(|ambient| (ambient.inheritance(control.deadlines()), ambient.watch.get() != Watch::No));
    let rest = inheritance.map(|inheritance| Box::new(RareState { inheritance: Some(inheritance), last_hold: None }));
    let name = watched.then(|| runner.name());
    let pulse = Pulse { memory };
    control.enroll(Remote::new(remote), runtime, |runtime| {
        // SAFETY: the roster keeps it as long as the scope has members, of which the child is one.
        #[allow(unsafe_code)]
        let runtime = runtime.map(|runtime| unsafe { Lent::new(runtime) });
        let child = Child { runner, token: None, surroundings: Surroundings { runtime, scope }, rest };
        // SAFETY: nobody knows of the child before it is on the roster, or at the runtime.
        #[allow(unsafe_code)]
        unsafe {
            *pulse.seat().child.get() = Some(child);
        }
    });
    if control.is_cancelled() {
        // It was cancelled after the first look. Whoever told the other children may not have found
        // this one.
        pulse.seat().tell();
        return task;
    }
    // The runtime drops what it refuses, and the drop tells the scope.
    tree::spawning(name, || spawn(FutureObj::new(Obj(pulse))));
    task
}
