//! Programs that try to break the scopes: what is left behind at the last moment, races, and panics where nobody expects them.

mod clocks;
mod last_moments;
mod panics;
mod races;

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use foster::runtimes::{Basic, Sim};
use foster::{
    Cancelled, Deadline, Event, Handle, Reason, Scope, Task, Token, adopt, scope, shield, sleep, timeout, try_scope,
    yield_now,
};
use futures::FutureExt;
use futures::executor::block_on;

const S: Duration = Duration::from_secs(1);

/// Runs `test` under a watchdog.
fn watched<R: Send + 'static>(test: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, waiting) = mpsc::channel::<()>();
    let runner = thread::Builder::new()
        .stack_size(64 << 20)
        .spawn(move || {
            let _done = done;
            test()
        })
        .unwrap();
    if let Err(mpsc::RecvTimeoutError::Timeout) = waiting.recv_timeout(Duration::from_secs(10)) {
        panic!("it hangs");
    }
    match runner.join() {
        Ok(r) => r,
        Err(p) => std::panic::resume_unwind(p),
    }
}

fn sim<F: Future<Output = ()> + 'static>(f: fn() -> F) {
    watched(move || Sim::new(1).run(f()))
}

fn basic<F: Future<Output = ()> + 'static>(f: fn() -> F) {
    watched(move || Basic::thread_pool(2).unwrap().run(f()))
}

fn bare<F: Future<Output = ()> + 'static>(f: fn() -> F) {
    watched(move || block_on(f()))
}

/// Does something when it is dropped.
struct OnDrop<F: FnMut()>(F);
impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)()
    }
}

/// Panics when it is dropped.
struct Bomb;
impl Drop for Bomb {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic!("bomb")
        }
    }
}

/// Polls `f` once, with a waker that does nothing.
fn once<F: Future>(f: Pin<&mut F>) -> Poll<F::Output> {
    f.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}
