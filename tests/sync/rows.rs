//! The rows of the contract on semaphores and limiters, from the test suites of asyncio, Trio and
//! anyio. Each test names its row.

use std::panic::{AssertUnwindSafe, catch_unwind};

use foster::sync::{Permit, Semaphore};
use foster::testing::Drops;
use foster::{scope, yield_now};

use crate::by_hand::{ByHand, finish};

fn taken(semaphore: &Semaphore, count: usize) -> Permit<'_> {
    semaphore.try_acquire(count).expect("they are free")
}

matrix! {
    // C143: without permits, everybody waits.
    async fn a_semaphore_of_zero_is_locked() {
        let semaphore = Semaphore::new(0);
        assert!(semaphore.try_acquire(1).unwrap_err().is_no_permits());
        let waiter = ByHand::waiting(semaphore.acquire(1));
        semaphore.add(1);
        drop(waiter.turn().unwrap());
    }

    // C145: waiters have their turns in order, and permits are counted.
    async fn permits_are_counted_and_waiters_served_in_order() {
        let semaphore = Semaphore::new(3);
        let (first, second) = (semaphore.acquire(1).await.unwrap(), semaphore.acquire(1).await.unwrap());
        assert_eq!(semaphore.available(), 1);
        let third = semaphore.acquire(1).await.unwrap();
        let waiters: Vec<_> = (0..3).map(|_| ByHand::waiting(semaphore.acquire(1))).collect();
        drop((third, first));
        assert_eq!(waiters.iter().map(ByHand::wakes).collect::<Vec<_>>(), [1, 1, 0]);
        let mut waiters = waiters.into_iter();
        let permits: Vec<_> = waiters.by_ref().take(2).map(|waiter| waiter.turn().unwrap()).collect();
        drop((second, permits));
        drop(waiters.next().unwrap().turn());
        assert_eq!(semaphore.available(), 3);
    }

    // C147: of four waiters the first two are cancelled; one release lets the third in, and the
    // fourth waits.
    async fn cancelled_waiters_take_nothing() {
        let semaphore = Semaphore::new(0);
        let [first, second, third, fourth] = [(); 4].map(|()| ByHand::waiting(semaphore.acquire(1)));
        drop((first, second));
        semaphore.add(1);
        assert_eq!((third.wakes(), fourth.wakes()), (1, 0));
        let third = third.turn().unwrap();
        assert!(semaphore.try_acquire(1).is_err());
        drop(third);
        drop(fourth.turn().unwrap());
    }

    // C148: the waiter that was woken is cancelled, and there is a release: the next ones have
    // both.
    async fn a_woken_waiter_that_is_cancelled_hangs_nobody() {
        let semaphore = Semaphore::new(1);
        let permit = taken(&semaphore, 1);
        let (first, second) = (ByHand::waiting(semaphore.acquire(1)), ByHand::waiting(semaphore.acquire(1)));
        drop(permit);
        assert_eq!(first.wakes(), 1);
        drop(first);
        semaphore.add(1);
        let permit = second.turn().unwrap();
        drop(taken(&semaphore, 1));
        drop(permit);
        assert_eq!(semaphore.available(), 2);
    }

    // C150: without waiters a release restores the value.
    async fn a_release_without_waiters_restores_the_value() {
        let semaphore = Semaphore::new(1);
        drop(semaphore.acquire(1).await.unwrap());
        drop(semaphore.acquire(1).await.unwrap());
        assert_eq!(semaphore.available(), 1);
    }

    // C152: who acquires again goes to the back: 1, 2, 3, 1, 2, 3.
    async fn who_comes_again_waits_behind_those_who_wait() {
        let (semaphore, order) = (Semaphore::new(1), std::sync::Mutex::new(Vec::new()));
        let permit = taken(&semaphore, 1);
        let turns = async |name| {
            for _ in 0..2 {
                let _permit = semaphore.acquire(1).await.unwrap();
                order.lock().unwrap().push(name);
                yield_now().await;
            }
        };
        let mut workers = [1, 2, 3].map(|name| ByHand::waiting(turns(name)));
        drop(permit);
        finish(&mut workers);
        assert_eq!(*order.lock().unwrap(), [1, 2, 3, 1, 2, 3]);
    }

    // C153, C337: a woken waiter has the right of way over newcomers, the releaser among them.
    async fn nobody_overtakes_a_woken_waiter() {
        let semaphore = Semaphore::new(1);
        let permit = taken(&semaphore, 1);
        let waiter = ByHand::waiting(semaphore.acquire(1));
        drop(permit);
        assert!(semaphore.try_acquire(1).is_err());
        let releaser = ByHand::waiting(semaphore.acquire(1));
        drop(waiter.turn().unwrap());
        drop(releaser.turn().unwrap());
    }

    // C155: several releases before anyone runs wake all of them, in order.
    async fn several_releases_wake_as_many_in_order() {
        let semaphore = Semaphore::new(3);
        let permits = [(); 3].map(|()| taken(&semaphore, 1));
        let waiters: Vec<_> = (0..4).map(|_| ByHand::waiting(semaphore.acquire(1))).collect();
        for (i, permit) in permits.into_iter().enumerate() {
            drop(permit);
            let woken: Vec<_> = waiters.iter().map(ByHand::wakes).collect();
            assert_eq!(woken.iter().sum::<usize>(), i + 1);
            assert!(woken.is_sorted_by(|a, b| a >= b), "{woken:?}");
        }
    }

    // C277: a limiter without a limit.
    async fn the_largest_semaphore_is_no_limit() {
        let semaphore = Semaphore::new(Semaphore::MAX_PERMITS);
        let permits: Vec<_> = (0..1_000).map(|i| taken(&semaphore, i)).collect();
        assert_eq!(semaphore.statistics().in_use(), 499_500);
        drop(permits);
        assert_eq!(semaphore.statistics().in_use(), 0);
    }

    // C278, C338: to raise the number lets just so many in; it may be lowered below use, and then
    // nobody is let in until enough have left. No newcomer gets past it.
    async fn the_number_of_permits_is_changed_while_it_is_used() {
        let semaphore = Semaphore::new(1);
        let permit = taken(&semaphore, 1);
        let waiters: Vec<_> = (0..5).map(|_| ByHand::waiting(semaphore.acquire(1))).collect();
        semaphore.resize(3);
        assert_eq!(waiters.iter().map(ByHand::wakes).collect::<Vec<_>>(), [1, 1, 0, 0, 0]);
        assert!(semaphore.try_acquire(1).unwrap_err().is_no_permits());
        assert_eq!(semaphore.statistics().in_use(), 3, "never more than there are");
        let mut waiters = waiters.into_iter();
        let mut permits: Vec<_> = waiters.by_ref().take(2).map(|waiter| waiter.turn().unwrap()).collect();
        semaphore.resize(2);
        permits.push(permit);
        permits.pop();
        assert_eq!(semaphore.statistics().in_use(), 2);
        assert!(semaphore.try_acquire(1).is_err());
        assert_eq!(waiters.as_slice()[0].wakes(), 0);
        permits.pop();
        let next = waiters.next().unwrap().turn().unwrap();
        assert_eq!(semaphore.statistics().in_use(), 2);
        drop((permits, next));
        assert!(semaphore.try_acquire(1).unwrap_err().is_no_permits(), "both belong to those who waited");
        assert_eq!(waiters.map(|waiter| waiter.turn()).filter(Result::is_ok).count(), 2);
        assert_eq!((semaphore.available(), semaphore.statistics().in_use()), (2, 0));
    }

    // C280: a total of zero blocks all; to raise it lets them in; it is lowered while they wait.
    async fn the_number_of_permits_may_be_zero() {
        let semaphore = Semaphore::new(0);
        let (first, second) = (ByHand::waiting(semaphore.acquire(1)), ByHand::waiting(semaphore.acquire(1)));
        semaphore.resize(1);
        assert_eq!((first.wakes(), second.wakes()), (1, 0));
        semaphore.resize(0);
        drop(first.turn().unwrap());
        assert_eq!((second.wakes(), semaphore.available()), (0, 0));
        semaphore.resize(1);
        drop(second.turn().unwrap());
    }

    // C125, C282: a release of what was not acquired is refused, and changes nothing. With guards
    // it is impossible.
    async fn a_release_of_what_nobody_has_is_refused() {
        let semaphore = Semaphore::new(3);
        let two = taken(&semaphore, 2);
        assert!(catch_unwind(AssertUnwindSafe(|| semaphore.release(3))).is_err());
        assert_eq!((semaphore.available(), semaphore.statistics().in_use()), (1, 2));
        let waiter = ByHand::waiting(semaphore.acquire(2));
        semaphore.release(two.detach());
        let count = waiter.turn().unwrap().detach();
        semaphore.resize(1);
        semaphore.release(1);
        assert_eq!((semaphore.available(), semaphore.statistics().in_use()), (0, 1));
        semaphore.release(count - 1);
        assert!(catch_unwind(AssertUnwindSafe(|| semaphore.release(1))).is_err());
        assert_eq!(semaphore.available(), 1);
    }

    // Its guard gave it back once more, so that there were more free than there are.
    async fn a_permit_that_has_its_guard_is_not_released() {
        let semaphore = Semaphore::new(2);
        let guard = taken(&semaphore, 1);
        assert!(catch_unwind(AssertUnwindSafe(|| semaphore.release(1))).is_err());
        drop(guard);
        assert_eq!((semaphore.available(), semaphore.statistics().in_use()), (2, 0));
    }

    // C282: a bounded semaphore refuses to have more permits than it may, too.
    async fn a_bounded_semaphore_refuses_what_was_never_taken() {
        let semaphore = Semaphore::bounded(2);
        assert!(semaphore.try_add(1).is_err());
        assert_eq!(semaphore.available(), 2);
        taken(&semaphore, 1).forget();
        assert!(semaphore.try_add(2).is_err());
        semaphore.add(1);
        assert_eq!(semaphore.available(), 2);
        semaphore.resize(3);
        assert!(semaphore.try_add(1).is_err());
        assert_eq!(semaphore.available(), 3);
        let message = semaphore.try_add(1).unwrap_err().to_string();
        assert!(message.contains("at most 3 permits"), "{message}");
    }

    // C285: five workers with ten rounds each are never inside together.
    async fn a_semaphore_of_one_excludes() {
        let (semaphore, inside) = (Semaphore::new(1), Drops::new());
        scope(async |s| {
            for _ in 0..5 {
                s.spawn(async {
                    for _ in 0..10 {
                        let _permit = semaphore.acquire(1).await.unwrap();
                        let _guard = inside.guard();
                        assert_eq!(inside.alive(), 1);
                        yield_now().await;
                    }
                });
            }
        }).await;
        assert_eq!(inside.count(), 50);
    }

    // C287: what is taken without waiting makes others wait.
    async fn what_is_taken_at_once_makes_others_wait() {
        let semaphore = Semaphore::new(1);
        let permit = taken(&semaphore, 1);
        let waiter = ByHand::waiting(semaphore.acquire(1));
        drop(permit);
        drop(waiter.turn().unwrap());
    }

    // C288: who forgets a permit leaks it, and says so by the statistics.
    async fn a_permit_that_is_leaked_stays_in_use() {
        let semaphore = Semaphore::new(2);
        std::mem::forget(taken(&semaphore, 1));
        assert_eq!((semaphore.statistics().in_use(), semaphore.available()), (1, 1));
        drop(taken(&semaphore, 1));
        semaphore.resize(3);
        drop(taken(&semaphore, 2));
    }

    // C298: waiters that were cancelled are not counted, and the peak stays.
    async fn statistics_tell_what_is_used_and_who_waits() {
        let semaphore = Semaphore::new(4);
        let permit = taken(&semaphore, 3);
        let waiters: Vec<_> = (0..3).map(|_| ByHand::waiting(semaphore.acquire(2))).collect();
        let statistics = semaphore.statistics();
        assert_eq!((statistics.in_use(), statistics.waiting(), statistics.peak_waiting()), (3, 3, 3));
        drop((waiters, permit));
        let statistics = semaphore.statistics();
        assert_eq!((statistics.in_use(), statistics.waiting(), statistics.peak_waiting()), (0, 0, 3));
    }
}
