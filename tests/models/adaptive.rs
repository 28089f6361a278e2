//! Adaptive limits: what the limit is after each call, and how many are under way.

use foster::rate::{AdaptiveLimit, AdaptivePermit};
use foster::runtimes::Sim;
use proptest::prelude::*;

use crate::{config, watched};

#[derive(Clone, Copy, Debug)]
enum Step {
    Call,
    /// Ends one of the calls that are under way.
    End(usize, End),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Success,
    Overload,
    Dropped,
}

#[derive(Clone, Debug)]
struct Program {
    min: usize,
    more: usize,
    percent: u32,
    steps: Vec<Step>,
}

fn programs() -> impl Strategy<Value = Program> {
    let end = prop_oneof![8 => Just(End::Success), 1 => Just(End::Overload), 1 => Just(End::Dropped)];
    let step = prop_oneof![
        5 => Just(Step::Call),
        4 => (any::<usize>(), end).prop_map(|(which, end)| Step::End(which, end)),
    ];
    (1..4_usize, 0..12_usize, 0..100_u32, prop::collection::vec(step, 1..200))
        .prop_map(|(min, more, percent, steps)| Program { min, more, percent, steps })
}

async fn compare(program: &Program) {
    let (min, max) = (program.min, program.min + program.more);
    let adaptive = AdaptiveLimit::new(min, max).cut_to(program.percent);
    let (mut limit, mut successes, mut cuts) = (min, 0, 0);
    // Each permit, and how many cuts there had been when it was given out.
    let mut calls: Vec<(AdaptivePermit<'_>, u32)> = Vec::new();
    for step in &program.steps {
        match *step {
            Step::Call => {
                let is_free = calls.len() < limit;
                let permit = adaptive.try_acquire();
                assert_eq!(permit.is_ok(), is_free, "{} of {limit} are in use", calls.len());
                calls.extend(permit.ok().map(|permit| (permit, cuts)));
            }
            Step::End(..) if calls.is_empty() => {}
            Step::End(which, end) => {
                let is_used = 2 * calls.len() > limit;
                let (permit, before) = calls.swap_remove(which % calls.len());
                match end {
                    End::Success => permit.success(),
                    End::Overload => permit.overload(),
                    End::Dropped => drop(permit),
                }
                if end == End::Success && is_used && limit < max {
                    successes += 1;
                    let needed = if cuts == 0 { 1 } else { limit };
                    if successes == needed {
                        (limit, successes) = (limit + 1, 0);
                    }
                }
                if end == End::Overload && before == cuts {
                    limit = min.max((limit as f64 * f64::from(program.percent) / 100.0 + 1e-9) as usize);
                    (successes, cuts) = (0, cuts + 1);
                }
            }
        }
        let statistics = adaptive.statistics();
        assert_eq!((adaptive.limit(), statistics.in_use()), (limit, calls.len()), "after {step:?}");
        assert!((min..=max).contains(&limit));
    }
    drop(calls);
    let free: Vec<_> = std::iter::from_fn(|| adaptive.try_acquire().ok()).collect();
    assert_eq!(free.len(), limit, "all permits are home");
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn an_adaptive_limit_is_that_of_the_model_after_each_step(program in programs()) {
        watched(move || Sim::default().run(async { compare(&program).await }));
    }
}
