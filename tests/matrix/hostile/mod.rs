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
use foster::scope::Notice;
use foster::{
    Deadline, Handle, Reason, Scope, Task, Token, adopt, scope, shield, sleep, timeout, try_scope, yield_now,
};
use futures::FutureExt;
use futures::executor::block_on;

use crate::harness::{self, bare, rounds, watched};
use crate::probes::OnDrop;

const S: Duration = Duration::from_secs(1);

fn sim<F: Future<Output = ()> + 'static>(test: fn() -> F) {
    harness::run(harness::sim, test);
}

fn basic<F: Future<Output = ()> + 'static>(test: fn() -> F) {
    harness::run(harness::basic, test);
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
