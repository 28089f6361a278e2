//! Queues, their joins, rendezvous, and channels for one value.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use foster::queue::{self, QueueStatistics};
use foster::sync::oneshot;
use foster::testing::{DropGuard, Drops};
use proptest::prelude::*;

use super::{Counts, Model, Program, Visitor, check, programs};
use crate::{config, watched};

/// What is to be done, and who does it or waits until all is done.
struct Work {
    /// How many items are in the queue, of which there is room for so many.
    stock: usize,
    room: usize,
    idle: VecDeque<usize>,
    /// Who has an item, and whether it puts that back.
    busy: Vec<(usize, bool)>,
    joining: Vec<usize>,
    kinds: Vec<u8>,
}

impl Work {
    fn new(program: &Program, room: usize) -> Self {
        let kinds = program.users.iter().map(|user| user.kind).collect();
        Work { stock: 0, room, idle: VecDeque::new(), busy: Vec::new(), joining: Vec::new(), kinds }
    }

    fn settle(&mut self) -> Vec<usize> {
        let mut let_in = Vec::new();
        while self.stock > 0 {
            let Some(user) = self.idle.pop_front() else { break };
            self.stock -= 1;
            self.busy.push((user, puts_back(self.kinds[user])));
            let_in.push(user);
        }
        if self.stock == 0 && self.busy.is_empty() {
            let_in.append(&mut self.joining);
        }
        let_in
    }
}

/// One of four waits until all is done.
fn joins(kind: u8) -> bool {
    kind % 4 == 0
}

fn puts_back(kind: u8) -> bool {
    kind % 4 == 1
}

impl Model for Work {
    fn come(&mut self, user: usize, kind: u8) -> Vec<usize> {
        if joins(kind) {
            self.joining.push(user)
        } else {
            self.idle.push_back(user)
        }
        self.settle()
    }

    fn end(&mut self, user: usize) -> Vec<usize> {
        let puts_back = self.busy.contains(&(user, true));
        self.stock += usize::from(puts_back);
        self.leave(user)
    }

    fn leave(&mut self, user: usize) -> Vec<usize> {
        self.idle.retain(|other| *other != user);
        self.joining.retain(|other| *other != user);
        self.busy.retain(|(other, _)| *other != user);
        self.settle()
    }

    fn act(&mut self, act: u8) -> Vec<usize> {
        // Those who are let in take their items after this, so room is counted as before.
        self.stock += usize::from(act % 4).min(self.room.saturating_sub(self.stock));
        self.settle()
    }

    fn counts(&self) -> Counts {
        Counts { waiting: self.idle.len(), inside: self.stock + self.busy.len() }
    }
}

fn counts(statistics: QueueStatistics) -> Counts {
    let waiting = statistics.waiting_senders() + statistics.waiting_receivers();
    Counts { waiting, inside: statistics.unfinished() }
}

/// A queue for so many items, and those who wait for room. One of two keeps its room for its stay,
/// and sends at the end of it.
struct Room {
    capacity: usize,
    stock: usize,
    line: VecDeque<(usize, bool)>,
    kept: Vec<usize>,
}

fn reserves(kind: u8) -> bool {
    kind % 2 == 0
}

impl Room {
    fn settle(&mut self) -> Vec<usize> {
        let room = self.capacity.saturating_sub(self.stock + self.kept.len()).min(self.line.len());
        let let_in: Vec<_> = self.line.drain(..room).collect();
        for (user, keeps) in &let_in {
            if *keeps { self.kept.push(*user) } else { self.stock += 1 }
        }
        let_in.into_iter().map(|(user, _)| user).collect()
    }
}

impl Model for Room {
    fn come(&mut self, user: usize, kind: u8) -> Vec<usize> {
        self.line.push_back((user, reserves(kind)));
        self.settle()
    }

    fn end(&mut self, user: usize) -> Vec<usize> {
        self.stock += usize::from(self.kept.contains(&user));
        self.leave(user)
    }

    fn leave(&mut self, user: usize) -> Vec<usize> {
        self.line.retain(|(other, _)| *other != user);
        self.kept.retain(|other| *other != user);
        self.settle()
    }

    fn act(&mut self, act: u8) -> Vec<usize> {
        self.stock -= usize::from(act % 3).min(self.stock);
        self.settle()
    }

    fn counts(&self) -> Counts {
        Counts { waiting: self.line.len(), inside: self.stock }
    }
}

