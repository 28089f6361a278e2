//! Bugs that were in real programs, each in a small one written for foster; the kit must find them,
//! and its seed must reproduce them, and the mended program must pass.
//!
//! Each file names the report that its bug is from. What is theirs is rebuilt here by hand, no
//! longer than it takes to have the same bug.

mod cancelled_connect;
mod cancelled_frame;
mod delay_queue;
mod dropped_driver;
mod failed_create;
#[cfg(feature = "net")]
mod half_request;
mod local_first;
mod lock_order;
#[cfg(feature = "net")]
mod lost_reply;
#[cfg(feature = "net")]
mod no_descriptor;
#[cfg(feature = "net")]
mod reconnect_storm;
mod reserved_send;
mod second_lookup;

use std::future::Future;
use std::sync::mpsc;

use foster::testing::harness::Test;
use foster::testing::{Explore, Failure};

/// What a program is to be: as it was reported, or as it should have been.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Reported,
    Mended,
}

use Version::{Mended, Reported};

/// Explores `program`: the reported version fails within so many schedules, and again, step by
/// step, by the seed alone; the mended one passes a thousand. Returns how it failed. A program that
/// hangs fails the test.
#[track_caller]
fn finds<F, Fut>(explore: Explore, within: u64, program: F) -> Failure
where
    F: Fn(Version) -> Fut + Send + 'static,
    Fut: Future<Output = ()>,
{
    let (tell, told) = mpsc::channel();
    Test::new(60_000, false).call(move || tell.send(find(&explore, within, &program)).unwrap());
    told.recv().expect("the failure that was found")
}

fn find<F, Fut>(explore: &Explore, within: u64, program: &F) -> Failure
where
    F: Fn(Version) -> Fut,
    Fut: Future<Output = ()>,
{
    let Err(found) = explore.clone().seeds(0..within).run(|| program(Reported)) else {
        panic!("the bug was not found within {within} schedules");
    };
    let seed = found.seed();
    let Err(again) = explore.clone().seeds(seed..seed + 1).run(|| program(Reported)) else {
        panic!("{} does not reproduce it", found.replay());
    };
    assert_eq!((found.trace(), found.message()), (again.trace(), again.message()));
    assert_eq!(found.replay(), format!("FOSTER_SEED={seed}"));
    if let Err(failure) = explore.clone().seeds(0..1_000).run(|| program(Mended)) {
        panic!("the mended program: {failure}");
    }
    found
}

/// Both by uniform choice and by priorities.
#[track_caller]
fn finds_both_ways<F, Fut>(within: u64, program: F) -> Failure
where
    F: Fn(Version) -> Fut + Copy + Send + 'static,
    Fut: Future<Output = ()>,
{
    finds(Explore::new().priority(2), within, program);
    finds(Explore::new(), within, program)
}
