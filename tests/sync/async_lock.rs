//! Where the locks of `async-lock` differ from ours: the rows of the table on the page of
//! `foster::sync::async_lock`. Each test does the same with both, and says what it finds.

use std::future::{pending, ready};

use foster::sync::{self, async_lock};
use foster::testing::poll_once;
use foster::{shield, timeout};

use crate::by_hand::ByHand;
use crate::harness::T;

/// The wake-ups of some, in their order.
fn wakes<T, const N: usize>(of: &[ByHand<'_, T>; N]) -> [usize; N] {
    std::array::from_fn(|i| of[i].wakes())
}

#[test]
fn a_newcomer_takes_the_permit_of_one_that_waits_only_there() {
    let semaphore = sync::Semaphore::new(1);
    let permit = semaphore.try_acquire(1).unwrap();
    let waiter = ByHand::waiting(semaphore.acquire(1));
    drop(permit);
    assert!(semaphore.try_acquire(1).is_err());
    drop(waiter.turn().unwrap());

    let semaphore = async_lock::Semaphore::new(1);
    let permit = semaphore.try_acquire().unwrap();
    let mut waiter = ByHand::waiting(semaphore.acquire());
    drop(permit);
    assert_eq!(waiter.wakes(), 1);
    let newcomer = semaphore.try_acquire();
    assert!(newcomer.is_some());
    assert!(waiter.poll().is_none(), "it was woken for nothing");
}

#[test]
fn a_newcomer_takes_the_mutex_of_one_that_waits_only_there() {
    let mutex = sync::Mutex::new(());
    let guard = mutex.try_lock().unwrap();
    let waiter = ByHand::waiting(mutex.lock());
    drop(guard);
    assert!(mutex.try_lock().is_none());
    drop(waiter.turn());

    let mutex = async_lock::Mutex::new(());
    let guard = mutex.try_lock().unwrap();
    let mut waiter = ByHand::waiting(mutex.lock());
    drop(guard);
    assert_eq!(waiter.wakes(), 1);
    let newcomer = mutex.try_lock();
    assert!(newcomer.is_some());
    assert!(waiter.poll().is_none(), "it was woken for nothing");
}

#[test]
fn two_permits_wake_two_here_and_one_there() {
    let semaphore = sync::Semaphore::new(2);
    let permits = [(); 2].map(|()| semaphore.try_acquire(1).unwrap());
    let waiters = [(); 2].map(|()| ByHand::waiting(semaphore.acquire(1)));
    drop(permits);
    assert_eq!(wakes(&waiters), [1, 1]);

    let semaphore = async_lock::Semaphore::new(2);
    let permits = [(); 2].map(|()| semaphore.try_acquire().unwrap());
    let waiters = [(); 2].map(|()| ByHand::waiting(semaphore.acquire()));
    drop(permits);
    assert_eq!(wakes(&waiters), [1, 0]);
    let [first, second] = waiters;
    let _permit = first.turn();
    assert_eq!(second.wakes(), 1);
}

#[test]
fn a_woken_waiter_that_is_dropped_passes_on_with_both() {
    let mutex = sync::Mutex::new(());
    let guard = mutex.try_lock().unwrap();
    let [first, second] = [(); 2].map(|()| ByHand::waiting(mutex.lock()));
    drop(guard);
    drop(first);
    drop(second.turn());

    let mutex = async_lock::Mutex::new(());
    let guard = mutex.try_lock().unwrap();
    let [first, second] = [(); 2].map(|()| ByHand::waiting(mutex.lock()));
    drop(guard);
    drop(first);
    drop(second.turn());
}

#[test]
fn readers_and_a_writer_behind_a_writer_are_in_order_only_here() {
    let lock = sync::RwLock::new(());
    let guard = lock.try_write().unwrap();
    let readers = [(); 2].map(|()| ByHand::waiting(lock.read()));
    let mut writer = ByHand::waiting(lock.write());
    drop(guard);
    assert_eq!((wakes(&readers), writer.wakes()), ([1, 1], 0));
    assert!(writer.poll().is_none());

    let lock = async_lock::RwLock::new(());
    let guard = lock.try_write().unwrap();
    let mut readers = [(); 2].map(|()| ByHand::waiting(lock.read()));
    let mut writer = ByHand::waiting(lock.write());
    drop(guard);
    assert!(writer.wakes() > 0 && readers[0].wakes() > 0);
    let _writer = writer.poll().expect("it is polled first");
    assert!(readers[0].poll().is_none());
}

#[test]
fn a_writer_that_waits_keeps_readers_out_until_it_is_dropped_with_both() {
    let lock = sync::RwLock::new(());
    let reader = lock.try_read().unwrap();
    let writer = ByHand::waiting(lock.write());
    let next = ByHand::waiting(lock.read());
    drop(writer);
    drop(next.turn());
    drop(reader);

    let lock = async_lock::RwLock::new(());
    let reader = lock.try_read().unwrap();
    let writer = ByHand::waiting(lock.write());
    let next = ByHand::waiting(lock.read());
    drop(writer);
    drop(next.turn());
    drop(reader);
}

#[test]
fn a_woken_initialiser_that_is_not_polled_keeps_others_waiting_only_there() {
    let cell = sync::OnceCell::new();
    let first = ByHand::waiting(cell.get_or_init(pending));
    let unpolled = ByHand::waiting(cell.get_or_init(|| ready(2)));
    let mut other = ByHand::waiting(cell.get_or_init(|| ready(3)));
    drop(first);
    assert_eq!((unpolled.wakes(), other.poll()), (1, Some(&3)));

    let cell = async_lock::OnceCell::new();
    let first = ByHand::waiting(cell.get_or_init(pending));
    let unpolled = ByHand::waiting(cell.get_or_init(|| ready(2)));
    let mut other = ByHand::waiting(cell.get_or_init(|| ready(3)));
    drop(first);
    assert_eq!((unpolled.wakes(), other.poll()), (1, None));
}

sim! {
    async fn in_a_cancelled_region_a_wait_begins_only_there() {
        let (ours, theirs) = (sync::Mutex::new(()), async_lock::Mutex::new(()));
        let guards = (ours.lock().await, theirs.lock().await);
        let elapsed = timeout(T, async {
            let _ = shield(timeout(2 * T, pending::<()>())).await;
            let (mut here, mut there) = (Box::pin(ours.lock()), Box::pin(theirs.lock()));
            assert!(poll_once(&mut here).await.is_pending() && poll_once(&mut there).await.is_pending());
            drop(guards);
            assert!(poll_once(&mut here).await.is_ready() && poll_once(&mut there).await.is_ready());
        });
        assert!(elapsed.await.is_ok());
        assert_eq!(ours.statistics().peak_waiting(), 0);
    }
}
