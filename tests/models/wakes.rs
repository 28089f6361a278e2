//! Wakes in any order, needless ones and stale ones among them: who is polled, and what comes
//! first.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use foster::future::quorum;
use foster::stream::{merge, zip};
use foster::testing::{CountingWaker, DropGuard, Drops};
use foster::{ConcurrentIterator, as_completed, gather, race, race_ok, scope, try_gather};
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{self, StreamExt as _};
use proptest::prelude::*;

use crate::{config, watched};

/// What some members are in.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Gather,
    TryGather,
    Race,
    RaceOk,
    Quorum(usize),
    AsCompleted,
    WaitFirst,
    Scope,
    Map,
    MapInOrder,
    Merge,
    Zip,
}

use Kind::*;

impl Kind {
    /// How many of `n` members it waits for.
    fn needs(self, n: usize) -> usize {
        match self {
            Race | RaceOk | WaitFirst => 1,
            Quorum(k) => k.min(n),
            _ => n,
        }
    }

    /// Whether it gives values in the members' order, and not as they come.
    fn sorts(self) -> bool {
        matches!(self, Gather | TryGather | Scope | MapInOrder | Zip)
    }

    fn of(self, members: Vec<Member>) -> BoxFuture<'static, Vec<usize>> {
        let tried = |member: Member| member.map(Ok::<_, ()>);
        match self {
            Gather => gather(members).boxed(),
            TryGather => try_gather(members.into_iter().map(tried)).map(Result::unwrap).boxed(),
            Race => race(members).map(|first| vec![first]).boxed(),
            RaceOk => race_ok(members.into_iter().map(tried)).map(|first| vec![first.unwrap()]).boxed(),
            Quorum(k) => {
                let k = k.min(members.len());
                quorum(k, members.into_iter().map(tried)).map(Result::unwrap).boxed()
            }
            AsCompleted => as_completed(members).map(|(_, i)| i).collect().boxed(),
            WaitFirst => async {
                let done = as_completed(members).wait_first_completed().await;
                done.into_iter().map(|(_, i)| i).collect()
            }
            .boxed(),
            Scope => scope(|s| {
                let tasks: Vec<_> = members.into_iter().map(|member| s.spawn(member)).collect();
                gather(tasks)
            })
            .boxed(),
            Map => members.into_iter().map_concurrent(1_000, |member| member).collect().boxed(),
            MapInOrder => members.into_iter().map_concurrent(1_000, |member| member).in_order().collect().boxed(),
            Merge => merge(members.into_iter().map(stream::once)).collect().boxed(),
            Zip => zip(members.into_iter().map(stream::once)).concat().boxed(),
        }
    }
}

/// A member's gate, and what is known of the member.
#[derive(Clone, Default)]
struct Gate(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    open: bool,
    /// All that it was ever polled with.
    wakers: Vec<Waker>,
    wakes: usize,
    polls: usize,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn open(&self) {
        self.lock().open = true;
        self.wake(usize::MAX);
    }

    /// Calls one of the wakers, the latest if there are not so many.
    fn wake(&self, which: usize) {
        let mut state = self.lock();
        state.wakes += 1;
        let waker = state.wakers.get(which).or(state.wakers.last()).cloned();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

struct Member {
    gate: Gate,
    value: usize,
    over: bool,
    _alive: DropGuard,
}

impl Future for Member {
    type Output = usize;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<usize> {
        assert!(!self.over, "polled after its end");
        let mut state = self.gate.lock();
        state.polls += 1;
        state.wakers.push(cx.waker().clone());
        let open = state.open;
        drop(state);
        self.over = open;
        if open { Poll::Ready(self.value) } else { Poll::Pending }
    }
}

/// A gate opens; before that, some are woken for nothing; after it, the poller may have its turn.
#[derive(Clone, Debug)]
struct Step {
    opens: usize,
    woken: Vec<(usize, usize)>,
    polled: bool,
}

fn kinds() -> impl Strategy<Value = Kind> {
    let fixed = [Gather, TryGather, Race, RaceOk, AsCompleted, WaitFirst, Scope, Map, MapInOrder, Merge, Zip];
    prop_oneof![11 => prop::sample::select(fixed.to_vec()), 1 => (1..9_usize).prop_map(Quorum)]
}

/// All gates in any order.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop_oneof![6 => 1..9_usize, 1 => 60..140_usize].prop_flat_map(|n| {
        let order = Just((0..n).collect::<Vec<_>>()).prop_shuffle();
        let woken = prop::collection::vec((0..n, 0..4_usize), 0..3);
        let rest = prop::collection::vec((woken, any::<bool>()), n);
        (order, rest).prop_map(|(order, rest)| {
            let steps = order.into_iter().zip(rest);
            steps.map(|(opens, (woken, polled))| Step { opens, woken, polled }).collect()
        })
    })
}

