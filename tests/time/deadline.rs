//! Deadlines that move.

use std::future::{pending, poll_fn};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use foster::{Deadline, Reason, now, remaining, scope, sleep, timeout, yield_now};
use futures::executor::block_on;

use crate::harness::{self, T, raced, run};
use crate::probes::{Log, poll_by_hand, secs};

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

const S: Duration = Duration::from_secs(1);

matrix! {
    // C062
    async fn a_deadline_cannot_be_moved_after_its_timeout_is_over() {
        let deadline = Deadline::after(1000 * T);
        deadline.timeout(async {}).await.unwrap();
        let refused = deadline.set(now() + T).unwrap_err();
        assert!(!refused.is_expired());
        assert!(!deadline.is_expired());
    }

    // C063
    async fn a_deadline_cannot_be_moved_after_it_expired() {
        let deadline = Deadline::after(T);
        deadline.timeout(pending::<()>()).await.unwrap_err();
        assert!(deadline.set(None).unwrap_err().is_expired());
        assert!(deadline.set(now() + T).unwrap_err().is_expired());
    }

    // C063
    async fn a_deadline_cannot_be_moved_while_what_expired_is_winding_down() {
        let deadline = &Deadline::after(T);
        let log = &Log::new();
        let late = deadline.timeout(scope(async |s| {
            s.defer(async move {
                sleep(T).await;
                assert!(deadline.set(now() + 1000 * T).unwrap_err().is_expired());
                log.note("refused");
            });
            pending::<()>().await
        }));
        assert!(late.await.is_err());
        assert_eq!(log.entries(), ["refused"]);
    }

    async fn a_deadline_moved_from_another_thread_counts() {
        let deadline = Deadline::after(1000 * T);
        let moving = deadline.clone();
        let at = now() + T;
        let (go, gone) = std::sync::mpsc::channel();
        let mover = std::thread::spawn(move || {
            gone.recv().unwrap();
            moving.set(at).unwrap();
        });
        let late = deadline.timeout(async {
            go.send(()).unwrap();
            // Keeps the clock of a simulation, which waits for no other thread, where it is.
            while deadline.when() != Some(at) {
                yield_now().await;
            }
            pending::<()>().await
        });
        assert!(late.await.is_err());
        mover.join().unwrap();
    }
}

