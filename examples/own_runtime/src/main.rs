//! Brings a custom runtime to foster: an executor with one thread, and the adapter for it.
//!
//! `main` runs a scope on it. Then it runs the conformance suite, which every adapter should have
//! among its tests: it names each rule that foster relies on and the adapter breaks.

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
use foster::runtime::network::{self, Network};
use foster::runtime::{Blocking, Clock, Job, RunError, Runtime, Timer};
use foster::testing::conformance::Conformance;
use futures::task::{FutureObj, Spawn, SpawnError};

/// A message to the thread of the executor.
enum Event {
    /// Run this future as a new task.
    Spawn(FutureObj<'static, ()>),
    /// Poll the task with this number.
    Wake(u64),
    /// Drop all tasks, and end.
    End,
}

/// Wakes a task by its number. It does not keep the task alive, so a waker may outlive its task.
struct Alarm(u64, Sender<Event>);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        _ = self.1.send(Event::Wake(self.0));
    }
}

/// Polls one task for each event, in the order of the events, so that no task starves another. All
/// tasks are dropped when this returns.
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
        // A task that panics ends. The others go on.
        let poll = || Pin::new(&mut task.0).poll(&mut Context::from_waker(&task.1));
        match catch_unwind(AssertUnwindSafe(poll)) {
            Ok(Poll::Pending) => drop(tasks.insert(number, task)),
            _ => drop(catch_unwind(AssertUnwindSafe(|| drop(task)))),
        }
    }
}

/// The adapter. It is dropped with the last handle to it, and then the executor ends.
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
        // If the thread has ended, the future is dropped here. foster learns of it by that drop.
        self.0.send(Event::Spawn(future)).map_err(|_| SpawnError::shutdown())
    }
}

impl Clock for OneThread {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn timer(&self, at: Instant) -> Timer {
        // An executor with its own timers passes them to `Timer::boxed`.
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

    fn network(&self) -> Option<&dyn Network> {
        // An executor with a reactor implements `Network` for its own sockets.
        Some(network::async_io())
    }
}

fn main() {
    let sum = OneThread::start().run(foster::scope(async |s| {
        let (one, other) = (s.spawn_parallel(async { 1 }), s.spawn_blocking(|| 2));
        one.await + other.await
    }));
    println!("1 + 2 = {sum}");

    Conformance::of(OneThread::start).ends_with_last_handle().with_network().run();
    println!("the adapter keeps the contract");
}

#[cfg(test)]
#[test]
fn the_adapter_keeps_the_contract() {
    main();
}
