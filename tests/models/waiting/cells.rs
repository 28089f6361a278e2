//! Work that is done once for all who ask meanwhile.

use std::cell::{Cell, OnceCell as Slot, RefCell};
use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use foster::future::Singleflight;
use foster::scope::Spawner;
use foster::sync::{Event, OnceCell, oneshot};
use foster::testing::Drops;
use foster::timeout;
use proptest::prelude::*;

use super::{Counts, Model, Visitor, check, programs, run};
use crate::{config, watched};

/// The work that runs for each key, and who waits for it.
struct Work {
    running: BTreeMap<u8, Vec<usize>>,
    cancels_abandoned: bool,
}

impl Model for Work {
    fn come(&mut self, user: usize, kind: u8) -> Vec<usize> {
        self.running.entry(kind % 3).or_default().push(user);
        Vec::new()
    }

    fn leave(&mut self, user: usize) -> Vec<usize> {
        let cancels = self.cancels_abandoned;
        self.running.retain(|_, callers| {
            let waited = callers.contains(&user);
            callers.retain(|other| *other != user);
            !(waited && cancels && callers.is_empty())
        });
        Vec::new()
    }

    fn act(&mut self, act: u8) -> Vec<usize> {
        self.running.remove(&(act % 3)).unwrap_or_default()
    }

    fn counts(&self) -> Counts {
        Counts { waiting: self.running.values().map(Vec::len).sum(), inside: self.running.len() }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn all_who_ask_for_a_key_have_the_value_of_the_work_that_runs(program in programs(), cancels_abandoned: bool) {
        watched(move || {
            let (flights, works) = (Slot::new(), Drops::new());
            // What ends the work on each key.
            let ends: Arc<[Event; 3]> = Arc::default();
            let flights = || -> &Singleflight<u8, usize> {
                flights.get_or_init(|| {
                    let flights = Singleflight::new(Spawner::current());
                    if cancels_abandoned { flights.cancel_abandoned() } else { flights }
                })
            };
            let visit = async |visitor: &Visitor<'_>| {
                let (key, user, ends, works) = (visitor.kind() % 3, visitor.user, ends.clone(), works.clone());
                let outcome = flights().run(key, async move {
                    let _works = works.guard();
                    // What nobody ends goes on for longer than anybody waits.
                    _ = timeout(Duration::from_secs(1), ends[usize::from(key)].wait()).await;
                    if user % 4 == 3 { resume_unwind(Box::new("the work of some panics")) } else { user }
                }).outcome().await;
                visitor.is_let_in();
                let (value, panicked) = (outcome.as_ref().ok(), outcome.as_ref().err().map(|error| error.is_panicked()));
                assert!(value.is_some_and(|user| user % 4 != 3) || panicked == Some(true), "{outcome:?}");
            };
            let act = async |act: u8| {
                let end = &ends[usize::from(act % 3)];
                end.set();
                end.clear();
            };
            let model = Work { running: BTreeMap::new(), cancels_abandoned };
            check(program, model, visit, act, || {
                let statistics = flights().statistics();
                assert_eq!((works.alive(), flights().len()), (statistics.in_use(), statistics.in_use()));
                Counts { waiting: statistics.waiting(), inside: statistics.in_use() }
            });
        });
    }

    /// Who begins when an initialiser has failed depends on who is polled first. So there is no
    /// course of a model, but what must hold after each step.
    #[test]
    fn one_initialises_a_cell_and_the_others_wait(program in programs()) {
        watched(move || {
            let (cell, callers, initialisers) = (OnceCell::new(), Drops::new(), Drops::new());
            let end: RefCell<Option<oneshot::Sender<bool>>> = RefCell::default();
            let (begun, failed) = (Cell::new(0), Cell::new(0));
            let visit = async |visitor: &Visitor<'_>| {
                let _caller = callers.guard();
                let value = cell.get_or_try_init(async || {
                    let _initialiser = initialisers.guard();
                    begun.set(begun.get() + 1);
                    let (sender, succeeds) = oneshot::channel();
                    end.replace(Some(sender));
                    if succeeds.await.unwrap() { Ok(visitor.user) } else { Err(()) }
                }).await;
                visitor.is_let_in();
                match value {
                    Ok(value) => assert_eq!(cell.get(), Some(value)),
                    Err(()) => failed.set(failed.get() + 1),
                }
            };
            // One of four succeeds.
            let act = async |act: u8| {
                if let Some(end) = end.take() {
                    _ = end.send(act % 4 == 0);
                }
            };
            run(&program, visit, act, |time| {
                let (statistics, alive) = (cell.statistics(), callers.alive());
                let initialises = usize::from(alive > 0 && cell.get().is_none());
                assert_eq!((statistics.in_use(), initialisers.alive()), (initialises, initialises), "at {time}");
                assert_eq!(statistics.waiting(), alive - initialises, "at {time}: {program:?}");
                assert!(alive == 0 || cell.get().is_none(), "at {time}: all have the value");
            });
            assert_eq!((cell.statistics().in_use(), cell.statistics().waiting()), (0, 0));
            assert!(begun.get() >= failed.get());
        });
    }
}
