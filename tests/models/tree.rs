//! Trees of combinators: what they resolve to, and when, also while they are wound down.
//!
//! No two timers of a tree fire at one instant, unless a test says so: what the docs leave open
//! does not occur.

mod model;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::slice;
use std::task::{Context, Poll};
use std::time::Duration;

use foster::future::QuorumMissed;
use foster::future::{hedge, quorum};
use foster::runtimes::Sim;
use foster::runtimes::sim::Faults;
use foster::testing::{DropGuard, Drops};
use foster::time::Sleep;
use foster::{
    FutureExt as _, Token, as_completed, gather, race, race_ok, scope, shield, sleep, timeout, try_gather, try_scope,
};
use futures::future::{BoxFuture, Either, select};
use futures::{FutureExt as _, StreamExt as _};
use proptest::prelude::*;
use proptest::strategy::Union;

use crate::{config, watched};

/// Nanoseconds since the start.
type Time = u64;

const NEVER: Time = Time::MAX;

/// When everything is over, at the latest.
const END: Time = 1 << 60;

/// How long timers take is distinct in these units, and so are the sums of a few of them.
const COARSE: u32 = 52;

type Outcome = Result<Out, Out>;

#[derive(Clone, Debug, PartialEq)]
enum Out {
    Leaf(u32),
    List(Vec<Outcome>),
    Indexed(Vec<(usize, Outcome)>),
    Missed(Vec<Out>, Vec<Out>),
    Errors(Vec<Out>),
    Elapsed,
    Cancelled,
}

#[derive(Clone, Copy, Debug)]
struct Leaf {
    id: u32,
    yields: u8,
    after: Time,
    fails: bool,
}

#[derive(Clone, Debug)]
enum Tree {
    Leaf(Leaf),
    Then(Box<[Tree; 2]>),
    Many(Many, Vec<Tree>),
    Hedge(Time, Vec<Leaf>),
    Timeout(Time, Box<Tree>),
    Until(Time, Box<Tree>),
    Shield(Box<Tree>),
}

#[derive(Clone, Copy, Debug)]
enum Many {
    Gather,
    Settle,
    TryGather,
    Race,
    RaceOk,
    Quorum(usize),
    AsCompleted,
    WaitFirst,
    WaitAll(Time),
    WaitFirstError,
    /// With what its finalizer takes, if it has one.
    Scope(Option<Time>),
    TryScope(Option<Time>),
}

use Many::*;

/// Any trees; or those alone that are ready in the poll that follows their last timer.
fn trees(any: bool) -> impl Strategy<Value = Tree> {
    let time = prop_oneof![1 => Just(NEVER), 1 => Just(0), 8 => 1..8 as Time];
    let leaf = (time, 0..4_u8, prop::bool::weighted(0.3)).prop_map(|(after, yields, fails)| Leaf {
        id: 0,
        yields,
        after,
        fails,
    });
    let time = 0..6 as Time;
    let finalizer = prop::option::of(time.clone());
    let fixed = [Gather, Settle, TryGather, Race, RaceOk, AsCompleted, WaitFirst, WaitFirstError];
    let mut many = vec![(8, prop::sample::select(fixed.to_vec()).boxed())];
    many.push((1, (0..4_usize).prop_map(Quorum).boxed()));
    many.push((1, time.clone().prop_map(WaitAll).boxed()));
    if any {
        many.push((1, finalizer.clone().prop_map(Scope).boxed()));
        many.push((1, finalizer.prop_map(TryScope).boxed()));
    }
    let many = Union::new_weighted(many);
    let tree = leaf.clone().prop_map(Tree::Leaf).prop_recursive(4, 14, 4, move |inner| {
        let limited = (time.clone(), inner.clone().prop_map(Box::new));
        let many = (many.clone(), prop::collection::vec(inner.clone(), 1..5));
        let hedge = (0..3 as Time, prop::collection::vec(leaf.clone(), 1..4));
        let mut nodes = vec![
            (6, many.prop_map(|(many, trees)| Tree::Many(many, trees)).boxed()),
            (1, (inner.clone(), inner).prop_map(|(first, then)| Tree::Then(Box::new([first, then]))).boxed()),
            (1, hedge.prop_map(|(delay, leaves)| Tree::Hedge(delay, leaves)).boxed()),
        ];
        if any {
            nodes.push((1, limited.clone().prop_map(|(after, tree)| Tree::Timeout(after, tree)).boxed()));
            nodes.push((1, limited.clone().prop_map(|(after, tree)| Tree::Until(after, tree)).boxed()));
            // One that never ends would hold everything.
            let shield = limited.prop_map(|(after, tree)| Tree::Shield(Box::new(Tree::Timeout(after, tree))));
            nodes.push((2, shield.boxed()));
        }
        Union::new_weighted(nodes)
    });
    tree.prop_map(|mut tree| {
        Numbering { timers: 0, leaves: 0, at_once: false }.number(&mut tree, true);
        Tree::Timeout(END, Box::new(tree))
    })
}

