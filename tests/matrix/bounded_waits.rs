//! Bounded waits, sleeping and cancelling: the rows that users of asyncio's `wait_for`, `shield`, `sleep` and
//! `Task.cancel` rely on.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foster::runtimes::Sim;
use foster::testing::CountingWaker;
use foster::{
    Deadline, Reason, Task, Token, adopt, gather, now, scope, shield, sleep, sleep_until, timeout, timeout_at,
    timeout_detach, try_scope, yield_now,
};
use futures::channel::oneshot;
use futures::future::{join_all, poll_immediate};

use crate::harness::T;
use crate::probes::{Gate, Log, dropping, secs};

matrix! {
    // C067
    async fn a_timed_out_wait_for_a_shielded_child_returns_when_the_child_has_ended() {
        let log = &Log::new();
        let late = timeout(T, async {
            shield(async { sleep(3 * T).await; log.note("the child ended") }).await;
            pending::<()>().await
        });
        assert!(late.await.is_err());
        log.note("returned");
        assert_eq!(log.entries(), ["the child ended", "returned"]);
    }

    // C068
    async fn a_timeout_of_zero_on_what_is_ready_is_its_value() {
        assert_eq!(timeout(Duration::ZERO, async { "done" }).await, Ok("done"));
        assert_eq!(timeout_at(now(), std::future::ready("done")).await, Ok("done"));
    }

    // C070
    async fn a_timeout_of_zero_or_less_drops_the_child_before_it_returns() {
        let log = &Log::new();
        let past = now();
        sleep(T).await;
        for late in [timeout(Duration::ZERO, dropping(log.on_drop("dropped"))), timeout_at(past, dropping(log.on_drop("dropped")))] {
            assert!(late.await.is_err());
            log.note("returned");
        }
        assert_eq!(log.entries(), ["dropped", "returned", "dropped", "returned"]);
    }

    // C072
    async fn no_timeout_is_the_value() {
        assert_eq!(Deadline::never().timeout(async { sleep(T).await; 7 }).await, Ok(7));
        assert_eq!(timeout(Duration::MAX, async { sleep(T).await; 7 }).await, Ok(7));
    }

    // C075
    async fn elapsed_comes_after_the_async_cleanup_of_the_child() {
        let log = &Log::new();
        let late = timeout(T, scope(|s| async move {
            s.spawn(scope(|s| async move {
                s.defer(async { sleep(2 * T).await; log.note("cleaned") });
                pending::<()>().await
            }));
            pending::<()>().await
        }));
        assert!(late.await.is_err());
        log.note("returned");
        assert_eq!(log.entries(), ["cleaned", "returned"]);
    }

    // C077
    async fn an_error_of_the_cleanup_is_not_lost_to_elapsed() {
        let late = timeout(Duration::ZERO, try_scope(|s| async move {
            s.defer(async { yield_now().await; Err("broken") });
            pending::<Result<(), _>>().await
        }));
        assert_eq!(late.await, Ok(Err("broken")));
    }

    // C078
    async fn dropping_an_unbounded_wait_drops_the_child() {
        let log = &Log::new();
        let mut wait = Box::pin(Deadline::never().timeout(dropping(log.on_drop("dropped"))));
        assert!(poll_immediate(&mut wait).await.is_none());
        assert!(log.entries().is_empty());
        drop(wait);
        assert_eq!(log.entries(), ["dropped"]);
    }

    // C080
    async fn a_value_given_in_answer_to_the_cancellation_is_delivered() {
        let answered = timeout(T, async {
            let token = Token::current().expect("a region");
            shield(async {
                assert_eq!(token.cancelled().await, Reason::Deadline);
                sleep(T).await;
                42
            }).await
        });
        assert_eq!(answered.await, Ok(42));
    }

    // C082
    async fn a_shielded_child_runs_on_after_elapsed_and_completes() {
        let log = Log::new();
        scope(|_| async {
            let (noting, gate) = (log.clone(), Gate::new());
            let opened = gate.wait();
            let child = shield(async move { opened.await; noting.note("completed") });
            assert!(timeout_detach(Duration::ZERO, child).await.is_err());
            log.note("elapsed");
            gate.open();
        }).await;
        assert_eq!(log.entries(), ["elapsed", "completed"]);
    }

    // C083
    async fn a_shielded_child_without_a_timeout_is_its_value() {
        assert_eq!(Deadline::never().timeout(shield(async { sleep(T).await; 7 })).await, Ok(7));
        assert_eq!(shield(async { 8 }).await, 8);
    }

    // C180
    async fn whoever_shields_a_cancelled_task_sees_that_it_was_cancelled() {
        scope(|s| async move {
            let inner = s.spawn(pending::<()>());
            inner.cancel();
            assert!(shield(inner.outcome()).await.is_err());
        }).await;
    }

    // C182
    async fn a_shield_around_a_join_lets_the_children_complete() {
        let log = &Log::new();
        let late = timeout(T, async {
            shield(gather((0..3).map(|_| async { sleep(2 * T).await; log.note("child") }))).await;
            pending::<()>().await
        });
        assert!(late.await.is_err());
        assert_eq!(log.entries(), ["child"; 3]);
    }

    // C182
    async fn an_adopted_join_that_is_dropped_lets_the_children_complete() {
        let log = Log::new();
        scope(|_| async {
            let children = (0..3).map(|_| {
                let log = log.clone();
                async move { sleep(T).await; log.note("child") }
            });
            drop(poll_immediate(adopt(join_all(children))).await);
            log.note("dropped");
        }).await;
        assert_eq!(log.entries(), ["dropped", "child", "child", "child"]);
    }

    // C183
    async fn a_dropped_join_of_adopted_futures_lets_them_complete() {
        let log = Log::new();
        scope(|_| async {
            let children = (0..3).map(|_| {
                let log = log.clone();
                adopt(async move { sleep(T).await; log.note("child") })
            });
            drop(poll_immediate(gather(children)).await);
            log.note("dropped");
        }).await;
        assert_eq!(log.entries(), ["dropped", "child", "child", "child"]);
    }

    // C183
    async fn a_join_of_shields_in_a_timeout_lets_them_complete() {
        let log = &Log::new();
        let late = timeout(T, async {
            join_all((0..3).map(|_| shield(async { sleep(2 * T).await; log.note("child") }))).await;
            pending::<()>().await
        });
        assert!(late.await.is_err());
        assert_eq!(log.entries(), ["child"; 3]);
    }

    // C202
    async fn a_cancelled_sleep_ends_at_once() {
        let start = now();
        scope(|s| async move {
            let sleeper = s.spawn(sleep(100_000 * T));
            yield_now().await;
            sleeper.cancel();
            assert!(sleeper.outcome().await.is_err());
        }).await;
        assert!(now() - start < 10_000 * T);
    }

    // C203
    async fn a_sleep_of_zero_yields_exactly_once() {
        let waker = CountingWaker::new();
        for mut zero in [Box::pin(sleep(Duration::ZERO)), Box::pin(sleep_until(now()))] {
            let before = waker.count();
            assert!(waker.poll(zero.as_mut()).is_pending());
            assert_eq!(waker.count(), before + 1);
            assert!(waker.poll(zero.as_mut()).is_ready());
        }
    }

    // C205
    async fn a_cancellation_reaches_the_innermost_await() {
        let log = &Log::new();
        scope(|s| async move {
            let child = s.spawn(async move {
                let _outer = log.on_drop("outer");
                async {
                    let _inner = log.on_drop("inner");
                    yield_now().await;
                    sleep(100_000 * T).await;
                    log.note("not reached");
                }.await;
                log.note("not reached");
            });
            yield_now().await;
            child.cancel();
            assert!(child.outcome().await.is_err());
        }).await;
        assert_eq!(log.entries(), ["inner", "outer"]);
    }

    // C205
    async fn a_cancellation_at_a_yield_ends_the_child_there() {
        let log = &Log::new();
        scope(|s| async move {
            let child = s.spawn(async move {
                loop {
                    yield_now().await;
                }
            });
            yield_now().await;
            child.cancel();
            let outcome: Result<(), _> = child.outcome().await;
            assert!(outcome.is_err());
            log.note("over");
        }).await;
        assert_eq!(log.entries(), ["over"]);
    }

    // C207
    async fn a_child_that_cancels_itself_ends_at_its_next_await() {
        let log = &Log::new();
        let own = Arc::new(Mutex::new(None::<Task<()>>));
        scope(|s| async move {
            let mine = Arc::clone(&own);
            let child = s.spawn(async move {
                mine.lock().unwrap().as_ref().unwrap().cancel();
                log.note("still here");
                pending::<()>().await;
                log.note("not reached");
            });
            *own.lock().unwrap() = Some(child);
            sleep(T).await;
            let child = own.lock().unwrap().take().unwrap();
            assert!(child.outcome().await.is_err());
        }).await;
        assert_eq!(log.entries(), ["still here"]);
    }

    // C207
    async fn a_child_that_cancels_its_scope_ends_at_its_next_await() {
        let log = &Log::new();
        let outcome = scope(|s| async move {
            let scope = s.clone();
            s.spawn(async move {
                scope.cancel("by a child");
                log.note("still here");
                pending::<()>().await;
                log.note("not reached");
            });
            pending::<()>().await
        }).outcome().await;
        assert_eq!(outcome.unwrap_err().reason(), &Reason::from("by a child"));
        assert_eq!(log.entries(), ["still here"]);
    }

    // C208
    async fn a_child_cancelled_with_no_await_left_completes() {
        let own = Arc::new(Mutex::new(None::<Task<u8>>));
        scope(|s| async move {
            let mine = Arc::clone(&own);
            let child = s.spawn(async move {
                mine.lock().unwrap().as_ref().unwrap().cancel();
                7
            });
            *own.lock().unwrap() = Some(child);
            sleep(T).await;
            let child = own.lock().unwrap().take().unwrap();
            assert_eq!(child.outcome().await, Ok(7));
        }).await;
    }

    // C208
    async fn a_scope_cancelled_with_no_await_left_completes() {
        assert_eq!(scope(|s| async move { s.cancel("too late"); 7 }).await, 7);
    }
}

