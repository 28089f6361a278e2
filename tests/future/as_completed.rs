//! `as_completed`, and the waits on it.

use std::future::{pending, ready};
use std::time::Duration;

use foster::future::AsCompleted;
use foster::runtimes::Sim;
use foster::{as_completed, now, sleep, timeout, yield_now};
use futures::future::join;
use futures::lock::Mutex;
use futures::{FutureExt as _, StreamExt as _};

use crate::harness::T;
use crate::probes::{after, boxed};

const SECOND: Duration = Duration::from_secs(1);

matrix! {
    // C195
    async fn as_completed_streams_in_the_order_of_completion_and_loses_nothing() {
        let mut done = as_completed([after(5, 'c'), after(1, 'a'), after(3, 'b')]);
        assert_eq!(done.next().await, Some((1, 'a')));
        let mut second_consumer = done;
        assert!(timeout(std::time::Duration::ZERO, second_consumer.next()).await.is_err());
        assert_eq!(second_consumer.len(), 2);
        second_consumer.push(after(0, 'd'));
        let rest: Vec<_> = second_consumer.collect().await;
        assert_eq!(rest.len(), 3);
        assert!(rest.contains(&(0, 'c')) && rest.contains(&(2, 'b')) && rest.contains(&(3, 'd')));
    }

    // C187, C188, C190, C193
    async fn wait_leaves_the_pending_ones_alive() {
        let mut group = as_completed([boxed(after(2, Ok(0))), boxed(after(2, Err("no"))), boxed(after(6, Ok(2))), boxed(pending())]);
        let mut first = group.wait_first_completed().await;
        first.sort();
        assert_eq!(first, [(0, Ok(0)), (1, Err("no"))], "both finish in one turn");
        assert_eq!(group.len(), 2);
        assert_eq!(group.wait_first_completed().await, [(2, Ok(2))]);
        assert_eq!(group.wait_all().at_most(T).await, []);
        assert_eq!(group.len(), 1);
        group.push(boxed(after(1, Err("late"))));
        assert_eq!(group.wait_first_error().await, [(4, Err("late"))]);
        let mut none: AsCompleted<std::future::Ready<()>> = as_completed([]);
        assert_eq!(none.wait_first_completed().await, []);
    }

    async fn a_dropped_wait_gives_what_it_saw_to_the_next_consumer() {
        let mut group = as_completed([boxed(ready(1)), boxed(ready(2)), boxed(pending())]);
        assert!(group.wait_all().now_or_never().is_none());
        assert_eq!(group.len(), 3);
        assert_eq!(group.next().await, Some((0, 1)));
        assert_eq!((group.push(boxed(ready(3))), group.push(boxed(pending()))), (3, 4));
        assert_eq!(group.wait_first_completed().await, [(1, 2), (3, 3)]);
        assert_eq!(group.len(), 2);
    }

    // C200: a stream has one consumer at a time, which the compiler sees to; consumers in turn
    // share it by a lock.
    async fn two_consumers_that_wait_at_once_get_each_value_once() {
        let running = Mutex::new(as_completed([30, 10, 20].map(|n| async move { for _ in 0..n { yield_now().await } n })));
        let consumer = async || {
            let mut taken = Vec::new();
            while let Some((_, n)) = { let mut running = running.lock().await; running.next().await } {
                taken.push(n);
                yield_now().await;
            }
            taken
        };
        let (a, b) = join(consumer(), consumer()).await;
        assert!(!a.is_empty() && !b.is_empty(), "both take part");
        let mut all = [a, b].concat();
        all.sort();
        assert_eq!(all, [10, 20, 30]);
    }
}

sim! {
    async fn a_wait_takes_what_comes_as_its_time_is_over() {
        let mut group = as_completed([boxed(sleep(T)), boxed(pending())]);
        assert_eq!(group.wait_all().at_most(T).await, [(0, ())]);
    }

    // C192
    async fn a_child_that_ends_at_the_instant_of_the_wait_s_timeout_is_done() {
        for _ in 0..20 {
            let mut both = as_completed([sleep(2 * SECOND), sleep(3 * SECOND)]);
            assert_eq!(both.wait_all().at_most(2 * SECOND).await, [(0, ())]);
            assert_eq!(both.len(), 1, "the other is pending, and alive");
        }
    }

    // C197
    async fn a_timeout_while_values_come_loses_none_of_them() {
        let mut values = as_completed([1, 5].map(|n| async move { sleep(n * SECOND).await; n }));
        assert_eq!(timeout(2 * SECOND, values.next()).await, Ok(Some((0, 1))));
        assert!(timeout(2 * SECOND, values.next()).await.is_err());
        let start = now();
        assert_eq!(values.next().await, Some((1, 5)));
        assert_eq!(now() - start, 2 * SECOND, "it went on meanwhile");
    }
}

// C198
#[test]
fn a_wait_that_ends_before_its_timeout_leaves_no_timer() {
    let sim = Sim::default();
    let stuck = sim.try_run(async {
        let mut values = as_completed([sleep(SECOND), sleep(2 * SECOND)]);
        assert_eq!(timeout(100 * SECOND, values.next()).await, Ok(Some((0, ()))));
        assert_eq!(values.wait_all().at_most(100 * SECOND).await, [(1, ())]);
        pending::<()>().await
    });
    assert!(stuck.is_err());
    assert_eq!(sim.elapsed(), 2 * SECOND, "no timer was left to wait for");
}
