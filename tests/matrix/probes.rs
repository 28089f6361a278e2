//! What tests watch futures with, and what they hold them up with.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use foster::yield_now;
use futures::FutureExt;

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
        self.watch(std::future::pending())
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

/// A future that a [`Probe`] watches. It is counted as dropped when what is inside has been dropped.
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
        match polled.is_ready() {
            true => drop(counts.ended.fetch_add(1, Ordering::SeqCst)),
            false => this.over = false,
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

/// What happened, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<&'static str>>>);

impl Log {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn push(&self, what: &'static str) {
        self.0.lock().unwrap().push(what);
    }

    /// Notes `what` when it is dropped.
    pub(crate) fn on_drop(&self, what: &'static str) -> OnDrop {
        OnDrop { log: self.clone(), what }
    }

    pub(crate) fn entries(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }
}

pub(crate) struct OnDrop {
    log: Log,
    what: &'static str,
}

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.log.push(self.what);
    }
}

/// Shut until it is opened; then open for ever.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<Mutex<(bool, Vec<Waker>)>>);

impl Gate {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn open(&self) {
        let waiting = {
            let mut state = self.0.lock().unwrap();
            state.0 = true;
            std::mem::take(&mut state.1)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0.lock().unwrap().0
    }

    pub(crate) fn wait(&self) -> impl Future<Output = ()> + Send + 'static {
        let gate = self.clone();
        std::future::poll_fn(move |cx| {
            let mut state = gate.0.lock().unwrap();
            if state.0 {
                return Poll::Ready(());
            }
            let waker = cx.waker().clone();
            state.1.push(waker);
            Poll::Pending
        })
    }
}

/// Gives everybody on this task several turns.
pub(crate) async fn turns() {
    for _ in 0..8 {
        yield_now().await;
    }
}

/// Waits, by giving others turns, until something is so that no waker tells of.
pub(crate) async fn until(so: impl Fn() -> bool) {
    while !so() {
        foster::sleep(crate::harness::T / 10).await;
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