/// Who meets whom, in a queue without room.
#[derive(Default)]
struct Meetings {
    receivers: VecDeque<usize>,
    senders: VecDeque<usize>,
    /// Those who wait for room, behind all who have an item at hand.
    reservers: VecDeque<usize>,
}

impl Model for Meetings {
    fn come(&mut self, user: usize, kind: u8) -> Vec<usize> {
        let (own, others) = match kind % 4 {
            0 | 1 => (&mut self.receivers, [&mut self.senders, &mut self.reservers]),
            2 => (&mut self.senders, [&mut self.receivers, &mut VecDeque::new()]),
            _ => (&mut self.reservers, [&mut self.receivers, &mut VecDeque::new()]),
        };
        if let Some(other) = others.into_iter().find_map(VecDeque::pop_front) {
            return vec![other, user];
        }
        own.push_back(user);
        Vec::new()
    }

    fn leave(&mut self, user: usize) -> Vec<usize> {
        for line in [&mut self.receivers, &mut self.senders, &mut self.reservers] {
            line.retain(|other| *other != user);
        }
        Vec::new()
    }

    fn counts(&self) -> Counts {
        Counts { waiting: self.receivers.len() + self.senders.len() + self.reservers.len(), inside: 0 }
    }
}

/// Pairs, of which each user has one side, and waits for the other.
struct Pairs {
    users: Vec<Pair>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pair {
    /// The user has not come. Whether the other side has sent, or gone, before.
    Away(Option<bool>),
    Waits,
    Over,
}

impl Model for Pairs {
    fn come(&mut self, user: usize, _: u8) -> Vec<usize> {
        let is_over = self.users[user] != Pair::Away(None);
        self.users[user] = if is_over { Pair::Over } else { Pair::Waits };
        if is_over { vec![user] } else { Vec::new() }
    }

    fn leave(&mut self, user: usize) -> Vec<usize> {
        self.users[user] = Pair::Over;
        Vec::new()
    }

    fn act(&mut self, act: u8) -> Vec<usize> {
        let user = usize::from(act) % self.users.len();
        let is_sent = act / 128 == 0 && user % 2 == 0;
        match self.users[user] {
            Pair::Away(None) => self.users[user] = Pair::Away(Some(is_sent)),
            Pair::Waits => {
                self.users[user] = Pair::Over;
                return vec![user];
            }
            Pair::Away(Some(_)) | Pair::Over => {}
        }
        Vec::new()
    }

    /// Those that are open wait, and inside are the values on their way.
    fn counts(&self) -> Counts {
        let count = |state: &dyn Fn(Pair) -> bool| self.users.iter().filter(|pair| state(**pair)).count();
        Counts {
            waiting: count(&|pair| matches!(pair, Pair::Away(None) | Pair::Waits)),
            inside: count(&|pair| pair == Pair::Away(Some(true))),
        }
    }
}

enum Side {
    Sends(oneshot::Sender<DropGuard>),
    Receives(oneshot::Receiver<DropGuard>),
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn each_item_is_received_once_as_soon_as_it_is_there_and_joins_end_with_the_last(
        program in programs(),
        is_bounded: bool,
    ) {
        watched(move || {
            let (jobs, work) = if is_bounded { queue::bounded(2) } else { queue::unbounded() };
            let (sent, done) = (Cell::new(0), RefCell::new(Vec::new()));
            let visit = async |visitor: &Visitor<'_>| {
                if joins(visitor.kind()) {
                    jobs.join().await;
                    visitor.is_let_in();
                    assert_eq!(jobs.unfinished(), 0);
                    return;
                }
                let item = work.recv().await.expect("it is open");
                visitor.is_let_in();
                // It is done when it is dropped, also by a cancellation.
                let doing = Done(*item, &done);
                visitor.stay().await;
                if puts_back(visitor.kind()) {
                    std::mem::forget(doing);
                    item.put_back();
                }
            };
            let act = async |act: u8| {
                for _ in 0..act % 4 {
                    if jobs.try_send(sent.get()).is_ok() {
                        sent.set(sent.get() + 1);
                    }
                }
            };
            let model = Work::new(&program, if is_bounded { 2 } else { usize::MAX });
            check(program, model, visit, act, || counts(jobs.statistics()));
            let mut done = done.take();
            done.extend(work.close_now());
            done.sort_unstable();
            assert!(done.iter().copied().eq(0..sent.get()), "each is done once, or is left");
            assert_eq!((jobs.unfinished(), jobs.statistics().waiting_receivers()), (0, 0));
        });
    }