sim! {
    // C073
    async fn a_value_set_before_the_deadline_is_the_value() {
        let (send, receive) = oneshot::channel();
        let value = scope(|s| async move {
            s.spawn(async move {
                sleep(secs(10) - Duration::from_nanos(1)).await;
                send.send(7).unwrap();
            });
            timeout(secs(10), receive).await
        });
        assert_eq!(value.await, Ok(Ok(7)));
    }

    // C073
    async fn a_sleep_as_long_as_its_timeout_is_over_in_time() {
        let start = now();
        assert_eq!(timeout(secs(10), sleep(secs(10))).await, Ok(()));
        assert_eq!(timeout_at(start + secs(20), sleep_until(start + secs(20))).await, Ok(()));
        assert!(timeout(secs(10), sleep(secs(10) + Duration::from_nanos(1))).await.is_err());
    }

    // C202
    async fn a_sleep_ends_after_its_delay() {
        let start = now();
        sleep(secs(3)).await;
        assert_eq!(now(), start + secs(3));
        let later = sleep(secs(3));
        sleep(secs(3)).await;
        later.await;
        assert_eq!(now(), start + secs(9));
    }
}

// C202
#[test]
fn a_cancelled_sleep_leaves_no_timer() {
    let sim = Sim::default();
    let stuck = sim.try_run(async {
        scope(|s| async move {
            let sleeper = s.spawn(sleep(secs(100)));
            yield_now().await;
            sleeper.cancel();
            assert!(sleeper.outcome().await.is_err());
        })
        .await;
        pending::<()>().await
    });
    assert!(stuck.is_err());
    assert_eq!(sim.elapsed(), Duration::ZERO);
}
