//! Telling the time, and timers.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use super::tasks::spawn;
use super::watchdog::{TICK, block_on};
use crate::runtime::{Clock, Handle};
use crate::testing::{CountingWaker, Gate, poll_once};

table! {
    Handle the_clock_never_goes_back: "Clock: `now` never goes back, on whatever thread it is read",
    Handle timers_never_fire_early: "S10: a timer never fires before its instant",
    Handle many_timers_all_fire: "S10: every timer fires, in tasks as in the root, and none early",
    Handle a_timer_of_the_past_fires_at_once:
        "S10: a timer whose instant has come fires, even if it was never polled before",
    Handle a_far_timer_neither_fires_nor_panics:
        "Clock: a timer may lie as far ahead as an `Instant` can",
    Handle a_timer_counts_from_when_it_was_made:
        "Clock: a timer counts from when it was made, however late its first poll",
    Handle a_timer_wakes_whoever_polled_it_last: "S12: a timer wakes the waker of its latest poll",
    Handle timers_that_are_dropped_disturb_nobody:
        "Clock: a timer may be dropped at any time, and others still fire",
}

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

fn the_clock_never_goes_back(handle: &Handle) {
    let mut last = handle.now();
    for _ in 0..10_000 {
        let now = handle.now();
        assert!(now >= last, "the clock went back by {:?}", last - now);
        last = now;
    }
    let (send, receive) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || (0..1_000).all(|_| send.send(handle.now()).is_ok()));
        for earlier in receive {
            let now = handle.now();
            assert!(now >= earlier, "another thread's clock is ahead by {:?}", earlier - now);
        }
    });
}

async fn fires_in_time(handle: &Handle, after: Duration) {
    let at = handle.now() + after;
    handle.timer(at).await;
    let now = handle.now();
    assert!(now >= at, "a timer of {after:?} fired {:?} early", at - now);
}

fn timers_never_fire_early(handle: &Handle) {
    block_on(handle, async {
        for micros in [1, 300, 1_000, 1_700, 5_000, 12_345] {
            fires_in_time(handle, Duration::from_micros(micros)).await;
        }
    });
}

fn many_timers_all_fire(handle: &Handle) {
    let (gates, early) = ((0..300).map(|_| Gate::new()).collect::<Vec<_>>(), Arc::new(AtomicUsize::new(0)));
    for (i, gate) in gates.iter().cloned().enumerate() {
        let (clock, early) = (handle.clone(), early.clone());
        // The timers are made neither in the order in which they fire nor in the reverse one.
        let after = Duration::from_micros(i as u64 * 7919 % 20_000);
        let task = async move {
            let at = clock.now() + after;
            clock.timer(at).await;
            early.fetch_add(usize::from(clock.now() < at), Ordering::SeqCst);
            gate.open();
        };
        spawn(handle, task);
    }
    block_on(handle, async {
        handle.timer(handle.now() + TICK).await;
        for gate in &gates {
            gate.wait().await;
        }
    });
    assert_eq!(early.load(Ordering::SeqCst), 0, "timers that fired early");
}

fn a_timer_of_the_past_fires_at_once(handle: &Handle) {
    let now = handle.now();
    block_on(handle, async {
        handle.timer(now).await;
        handle.timer(now.checked_sub(TICK).unwrap_or(now)).await;
        let (soon, later) = (handle.timer(now + TICK), handle.timer(now + 3 * TICK));
        later.await;
        soon.await;
    });
}

fn a_far_timer_neither_fires_nor_panics(handle: &Handle) {
    let now = handle.now();
    block_on(handle, async {
        for years in [1, 100, 100_000] {
            let Some(at) = now.checked_add(YEAR * years) else { continue };
            let mut far = pin!(handle.timer(at));
            assert!(poll_once(&mut far).await.is_pending(), "a timer {years} years ahead has fired");
            handle.timer(handle.now() + TICK).await;
            assert!(poll_once(&mut far).await.is_pending(), "a timer {years} years ahead has fired");
        }
    });
}

fn a_timer_counts_from_when_it_was_made(handle: &Handle) {
    let first = block_on(handle, async {
        let overdue = handle.now() + 20 * TICK;
        let late = handle.timer(overdue);
        handle.timer(overdue).await;
        let (mut late, mut next) = (pin!(late), pin!(handle.timer(handle.now() + TICK)));
        poll_fn(|cx| match late.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready("late"),
            Poll::Pending => next.as_mut().poll(cx).map(|()| "next"),
        })
        .await
    });
    assert_eq!(first, "late", "a timer that was overdue at its first poll fired after one of {TICK:?} from then");
}

fn a_timer_wakes_whoever_polled_it_last(handle: &Handle) {
    let first = CountingWaker::new();
    block_on(handle, async {
        let mut timer = Box::pin(handle.timer(handle.now() + 3 * TICK));
        assert!(first.poll(timer.as_mut()).is_pending(), "a timer fired early");
        let done = Gate::new();
        let opened = done.clone();
        spawn(handle, async move {
            timer.await;
            opened.open();
        });
        done.wait().await;
    });
}

fn timers_that_are_dropped_disturb_nobody(handle: &Handle) {
    block_on(handle, async {
        let kept = handle.timer(handle.now() + 2 * TICK);
        for _ in 0..300 {
            let mut dropped = pin!(handle.timer(handle.now() + TICK));
            _ = poll_once(&mut dropped).await;
        }
        kept.await;
        fires_in_time(handle, TICK).await;
    });
}
