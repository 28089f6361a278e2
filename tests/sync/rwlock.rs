//! The lock of readers and writers: turns, guards, and the change from one to the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use foster::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use foster::testing::{cancel_at_every_await, explore_all, poll_once};
use foster::{local, scope, timeout, yield_now};
use futures::FutureExt;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;

use crate::by_hand::ByHand;
use crate::cancelled::in_a_cancelled_region;
use crate::harness::T;
use crate::meddling::meddling;

/// How many use the lock, and how many wait for it.
fn usage<T: ?Sized>(lock: &RwLock<T>) -> (usize, usize) {
    let statistics = lock.statistics();
    (statistics.in_use(), statistics.waiting())
}

matrix! {
    // C120: readers are in together, a writer is alone, and all come in their order.
    async fn readers_share_the_lock_and_writers_take_turns() {
        let lock = RwLock::new(0);
        let (first, second) = (lock.read().await, lock.read().await);
        assert_eq!((*first, *second, usage(&lock)), (0, 0, (2, 0)));
        let writer = ByHand::waiting(lock.write());
        let (third, fourth) = (ByHand::waiting(lock.read()), ByHand::waiting(lock.read()));
        let last = ByHand::waiting(lock.write());
        drop(first);
        assert_eq!(writer.wakes(), 0);
        drop(second);
        let mut writer = writer.turn();
        *writer += 1;
        assert_eq!((usage(&lock), third.wakes()), ((1, 3), 0));
        drop(writer);
        assert_eq!((third.wakes(), fourth.wakes(), last.wakes()), (1, 1, 0));
        let readers = (third.turn(), fourth.turn());
        assert_eq!((*readers.0, *readers.1), (1, 1));
        drop(readers);
        drop(last.turn());
        assert_eq!((usage(&lock), lock.statistics().peak_waiting()), ((0, 0), 4));
    }

    // A stream of readers would keep a writer out for ever.
    async fn a_waiting_writer_keeps_out_the_readers_that_come_after_it() {
        let lock = RwLock::new(0);
        let reader = lock.read().await;
        let writer = ByHand::waiting(lock.write());
        assert!(lock.try_read().is_none());
        let newcomer = ByHand::waiting(lock.read());
        drop(reader);
        assert_eq!((writer.wakes(), newcomer.wakes()), (1, 0));
        drop(writer.turn());
        drop(newcomer.turn());
    }

    // golang#37852 was this bug in a semaphore: those behind a cancelled waiter went on waiting.
    async fn readers_behind_a_cancelled_writer_are_let_in_at_once() {
        let lock = RwLock::new(0);
        let reader = lock.read().await;
        let writer = ByHand::waiting(lock.write());
        let readers = [(); 2].map(|()| ByHand::waiting(lock.read()));
        let last = ByHand::waiting(lock.write());
        drop(writer);
        let readers = readers.map(ByHand::turn);
        assert_eq!((usage(&lock), last.wakes()), ((3, 1), 0));
        drop((readers, reader));
        drop(last.turn());
    }

    // C122, C335: the lock is given to a waiter that is cancelled before it has run.
    async fn a_lock_that_was_given_to_a_cancelled_waiter_goes_to_the_next() {
        let lock = RwLock::new(0);
        let guard = lock.write().await;
        let (first, second, third) =
            (ByHand::waiting(lock.write()), ByHand::waiting(lock.read()), ByHand::waiting(lock.write()));
        drop(guard);
        assert_eq!((first.wakes(), second.wakes(), third.wakes()), (1, 0, 0));
        drop(first);
        assert_eq!((second.wakes(), third.wakes()), (1, 0));
        drop(second);
        drop(third.turn());
        assert_eq!(usage(&lock), (0, 0));
    }

    // C285: writers are never inside together, nor beside a reader.
    async fn a_writer_is_alone() {
        let lock = Arc::new(RwLock::new((0, 0)));
        let work = async |i: usize, lock: Arc<RwLock<(usize, usize)>>| {
            for round in 0..10 {
                if (i + round) % 3 == 0 {
                    let mut pair = lock.write().await;
                    pair.0 += 1;
                    yield_now().await;
                    pair.1 += 1;
                } else {
                    let pair = lock.read().await;
                    assert_eq!(pair.0, pair.1);
                    yield_now().await;
                    assert_eq!(pair.0, pair.1);
                }
            }
        };
        scope(async |s| {
            for i in 0..6 {
                let worker = work(i, lock.clone());
                if i % 2 == 0 { s.spawn_parallel(worker) } else { s.spawn(worker) };
            }
        }).await;
        let left = *lock.read().await;
        assert_eq!((left, usage(&lock)), ((20, 20), (0, 0)));
    }

    // C287, C337: who locks at once makes others wait, and does not overtake them.
    async fn nobody_overtakes_by_trying() {
        let lock = RwLock::new(0);
        let reader = lock.try_read().unwrap();
        assert!(lock.try_write().is_none());
        drop((lock.try_read().unwrap(), reader));
        let writer = lock.try_write().unwrap();
        assert!(lock.try_read().is_none() && lock.try_write().is_none());
        let waiter = ByHand::waiting(lock.read());
        drop(writer);
        assert!(lock.try_write().is_none());
        drop(lock.try_read().expect("nobody waits, and it is beside a reader"));
        drop(waiter.turn());
    }

    // C288: a guard that is forgotten stays in force, and is counted.
    async fn a_forgotten_guard_stays_in_force() {
        let mut lock = RwLock::new(7);
        std::mem::forget(lock.read().await);
        assert!(timeout(T, lock.write()).await.is_err());
        assert_eq!((usage(&lock), *lock.read().await), ((1, 0), 7));
        *lock.get_mut() += 1;
        assert_eq!(lock.into_inner(), 8);
    }

    async fn a_writer_goes_on_as_a_reader_without_a_gap() {
        let lock = RwLock::new(0);
        let mut writer = lock.write().await;
        let (reader, next, last) =
            (ByHand::waiting(lock.read()), ByHand::waiting(lock.write()), ByHand::waiting(lock.read()));
        *writer = 1;
        let downgraded = RwLockWriteGuard::downgrade(writer);
        assert_eq!((reader.wakes(), next.wakes(), last.wakes()), (1, 0, 0));
        let reader = reader.turn();
        assert_eq!((*reader, *downgraded, usage(&lock)), (1, 1, (2, 2)));
        drop((reader, downgraded));
        drop(next.turn());
        drop(last.turn());
        assert!(lock.try_write().is_some());
    }

    async fn a_panic_of_the_writer_leaves_the_value_to_the_next() {
        let lock = RwLock::new(0);
        let panicked = AssertUnwindSafe(async {
            *lock.write().await = 1;
            let _guard = lock.write().await;
            yield_now().await;
            panic!("a writer that panics");
        }).catch_unwind().await;
        assert!(panicked.is_err());
        let left = *lock.read().await;
        assert_eq!((left, usage(&lock)), (1, (0, 0)));
    }

    async fn a_wait_does_not_begin_in_a_cancelled_region() {
        let (lock, free) = (RwLock::new(0), RwLock::new(7));
        let reader = lock.read().await;
        let waits = in_a_cancelled_region(async {
            assert_eq!((*free.write().await, *lock.read().await), (7, 0));
            assert!(poll_once(lock.write()).await.is_pending());
            drop(lock.write().await);
        });
        assert!(!waits.await);
        assert_eq!((usage(&lock), lock.statistics().peak_waiting()), ((1, 0), 0));
        drop(reader);
    }
}

