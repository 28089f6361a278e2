//! Watches a test by the wall clock, and has it drawn when it hangs.
//!
//! Drawing a tree means polling it, and only the thread that runs the test can do that. So the
//! watcher wakes the test's root future, and waits for the drawing that its next poll makes. If
//! none comes, the thread is stuck in something that does not await.

use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::trace::tree;

/// How long to wait for a drawing.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the thread that runs a test shares with the thread that watches it.
#[derive(Default)]
pub(super) struct TestWatch {
    state: Mutex<State>,
    changed: Condvar,
}

/// The state of a [`TestWatch`], under its lock.
#[derive(Default)]
struct State {
    /// Whether the test has ended.
    ended: bool,
    /// Whether the watcher has reported the test, whose next poll then ends it.
    given_up: bool,
    /// The present round of a test that starts its runtimes itself.
    round: Option<u32>,
    /// How many root futures there have been, one after the other.
    runs: u64,
    /// The waker of the root future, once it has been polled.
    waker: Option<Waker>,
    /// How many polls of the present root future have begun.
    polls: u64,
    /// Whether a poll is under way.
    polling: bool,
    /// Whether the present root future has completed.
    completed: bool,
    /// Whether the watcher has asked for a drawing.
    asked: bool,
    drawing: Option<Vec<String>>,
}

/// The payload of the panic that ends a test after the watcher has reported it.
pub(super) struct GivenUp;

impl TestWatch {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the test has ended.
    pub(super) fn finish(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Notes that a round of the test begins.
    pub(super) fn begin_round(&self, round: u32) {
        self.lock().round = Some(round);
    }

    /// Waits until the test has ended, or until `enough` is true.
    fn wait(&self, timeout: Duration, enough: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_timeout_while(self.lock(), timeout, |state| !state.ended && !enough(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits until the test has ended.
    ///
    /// # Errors
    ///
    /// Returns what the test is doing if it has not ended in time. Its next poll then ends it.
    pub(super) fn wait_until_over(&self, timeout: Duration) -> Result<(), String> {
        let mut state = self.wait(timeout, |_| false);
        if state.ended {
            return Ok(());
        }
        state.asked = true;
        self.wake(state);
        let mut state = self.wait(PATIENCE, |state| state.drawing.is_some());
        let hangs = format!("the test has been running for {timeout:?}: it hangs; {}", state.describe());
        state.given_up = true;
        self.wake(state);
        Err(hangs)
    }

    /// Wakes the root future, after the lock has been released.
    fn wake(&self, state: MutexGuard<'_, State>) {
        let waker = state.waker.clone();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Wraps the root future of the test, or of one run of it.
    pub(super) fn over<F: Future>(self: &Arc<Self>, test: F) -> Watched<F> {
        let mut state = self.lock();
        state.runs += 1;
        state.polls = 0;
        state.completed = false;
        drop(state);
        Watched { test, watch: Arc::clone(self) }
    }

    /// Notes that a poll begins. Returns whether a drawing is asked for.
    fn begin(&self, waker: &Waker) -> bool {
        let mut state = self.lock();
        state.polls += 1;
        state.polling = true;
        if state.given_up {
            drop(state);
            resume_unwind(Box::new(GivenUp));
        }
        let asked = state.asked && state.drawing.is_none();
        let known = state.waker.as_ref().is_some_and(|known| known.will_wake(waker));
        drop(state);
        if !known {
            let waker = waker.clone();
            let before = self.lock().waker.replace(waker);
            drop(before);
        }
        asked
    }

    /// Notes that a poll has ended, and whether that has completed the future.
    fn end(&self, completed: bool, drawing: Option<Vec<String>>) {
        let mut state = self.lock();
        state.polling = false;
        state.completed = completed;
        if drawing.is_some() {
            state.drawing = drawing;
            self.changed.notify_all();
        }
    }
}

impl State {
    /// Returns what a test that hangs is doing, as far as that is known.
    fn describe(&self) -> String {
        let place = match self {
            State { runs: 0 | 1, polls, .. } => format!("poll {polls}"),
            State { runs, polls, .. } => format!("poll {polls} of run {runs}"),
        };
        if let Some(drawing) = &self.drawing {
            format!("in {place}, these wait:\n  {}", drawing.join("\n  "))
        } else if self.ended {
            "it ended just after that".to_string()
        } else if self.completed {
            "the test has completed; its runtime waits for what it adopted, or for a blocking job".to_string()
        } else if let Some(round) = self.round {
            format!("it is in round {round}, of which nothing can be drawn, as it starts its runtime itself")
        } else if self.runs == 0 {
            "nothing of it can be drawn, as it starts its runtime itself".to_string()
        } else if self.polling {
            format!("{place} does not return: something in it blocks the thread, or loops without an `await`")
        } else if self.waker.is_none() {
            "it has not been polled yet: the runtime does not start".to_string()
        } else {
            format!("since {place} its runtime does not come back to it: another task keeps the thread to itself")
        }
    }
}

pin_project! {
    /// A root future that can be drawn from another thread.
    pub(super) struct Watched<F> {
        #[pin]
        test: F,
        watch: Arc<TestWatch>,
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if !this.watch.begin(cx.waker()) {
            let poll = this.test.poll(cx);
            this.watch.end(poll.is_ready(), None);
            return poll;
        }
        let mut poll = Poll::Pending;
        let drawing = tree::draw(|| tree::named("main".to_string(), || poll = this.test.poll(cx))).lines;
        this.watch.end(poll.is_ready(), Some(drawing));
        poll
    }
}