/// Polls as long as that is asked for.
fn drive(future: &mut BoxFuture<'static, Vec<usize>>, waker: &CountingWaker) -> Option<Vec<usize>> {
    loop {
        let before = waker.count();
        match waker.poll(future.as_mut()) {
            Poll::Ready(values) => return Some(values),
            Poll::Pending if waker.count() == before => return None,
            Poll::Pending => {}
        }
    }
}

fn check(kind: Kind, steps: &[Step], first_polled: bool, cut: usize) {
    let (n, drops, waker) = (steps.len(), Drops::new(), CountingWaker::new());
    let gates: Vec<_> = std::iter::repeat_with(Gate::default).take(n).collect();
    let member =
        |(value, gate): (usize, &Gate)| Member { gate: gate.clone(), value, over: false, _alive: drops.guard() };
    let mut future = kind.of(gates.iter().enumerate().map(member).collect());
    let mut values = if first_polled { drive(&mut future, &waker) } else { None };
    let (mut seen, mut batches, mut batch) = (waker.count(), Vec::new(), Vec::new());
    for (i, step) in steps.iter().enumerate().take(cut) {
        for (member, which) in &step.woken {
            gates[*member].wake(*which);
        }
        gates[step.opens].open();
        batch.push(step.opens);
        if !step.polled && i + 1 < n {
            continue;
        }
        batches.push(std::mem::take(&mut batch));
        if waker.count() > seen || (!first_polled && batches.len() == 1) {
            values = drive(&mut future, &waker);
        }
        seen = waker.count();
        assert_eq!(values.is_some(), i + 1 >= kind.needs(n), "after {} of {n}", i + 1);
        if values.is_some() {
            break;
        }
    }
    drop(future);
    // In sum: whoever comes to be where another one has ended answers to the wakers of both.
    let sum = |of: fn(&State) -> usize| gates.iter().map(|gate| of(&gate.lock())).sum::<usize>();
    assert!(sum(|state| state.polls) <= n + sum(|state| state.wakes), "polled without a wake");
    assert_eq!((drops.count(), waker.held()), (n, 0), "everybody is gone, whoever keeps their wakers");
    let seen = waker.count();
    for gate in &gates {
        gate.lock().wakers.drain(..).for_each(Waker::wake);
    }
    assert_eq!(waker.count(), seen, "a stale waker does nothing");
    let Some(values) = values else { return };
    if kind.sorts() {
        assert_eq!(values, (0..n).collect::<Vec<_>>());
        return;
    }
    let mut rest = &values[..];
    for batch in batches {
        let (mut now, later) = rest.split_at(batch.len().min(rest.len()));
        assert!(now.iter().all(|value| batch.contains(value)), "{values:?}");
        while let [value, others @ ..] = now {
            assert!(!others.contains(value), "{value} came twice");
            now = others;
        }
        rest = later;
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn who_was_woken_is_polled_and_who_was_first_comes_first(kind in kinds(), steps in steps(), first_polled: bool) {
        watched(move || check(kind, &steps, first_polled, usize::MAX));
    }

    #[test]
    fn dropped_at_any_wake_nobody_is_left(kind in kinds(), steps in steps(), first_polled: bool, cut in 0..9_usize) {
        watched(move || check(kind, &steps, first_polled, cut));
    }
}