#[test]
fn guards_are_narrowed_to_a_part() {
    let lock = RwLock::new((1, Some(2)));
    let reader = RwLockReadGuard::map(lock.try_read().unwrap(), |pair| &pair.0);
    assert_eq!((*reader, usage(&lock)), (1, (1, 0)));
    let other = RwLockReadGuard::filter_map(lock.try_read().unwrap(), |pair| pair.1.as_ref()).unwrap();
    assert_eq!((format!("{other:?}"), format!("{other}"), usage(&lock)), ("2".into(), "2".into(), (2, 0)));
    drop((reader, other));
    let mut writer = RwLockWriteGuard::map(lock.try_write().unwrap(), |pair| &mut pair.0);
    *writer += 4;
    assert_eq!(usage(&lock), (1, 0));
    drop(writer);
    let mut writer = RwLockWriteGuard::filter_map(lock.try_write().unwrap(), |pair| pair.1.as_mut()).unwrap();
    *writer += 4;
    assert_eq!((format!("{writer:?}"), format!("{writer}")), ("6".into(), "6".into()));
    drop(writer);
    let writer = lock.try_write().unwrap();
    let writer = RwLockWriteGuard::filter_map(writer, |_| None::<&mut u32>).unwrap_err();
    assert_eq!((*writer, usage(&lock)), ((5, Some(6)), (1, 0)));
    let reader = RwLockWriteGuard::downgrade(writer);
    let reader = RwLockReadGuard::filter_map(reader, |_| None::<&u32>).unwrap_err();
    assert_eq!((*reader, usage(&lock)), ((5, Some(6)), (1, 0)));
    assert!(std::ptr::eq(*RwLockReadGuard::rwlock(&reader), &lock));
    assert!(std::ptr::eq(RwLockReadGuard::unlock(reader), &lock));
    let writer = lock.try_write().unwrap();
    assert!(std::ptr::eq(*RwLockWriteGuard::rwlock(&writer), &lock));
    assert!(std::ptr::eq(RwLockWriteGuard::unlock(writer), &lock));
    assert_eq!(usage(&lock), (0, 0));
}

