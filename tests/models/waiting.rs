//! Waits as children of a scope, in virtual time: each is let in at the instant that a model says,
//! or leaves when its time is over.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;

use foster::runtimes::Sim;
use foster::sync::{Barrier, Condition, Event, Mutex, Semaphore, watch};
use foster::{local, now, queue, sleep, sleep_until, timeout};
use futures::FutureExt as _;
use proptest::prelude::*;

use crate::{config, watched};

/// Nanoseconds since the start.
type Time = u64;

/// One who waits.
#[derive(Clone, Debug)]
struct Waiter {
    comes: u64,
    /// How long it waits at most.
    patience: u64,
    /// Whether another child cancels it then. Otherwise it has a timeout.
    is_cancelled: bool,
}

#[derive(Clone, Debug)]
struct Program {
    waiters: Vec<Waiter>,
    /// What others do, and when.
    acts: Vec<(u64, u8)>,
    seed: u64,
}

fn programs() -> impl Strategy<Value = Program> {
    let waiter = (0..12_u64, 1..12_u64, any::<bool>());
    let waiter = waiter.prop_map(|(comes, patience, is_cancelled)| Waiter { comes, patience, is_cancelled });
    let acts = prop::collection::vec((0..20_u64, any::<u8>()), 0..10);
    (prop::collection::vec(waiter, 1..12), acts, any::<u64>()).prop_map(|(waiters, acts, seed)| Program {
        waiters,
        acts,
        seed,
    })
}

/// An instant in a coarse unit, which is like no other's.
fn distinct(coarse: u64, number: usize) -> Time {
    coarse * 1_000 + number as u64
}

impl Program {
    fn comes(&self, waiter: usize) -> Time {
        distinct(self.waiters[waiter].comes, 3 * waiter)
    }

    fn leaves(&self, waiter: usize) -> Time {
        distinct(self.waiters[waiter].comes + self.waiters[waiter].patience, 3 * waiter + 1)
    }

    fn acts_at(&self, act: usize) -> Time {
        distinct(self.acts[act].0, 3 * act + 2)
    }
}

/// What is waited for, as a model.
trait Model {
    /// One comes while `waiting` others wait. Returns how many of the first of them go on, and
    /// whether the newcomer does.
    fn come(&mut self, waiting: usize) -> (usize, bool);

    /// Something is done while `waiting` wait. Returns how many of the first go on.
    fn act(&mut self, act: u8, waiting: usize) -> usize;
}

/// Returns when each is let in, or `None` if it leaves.
fn expected(program: &Program, model: &mut impl Model) -> Vec<Option<Time>> {
    #[derive(Clone, Copy)]
    enum Happens {
        Come(usize),
        Leave(usize),
        Act(usize),
    }
    let waiters = 0..program.waiters.len();
    let come = waiters.clone().map(|i| (program.comes(i), Happens::Come(i)));
    let leave = waiters.clone().map(|i| (program.leaves(i), Happens::Leave(i)));
    let act = (0..program.acts.len()).map(|i| (program.acts_at(i), Happens::Act(i)));
    let mut events: Vec<_> = come.chain(leave).chain(act).collect();
    events.sort_by_key(|(at, _)| *at);
    let (mut line, mut let_in) = (VecDeque::new(), vec![None; waiters.len()]);
    for (at, happens) in events {
        let released = match happens {
            Happens::Come(i) => {
                let (released, goes_on) = model.come(line.len());
                if goes_on {
                    let_in[i] = Some(at);
                } else {
                    line.push_back(i);
                }
                released
            }
            Happens::Leave(i) => {
                line.retain(|other| *other != i);
                0
            }
            Happens::Act(i) => model.act(program.acts[i].1, line.len()),
        };
        for i in line.drain(..released) {
            let_in[i] = Some(at);
        }
    }
    let_in
}

/// Runs the program, in which `wait` waits and `act` does something. Checks that all is quiet at
/// its end.
fn check(
    program: Program,
    mut model: impl Model,
    wait: impl AsyncFn(),
    act: impl AsyncFn(u8),
    waiting: impl Fn() -> usize,
) {
    let expected = expected(&program, &mut model);
    let (program, let_in) = (&program, &RefCell::new(vec![None; program.waiters.len()]));
    let (wait, act) = (&wait, &act);
    Sim::new(program.seed).run(async {
        let start = now();
        let at = |time| start + Duration::from_nanos(time);
        local::scope(async |s| {
            for i in 0..program.waiters.len() {
                let task = s.spawn(async move {
                    sleep_until(at(program.comes(i))).await;
                    let waited = async {
                        wait().await;
                        let_in.borrow_mut()[i] = Some((now() - start).as_nanos() as Time);
                    };
                    if program.waiters[i].is_cancelled {
                        waited.await;
                    } else {
                        let patience = Duration::from_nanos(program.leaves(i) - program.comes(i));
                        _ = timeout(patience, waited).await;
                    }
                });
                if program.waiters[i].is_cancelled {
                    s.spawn(async move {
                        sleep_until(at(program.leaves(i))).await;
                        task.cancel();
                    });
                }
            }
            for i in 0..program.acts.len() {
                s.spawn(async move {
                    sleep_until(at(program.acts_at(i))).await;
                    act(program.acts[i].1).await;
                });
            }
        })
        .await;
        sleep(Duration::from_nanos(1)).await;
    });
    assert_eq!(*let_in.borrow(), expected, "{program:?}");
    assert_eq!(waiting(), 0);
}

/// There is a stock, of which each takes one.
struct Stock(usize);

