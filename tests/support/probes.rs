//! What tests watch futures with, and what they hold them up with.

#![allow(dead_code, unused_imports, unused_macros, reason = "each program that has this file uses a part of it")]

use std::any::Any;
use std::fmt::Debug;
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use foster::scope::Notice;
pub(crate) use foster::testing::Gate;
use foster::{Cancelled, Reason, Scope, Task, scope, sleep, yield_now};
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::harness::T;

/// Counts what becomes of the futures that it watches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Probe(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    made: AtomicUsize,
    polls: AtomicUsize,
    ended: AtomicUsize,
    dropped: AtomicUsize,
    misused: AtomicBool,
}

impl Probe {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn watch<F: Future>(&self, future: F) -> Watched<F> {
        self.0.made.fetch_add(1, Ordering::SeqCst);
        Watched { inside: Some(Box::pin(future)), probe: self.clone(), over: false }
    }

    /// A watched future that never ends.
    pub(crate) fn endless(&self) -> Watched<std::future::Pending<()>> {
        self.watch(pending())
    }

    pub(crate) fn made(&self) -> usize {
        self.0.made.load(Ordering::SeqCst)
    }

    pub(crate) fn polls(&self) -> usize {
        self.0.polls.load(Ordering::SeqCst)
    }

    /// How many came to their end.
    pub(crate) fn ended(&self) -> usize {
        self.0.ended.load(Ordering::SeqCst)
    }

    pub(crate) fn dropped(&self) -> usize {
        self.0.dropped.load(Ordering::SeqCst)
    }

    /// All futures are gone, each exactly once, and none was polled after its end.
    #[track_caller]
    pub(crate) fn assert_all_gone(&self) {
        assert_eq!(self.dropped(), self.made(), "watched futures dropped, of those made");
        assert!(!self.0.misused.load(Ordering::SeqCst), "a future was polled after its end");
    }
}

/// A future that a [`Probe`] watches. It is counted as dropped when what is inside has been
/// dropped.
pub(crate) struct Watched<F> {
    inside: Option<Pin<Box<F>>>,
    probe: Probe,
    over: bool,
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let counts = &this.probe.0;
        counts.polls.fetch_add(1, Ordering::SeqCst);
        if std::mem::replace(&mut this.over, true) {
            counts.misused.store(true, Ordering::SeqCst);
        }
        let Some(inside) = &mut this.inside else { return Poll::Pending };
        // A panic leaves `over` set.
        let polled = inside.as_mut().poll(cx);
        if polled.is_ready() {
            counts.ended.fetch_add(1, Ordering::SeqCst);
        } else {
            this.over = false;
        }
        polled
    }
}

impl<F> Drop for Watched<F> {
    fn drop(&mut self) {
        struct Count<'a>(&'a Counts);
        impl Drop for Count<'_> {
            fn drop(&mut self) {
                self.0.dropped.fetch_add(1, Ordering::SeqCst);
            }
        }
        let _count = Count(&self.probe.0);
        self.inside = None;
    }
}

/// What happened, in order. Clones are the same log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    entries: Arc<Mutex<Vec<String>>>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn note(&self, what: impl Into<String>) {
        self.entries.lock().unwrap().push(what.into());
    }

    /// Notes `what` when it is dropped.
    pub(crate) fn on_drop(&self, what: impl Into<String>) -> OnDrop<Box<dyn FnMut() + Send>> {
        let (log, mut what) = (self.clone(), what.into());
        OnDrop(Box::new(move || log.note(std::mem::take(&mut what))))
    }

    pub(crate) fn entries(&self) -> Vec<String> {
        self.entries.lock().unwrap().clone()
    }

    /// Where `what` stands; panics if it did not happen exactly once.
    #[track_caller]
    pub(crate) fn place(&self, what: &str) -> usize {
        let entries = self.entries();
        let places: Vec<usize> = (0..entries.len()).filter(|&i| entries[i] == what).collect();
        assert!(places.len() == 1, "`{what}` happened {} times: {entries:?}", places.len());
        places[0]
    }

    pub(crate) fn has(&self, what: &str) -> bool {
        self.entries().iter().any(|entry| entry == what)
    }
}

