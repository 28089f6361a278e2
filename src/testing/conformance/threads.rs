//! Threads that are not the runtime's.

use std::future::poll_fn;
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::thread;

use super::tasks::spawn;
use super::watchdog::block_on;
use crate::runtime::Handle;
use crate::testing::Gate;

table! {
    Open tasks_may_be_woken_from_any_thread:
        "S12: a task is polled after every wake-up, from whatever thread and at whatever time it comes",
    Open roots_may_be_woken_from_any_thread:
        "S12: a root is polled after every wake-up, from whatever thread it comes",
    Open tasks_may_be_spawned_while_somebody_blocks:
        "Runtime: tasks may be spawned on any thread, even while another one blocks",
}

const ROUNDS: usize = 300;

/// Goes to another thread and back many times. Each wake-up is as likely to come during the poll as
/// after it.
async fn ping_pong() {
    let (wakers, asked) = mpsc::channel::<(Waker, Gate)>();
    let thread = thread::spawn(move || {
        for (waker, gate) in asked {
            gate.open();
            waker.wake();
        }
    });
    for _ in 0..ROUNDS {
        let gate = Gate::new();
        let mut sent = false;
        poll_fn(|cx| {
            if !sent {
                sent = true;
                drop(wakers.send((cx.waker().clone(), gate.clone())));
            }
            if gate.is_open() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
    drop((wakers, thread));
}

fn tasks_may_be_woken_from_any_thread(handle: &Handle) {
    let gates: Vec<_> = (0..4).map(|_| Gate::new()).collect();
    for gate in &gates {
        let gate = gate.clone();
        spawn(handle, async move {
            ping_pong().await;
            gate.open();
        });
    }
    block_on(handle, async {
        for gate in &gates {
            gate.wait().await;
        }
    });
}

fn roots_may_be_woken_from_any_thread(handle: &Handle) {
    block_on(handle, ping_pong());
}

fn tasks_may_be_spawned_while_somebody_blocks(handle: &Handle) {
    let all = Gate::new();
    let (opened, inner) = (all.clone(), handle.clone());
    let spawner = thread::spawn(move || {
        for _ in 0..100 {
            let done = mpsc::channel();
            spawn(&inner, async move { _ = done.0.send(()) });
            if done.1.recv().is_err() {
                return;
            }
        }
        opened.open();
    });
    block_on(handle, all.wait());
    assert!(spawner.join().is_ok());
}