impl Model for Stock {
    fn come(&mut self, _: usize) -> (usize, bool) {
        let has_some = self.0 > 0;
        self.0 -= usize::from(has_some);
        (0, has_some)
    }

    fn act(&mut self, act: u8, waiting: usize) -> usize {
        let count = usize::from(act % 4);
        let released = count.min(waiting);
        self.0 += count - released;
        released
    }
}

struct IsSet(bool);

impl Model for IsSet {
    fn come(&mut self, _: usize) -> (usize, bool) {
        (0, self.0)
    }

    /// Sets, clears, or does both.
    fn act(&mut self, act: u8, waiting: usize) -> usize {
        self.0 = act % 3 == 0;
        if act % 3 == 1 { 0 } else { waiting }
    }
}

/// Only those who wait hear of it.
struct Notified {
    all: bool,
}

impl Model for Notified {
    fn come(&mut self, _: usize) -> (usize, bool) {
        (0, false)
    }

    fn act(&mut self, act: u8, waiting: usize) -> usize {
        if self.all { waiting } else { usize::from(act % 4).min(waiting) }
    }
}

struct Parties(usize);

impl Model for Parties {
    fn come(&mut self, waiting: usize) -> (usize, bool) {
        let is_last = waiting + 1 == self.0;
        (if is_last { waiting } else { 0 }, is_last)
    }

    fn act(&mut self, _: u8, _: usize) -> usize {
        0
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn those_who_wait_for_permits_have_them_when_they_are_there(program in programs()) {
        watched(move || {
            let slots = Semaphore::new(1);
            let wait = async || slots.acquire(1).await.unwrap().forget();
            check(program, Stock(1), wait, async |act| slots.add(usize::from(act % 4)), || slots.statistics().waiting());
        });
    }

    #[test]
    fn those_who_wait_for_an_event_hear_of_it_at_once(program in programs()) {
        watched(move || {
            let event = Event::new();
            let act = async |act: u8| {
                if act % 3 != 1 {
                    event.set();
                }
                if act % 3 != 0 {
                    event.clear();
                }
            };
            check(program, IsSet(false), async || event.wait().await, act, || event.statistics().waiting());
        });
    }

    #[test]
    fn as_many_as_a_condition_notifies_go_on_and_they_are_the_first(program in programs()) {
        watched(move || {
            let (mutex, condition, inside) = (Mutex::new(()), Condition::new(), Cell::new(false));
            let wait = async || {
                let guard = condition.wait(mutex.lock().await).await;
                assert!(!inside.replace(true), "the mutex is its own again");
                inside.set(false);
                drop(guard);
            };
            let act = async |act: u8| condition.notify(usize::from(act % 4));
            let waiting = || condition.statistics().waiting() + usize::from(mutex.is_locked());
            check(program, Notified { all: false }, wait, act, waiting);
        });
    }

    #[test]
    fn the_parties_of_a_barrier_go_on_together(program in programs(), parties in 1..5_usize) {
        watched(move || {
            let (barrier, indices) = (Barrier::new(parties), RefCell::new(Vec::new()));
            let wait = async || {
                let result = barrier.wait().await.unwrap();
                indices.borrow_mut().push(result.index());
            };
            check(program, Parties(parties), wait, async |_| {}, || barrier.statistics().waiting());
            let mut indices = indices.take();
            indices.sort_unstable();
            let generations = indices.len() / parties;
            assert!(indices.iter().copied().eq((0..parties).flat_map(|i| vec![i; generations])), "{indices:?}");
        });
    }

    #[test]
    fn all_who_wait_for_a_change_of_a_watch_see_the_next_one(program in programs()) {
        watched(move || {
            let (sender, receiver) = watch::channel(0_u8);
            let wait = async || {
                // As one who has just looked.
                let mut receiver = receiver.clone();
                _ = receiver.changed().now_or_never();
                drop(receiver.changed().await.unwrap());
            };
            check(program, Notified { all: true }, wait, async |act| sender.send(act), || sender.statistics().waiting());
        });
    }

    #[test]
    fn those_who_receive_have_each_item_once_as_soon_as_it_is_there(program in programs(), is_bounded: bool) {
        watched(move || {
            let (jobs, work) = if is_bounded { queue::bounded(2) } else { queue::unbounded() };
            let (sent, received) = (Cell::new(0), RefCell::new(Vec::new()));
            let wait = async || {
                let item = work.recv().await.expect("it is open");
                received.borrow_mut().push(*item);
            };
            let act = async |act: u8| {
                for _ in 0..act % 4 {
                    if jobs.try_send(sent.get()).is_ok() {
                        sent.set(sent.get() + 1);
                    }
                }
            };
            let room = if is_bounded { 2 } else { usize::MAX };
            check(program, Room { stock: 0, room }, wait, act, || work.statistics().waiting_receivers());
            let mut received = received.take();
            received.extend(work.close_now());
            received.sort_unstable();
            assert!(received.iter().copied().eq(0..sent.get()), "each is received once, or is left");
        });
    }
}

/// A stock for which there is only so much room.
struct Room {
    stock: usize,
    room: usize,
}

impl Model for Room {
    fn come(&mut self, _: usize) -> (usize, bool) {
        let has_some = self.stock > 0;
        self.stock -= usize::from(has_some);
        (0, has_some)
    }

    fn act(&mut self, act: u8, waiting: usize) -> usize {
        // Those who are let in take their items after this, so room is counted as before.
        let count = usize::from(act % 4).min(self.room - self.stock);
        let released = count.min(waiting);
        self.stock += count - released;
        released
    }
}