/// Calls its function when it is dropped.
pub(crate) struct OnDrop<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A number that many may count up. Clones are the same count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Count {
    count: Arc<AtomicUsize>,
}

impl Count {
    pub(crate) fn new() -> Self {
        Count::default()
    }

    /// Adds one, and returns the sum.
    pub(crate) fn up(&self) -> usize {
        self.count.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) fn down(&self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
    }

    pub(crate) fn get(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

/// Gives everybody on this task several turns.
pub(crate) async fn turns() {
    for _ in 0..8 {
        yield_now().await;
    }
}

/// Yields `n` times, then gives `value`.
pub(crate) async fn after<V>(n: usize, value: V) -> V {
    for _ in 0..n {
        yield_now().await;
    }
    value
}

pub(crate) fn boxed<'a, V>(future: impl Future<Output = V> + Send + 'a) -> BoxFuture<'a, V> {
    Box::pin(future)
}

/// Never ends, and notes its drop.
pub(crate) async fn dropping(guard: OnDrop<impl FnMut()>) {
    let _guard = guard;
    pending().await
}

/// A scope with a parallel child, and a finalizer that borrows and takes its time; it never ends by
/// itself.
pub(crate) async fn lingering(log: &Log, name: &str) {
    scope(|s| async move {
        s.defer(async move {
            sleep(T).await;
            log.note(format!("{name} finalized"));
        });
        let over = log.on_drop(format!("{name} child over"));
        s.spawn_parallel(async move {
            let _over = over;
            pending::<()>().await
        });
        let _body = log.on_drop(format!("{name} body over"));
        pending::<()>().await
    })
    .await
}

/// Starts a child in a child in a child, and so on, and calls `last` in the innermost.
pub(crate) fn descend<'env>(
    s: Scope<'env>,
    depth: usize,
    last: impl FnOnce(Scope<'env>) + Send + 'env,
) -> BoxFuture<'env, ()> {
    async move {
        if depth == 0 {
            last(s);
        } else {
            s.spawn(descend(s.clone(), depth - 1, last));
        }
        pending().await
    }
    .boxed()
}

/// The reason of a task that was cancelled.
pub(crate) fn reason<T: Debug>(outcome: Result<T, Cancelled>) -> Reason {
    outcome.unwrap_err().reason().clone()
}

/// The outcome of a task that may have left its scope.
pub(crate) async fn why(task: &Mutex<Option<Task<()>>>) -> Reason {
    let task = task.lock().unwrap().take().unwrap();
    task.outcome().await.unwrap_err().reason().clone()
}

/// Where an observer notes the errors that a scope does not return.
#[derive(Clone, Default)]
pub(crate) struct Late(Arc<Mutex<Vec<&'static str>>>);

impl Late {
    pub(crate) fn observer(&self) -> impl FnMut(Notice<&'static str>) + Send + 'static {
        let late = self.clone();
        move |event| {
            if let Notice::LateError { error, .. } = event {
                late.0.lock().unwrap().push(error);
            }
        }
    }

    pub(crate) fn errors(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }
}

/// Waits, by giving others turns, until something is so that no waker tells of.
pub(crate) async fn until(so: impl Fn() -> bool) {
    while !so() {
        sleep(T / 10).await;
    }
}

/// Panics without a message on the console.
pub(crate) fn boom(what: &'static str) -> ! {
    resume_unwind(Box::new(what))
}

/// The payload of [`boom`], if that is what it is.
pub(crate) fn what(payload: &(dyn Any + Send)) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("another panic")
}

/// Runs `future`; the error is what it [`boom`]ed with.
pub(crate) async fn caught<F: Future>(future: F) -> Result<F::Output, &'static str> {
    AssertUnwindSafe(future).catch_unwind().await.map_err(|payload| what(&*payload))
}

/// The message of a caught panic.
pub(crate) fn message(payload: Box<dyn Any + Send>) -> String {
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast::<&str>().map_or_else(|_| "?".to_string(), |text| text.to_string()),
    }
}

/// Polls a future once, with a waker that does nothing.
pub(crate) fn poll_by_hand<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

pub(crate) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}
