//! How to bring a runtime of one's own to foster: an executor with one thread, and the adapter for it.
//!
//! `main` uses it, and ends with the line that every adapter should have among its tests: the conformance, which
//! names what foster relies on and the adapter does not keep.

use std::collections::HashMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Instant;

use foster::Handle;
use foster::runtime::{Blocking, Clock, Job, RunError, Runtime, Timer};
use foster::testing::conformance::Conformance;
use futures::task::{FutureObj, Spawn, SpawnError};

/// What the executor's thread is told.
enum Event {
    Spawn(FutureObj<'static, ()>),
    Wake(u64),
    End,
}

/// Wakes a task by its number. It does not hold the task: one that is over, or dropped at the end, stays so.
struct Alarm(u64, Sender<Event>);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        _ = self.1.send(Event::Wake(self.0));
    }
}

/// Polls a task after each event, in their order, so that none starves another. The tasks are dropped when this returns.
fn execute(events: Receiver<Event>, wake: &Sender<Event>) {
    let mut tasks = HashMap::new();
    for (new, event) in (0..).zip(events) {
        let (number, mut task) = match event {
            Event::Spawn(future) => (new, (future, Waker::from(Arc::new(Alarm(new, wake.clone()))))),
            Event::Wake(number) => match tasks.remove(&number) {
                Some(task) => (number, task),
                None => continue,
            },
            Event::End => return,
        };
        // A task that panics is over, and takes no other with it.
        let poll = || Pin::new(&mut task.0).poll(&mut Context::from_waker(&task.1));
        match catch_unwind(AssertUnwindSafe(poll)) {
            Ok(Poll::Pending) => drop(tasks.insert(number, task)),
            _ => drop(catch_unwind(AssertUnwindSafe(|| drop(task)))),
        }
    }
}

/// The adapter. With the last handle to it the executor ends.
struct OneThread(Sender<Event>);

impl OneThread {
    fn start() -> Handle {
        let (events, receiver) = channel();
        let wake = events.clone();
        thread::spawn(move || execute(receiver, &wake));
        Handle::new(OneThread(events))
    }
}

impl Drop for OneThread {
    fn drop(&mut self) {
        _ = self.0.send(Event::End);
    }
}

impl Spawn for OneThread {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        // What the thread no longer takes is dropped here, and foster hears of it by that.
        self.0.send(Event::Spawn(future)).map_err(|_| SpawnError::shutdown())
    }
}

impl Clock for OneThread {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn timer(&self, at: Instant) -> Timer {
        // An executor with timers of its own puts them into a `Timer::boxed`.
        Timer::thread(at.saturating_duration_since(Instant::now()))
    }
}

impl Blocking for OneThread {
    fn spawn_blocking(&self, job: Job) -> Result<(), SpawnError> {
        thread::Builder::new().spawn(job).map(drop).map_err(|_| SpawnError::shutdown())
    }
}

impl Runtime for OneThread {
    fn name(&self) -> &'static str {
        "one thread"
    }

    fn block_on(&self, root: Pin<&mut dyn Future<Output = ()>>) -> Result<(), RunError> {
        futures::executor::block_on(root);
        Ok(())
    }
}

fn main() {
    let sum = OneThread::start().run(foster::scope(|s| async move {
        let (one, other) = (s.spawn_parallel(async { 1 }), s.spawn_blocking(|| 2));
        one.await + other.await
    }));
    println!("1 + 2 = {sum}");

    Conformance::of(OneThread::start).ends_with_last_handle().run();
    println!("the adapter keeps the contract");
}

#[cfg(test)]
#[test]
fn the_adapter_keeps_the_contract() {
    main();
}