sim! {
    // C235
    async fn a_deadline_that_is_set_late_and_moved_earlier_fires_when_it_is_due() {
        let start = now();
        let deadline = Deadline::never();
        let moved = deadline.clone();
        let elapsed = scope(async |s| {
            s.spawn(async move {
                sleep(T).await;
                moved.set(now() + 10 * T).unwrap();
                sleep(T).await;
                moved.set(now() + T).unwrap();
            });
            deadline.timeout(pending::<()>()).await
        })
        .await;
        assert!(elapsed.is_err());
        assert_eq!(now() - start, 3 * T);
    }

    // C235
    async fn a_deadline_never_fires_once_what_it_guards_is_over() {
        let deadline = Deadline::after(T);
        assert!(deadline.timeout(yield_now()).await.is_ok());
        sleep(2 * T).await;
        assert!(!deadline.is_expired());
        assert!(!deadline.set(now()).unwrap_err().is_expired());
    }

    // C258
    async fn of_thousands_of_deadline_changes_the_last_one_counts() {
        let start = now();
        let deadline = Deadline::after(T);
        let moved = deadline.clone();
        let elapsed = scope(async |s| {
            s.spawn(async move {
                for n in 1..=5_000 {
                    moved.set(start + n * T).unwrap();
                    yield_now().await;
                }
            });
            deadline.timeout(pending::<()>()).await
        })
        .await;
        assert!(elapsed.is_err());
        assert_eq!(now() - start, 5_000 * T);
    }

    // C047
    async fn a_deadline_that_is_switched_off_never_fires() {
        let deadline = Deadline::never();
        let inside = deadline.timeout(async {
            assert_eq!(foster::deadline(), None);
            sleep(CENTURY).await;
        });
        assert_eq!(inside.await, Ok(()));
        assert!(!deadline.is_expired());
        assert_eq!(deadline.when(), None);
    }

    // C057
    async fn a_deadline_moved_by_another_task_is_the_one_that_counts() {
        let start = now();
        let deadline = &Deadline::after(secs(2));
        scope(async |s| {
            let guarded = s.spawn(deadline.timeout(pending::<()>()));
            sleep(secs(1)).await;
            deadline.set(start + secs(10)).unwrap();
            assert_eq!(deadline.when(), Some(start + secs(10)));
            sleep(secs(8)).await;
            assert!(!guarded.is_finished());
            deadline.set(None).unwrap();
            sleep(secs(100)).await;
            assert!(!guarded.is_finished());
            guarded.cancel();
            let cancelled = guarded.outcome().await.unwrap_err();
            assert!(matches!(cancelled.reason(), Reason::Requested(_)), "{cancelled}");
        }).await;
        assert!(!deadline.is_expired());
    }

    // C057
    async fn a_deadline_moved_earlier_fires_earlier() {
        let start = now();
        let deadline = &Deadline::after(secs(100));
        scope(async |s| {
            let guarded = s.spawn(deadline.timeout(pending::<()>()));
            sleep(secs(1)).await;
            deadline.set(start + secs(3)).unwrap();
            assert!(guarded.await.is_err());
            assert_eq!(now(), start + secs(3));
        }).await;
    }

    // C235
    async fn a_deadline_moved_into_the_past_fires_now() {
        let start = now();
        let deadline = &Deadline::never();
        scope(async |s| {
            let guarded = s.spawn(deadline.timeout(pending::<()>()));
            sleep(secs(5)).await;
            deadline.set(start).unwrap();
            assert!(guarded.await.is_err());
            assert_eq!(now(), start + secs(5));
        }).await;
    }

    // C058
    async fn debug_shows_whether_a_deadline_is_active_expired_finished_or_disabled() {
        assert_eq!(format!("{:?}", Deadline::never()), "Deadline(disabled)");
        assert_eq!(format!("{:?}", Deadline::at(now() + secs(3))), "Deadline(active, in 3s)");
        let fresh = Deadline::after(secs(2));
        assert_eq!(format!("{fresh:?}"), "Deadline(active, 2s after the first poll)");
        fresh.timeout(async { assert_eq!(format!("{fresh:?}"), "Deadline(active, in 2s)") })
            .await.unwrap();
        assert_eq!(format!("{fresh:?}"), "Deadline(finished)");
        let expired = Deadline::after(secs(2));
        expired.timeout(pending::<()>()).await.unwrap_err();
        assert_eq!(format!("{expired:?}"), "Deadline(expired)");
    }

    // C258
    async fn hundreds_of_thousands_of_deadline_moves_leave_one_timer() {
        let start = now();
        let deadline = &Deadline::after(secs(1));
        scope(async |s| {
            let guarded = s.spawn(deadline.timeout(pending::<()>()));
            for i in 0..200_000u64 {
                deadline.set(start + secs(1000) + Duration::from_nanos(i)).unwrap();
                if i % 100 == 0 {
                    yield_now().await;
                }
            }
            deadline.set(None).unwrap();
            yield_now().await;
            sleep(secs(2000)).await;
            assert!(!guarded.is_finished());
            deadline.set(now() + secs(1)).unwrap();
            assert!(guarded.await.is_err());
        }).await;
        assert_eq!(now(), start + secs(2001));
    }

    async fn a_deadline_moved_from_inside_counts() {
        let start = now();
        let deadline = Deadline::after(secs(1));
        let moved = deadline.timeout(async {
            deadline.set(start + secs(10)).unwrap();
            sleep(secs(5)).await;
            assert_eq!(remaining(), Some(secs(5)));
            deadline.set(None).unwrap();
            sleep(secs(50)).await;
            deadline.set(now() + secs(1)).unwrap();
            pending::<()>().await
        });
        assert!(moved.await.is_err());
        assert_eq!(now(), start + secs(56));
    }

    // It was `None` until the first poll was over.
    async fn a_deadline_says_when_it_is_during_the_first_poll() {
        let start = now();
        let movable = &Deadline::after(secs(3));
        assert_eq!(movable.when(), None);
        movable.timeout(async { assert_eq!(movable.when(), Some(start + secs(3))) }).await.unwrap();
    }

    async fn a_deadline_is_over_when_what_it_guarded_is_though_the_timeout_is_kept() {
        let movable = Deadline::after(secs(3));
        let mut kept = Box::pin(movable.timeout(async { 7 }));
        assert_eq!(poll_by_hand(kept.as_mut()), Poll::Ready(Ok(7)));
        assert!(!movable.set(now()).unwrap_err().is_expired());
        drop(kept);
    }
}

#[test]
fn a_deadline_guards_one_future_and_says_so() {
    let deadline = Deadline::after(secs(1));
    let _first = deadline.timeout(pending::<()>());
    let second = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(deadline.timeout(pending::<()>()))));
    assert!(crate::probes::message(second.unwrap_err()).contains("guards one future"));
}

#[test]
fn a_timeout_in_a_parallel_child_fires_though_the_deadline_around_was_moved() {
    run(harness::sim, || async {
        let d = Deadline::after(S);
        let d2 = d.clone();
        let out = d
            .timeout(scope(async |s| {
                let t = s.spawn_parallel(async { timeout(2 * S, pending::<()>()).await.is_err() });
                yield_now().await;
                d2.set(None).unwrap();
                t.await
            }))
            .await;
        assert_eq!(out, Ok(true));
    });
}

#[test]
fn a_deadline_that_was_moved_at_the_last_moment_does_not_expire() {
    raced(|| {
        for i in 0..400u64 {
            let deadline = Deadline::after(Duration::from_micros(500));
            let other = deadline.clone();
            let start = Instant::now();
            let helper = thread::spawn(move || {
                let moment = Duration::from_micros(500 + i);
                while start.elapsed() < moment {
                    std::hint::spin_loop()
                }
                other.set(Instant::now() + 3600 * S).is_ok()
            });
            let out = block_on(deadline.timeout(poll_fn(|cx| {
                cx.waker().wake_by_ref();
                if start.elapsed() > Duration::from_millis(2) { Poll::Ready(()) } else { Poll::Pending }
            })));
            let set = helper.join().unwrap();
            assert!(!set || out.is_ok(), "{i}: moved, and yet it expired");
        }
    });
}