#[test]
fn a_part_that_panics_leaves_the_lock() {
    let lock = RwLock::new(1);
    let reads = catch_unwind(AssertUnwindSafe(|| {
        drop(RwLockReadGuard::map(lock.try_read().unwrap(), |_| -> &u32 { panic!("no part") }));
    }));
    let writes = catch_unwind(AssertUnwindSafe(|| {
        drop(RwLockWriteGuard::map(lock.try_write().unwrap(), |_| -> &mut u32 { panic!("no part") }));
    }));
    assert!(reads.is_err() && writes.is_err());
    assert!(lock.try_write().is_some());
}

#[test]
fn the_owned_forms_keep_the_lock() {
    let lock = Arc::new(RwLock::new(1));
    let reader: OwnedRwLockReadGuard<_> = lock.clone().try_read_owned().unwrap();
    assert!(lock.clone().try_write_owned().is_none());
    let waiter = ByHand::waiting(lock.clone().write_owned());
    assert!(lock.clone().try_read_owned().is_none());
    let second = ByHand::waiting(lock.clone().read_owned());
    let weak = Arc::downgrade(&lock);
    drop((lock, reader));
    let mut writer: OwnedRwLockWriteGuard<_> = waiter.turn();
    *writer += 1;
    let reader = OwnedRwLockWriteGuard::downgrade(writer);
    let second = second.turn();
    assert_eq!((*reader, *second, usage(&weak.upgrade().unwrap())), (2, 2, (2, 0)));
    drop(reader);
    std::thread::spawn(move || drop(second)).join().unwrap();
    assert!(weak.upgrade().is_none());
}

#[test]
fn a_lock_may_hold_what_has_no_size() {
    let lock: &RwLock<[u32]> = &RwLock::new([1, 2, 3]);
    let first = RwLockReadGuard::map(lock.try_read().unwrap(), |all| &all[0]);
    assert_eq!((*first, lock.try_read().unwrap().len()), (1, 3));
}