/// Makes the timers of a tree distinct, and gives its leaves their names.
struct Numbering {
    timers: u32,
    leaves: u32,
    at_once: bool,
}

impl Numbering {
    fn time(&mut self, time: &mut Time) {
        if *time != NEVER {
            // Up to three times the same one is no other.
            *time = (*time << COARSE) + (1 << (2 * self.timers));
            self.timers += 1;
        }
    }

    fn leaf(&mut self, leaf: &mut Leaf, at_start: bool) {
        leaf.id = self.leaves;
        self.leaves += 1;
        if leaf.after == 0 && at_start && !self.at_once {
            // A single one is ready without a timer, when all others have been polled.
            self.at_once = true;
            leaf.yields += 4;
        } else {
            self.time(&mut leaf.after);
        }
    }

    fn number(&mut self, tree: &mut Tree, at_start: bool) {
        match tree {
            Tree::Leaf(leaf) => self.leaf(leaf, at_start),
            Tree::Then(both) => {
                self.number(&mut both[0], at_start);
                self.number(&mut both[1], false);
            }
            Tree::Many(many, trees) => {
                match many {
                    Quorum(k) => *k = (*k).clamp(1, trees.len()),
                    WaitAll(time) | Scope(Some(time)) | TryScope(Some(time)) => self.time(time),
                    _ => {}
                }
                trees.iter_mut().for_each(|tree| self.number(tree, at_start));
            }
            Tree::Hedge(delay, leaves) => {
                self.time(delay);
                leaves.iter_mut().for_each(|leaf| self.leaf(leaf, false));
            }
            Tree::Timeout(time, tree) | Tree::Until(time, tree) => {
                self.time(time);
                self.number(tree, at_start);
            }
            Tree::Shield(tree) => self.number(tree, at_start),
        }
    }
}

/// A leaf that runs: it is never polled after its end.
struct Running {
    leaf: Leaf,
    sleep: Option<Pin<Box<Sleep>>>,
    over: bool,
    _alive: Vec<DropGuard>,
}

impl Running {
    fn new(leaf: Leaf, around: &[Drops]) -> Self {
        Running { leaf, sleep: None, over: false, _alive: around.iter().map(Drops::guard).collect() }
    }
}

impl Future for Running {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        assert!(!self.over, "polled after its end");
        let leaf = self.leaf;
        if leaf.yields > 0 {
            self.leaf.yields -= 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if leaf.after == NEVER {
            return Poll::Pending;
        }
        if leaf.after > 0 {
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(Duration::from_nanos(leaf.after))));
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        self.over = true;
        Poll::Ready(if leaf.fails { Err(Out::Leaf(leaf.id)) } else { Ok(Out::Leaf(leaf.id)) })
    }
}

/// The tree as a program. When a combinator is ready, nothing in it is alive.
fn program(tree: &Tree, around: &[Drops]) -> BoxFuture<'static, Outcome> {
    let inside = Drops::new();
    let mut drops = around.to_vec();
    drops.push(inside.clone());
    let ns = Duration::from_nanos;
    let inner = |tree: &Tree| program(tree, &drops);
    let body: BoxFuture<'static, Outcome> = match tree {
        Tree::Leaf(leaf) => return Box::pin(Running::new(*leaf, around)),
        Tree::Then(both) => {
            let [first, then] = both.each_ref().map(inner);
            Box::pin(async {
                first.await?;
                then.await
            })
        }
        Tree::Many(kind, trees) => many(*kind, trees.iter().map(inner).collect()),
        Tree::Hedge(delay, leaves) => {
            let leaves = leaves.clone();
            Box::pin(hedge(ns(*delay), leaves.len(), move |i| Running::new(leaves[i], &drops)))
        }
        Tree::Timeout(after, tree) => {
            let timeout = timeout(ns(*after), inner(tree));
            Box::pin(async { timeout.await.unwrap_or(Err(Out::Elapsed)) })
        }
        Tree::Until(after, tree) => {
            let (token, after) = (Token::new(), ns(*after));
            let until = inner(tree).run_until_cancelled(&token);
            let cancel = async move {
                sleep(after).await;
                token.cancel("time is up");
                std::future::pending::<()>().await
            };
            Box::pin(async {
                match select(pin!(until), pin!(cancel)).await {
                    Either::Left((result, _)) => result.unwrap_or(Err(Out::Cancelled)),
                    Either::Right(_) => unreachable!(),
                }
            })
        }
        Tree::Shield(tree) => Box::pin(shield(inner(tree))),
    };
    Box::pin(async move {
        let mut body = body;
        let outcome = body.as_mut().await;
        assert_eq!(inside.alive(), 0, "something is alive in what has ended");
        outcome
    })
}

