//! Circuit breakers: what is let through at which instant, however calls end, and how late.

use std::time::Duration;

use foster::rate::{CircuitBreaker, CircuitPermit, CircuitState};
use foster::runtimes::Sim;
use foster::{now, sleep};
use proptest::prelude::*;

use crate::{config, watched};

const MS: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, Debug)]
enum Step {
    Call,
    /// Ends one of the calls that are under way.
    End(usize, End),
    Wait(u32),
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Success,
    Failure,
    Abandoned,
}

#[derive(Clone, Debug)]
struct Program {
    failures: u32,
    more_calls: u32,
    probes: u32,
    times: Vec<u32>,
    steps: Vec<Step>,
}

fn programs() -> impl Strategy<Value = Program> {
    let end = prop_oneof![3 => Just(End::Success), 3 => Just(End::Failure), 1 => Just(End::Abandoned)];
    let step = prop_oneof![
        6 => Just(Step::Call),
        6 => (any::<usize>(), end).prop_map(|(which, end)| Step::End(which, end)),
        3 => (0..6_u32).prop_map(Step::Wait),
        1 => Just(Step::Close),
    ];
    let steps = prop::collection::vec(step, 1..120);
    (1..4_u32, 0..4_u32, 1..4_u32, prop::collection::vec(1..9_u32, 1..4), steps)
        .prop_map(|(failures, more_calls, probes, times, steps)| Program { failures, more_calls, probes, times, steps })
}

/// All that has happened since the state last changed.
#[derive(Debug, Default)]
struct Model {
    state: Option<CircuitState>,
    /// How the calls have ended that began in this state.
    ended: Vec<End>,
    under_way: u32,
    opens_until: u32,
    opened: usize,
    changes: u32,
}

impl Model {
    fn state(&self) -> CircuitState {
        self.state.unwrap_or(CircuitState::Closed)
    }

    fn change(&mut self, state: CircuitState) {
        self.state = Some(state);
        self.ended.clear();
        self.under_way = 0;
        self.changes += 1;
    }

    fn pass_time(&mut self, at: u32) {
        if self.state() == CircuitState::Open && at >= self.opens_until {
            self.change(CircuitState::HalfOpen);
        }
    }

    /// Returns whether a call is let through.
    fn call(&mut self, program: &Program) -> bool {
        let succeeded = self.ended.iter().filter(|end| **end == End::Success).count() as u32;
        let lets_through = match self.state() {
            CircuitState::Closed => true,
            CircuitState::Open => false,
            CircuitState::HalfOpen => self.under_way + succeeded < program.probes,
        };
        self.under_way += u32::from(lets_through);
        lets_through
    }

    fn end(&mut self, program: &Program, end: End, at: u32) {
        self.under_way -= 1;
        self.ended.extend((end != End::Abandoned).then_some(end));
        let last = match self.state() {
            CircuitState::Closed => (program.failures + program.more_calls) as usize,
            _ => usize::MAX,
        };
        let failures = self.ended.iter().rev().take(last).filter(|end| **end == End::Failure).count() as u32;
        let successes = self.ended.len() as u32 - self.ended.iter().filter(|end| **end == End::Failure).count() as u32;
        let is_probing = self.state() == CircuitState::HalfOpen;
        if failures >= if is_probing { 1 } else { program.failures } {
            let time = program.times.get(self.opened).or(program.times.last()).unwrap();
            self.opens_until = at + time;
            self.opened += 1;
            self.change(CircuitState::Open);
        } else if is_probing && successes >= program.probes {
            self.close();
        }
    }

    fn close(&mut self) {
        self.opened = 0;
        self.change(CircuitState::Closed);
    }
}

async fn compare(program: &Program) {
    let breaker = CircuitBreaker::new(program.failures, program.times[0] * MS)
        .of_last(program.failures + program.more_calls)
        .probes(program.probes)
        .then_open_for(program.times[1..].iter().map(|time| *time * MS));
    let (start, mut model) = (now(), Model::default());
    let mut calls: Vec<(CircuitPermit<'_>, u32)> = Vec::new();
    for step in &program.steps {
        let at = (now() - start).as_millis() as u32;
        model.pass_time(at);
        match *step {
            Step::Call => match breaker.try_acquire() {
                Ok(permit) => {
                    assert!(model.call(program));
                    calls.push((permit, model.changes));
                }
                Err(open) => {
                    assert!(!model.call(program));
                    let is_open = model.state() == CircuitState::Open;
                    assert_eq!(open.wait(), is_open.then(|| (model.opens_until - at) * MS));
                    assert_eq!(open.is_probing(), !is_open);
                }
            },
            Step::End(..) if calls.is_empty() => {}
            Step::End(which, end) => {
                let (permit, changes) = calls.swap_remove(which % calls.len());
                match end {
                    End::Success => permit.success(),
                    End::Failure => permit.failure(),
                    End::Abandoned => drop(permit),
                }
                if changes == model.changes {
                    model.end(program, end, at);
                }
            }
            Step::Wait(time) => {
                sleep(time * MS).await;
                model.pass_time(at + time);
            }
            Step::Close => {
                breaker.close();
                model.close();
            }
        }
        assert_eq!(breaker.state(), model.state(), "after {step:?}");
    }
    // However it has come here, it is closed again by a service that is well.
    drop(calls);
    sleep(10 * MS).await;
    for _ in 0..program.probes {
        breaker.try_acquire().expect("it is closed, or its probes were abandoned").success();
    }
    assert_eq!(breaker.state(), CircuitState::Closed);
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_breaker_lets_through_what_the_model_does(program in programs()) {
        watched(move || Sim::default().run(async { compare(&program).await }));
    }
}
