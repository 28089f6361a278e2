//! What asyncio's `gather`, `wait` and `as_completed` promise, that the tests of the combinators do not say.

use std::future::{pending, ready};
use std::time::Duration;

use foster::runtimes::Sim;
use foster::{Reason, Token, as_completed, gather, now, scope, sleep, timeout, try_gather, yield_now};
use futures::StreamExt as _;
use futures::future::{Either, join};
use futures::lock::Mutex;

const SECOND: Duration = Duration::from_secs(1);

/// Cancels `token` in its only poll, which is ready.
async fn cancelling(token: &Token) -> &'static str {
    token.cancel("at the last moment");
    "done"
}

matrix! {
    // C172: gather has no errors of its own, so that a cancelled child is one where its outcome is asked for.
    async fn a_cancelled_child_fails_the_join_of_outcomes_and_nobody_hangs() {
        scope(|s| async move {
            let (cancelled, slow) = (s.spawn(pending::<()>()), s.spawn(pending::<()>()));
            cancelled.cancel();
            let error = try_gather([cancelled.outcome(), slow.outcome()]).await.unwrap_err();
            assert_eq!(error.reason(), &Reason::from("its task was cancelled"));
            s.cancel("the rest does not matter");
        }).await;
    }

    // C177
    async fn a_join_that_is_complete_when_it_is_cancelled_gives_its_values() {
        let token = Token::new();
        let last = Either::Right(cancelling(&token));
        let values = token.run_until_cancelled(gather([Either::Left(ready("first")), last])).await;
        assert_eq!(values, Ok(["first", "done"]));
    }

    // C178
    async fn cancelling_a_join_that_collects_errors_ends_it() {
        let token = Token::new();
        let cancel = async { yield_now().await; token.cancel("enough") };
        let children = [Either::Left(ready(Err::<(), _>("no"))), Either::Right(pending())];
        let (end, ()) = join(token.run_until_cancelled(gather(children)), cancel).await;
        assert_eq!(end.unwrap_err().reason(), &Reason::from("enough"));
    }

    // C200: a stream has one consumer at a time, which the compiler sees to; consumers in turn share it by a lock.
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
