//! Where who is let in holds nothing: events, conditions, barriers, watches.

use std::cell::{Cell, RefCell};

use foster::sync::{Barrier, Condition, Event, Mutex, Statistics, watch};
use futures::FutureExt as _;
use proptest::prelude::*;

use super::{Counts, Model, Visitor, check, programs};
use crate::{config, watched};

/// One who waits, and what it wants.
type Waits = (usize, u8);

/// Says who of those who wait go on when one comes, who is the last of them.
type Come<S> = fn(&mut S, &[Waits]) -> Vec<usize>;

/// Says who of those who wait go on when something is done.
type Act<S> = fn(&mut S, u8, &[Waits]) -> Vec<usize>;

/// Those who wait in their order. All have what they wanted when they are let in.
struct Line<S> {
    waiting: Vec<Waits>,
    state: S,
    come: Come<S>,
    act: Act<S>,
}

impl<S> Line<S> {
    fn new(state: S, come: Come<S>, act: Act<S>) -> Self {
        Line { waiting: Vec::new(), state, come, act }
    }

    fn let_in(&mut self, users: Vec<usize>) -> Vec<usize> {
        self.waiting.retain(|(user, _)| !users.contains(user));
        users
    }
}

impl<S> Model for Line<S> {
    fn come(&mut self, user: usize, kind: u8) -> Vec<usize> {
        self.waiting.push((user, kind));
        let users = (self.come)(&mut self.state, &self.waiting);
        self.let_in(users)
    }

    fn leave(&mut self, user: usize) -> Vec<usize> {
        self.waiting.retain(|(other, _)| *other != user);
        Vec::new()
    }

    fn act(&mut self, act: u8) -> Vec<usize> {
        let users = (self.act)(&mut self.state, act, &self.waiting);
        self.let_in(users)
    }

    fn counts(&self) -> Counts {
        Counts { waiting: self.waiting.len(), inside: 0 }
    }
}

fn users<'a>(waiting: impl IntoIterator<Item = &'a Waits>) -> Vec<usize> {
    waiting.into_iter().map(|(user, _)| *user).collect()
}

fn counts(statistics: Statistics) -> Counts {
    Counts { waiting: statistics.waiting(), inside: statistics.in_use() }
}

/// Whoever waits has a receiver, beside the one that is cloned.
fn followed(sender: &watch::Sender<u8>) -> Counts {
    let statistics = sender.statistics();
    assert_eq!(statistics.in_use(), 1 + statistics.waiting());
    Counts { waiting: statistics.waiting(), inside: 0 }
}

fn nobody<S>(_: &mut S, _: &[Waits]) -> Vec<usize> {
    Vec::new()
}