fn many(kind: Many, all: Vec<BoxFuture<'static, Outcome>>) -> BoxFuture<'static, Outcome> {
    let ns = Duration::from_nanos;
    let listed = |values: Vec<Out>| Out::List(values.into_iter().map(Ok).collect());
    match kind {
        Gather => Box::pin(gather(all).map(|values| Ok(Out::List(values)))),
        Settle => Box::pin(gather(all).map(|values| Ok(Out::List(values)))),
        TryGather => Box::pin(try_gather(all).map(move |values| values.map(listed))),
        Race => Box::pin(race(all)),
        RaceOk => Box::pin(race_ok(all).map(|result| result.map_err(Out::Errors))),
        Quorum(k) => Box::pin(quorum(k, all).map(move |result| {
            result.map(listed).map_err(QuorumMissed::into_parts).map_err(|(values, errors)| Out::Missed(values, errors))
        })),
        AsCompleted => Box::pin(async { Ok(Out::Indexed(as_completed(all).collect().await)) }),
        WaitFirst => Box::pin(async { Ok(Out::Indexed(as_completed(all).wait_first_completed().await)) }),
        WaitAll(within) => {
            Box::pin(async move { Ok(Out::Indexed(as_completed(all).wait_all().at_most(ns(within)).await)) })
        }
        WaitFirstError => Box::pin(async { Ok(Out::Indexed(as_completed(all).wait_first_error().await)) }),
        Scope(finalizer) => Box::pin(scope(async move |s| {
            if let Some(finalizer) = finalizer {
                s.defer(sleep(ns(finalizer)));
            }
            let mut values = Vec::new();
            for task in all.into_iter().map(|child| s.spawn(child)).collect::<Vec<_>>() {
                values.push(task.await);
            }
            Ok(Out::List(values))
        })),
        TryScope(finalizer) => Box::pin(try_scope(async move |s| {
            if let Some(finalizer) = finalizer {
                s.defer(async move {
                    sleep(ns(finalizer)).await;
                    Ok(())
                });
            }
            let mut values = Vec::new();
            for task in all.into_iter().map(|child| s.spawn(child)).collect::<Vec<_>>() {
                values.push(Ok(task.await));
            }
            Ok(Out::List(values))
        })),
    }
}

fn sim(seed: u64, spurious: bool) -> Sim {
    let faults = Faults::none().spurious_wakes(if spurious { 0.3 } else { 0.0 });
    Sim::builder().seed(seed).faults(faults).strict().limit(100_000).build()
}

/// Runs the tree: when it ended, and how.
fn run(tree: &Tree, seed: u64, spurious: bool) -> (Time, Outcome) {
    let (sim, drops) = (sim(seed, spurious), Drops::new());
    let outcome = sim.run(program(tree, slice::from_ref(&drops)));
    assert_eq!(drops.alive(), 0);
    (sim.elapsed().as_nanos() as Time, outcome)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_tree_gives_what_the_model_says_and_when(tree in trees(true), seed: u64, spurious: bool) {
        watched(move || assert_eq!(run(&tree, seed, spurious), model::run(&tree)));
    }

    #[test]
    fn a_value_wins_a_tie_with_the_deadline_or_the_token(tree in trees(false), seed: u64, by_token: bool) {
        watched(move || {
            let (at, outcome) = model::run(&tree);
            if at == 0 {
                // It takes several polls, and the clock stands still.
                return;
            }
            let limited = if by_token { Tree::Until } else { Tree::Timeout };
            assert_eq!(run(&limited(at, Box::new(tree)), seed, false), (at, outcome));
        });
    }

    #[test]
    fn dropped_at_any_poll_a_tree_leaves_nothing_alive(tree in trees(true), seed: u64, polls in 0..40_u32) {
        watched(move || {
            let drops = Drops::new();
            sim(seed, false).run(async {
                let mut program = program(&tree, slice::from_ref(&drops));
                let mut left = polls;
                poll_fn(|cx| match left.checked_sub(1) {
                    Some(less) => {
                        left = less;
                        program.as_mut().poll(cx).map(drop)
                    }
                    None => Poll::Ready(()),
                })
                .await;
                drop(program);
                assert_eq!(drops.alive(), 0);
                sleep(Duration::from_nanos(END)).await;
            });
        });
    }
}
