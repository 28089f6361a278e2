//! Waits as children of a scope, in virtual time: each is let in at the instant that a model says,
//! or leaves when its time is over. After each step as many wait, and as many are inside, as the
//! model says.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use foster::runtimes::Sim;
use foster::{Instant, local, now, sleep, sleep_until, timeout};
use futures::channel::mpsc;
use futures::{FutureExt as _, StreamExt as _};
use proptest::prelude::*;

mod cells;
mod channels;
mod lines;
mod locks;

/// Nanoseconds since the start.
type Time = u64;

/// How many wait for their turn, and how many are inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    waiting: usize,
    inside: usize,
}

/// One who comes, waits for its turn, stays, and goes.
#[derive(Clone, Debug)]
struct User {
    comes: u64,
    /// How long it can be here at most. Then it is dropped, wherever it is.
    patience: u64,
    /// How long the two halves of its stay are.
    stays: (u64, u64),
    /// Whether another child cancels it then. Otherwise it has a timeout.
    is_cancelled: bool,
    /// What it wants.
    kind: u8,
}

#[derive(Clone, Debug)]
struct Program {
    users: Vec<User>,
    /// What others do, and when.
    acts: Vec<(u64, u8)>,
    seed: u64,
}

fn programs() -> impl Strategy<Value = Program> {
    let user = (0..12_u64, 1..12_u64, (1..4_u64, 0..4_u64), any::<bool>(), any::<u8>());
    let user = user.prop_map(|(comes, patience, stays, is_cancelled, kind)| User {
        comes,
        patience,
        stays,
        is_cancelled,
        kind,
    });
    let acts = prop::collection::vec((0..20_u64, any::<u8>()), 0..10);
    (prop::collection::vec(user, 1..12), acts, any::<u64>()).prop_map(|(users, acts, seed)| Program {
        users,
        acts,
        seed,
    })
}

/// As many instants have the same coarse time.
const FINE: Time = 1_000;

/// What happens. Each of these, at a coarse time, has an instant of its own, and the next one is
/// free.
#[derive(Clone, Copy, Debug)]
enum Happens {
    Come(usize),
    /// Half of its stay is over.
    Half(usize),
    End(usize),
    /// Its patience is at an end.
    Leave(usize),
    Act(usize),
}

impl Happens {
    fn at(self, coarse: u64) -> Time {
        let fine = match self {
            Happens::Come(user) => 10 * user,
            Happens::Half(user) => 10 * user + 2,
            Happens::End(user) => 10 * user + 4,
            Happens::Leave(user) => 10 * user + 6,
            Happens::Act(act) => 10 * act + 8,
        };
        coarse * FINE + fine as Time
    }
}

impl Program {
    fn comes(&self, user: usize) -> Time {
        Happens::Come(user).at(self.users[user].comes)
    }

    fn leaves(&self, user: usize) -> Time {
        Happens::Leave(user).at(self.users[user].comes + self.users[user].patience)
    }

    /// The middle and the end of the stay of one who is let in.
    fn stays(&self, user: usize, let_in: Time) -> (Time, Time) {
        let (first, second) = self.users[user].stays;
        let half = let_in / FINE + first;
        (Happens::Half(user).at(half), Happens::End(user).at(half + second))
    }

    fn acts(&self, act: usize) -> Time {
        Happens::Act(act).at(self.acts[act].0)
    }
}

/// What is waited for. Each method returns those who are let in by what happens.
trait Model {
    /// One comes who wants what `kind` says.
    fn come(&mut self, user: usize, kind: u8) -> Vec<usize>;

    /// One who is inside has come to the middle of its stay.
    fn half(&mut self, _user: usize) -> Vec<usize> {
        Vec::new()
    }

    /// One who is inside goes.
    fn end(&mut self, user: usize) -> Vec<usize> {
        self.leave(user)
    }

    /// One who waits or is inside is dropped.
    fn leave(&mut self, user: usize) -> Vec<usize>;

    /// Somebody else does something.
    fn act(&mut self, _act: u8) -> Vec<usize> {
        Vec::new()
    }

    fn counts(&self) -> Counts;
}

/// When each is let in, or `None` if it leaves before, and the counts after each step.
#[derive(Debug, Default)]
struct Course {
    let_in: Vec<Option<Time>>,
    counts: BTreeMap<Time, Counts>,
}

impl Course {
    fn new(program: &Program, model: &mut impl Model) -> Self {
        let users = 0..program.users.len();
        let come = users.clone().map(|user| (program.comes(user), Happens::Come(user)));
        let leave = users.clone().map(|user| (program.leaves(user), Happens::Leave(user)));
        let act = (0..program.acts.len()).map(|act| (program.acts(act), Happens::Act(act)));
        let mut agenda: BTreeMap<_, _> = come.chain(leave).chain(act).collect();
        let mut course = Course { let_in: vec![None; users.len()], counts: BTreeMap::new() };
        let mut is_gone = vec![false; users.len()];
        while let Some((at, happens)) = agenda.pop_first() {
            let let_in = match happens {
                Happens::Come(user) => model.come(user, program.users[user].kind),
                Happens::Half(user) if !is_gone[user] => model.half(user),
                Happens::End(user) if !is_gone[user] => {
                    is_gone[user] = true;
                    model.end(user)
                }
                Happens::Leave(user) if !is_gone[user] => {
                    is_gone[user] = true;
                    model.leave(user)
                }
                Happens::Act(act) => model.act(program.acts[act].1),
                _ => continue,
            };
            for user in let_in {
                course.let_in[user] = Some(at);
                let (half, end) = program.stays(user, at);
                agenda.insert(half, Happens::Half(user));
                agenda.insert(end, Happens::End(user));
            }
            course.counts.insert(at, model.counts());
        }
        course
    }
}