/// The last value, for which those wait whose kind it has.
fn latest() -> Line<u8> {
    Line::new(
        0,
        |value, waiting| users(waiting.last().filter(|(_, kind)| *value % 3 == *kind % 3)),
        |value, act, waiting| {
            *value = act;
            users(waiting.iter().filter(|(_, kind)| act % 3 == *kind % 3))
        },
    )
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn those_who_wait_for_an_event_hear_of_it_at_once(program in programs()) {
        watched(move || {
            let event = Event::new();
            // Sets, clears, or does both.
            let act = async |act: u8| {
                if act % 3 != 1 {
                    event.set();
                }
                if act % 3 != 0 {
                    event.clear();
                }
            };
            let model = Line::new(
                false,
                |is_set, waiting| if *is_set { users(waiting) } else { Vec::new() },
                |is_set, act, waiting| {
                    *is_set = act % 3 == 0;
                    if act % 3 == 1 { Vec::new() } else { users(waiting) }
                },
            );
            let visit = async |visitor: &Visitor<'_>| {
                event.wait().await;
                visitor.is_let_in();
            };
            check(program, model, visit, act, || counts(event.statistics()));
        });
    }

    #[test]
    fn as_many_as_a_condition_notifies_go_on_and_they_are_the_first(program in programs()) {
        watched(move || {
            let (mutex, condition, inside) = (Mutex::new(()), Condition::new(), Cell::new(false));
            let visit = async |visitor: &Visitor<'_>| {
                let guard = condition.wait(mutex.lock().await).await;
                assert!(!inside.replace(true), "the mutex is its own again");
                visitor.is_let_in();
                inside.set(false);
                drop(guard);
            };
            let act = async |act: u8| match act % 5 {
                4 => condition.notify_all(),
                count => condition.notify(count.into()),
            };
            let model = Line::new((), nobody, |(), act, waiting| match act % 5 {
                4 => users(waiting),
                count => users(waiting.iter().take(count.into())),
            });
            check(program, model, visit, act, || {
                assert!(!mutex.is_locked());
                counts(condition.statistics())
            });
        });
    }

    #[test]
    fn those_whom_a_condition_notifies_go_on_if_the_value_is_theirs(program in programs()) {
        watched(move || {
            let (mutex, condition) = (Mutex::new(0_u8), Condition::new());
            let visit = async |visitor: &Visitor<'_>| {
                let value = mutex.lock().await;
                drop(condition.wait_for(value, |value| *value % 3 == visitor.kind() % 3).await);
                visitor.is_let_in();
            };
            let act = async |act| {
                *mutex.lock().await = act;
                condition.notify_all();
            };
            check(program, latest(), visit, act, || {
                assert!(!mutex.is_locked());
                counts(condition.statistics())
            });
        });
    }

    #[test]
    fn the_parties_of_a_barrier_go_on_together(program in programs(), parties in 1..5_usize) {
        watched(move || {
            let (barrier, indices) = (Barrier::new(parties), RefCell::new(Vec::new()));
            let visit = async |visitor: &Visitor<'_>| {
                let result = barrier.wait().await;
                visitor.is_let_in();
                indices.borrow_mut().extend(result.ok().map(|result| result.index()));
            };
            let act = async |act: u8| match act % 8 {
                0 | 1 => barrier.reset(),
                2 => barrier.abort(),
                _ => {}
            };
            // The state is whether it is broken, and how many parties there are.
            let model = Line::new(
                (false, parties),
                |(is_broken, parties), waiting| {
                    if *is_broken || waiting.len() == *parties { users(waiting) } else { Vec::new() }
                },
                |(is_broken, _), act, waiting| {
                    if act % 8 > 2 {
                        return Vec::new();
                    }
                    *is_broken = act % 8 == 2;
                    users(waiting)
                },
            );
            check(program, model, visit, act, || counts(barrier.statistics()));
            let mut indices = indices.take();
            indices.sort_unstable();
            let rounds = indices.len() / parties;
            assert!(indices.iter().copied().eq((0..parties).flat_map(|i| vec![i; rounds])), "{indices:?}");
        });
    }

    #[test]
    fn all_who_wait_for_a_change_of_a_watch_see_the_next_one(program in programs()) {
        watched(move || {
            let (sender, receiver) = watch::channel(0_u8);
            let visit = async |visitor: &Visitor<'_>| {
                // As one who has just looked.
                let mut receiver = receiver.clone();
                _ = receiver.changed().now_or_never();
                let value = receiver.changed().await.unwrap();
                assert_eq!((value, receiver.has_changed()), (sender.get(), false));
                visitor.is_let_in();
            };
            let model = Line::new((), nobody, |(), _, waiting| users(waiting));
            check(program, model, visit, async |act| sender.send(act), || followed(&sender));
        });
    }

    #[test]
    fn those_who_wait_for_a_value_of_a_watch_see_it(program in programs()) {
        watched(move || {
            let (sender, receiver) = watch::channel(0_u8);
            let visit = async |visitor: &Visitor<'_>| {
                let mut receiver = receiver.clone();
                let value = receiver.wait_for(|value| *value % 3 == visitor.kind() % 3).await;
                assert_eq!((value.as_deref(), receiver.has_changed()), (Ok(&*sender.get()), false));
                visitor.is_let_in();
            };
            check(program, latest(), visit, async |act| sender.send(act), || followed(&sender));
        });
    }
}