#[test]
fn debug_shows_the_value_or_that_it_is_locked() {
    static LOCK: RwLock<u32> = RwLock::new(7);
    assert_eq!(format!("{LOCK:?}"), "RwLock { value: 7 }");
    let writer = LOCK.try_write().unwrap();
    assert_eq!(format!("{LOCK:?}"), "RwLock { value: <locked> }");
    drop(writer);
    assert_eq!(format!("{:?} {:?}", LOCK.read(), LOCK.write()), "Reading { .. } Writing { .. }");
    assert_eq!((RwLock::<u32>::default().into_inner(), RwLock::from(7).into_inner()), (0, 7));
}

#[test]
fn a_waker_that_uses_the_lock_finds_it_unlocked() {
    crate::harness::watched(|| {
        let lock = Arc::new(RwLock::new(0));
        let (seen, looks) = (Arc::new(AtomicUsize::new(0)), lock.clone());
        let counts = seen.clone();
        let waker = meddling(move || {
            counts.fetch_add(1, SeqCst);
            looks.statistics();
            drop(looks.try_read());
            drop(looks.try_write());
        });
        let writer = lock.try_write().unwrap();
        let mut reader = Box::pin(lock.read());
        assert!(reader.poll_unpin(&mut std::task::Context::from_waker(&waker)).is_pending());
        drop(RwLockWriteGuard::downgrade(writer));
        assert!(seen.load(SeqCst) > 0);
        assert!(reader.poll_unpin(&mut std::task::Context::from_waker(&waker)).is_ready());
        drop((reader, waker));
        assert_eq!(usage(&lock), (0, 0));
    });
}

#[test]
fn locks_futures_and_guards_are_send_and_sync() {
    fn check<T: Send + Sync>(_: &T) {}
    let lock = Arc::new(RwLock::new(0));
    check(&*lock);
    check(&lock.read());
    check(&lock.write());
    check(&lock.clone().read_owned());
    check(&lock.clone().write_owned());
    check(&lock.try_read().unwrap());
    check(&lock.try_write().unwrap());
    check(&lock.clone().try_write_owned().unwrap());
}

#[test]
fn dropped_at_any_point_nobody_is_left_behind() {
    let lock = &RwLock::new(0);
    let report = cancel_at_every_await(
        || {
            local::scope(async |s| {
                for i in 0..4 {
                    s.spawn(async move {
                        if i % 2 == 0 {
                            let writer = lock.write().await;
                            yield_now().await;
                            let _reader = RwLockWriteGuard::downgrade(writer);
                            yield_now().await;
                        } else {
                            let _reader = lock.read().await;
                            yield_now().await;
                        }
                    });
                }
            })
        },
        || assert_eq!(usage(lock), (0, 0)),
    );
    assert!(report.suspensions().iter().any(|what| what.contains("read-write lock")), "{report:?}");
}

#[test]
fn under_every_schedule_a_writer_is_alone() {
    let explored = explore_all(|| async {
        let lock = Arc::new(RwLock::new(0));
        scope(async |s| {
            for writes in [true, false, true] {
                let lock = lock.clone();
                s.spawn_parallel(async move {
                    if writes {
                        let mut writer = lock.write().await;
                        let read = *writer;
                        yield_now().await;
                        *writer = read + 1;
                        let reader = RwLockWriteGuard::downgrade(writer);
                        yield_now().await;
                        assert_eq!(*reader, read + 1);
                    } else {
                        let reader = lock.read().await;
                        let read = *reader;
                        yield_now().await;
                        assert_eq!(*reader, read);
                    }
                });
            }
        })
        .await;
        let left = *lock.read().await;
        assert_eq!((left, usage(&lock)), (2, (0, 0)));
    });
    assert!(explored.schedules() > 20, "{explored:?}");
}

/// What one who came is doing.
enum User<'a> {
    Reads(ByHand<'a, RwLockReadGuard<'a, u32>>),
    Writes(ByHand<'a, RwLockWriteGuard<'a, u32>>),
    HasRead(#[allow(dead_code)] RwLockReadGuard<'a, u32>),
    HasWritten(RwLockWriteGuard<'a, u32>),
    Gone,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Read,
    Write,
    TryRead,
    TryWrite,
    Poll(Index),
    Leave(Index),
    Downgrade(Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Read),
        2 => Just(Step::Write),
        1 => Just(Step::TryRead),
        1 => Just(Step::TryWrite),
        4 => any::<Index>().prop_map(Step::Poll),
        4 => any::<Index>().prop_map(Step::Leave),
        1 => any::<Index>().prop_map(Step::Downgrade),
    ]
}

