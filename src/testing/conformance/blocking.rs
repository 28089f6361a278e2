//! Jobs that may block their thread.

use std::cell::Cell;
use std::sync::mpsc;

use super::tasks::spawn;
use super::watchdog::{block_on, panic_quietly};
use crate::runtime::{Blocking, Handle};
use crate::testing::Gate;

table! {
    Handle jobs_run_off_the_callers_stack: "Blocking: a job never runs on the stack of its caller",
    Handle many_jobs_all_run: "Blocking: every job is run, and may wake tasks",
    Handle a_job_that_panics_takes_none_with_it: "S3: a job that panics takes no other job with it",
    Open a_job_may_wait_for_a_task:
        "Blocking: a job may block its thread, and tasks run on meanwhile",
}

fn run_job(handle: &Handle, job: impl FnOnce() + Send + 'static) {
    assert!(handle.spawn_blocking(Box::new(job)).is_ok(), "a job was refused while the runtime goes on");
}

fn jobs_run_off_the_callers_stack(handle: &Handle) {
    thread_local!(static INSIDE: Cell<bool> = const { Cell::new(false) });
    let hand_over = || {
        let (send, receive) = mpsc::channel();
        let done = Gate::new();
        let opened = done.clone();
        INSIDE.set(true);
        run_job(handle, move || {
            _ = send.send(INSIDE.get());
            opened.open();
        });
        INSIDE.set(false);
        (done, receive)
    };
    let (outside, outside_told) = hand_over();
    let inside_told = block_on(handle, async {
        let (inside, told) = hand_over();
        inside.wait().await;
        outside.wait().await;
        told
    });
    for told in [outside_told, inside_told] {
        assert_eq!(told.recv(), Ok(false), "a job ran inside of the call that handed it over");
    }
}

fn many_jobs_all_run(handle: &Handle) {
    let gates: Vec<_> = (0..64).map(|_| Gate::new()).collect();
    for gate in &gates {
        let gate = gate.clone();
        run_job(handle, move || gate.open());
    }
    block_on(handle, async {
        for gate in &gates {
            gate.wait().await;
        }
    });
}

fn a_job_that_panics_takes_none_with_it(handle: &Handle) {
    for _ in 0..8 {
        run_job(handle, || panic_quietly("a job that panics"));
    }
    let done = Gate::new();
    let opened = done.clone();
    run_job(handle, move || opened.open());
    block_on(handle, done.wait());
}

fn a_job_may_wait_for_a_task(handle: &Handle) {
    let (send, receive) = mpsc::channel();
    let (started, done) = (Gate::new(), Gate::new());
    let (opened, told) = (done.clone(), started.clone());
    run_job(handle, move || {
        told.open();
        if receive.recv().is_ok() {
            opened.open();
        }
    });
    block_on(handle, async {
        started.wait().await;
        spawn(handle, async move { _ = send.send(()) });
        done.wait().await;
    });
}
