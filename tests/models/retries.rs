//! Retries: when each attempt begins, and how it ends, by failures, limits and deadlines.

use std::cell::RefCell;
use std::time::Duration;

use foster::retry::{RetryBudget, RetryError};
use foster::runtimes::Sim;
use foster::{Elapsed, now, retry, sleep, timeout};
use proptest::prelude::*;

use crate::{config, watched};

const MS: Duration = Duration::from_millis(1);

/// What one attempt does.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    takes: u32,
    succeeds: bool,
    is_refused: bool,
    /// What the server asks for.
    after: Option<u32>,
}

#[derive(Clone, Debug)]
struct Program {
    schedule: Vec<u32>,
    /// The last one is repeated.
    attempts: Vec<Attempt>,
    deadline: Option<u32>,
    attempt_timeout: Option<u32>,
    max_attempts: u32,
    max_elapsed: Option<u32>,
    tokens: u32,
    seed: u64,
}

fn programs() -> impl Strategy<Value = Program> {
    let after = prop::option::weighted(0.2, 0..20_u32);
    let attempt = (0..8_u32, prop::bool::weighted(0.2), prop::bool::weighted(0.1), after);
    let attempt =
        attempt.prop_map(|(takes, succeeds, is_refused, after)| Attempt { takes, succeeds, is_refused, after });
    let limits = (prop::option::of(1..60_u32), prop::option::of(1..8_u32), 1..7_u32, prop::option::of(0..40_u32));
    (prop::collection::vec(0..12_u32, 0..7), prop::collection::vec(attempt, 1..8), limits, 0..14_u32, any::<u64>())
        .prop_map(|(schedule, attempts, limits, tokens, seed)| {
            let (deadline, attempt_timeout, max_attempts, max_elapsed) = limits;
            Program { schedule, attempts, deadline, attempt_timeout, max_attempts, max_elapsed, tokens, seed }
        })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Success,
    Refused,
    Exhausted,
    Elapsed,
    Deadline,
    Budget,
    /// The deadline passed during an attempt.
    TimedOut,
}

/// When attempts begin, how it ends, when, and how many tokens are left.
type Seen = (Vec<u32>, End, u32, u32);

fn expected(program: &Program) -> Seen {
    let (mut at, mut begun, mut tokens, mut schedule) = (0, Vec::new(), program.tokens, program.schedule.iter());
    loop {
        let attempt = program.attempts[begun.len().min(program.attempts.len() - 1)];
        begun.push(at);
        let is_late = program.attempt_timeout.is_some_and(|limit| attempt.takes > limit);
        at += if is_late { program.attempt_timeout.unwrap() } else { attempt.takes };
        // A value wins a tie with the deadline. The deadline wins one with the inner timeout.
        if let Some(deadline) = program.deadline.filter(|deadline| at > *deadline || is_late && at == *deadline) {
            return (begun, End::TimedOut, deadline, tokens);
        }
        if attempt.succeeds && !is_late {
            tokens += u32::from(tokens < program.tokens);
            return (begun, End::Success, at, tokens);
        }
        if attempt.is_refused && !is_late {
            return (begun, End::Refused, at, tokens);
        }
        tokens = tokens.saturating_sub(1);
        if 2 * tokens <= program.tokens {
            return (begun, End::Budget, at, tokens);
        }
        let wait = schedule.next().filter(|_| begun.len() < program.max_attempts as usize);
        let Some(wait) = wait else { return (begun, End::Exhausted, at, tokens) };
        let next = at + if is_late { *wait } else { attempt.after.unwrap_or(0).max(*wait) };
        if program.deadline.is_some_and(|deadline| next >= deadline) {
            return (begun, End::Deadline, at, tokens);
        }
        if program.max_elapsed.is_some_and(|limit| next >= limit) {
            return (begun, End::Elapsed, at, tokens);
        }
        at = next;
    }
}

#[derive(Debug)]
enum Failure {
    Late,
    Failed(Attempt),
}

impl From<Elapsed> for Failure {
    fn from(_: Elapsed) -> Self {
        Failure::Late
    }
}

fn end(outcome: Result<Result<(), RetryError<Failure>>, Elapsed>) -> End {
    match outcome {
        Err(_) => End::TimedOut,
        Ok(Ok(())) => End::Success,
        Ok(Err(error)) if error.is_refused() => End::Refused,
        Ok(Err(error)) if error.is_exhausted() => End::Exhausted,
        Ok(Err(error)) if error.is_elapsed() => End::Elapsed,
        Ok(Err(error)) if error.is_deadline() => End::Deadline,
        Ok(Err(error)) if error.is_over_budget() => End::Budget,
        Ok(Err(error)) => panic!("{error:?}"),
    }
}

fn seen(program: &Program) -> Seen {
    let budget = RetryBudget::with_ratio(program.tokens, 1, 1);
    Sim::new(program.seed).run(async {
        let (start, begun) = (now(), RefCell::new(Vec::new()));
        let since = || (now() - start).as_millis() as u32;
        let schedule = program.schedule.iter().map(|wait| *wait * MS);
        let mut call = retry(schedule, async || {
            let attempt = program.attempts[begun.borrow().len().min(program.attempts.len() - 1)];
            begun.borrow_mut().push(since());
            if attempt.takes > 0 {
                sleep(attempt.takes * MS).await;
            }
            if attempt.succeeds { Ok(()) } else { Err(Failure::Failed(attempt)) }
        })
        .max_attempts(program.max_attempts)
        .budget(&budget)
        .attempt_timeout(program.attempt_timeout.map(|limit| limit * MS));
        if let Some(limit) = program.max_elapsed {
            call = call.max_elapsed(limit * MS);
        }
        let call = call.when(|error| !matches!(error, Failure::Failed(attempt) if attempt.is_refused));
        let call = call.after(|error| match error {
            Failure::Late => None,
            Failure::Failed(attempt) => attempt.after.map(|after| after * MS),
        });
        let outcome = timeout(program.deadline.map(|deadline| deadline * MS), call.outcome()).await;
        (begun.take(), end(outcome), since(), budget.tokens())
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn attempts_begin_when_the_model_says_and_end_as_it_says(program in programs()) {
        watched(move || assert_eq!(seen(&program), expected(&program), "{program:?}"));
    }
}
