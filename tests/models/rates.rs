//! A rate limiter: who has tokens at which instant, when some leave and all may be paused.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Duration;

use foster::rate::RateLimiter;
use foster::runtimes::Sim;
use foster::{local, now, sleep, sleep_until, timeout};
use proptest::prelude::*;

use crate::{config, watched};

/// One who asks for tokens.
#[derive(Clone, Debug)]
struct Caller {
    comes: u64,
    tokens: u32,
    /// How long it waits at most. Another child cancels it then, so it does not know before.
    patience: Option<u64>,
}

#[derive(Clone, Debug)]
struct Program {
    count: u32,
    per: u64,
    burst: u32,
    callers: Vec<Caller>,
    /// When all are paused, and for how long.
    pauses: Vec<(u64, u64)>,
    seed: u64,
}

fn programs() -> impl Strategy<Value = Program> {
    let caller = (0..60_u64, 0..5_u32, prop::option::of(1..60_u64));
    let caller = caller.prop_map(|(comes, tokens, patience)| Caller { comes, tokens, patience });
    let pauses = prop::collection::vec((0..60_u64, 0..40_u64), 0..3);
    (1..8_u32, 1..60_u64, 1..6_u32, prop::collection::vec(caller, 1..12), pauses, any::<u64>())
        .prop_map(|(count, per, burst, callers, pauses, seed)| Program { count, per, burst, callers, pauses, seed })
}

/// So many instants, in nanoseconds, lie between two of the coarse unit. All that happens in a
/// program happens at an instant of its own.
const UNIT: u64 = 64;

impl Program {
    fn comes(&self, i: usize) -> u64 {
        self.callers[i].comes * UNIT + 1 + 2 * i as u64
    }

    fn leaves(&self, i: usize) -> Option<u64> {
        self.callers[i].patience.map(|patience| (self.callers[i].comes + patience) * UNIT + 2 + 2 * i as u64)
    }

    fn pauses_at(&self, i: usize) -> u64 {
        self.pauses[i].0 * UNIT + 40 + 2 * i as u64
    }
}

#[derive(Clone, Copy, Debug)]
enum Happens {
    Come(usize),
    Leave(usize),
    Pause(usize),
}

/// Goes through time one nanosecond after the other. That is slow, and has no formula to be wrong.
fn expected(program: &Program) -> Vec<Option<u64>> {
    let callers = 0..program.callers.len();
    let come = callers.clone().map(|i| (program.comes(i), Happens::Come(i)));
    let leave = callers.clone().filter_map(|i| Some((program.leaves(i)?, Happens::Leave(i))));
    let pause = (0..program.pauses.len()).map(|i| (program.pauses_at(i), Happens::Pause(i)));
    let mut events: Vec<_> = come.chain(leave).chain(pause).collect();
    events.sort_by_key(|(at, _)| *at);
    let mut events = VecDeque::from(events);
    let (period, mut served, mut line) = (program.per * UNIT, vec![None; callers.len()], VecDeque::new());
    let full = u64::from(program.burst) * period;
    let (mut parts, mut paused_until) = (full, 0);
    for at in 0.. {
        if at > 0 {
            parts = (parts + u64::from(program.count)).min(full);
        }
        // A timer and a departure at the same instant come in any order, so the program has none.
        while let Some(&(_, happens)) = events.front().filter(|(when, _)| *when == at) {
            events.pop_front();
            match happens {
                Happens::Come(i) if program.callers[i].tokens <= program.burst => line.push_back(i),
                Happens::Come(_) => {}
                Happens::Leave(i) => line.retain(|other| *other != i),
                Happens::Pause(i) => paused_until = paused_until.max(at + program.pauses[i].1 * UNIT),
            }
        }
        while let Some(first) = line.front() {
            let needs = u64::from(program.callers[*first].tokens) * period;
            if at < paused_until || parts < needs {
                break;
            }
            parts -= needs;
            served[*first] = Some(at);
            line.pop_front();
        }
        if events.is_empty() && line.is_empty() {
            break;
        }
    }
    served
}

fn seen(program: &Program) -> Vec<Option<u64>> {
    let per = Duration::from_nanos(program.per * UNIT);
    let limiter = &RateLimiter::with_burst(program.count, per, program.burst);
    let served = &RefCell::new(vec![None; program.callers.len()]);
    Sim::new(program.seed).run(async {
        let start = now();
        let at = |nanos| start + Duration::from_nanos(nanos);
        local::scope(async |s| {
            for i in 0..program.callers.len() {
                let task = s.spawn(async move {
                    sleep_until(at(program.comes(i))).await;
                    let acquired = limiter.acquire(program.callers[i].tokens).await;
                    assert_eq!(acquired.is_err(), program.callers[i].tokens > program.burst);
                    if acquired.is_ok() {
                        served.borrow_mut()[i] = Some((now() - start).as_nanos() as u64);
                    }
                });
                if let Some(leaves) = program.leaves(i) {
                    s.spawn(async move {
                        sleep_until(at(leaves)).await;
                        task.cancel();
                    });
                }
            }
            for i in 0..program.pauses.len() {
                s.spawn(async move {
                    sleep_until(at(program.pauses_at(i))).await;
                    limiter.pause(Duration::from_nanos(program.pauses[i].1 * UNIT));
                });
            }
        })
        .await;
        assert_eq!(limiter.waiting(), 0);
        // All tokens come back, and no more.
        sleep(Duration::from_secs(1)).await;
        assert_eq!(limiter.available(), program.burst);
        assert!(timeout(Duration::ZERO, limiter.acquire(program.burst)).await.unwrap().is_ok());
    });
    served.take()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn tokens_are_handed_out_at_the_instant_and_in_the_order_of_the_model(program in programs()) {
        watched(move || assert_eq!(seen(&program), expected(&program), "{program:?}"));
    }
}