    #[test]
    fn room_goes_to_those_who_send_or_reserve_in_their_order(program in programs(), capacity in 1..4_usize) {
        watched(move || {
            let (jobs, work) = queue::bounded(capacity);
            let drops = Drops::new();
            let visit = async |visitor: &Visitor<'_>| {
                if reserves(visitor.kind()) {
                    let slot = jobs.reserve().await.unwrap();
                    visitor.is_let_in();
                    visitor.stay().await;
                    slot.send(drops.guard()).unwrap();
                } else {
                    jobs.send(drops.guard()).await.unwrap();
                    visitor.is_let_in();
                }
            };
            let act = async |act: u8| {
                for _ in 0..act % 3 {
                    drop(work.try_recv());
                }
            };
            let model = Room { capacity, stock: 0, line: VecDeque::new(), kept: Vec::new() };
            check(program, model, visit, act, || counts(jobs.statistics()));
            assert_eq!(drops.alive(), work.close_now().len());
        });
    }

    #[test]
    fn senders_and_receivers_of_a_rendezvous_meet_in_their_order(program in programs()) {
        watched(move || {
            let (jobs, work) = queue::rendezvous();
            let (drops, sent, received) = (Drops::new(), Cell::new(0), Cell::new(0));
            let visit = async |visitor: &Visitor<'_>| {
                match visitor.kind() % 4 {
                    0 | 1 => {
                        drop(work.recv().await.expect("it is open"));
                        received.set(received.get() + 1);
                    }
                    2 => {
                        jobs.send(drops.guard()).await.unwrap();
                        sent.set(sent.get() + 1);
                    }
                    _ => {
                        jobs.reserve().await.unwrap().send(drops.guard()).unwrap();
                        sent.set(sent.get() + 1);
                    }
                }
                visitor.is_let_in();
            };
            check(program, Meetings::default(), visit, async |_| {}, || {
                assert_eq!(sent.get(), received.get());
                counts(jobs.statistics())
            });
            assert_eq!((drops.alive(), jobs.len(), counts(jobs.statistics())), (0, 0, Counts::default()));
        });
    }

    #[test]
    fn each_side_of_a_oneshot_hears_of_the_other_at_once(program in programs()) {
        watched(move || {
            let drops = Drops::new();
            let sides = RefCell::new((Vec::new(), Vec::new()));
            for user in 0..program.users.len() {
                let (sender, receiver) = oneshot::channel();
                let (sender, receiver) = (Some(Side::Sends(sender)), Some(Side::Receives(receiver)));
                let (own, other) = if user % 2 == 0 { (receiver, sender) } else { (sender, receiver) };
                let (owns, others) = &mut *sides.borrow_mut();
                owns.push(own);
                others.push(other);
            }
            let visit = async |visitor: &Visitor<'_>| {
                let own = sides.borrow_mut().0[visitor.user].take();
                match own.expect("it comes once") {
                    Side::Receives(receiver) => drop(receiver.await),
                    Side::Sends(mut sender) => {
                        sender.closed().await;
                        drop(sender.send(drops.guard()).unwrap_err());
                    }
                }
                visitor.is_let_in();
            };
            let act = async |act: u8| {
                let mut sides = sides.borrow_mut();
                let user = usize::from(act) % sides.1.len();
                match sides.1[user].take() {
                    Some(Side::Sends(sender)) if act / 128 == 0 => drop(sender.send(drops.guard())),
                    Some(Side::Receives(mut receiver)) if act / 128 == 0 => receiver.close(),
                    other => drop(other),
                }
            };
            let model = Pairs { users: vec![Pair::Away(None); program.users.len()] };
            let counts = || {
                let is_open = |side: &mut Option<Side>| match side {
                    None => false,
                    Some(Side::Sends(sender)) => !sender.is_closed(),
                    Some(Side::Receives(receiver)) => receiver.try_recv().unwrap_err().is_empty(),
                };
                let waiting = sides.borrow_mut().1.iter_mut().map(is_open).filter(|is_open| *is_open).count();
                Counts { waiting, inside: drops.alive() }
            };
            check(program, model, visit, act, counts);
        });
    }
}

/// Notes that an item was done when it is dropped.
struct Done<'a>(u32, &'a RefCell<Vec<u32>>);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.1.borrow_mut().push(self.0);
    }
}
