//! Children that another task runs.
//!
//! A parallel child is one allocation besides the runtime's own: its node, in which the object that the runtime polls
//! also has its seat. That object, the [`Pulse`], holds the runner's end of the node until the child is over, and the
//! node's memory until the runtime drops it, which may be long after. Whatever the runtime does (finishes it, throws it
//! away, refuses it), the future, and a value that nobody will read, is gone before the scope hears of it.

use std::cell::UnsafeCell;
use std::future::Future;
use std::marker::PhantomPinned;
use std::mem::MaybeUninit;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_task::{FutureObj, UnsafeFutureObj};

use super::task::Task;
use crate::context::{self, Ambient, Swap, Values, Watch};
use crate::control::{Control, News};
use crate::name::Name;
use crate::panic::{Payload, catch, discard};
use crate::runtime::{Blocking, Handle, Instant, Job};
use crate::set::node::{Ended, Extra, Failed, Memory, Node, Runner};
use crate::token::{Level, Listener, Reason, Token};
use crate::tree;

type ParallelNode<F, T> = Node<F, T, Arc<Reason>, Seat<F, T>>;

/// Where in its node a child has its pulse, beside its name.
struct Seat<F, T>
where
    F: Future<Output = Result<T, Failed>>,
{
    name: Option<Name>,
    /// Reached through the one [`FutureObj`] alone, which puts the pulse in, polls it, and takes it out.
    pulse: UnsafeCell<MaybeUninit<Pulse<F, T>>>,
    /// The node may be dropped, by `&mut`, while its pulse is being polled; no pointer to either is an exclusive one.
    _pinned: PhantomPinned,
}

// SAFETY: the pulse is reached by the owner of the `FutureObj` alone, one thread at a time; and it is `Send` where the
// future and its value are.
#[allow(unsafe_code)]
unsafe impl<F, T> Sync for Seat<F, T>
where
    F: Future<Output = Result<T, Failed>> + Send,
    T: Send,
{
}

impl<F, T> Extra for Seat<F, T>
where
    F: Future<Output = Result<T, Failed>>,
{
    fn name(&self) -> Option<&Name> {
        self.name.as_ref()
    }
}

/// What the runtime polls.
struct Pulse<F, T>
where
    F: Future<Output = Result<T, Failed>>,
{
    /// `None` once the child is over.
    child: Option<Child<F, T>>,
    /// Of the node in which this sits, and which may be dropped as soon as the child is over.
    _memory: Memory<ParallelNode<F, T>>,
}

struct Child<F, T>
where
    F: Future<Output = Result<T, Failed>>,
{
    runner: Runner<ParallelNode<F, T>>,
    started: bool,
    /// The token of the child's region; out in the context while the child is polled.
    token: Option<Token>,
    /// On the scope's token, from the first suspension on.
    listener: Option<Listener>,
    /// On the region's token, while the child is being wound down and has holds.
    last_hold: Option<Box<Listener>>,
    /// Out in the context, likewise, as are the three below.
    control: Option<Arc<Control>>,
    runtime: Option<Handle>,
    due: Option<Instant>,
    values: Option<Values>,
}