/// One who comes, in the program that is tried.
struct Visitor<'a> {
    program: &'a Program,
    user: usize,
    start: Instant,
    let_in: &'a RefCell<Vec<Option<Time>>>,
    steps: &'a mpsc::UnboundedSender<()>,
}

impl Visitor<'_> {
    fn kind(&self) -> u8 {
        self.program.users[self.user].kind
    }

    fn at(&self, time: Time) -> Instant {
        self.start + Duration::from_nanos(time)
    }

    /// Notes that something has happened, after which all is looked at.
    fn step(&self) {
        self.steps.unbounded_send(()).expect("somebody looks");
    }

    /// Notes that it has its turn.
    fn is_let_in(&self) {
        let time = (now() - self.start).as_nanos() as Time;
        assert!(self.let_in.borrow_mut()[self.user].replace(time).is_none(), "it is let in once");
        self.step();
    }

    fn stays(&self) -> (Time, Time) {
        self.program.stays(self.user, self.let_in.borrow()[self.user].expect("it is let in"))
    }

    /// Stays for the first half.
    async fn half(&self) {
        sleep_until(self.at(self.stays().0)).await;
        self.step();
    }

    /// Stays until the end.
    async fn rest(&self) {
        sleep_until(self.at(self.stays().1)).await;
    }

    /// Stays, first half and second.
    async fn stay(&self) {
        self.half().await;
        self.rest().await;
    }
}

/// Runs the program, in which `visit` is what its users do, and `act` what others do. After each
/// step, when nothing more happens at that instant, `look` is called. Returns when each user was
/// let in.
fn run(
    program: &Program,
    visit: impl AsyncFn(&Visitor<'_>),
    act: impl AsyncFn(u8),
    mut look: impl FnMut(Time),
) -> Vec<Option<Time>> {
    let let_in = RefCell::new(vec![None; program.users.len()]);
    let (steps, mut looks) = mpsc::unbounded();
    Sim::new(program.seed).run(async {
        let start = now();
        let looking = async {
            while looks.next().await.is_some() {
                sleep(Duration::from_nanos(1)).await;
                // Once for all steps of that instant.
                while let Some(Some(())) = looks.next().now_or_never() {}
                look((now() - start).as_nanos() as Time);
            }
        };
        let happening = async {
            local::scope(async |s| {
                for user in 0..program.users.len() {
                    let (let_in, steps, visit) = (&let_in, &steps, &visit);
                    let visitor = Visitor { program, user, start, let_in, steps };
                    let (leaves, step) = (visitor.at(program.leaves(user)), steps.clone());
                    let task = s.spawn(async move {
                        sleep_until(visitor.at(program.comes(user))).await;
                        visitor.step();
                        if program.users[user].is_cancelled {
                            visit(&visitor).await;
                        } else {
                            let patience = Duration::from_nanos(program.leaves(user) - program.comes(user));
                            _ = timeout(patience, visit(&visitor)).await;
                        }
                        visitor.step();
                    });
                    if program.users[user].is_cancelled {
                        s.spawn(async move {
                            sleep_until(leaves).await;
                            task.cancel();
                            step.unbounded_send(()).expect("somebody looks");
                        });
                    }
                }
                for number in 0..program.acts.len() {
                    let (act, step) = (&act, steps.clone());
                    s.spawn(async move {
                        sleep_until(start + Duration::from_nanos(program.acts(number))).await;
                        act(program.acts[number].1).await;
                        step.unbounded_send(()).expect("somebody looks");
                    });
                }
            })
            .await;
            sleep(Duration::from_nanos(2)).await;
            steps.close_channel();
        };
        futures::join!(looking, happening);
    });
    let_in.into_inner()
}

/// Runs the program beside the model. Checks the counts, which `counts` tells, after each step, and
/// that nobody waits at its end.
fn check(
    program: Program,
    mut model: impl Model,
    visit: impl AsyncFn(&Visitor<'_>),
    act: impl AsyncFn(u8),
    counts: impl Fn() -> Counts,
) {
    let course = Course::new(&program, &mut model);
    let let_in = run(&program, visit, act, |time| {
        let expected = course.counts.range(..=time).next_back().map_or_else(Counts::default, |(_, counts)| *counts);
        assert_eq!(counts(), expected, "at {time}: {program:?}");
    });
    assert_eq!(let_in, course.let_in, "{program:?}");
    assert_eq!(counts().waiting, 0);
}
