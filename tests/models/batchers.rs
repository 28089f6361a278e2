//! Batchers: who is in which batch, when it begins, and what its callers are told.

use std::cell::RefCell;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foster::future::Batcher;
use foster::runtimes::Sim;
use foster::{local, now, scope, sleep, sleep_until};
use proptest::prelude::*;

use crate::{config, watched};

#[derive(Clone, Debug)]
struct Caller {
    comes: u64,
    key: u32,
    is_shared: bool,
    /// How long it stays at most.
    patience: Option<u64>,
}

#[derive(Clone, Debug)]
struct Program {
    max: usize,
    delay: u64,
    work: u64,
    callers: Vec<Caller>,
    seed: u64,
}

fn programs() -> impl Strategy<Value = Program> {
    let caller = (0..40_u64, 0..5_u32, any::<bool>(), prop::option::of(1..30_u64));
    let caller = caller.prop_map(|(comes, key, is_shared, patience)| Caller { comes, key, is_shared, patience });
    (1..6_usize, 1..20_u64, 0..20_u64, prop::collection::vec(caller, 1..14), any::<u64>())
        .prop_map(|(max, delay, work, callers, seed)| Program { max, delay, work, callers, seed })
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
}

/// What a caller is told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Value(u32),
    Failed(u32),
    Miscounted,
}

/// What a worker does with a batch: it depends on the items alone.
fn outcome(items: &[u32]) -> Told {
    let sum = items.iter().sum();
    match sum % 5 {
        0 => Told::Failed(sum),
        1 => Told::Miscounted,
        _ => Told::Value(sum),
    }
}

/// When each caller was told what, and all batches.
type Seen = (Vec<Option<(u64, Told)>>, Vec<Vec<u32>>);

struct Open {
    due: u64,
    /// Keys in the order in which they came, and who waits for each.
    items: Vec<(u32, bool, Vec<usize>)>,
}

/// Goes through time one nanosecond after the other.
fn expected(program: &Program) -> Seen {
    let (mut told, mut batches) = (vec![None; program.callers.len()], Vec::new());
    let mut open: Option<Open> = None;
    let end = (0..program.callers.len()).map(|i| program.comes(i)).max().unwrap() + program.delay * UNIT;
    for at in 0..=end {
        let mut begins = open.as_ref().is_some_and(|open| open.due == at);
        for (i, caller) in program.callers.iter().enumerate() {
            if program.leaves(i) == Some(at) {
                for (_, _, callers) in open.iter_mut().flat_map(|open| &mut open.items) {
                    callers.retain(|caller| *caller != i);
                }
            }
            if program.comes(i) == at {
                let open = open.get_or_insert_with(|| Open { due: at + program.delay * UNIT, items: Vec::new() });
                let is_equal = |(key, is_shared, _): &&mut (u32, bool, Vec<usize>)| {
                    caller.is_shared && *is_shared && *key == caller.key
                };
                match open.items.iter_mut().find(is_equal) {
                    Some((_, _, callers)) => callers.push(i),
                    None => open.items.push((caller.key, caller.is_shared, vec![i])),
                }
                begins |= open.items.iter().filter(|(_, _, callers)| !callers.is_empty()).count() == program.max;
            }
        }
        if !begins {
            continue;
        }
        let Some(Open { items, .. }) = open.take() else { continue };
        let items: Vec<_> = items.into_iter().filter(|(_, _, callers)| !callers.is_empty()).collect();
        if items.is_empty() {
            continue;
        }
        let keys: Vec<_> = items.iter().map(|(key, _, _)| *key).collect();
        let (outcome, end) = (outcome(&keys), at + program.work * UNIT);
        for (key, _, callers) in &items {
            for i in callers {
                if program.leaves(*i).is_none_or(|leaves| leaves > end) {
                    let value = |sum| Told::Value(100 * sum + key);
                    told[*i] = Some((end, if let Told::Value(sum) = outcome { value(sum) } else { outcome.clone() }));
                }
            }
        }
        batches.push(keys);
    }
    (told, batches)
}

fn seen(program: &Program) -> Seen {
    let told = &RefCell::new(vec![None; program.callers.len()]);
    let batches = Arc::new(Mutex::new(Vec::new()));
    let (all, work) = (batches.clone(), program.work);
    let worker = move |items: Vec<u32>| {
        all.lock().unwrap().push(items.clone());
        async move {
            if work > 0 {
                sleep(Duration::from_nanos(work * UNIT)).await;
            }
            match outcome(&items) {
                Told::Value(sum) => Ok(items.into_iter().map(|key| 100 * sum + key).collect()),
                Told::Failed(sum) => Err(sum),
                Told::Miscounted => Ok(items[1..].to_vec()),
            }
        }
    };
    Sim::new(program.seed).run(scope(async |outer| {
        let start = now();
        let at = |nanos| start + Duration::from_nanos(nanos);
        let delay = Duration::from_nanos(program.delay * UNIT);
        let batcher = &Batcher::new(outer.spawner(), program.max, worker).delay(delay);
        local::scope(async |s| {
            for (i, caller) in program.callers.iter().enumerate() {
                let task = s.spawn(async move {
                    sleep_until(at(program.comes(i))).await;
                    let call = if caller.is_shared { batcher.run_shared(caller.key) } else { batcher.run(caller.key) };
                    let result = match call.await {
                        Ok(value) => Told::Value(value),
                        Err(error) if error.is_miscounted() => Told::Miscounted,
                        Err(error) => Told::Failed(*error.error().expect("nobody panics or cancels it")),
                    };
                    told.borrow_mut()[i] = Some(((now() - start).as_nanos() as u64, result));
                });
                if let Some(leaves) = program.leaves(i) {
                    s.spawn(async move {
                        sleep_until(at(leaves)).await;
                        task.cancel();
                    });
                }
            }
        })
        .await;
        sleep(delay).await;
        assert_eq!(batcher.gathered(), 0);
    }));
    let batches = batches.lock().unwrap().clone();
    (told.take(), batches)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn batches_have_the_items_and_the_results_of_the_model(program in programs()) {
        watched(move || assert_eq!(seen(&program), expected(&program), "{program:?}"));
    }
}