impl<F, T> Child<F, T>
where
    F: Future<Output = Result<T, Failed>>,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        if !self.started && self.is_cancelled() {
            return Poll::Ready(self.cancelled());
        }
        self.started = true;
        context::with(|ambient| {
            self.settle();
            if let Poll::Ready(ended) = self.poll_inside(ambient, cx) {
                return Poll::Ready(ended);
            }
            self.settle();
            if self.listen(cx) && !self.is_held(cx) {
                return Poll::Ready(self.cancelled());
            }
            Poll::Pending
        })
    }

    fn poll_inside(&mut self, ambient: &Ambient, cx: &mut Context<'_>) -> Poll<Ended> {
        let _control = Swap::new(&ambient.scope, &mut self.control);
        let _values = Swap::new(&ambient.values, &mut self.values);
        let runner = &mut self.runner;
        let mut id = runner.id();
        let _id = Swap::new(&ambient.child, &mut id);
        let inside = || {
            let mut yes = true;
            let _member = Swap::new(&ambient.member, &mut yes);
            runner.poll(cx)
        };
        ambient.with_runtime(&mut self.runtime, || {
            ambient.with_deadline(self.due, || ambient.enter(&mut self.token, inside))
        })
    }

    /// Puts the region's token, if there is one, below the scope's.
    fn settle(&self) {
        if let (Some(token), Some(control)) = (&self.token, &self.control) {
            token.attach(control.token());
            if self.runner.header().is_cancelled() {
                token.raise(Level::Cancelled, &by_task());
            }
        }
    }

    /// Has the runtime's waker woken when the child is to end; returns whether it is.
    fn listen(&mut self, cx: &Context<'_>) -> bool {
        let Some(control) = &self.control else { return false };
        let listener = self.listener.get_or_insert_with(|| Listener::new(control.token().clone()));
        let place = listener.listen(cx.waker());
        let alone = self.runner.header().set_place_and_check(place as u32);
        alone || control.is_cancelled()
    }

    /// Whether something inside needs time to end; then the waker is woken when it has ended.
    fn is_held(&mut self, cx: &Context<'_>) -> bool {
        let Some(token) = self.token.as_ref().filter(|token| token.is_held()) else { return false };
        self.last_hold.get_or_insert_with(|| Box::new(Listener::new(token.clone()))).listen(cx.waker());
        token.is_held()
    }

    fn is_cancelled(&self) -> bool {
        self.runner.header().is_cancelled() || self.control.as_ref().is_some_and(|control| control.is_cancelled())
    }

    /// Drops the future, and tells the task why.
    fn cancelled(&mut self) -> Ended {
        let reason = match &self.control {
            Some(control) if !self.runner.header().is_cancelled() => control.refusal(),
            _ => by_task(),
        };
        match self.runner.refuse(Some(reason)) {
            Ok(()) => Ended::Value,
            Err(payload) => Ended::Panicked(payload),
        }
    }
}

/// The reason of a child that [`Task::cancel`] ended.
pub(super) fn by_task() -> Arc<Reason> {
    Arc::new(Reason::Requested("its task was cancelled".into()))
}

impl<F, T> Pulse<F, T>
where
    F: Future<Output = Result<T, Failed>> + Send + 'static,
    T: Send + 'static,
{
    /// Lets go of the node, then tells the scope.
    fn end(&mut self, ended: Ended) {
        let Some(Child { runner, control, runtime, values, .. }) = self.child.take() else { return };
        let Some(control) = control else { return };
        let rest = (runtime, values);
        let failure = match ended {
            Ended::Value => None,
            Ended::Failed => Some(None),
            Ended::Panicked(payload) => Some(Some(payload)),
        };
        let dropped = match failure {
            None => catch(|| drop((runner, rest))),
            Some(payload) => {
                report(&control, runner, payload);
                catch(|| drop(rest))
            }
        };
        if let Err(payload) = dropped {
            discard(control.send(News::Panicked(payload)));
        }
        control.parallel_ended();
    }

    /// The runtime lets go of the pulse: the child ends now, if it is not over.
    fn abandon(&mut self) {
        if let Some(child) = &mut self.child {
            let ended = match child.runner.refuse(Some(Arc::new(Reason::Shutdown))) {
                Ok(()) => Ended::Value,
                Err(payload) => Ended::Panicked(payload),
            };
            self.end(ended);
        }
    }
}

fn report<F, T>(control: &Control, runner: Runner<ParallelNode<F, T>>, payload: Option<Payload>)
where
    F: Future<Output = Result<T, Failed>> + Send + 'static,
    T: Send + 'static,
{
    // The lane is open as long as somebody waits for the parallel children.
    if let Err(News::Failed(mut runner, payload)) = control.send(News::Failed(runner.shared(), payload)) {
        let name = runner.name();
        discard(runner.refuse(Some(Arc::new(Reason::Failed(name)))));
        discard(payload);
    }
}

impl<F, T> Future for Pulse<F, T>
where
    F: Future<Output = Result<T, Failed>> + Send + 'static,
    T: Send + 'static,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(child) = &mut self.child else { return Poll::Ready(()) };
        match child.poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(ended) => {
                self.end(ended);
                Poll::Ready(())
            }
        }
    }
}

/// A pulse on its way to the runtime.
struct Obj<F, T>(Pulse<F, T>)
where
    F: Future<Output = Result<T, Failed>>;

