//! What tests watch with.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

pub(crate) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// What happened, in order. Clones are the same log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    entries: Arc<Mutex<Vec<String>>>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Log::default()
    }

    pub(crate) fn note(&self, what: impl Into<String>) {
        self.entries.lock().unwrap().push(what.into());
    }

    /// Notes `what` when it is dropped.
    pub(crate) fn on_drop(&self, what: impl Into<String>) -> OnDrop {
        OnDrop { log: self.clone(), what: what.into() }
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

pub(crate) struct OnDrop {
    log: Log,
    what: String,
}

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.log.note(std::mem::take(&mut self.what));
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

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.up();
    }
}

/// A waker that counts how often it was woken.
pub(crate) fn counting_waker() -> (Waker, Arc<Count>) {
    let count = Arc::new(Count::new());
    (Waker::from(Arc::clone(&count)), count)
}

/// Counts the polls of a future.
pub(crate) fn counted<F: Future>(polls: &Count, future: F) -> impl Future<Output = F::Output> {
    let polls = polls.clone();
    let mut future = Box::pin(future);
    std::future::poll_fn(move |cx| {
        polls.up();
        future.as_mut().poll(cx)
    })
}

/// Polls a future once, with a waker that does nothing.
pub(crate) fn poll_by_hand<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// The message of a caught panic.
pub(crate) fn message(payload: Box<dyn std::any::Any + Send>) -> String {
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast::<&str>().map_or_else(|_| "?".to_string(), |text| text.to_string()),
    }
}