impl User<'_> {
    /// Polls the user, if it was woken. Then it must have its turn.
    fn poll(self) -> Self {
        match self {
            User::Reads(read) if read.wakes() > 0 => User::HasRead(read.turn()),
            User::Writes(write) if write.wakes() > 0 => User::HasWritten(write.turn()),
            other => other,
        }
    }

    /// Whether it has the lock, perhaps without knowing, and whether it writes.
    fn holds(&self) -> Option<bool> {
        match self {
            User::Reads(read) if read.wakes() > 0 => Some(false),
            User::Writes(write) if write.wakes() > 0 => Some(true),
            User::HasRead(_) => Some(false),
            User::HasWritten(_) => Some(true),
            _ => None,
        }
    }

    fn waits(&self) -> Option<bool> {
        match self {
            User::Reads(read) if read.wakes() == 0 => Some(false),
            User::Writes(write) if write.wakes() == 0 => Some(true),
            _ => None,
        }
    }
}

/// Checks the lock against its users, who are in the order in which they came.
fn check(lock: &RwLock<u32>, users: &[User<'_>]) {
    let holds: Vec<bool> = users.iter().filter_map(User::holds).collect();
    let waits: Vec<bool> = users.iter().filter_map(User::waits).collect();
    assert_eq!(usage(lock), (holds.len(), waits.len()));
    assert!(holds.len() <= 1 || !holds.contains(&true), "a writer is alone");
    match waits.first() {
        Some(true) => assert!(!holds.is_empty(), "the first writer could go on"),
        Some(false) => assert!(holds.contains(&true), "the first reader could go on"),
        None => {}
    }
    let first_waiting = users.iter().position(|user| user.waits().is_some()).unwrap_or(users.len());
    let overtaken = |user: &User<'_>| matches!(user, User::Reads(_) | User::Writes(_)) && user.holds().is_some();
    assert!(!users[first_waiting..].iter().any(overtaken), "nobody is overtaken");
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::with_cases(400)
    })]

    #[test]
    fn whatever_users_do_the_lock_goes_to_the_first_who_can_have_it(steps in prop::collection::vec(step(), 1..60)) {
        let lock = RwLock::new(0);
        let mut users = vec![User::Gone];
        let mut written = 0;
        for step in steps {
            match step {
                Step::Read => {
                    let mut read = ByHand::new(lock.read());
                    users.push(read.poll().map_or_else(|| User::Reads(read), User::HasRead));
                }
                Step::Write => {
                    let mut write = ByHand::new(lock.write());
                    users.push(write.poll().map_or_else(|| User::Writes(write), User::HasWritten));
                }
                Step::TryRead => users.extend(lock.try_read().map(User::HasRead)),
                Step::TryWrite => users.extend(lock.try_write().map(User::HasWritten)),
                Step::Poll(who) => {
                    let user = who.get_mut(&mut users);
                    *user = std::mem::replace(user, User::Gone).poll();
                    if let User::HasWritten(writer) = user {
                        **writer += 1;
                        written += 1;
                    }
                }
                Step::Leave(who) => *who.get_mut(&mut users) = User::Gone,
                Step::Downgrade(who) => {
                    let user = who.get_mut(&mut users);
                    *user = match std::mem::replace(user, User::Gone) {
                        User::HasWritten(writer) => User::HasRead(RwLockWriteGuard::downgrade(writer)),
                        other => other,
                    };
                }
            }
            check(&lock, &users);
        }
        while let Some(next) = users.iter().position(|user| user.holds().is_some()) {
            users.remove(next);
            check(&lock, &users);
        }
        drop(users);
        assert_eq!((usage(&lock), lock.into_inner()), ((0, 0), written));
    }
}