// SAFETY: `into_raw` gives a pointer to a pulse that stays where it is, in the node whose memory the pulse itself keeps;
// being `MaybeUninit` there, it outlasts a drop of the node. The pointer is used by the `FutureObj` alone, which polls
// the pulse by `&mut` and at the end gives it to `drop`, once.
#[allow(unsafe_code)]
unsafe impl<F, T> UnsafeFutureObj<'static, ()> for Obj<F, T>
where
    F: Future<Output = Result<T, Failed>> + Send + 'static,
    T: Send + 'static,
{
    fn into_raw(self) -> *mut (dyn Future<Output = ()> + 'static) {
        let Obj(pulse) = self;
        let seat: *mut Pulse<F, T> = match &pulse.child {
            Some(child) => child.runner.extra().pulse.get().cast(),
            None => unreachable!("a pulse starts with its child"),
        };
        // SAFETY: the seat is vacant: a node's pulse is made once, and has not been put there before. The pointer came
        // out of an `UnsafeCell` in a node, whose memory the pulse holds and so outlives it there.
        unsafe { seat.write(pulse) };
        seat
    }

    unsafe fn drop(ptr: *mut (dyn Future<Output = ()> + 'static)) {
        // SAFETY: `ptr` is from `into_raw`, and not used after this. The pulse is moved out of the node's memory before it
        // is dropped, since that may free it.
        let mut pulse = unsafe { ptr.cast::<Pulse<F, T>>().read() };
        pulse.abandon();
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
    start(control, Some(runtime.clone()), name, at, future, |obj| drop(runtime.runtime().spawn_obj(obj)))
}

/// Runs `job` where it may block: in the pool of the context's runtime, or in the shared one.
pub(super) fn spawn_blocking<J, T>(control: &Arc<Control>, at: &'static Location<'static>, job: J) -> Task<T>
where
    J: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let runtime = context::with(|ambient| ambient.runtime());
    let future = super::child::Plain::new(Once { job: Some(job) });
    start(control, runtime.clone(), None, at, future, move |obj| {
        // Ready at its first poll, so nobody needs to be woken.
        let mut obj = obj;
        let job: Job = Box::new(move || {
            let polled = Pin::new(&mut obj).poll(&mut Context::from_waker(Waker::noop()));
            debug_assert!(polled.is_ready());
        });
        drop(match runtime {
            Some(runtime) => runtime.spawn_blocking(job),
            None => crate::blocking::spawn(job),
        });
    })
}

struct Once<J> {
    job: Option<J>,
}

impl<J> Unpin for Once<J> {}

impl<T, J: FnOnce() -> T> Future for Once<J> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        match self.job.take() {
            Some(job) => Poll::Ready(job()),
            None => Poll::Pending,
        }
    }
}

fn start<F, T>(
    control: &Arc<Control>,
    runtime: Option<Handle>,
    name: Option<Name>,
    at: &'static Location<'static>,
    future: F,
    spawn: impl FnOnce(FutureObj<'static, ()>),
) -> Task<T>
where
    F: Future<Output = Result<T, Failed>> + Send + 'static,
    T: Send + 'static,
{
    let seat = Seat { name, pulse: UnsafeCell::new(MaybeUninit::uninit()), _pinned: PhantomPinned };
    let (mut runner, reader) = Runner::new(future, at, seat);
    let task = Task::new(reader, Arc::clone(control), true);
    if control.is_cancelled() || !control.parallel_started() {
        if let Err(payload) = runner.refuse(Some(control.refusal())) {
            std::panic::resume_unwind(payload);
        }
        return task;
    }
    let child = context::with(|ambient| Child {
        runner,
        started: false,
        token: None,
        listener: None,
        last_hold: None,
        control: Some(Arc::clone(control)),
        runtime,
        due: ambient.deadline(),
        values: ambient.values(),
    });
    let memory = child.runner.memory();
    let watched = context::with(|ambient| ambient.watch.get() != Watch::No);
    let name = watched.then(|| child.runner.name());
    // The runtime drops what it refuses, and the drop tells the scope.
    tree::spawning(name, || spawn(FutureObj::new(Obj(Pulse { child: Some(child), _memory: memory }))));
    task
}
