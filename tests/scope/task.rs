//! Tasks: values, outcomes, names, and a cancellation of one child alone.

use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread;

use foster::future::catch_panic;
use foster::{Reason, Task, gather, scope, try_scope, yield_now};
use futures::FutureExt;

use crate::harness::{self, bare, run};
use crate::probes::{Log, Probe, turns, until};

matrix! {
    // S6. The news of the cancellation comes when the child has gone, and another is in its place.
    async fn a_child_in_the_place_of_one_that_was_cancelled_goes_on() {
        scope(async |s| {
            for round in 0..20 {
                let first = s.spawn(async { loop { yield_now().await } });
                turns().await;
                first.cancel();
                let second = s.spawn(async move { round });
                assert_eq!(second.outcome().await.ok(), Some(round));
            }
        })
        .await;
    }

    // C333
    async fn a_task_gives_the_value_or_says_who_failed_and_the_scope_has_the_error() {
        let errors = try_scope(async |s| {
            let fine = s.spawn(async { Ok(1) });
            let failing = s.named("failing").spawn(async { Err::<(), _>("failed") });
            assert_eq!(fine.await, 1);
            let cancelled = failing.outcome().await.unwrap_err();
            assert_eq!(cancelled.reason(), &Reason::Failed("failing".into()));
            Ok(())
        })
        .keep_going()
        .await
        .unwrap_err();
        assert_eq!(errors.into_vec(), ["failed"]);
    }

    // S6
    async fn a_child_that_is_cancelled_is_no_longer_counted() {
        scope(async |s| {
            let (one, other) = (s.spawn(pending::<()>()), s.spawn(pending::<()>()));
            yield_now().await;
            assert_eq!(s.len(), 2);
            one.cancel();
            assert!(one.outcome().await.is_err());
            assert_eq!(s.len(), 1);
            other.cancel();
            assert!(other.outcome().await.is_err());
            assert_eq!(s.len(), 0);
        })
        .await;
    }

    async fn a_task_tells_a_cancellation_a_failure_and_a_panic_apart() {
        let (cancelled, failed, sibling) = {
            let mut kept = None;
            let errors = try_scope(async |s| {
                let endless = s.spawn(pending::<Result<(), &str>>());
                endless.cancel();
                let fails = s.named("disk").spawn(async { Err::<(), _>("full") });
                kept = Some((endless.outcome().await, fails.outcome().await, s.spawn(async { Ok(7) }).await));
                Ok(())
            });
            assert_eq!(errors.keep_going().await.unwrap_err().into_vec(), ["full"]);
            kept.unwrap()
        };
        let (cancelled, failed) = (cancelled.unwrap_err(), failed.unwrap_err());
        assert!(cancelled.is_cancelled() && !cancelled.is_failed() && !cancelled.is_panicked());
        assert!(failed.is_failed() && !failed.is_cancelled() && !failed.is_panicked());
        assert_eq!((failed.to_string().as_str(), sibling), ("`disk` failed", 7));

        let mut kept = (None, None);
        let panicked = catch_panic(scope(async |s| {
            let sibling = s.spawn(pending::<()>());
            let panics = s.named("bomb").spawn_parallel(async { yield_now().await; panic!("boom") });
            kept = (Some(panics), Some(sibling));
            pending::<()>().await
        }));
        assert_eq!(panicked.await.unwrap_err().to_string(), "panicked: boom");
        let (panics, sibling) = (kept.0.unwrap().outcome().await, kept.1.unwrap().outcome().await);
        let (panics, sibling): (Result<(), _>, Result<(), _>) = (panics, sibling);
        assert!(panics.unwrap_err().is_panicked());
        assert!(sibling.unwrap_err().is_cancelled(), "its sibling's panic is no failure of its own");
    }

    async fn a_caught_panic_is_its_tasks_value_and_the_siblings_go_on() {
        let (caught, fine, parallel) = scope(async |s| {
            let fragile = s.spawn(catch_panic(async { yield_now().await; panic!("here") }));
            let parallel = s.spawn_parallel(catch_panic(async { panic!("there") }));
            let sturdy = s.spawn(async { yield_now().await; yield_now().await; 7 });
            gather((fragile, sturdy, parallel)).await
        })
        .await;
        let (caught, parallel): (Result<(), _>, Result<(), _>) = (caught, parallel);
        assert_eq!(caught.unwrap_err().to_string(), "panicked: here");
        assert_eq!(parallel.unwrap_err().into_payload().downcast_ref(), Some(&"there"));
        assert_eq!(fine, 7);
    }

    // C352
    async fn a_value_is_handed_over_or_dropped_exactly_once() {
        for cancelled_at in 0..6 {
            for read in [false, true] {
                for parallel in [false, true] {
                    let values = Probe::new();
                    let value = values.endless();
                    scope(async |s| {
                        let child = async move {
                            yield_now().await;
                            yield_now().await;
                            value
                        };
                        let task = if parallel { s.spawn_parallel(child) } else { s.spawn(child) };
                        for _ in 0..cancelled_at {
                            yield_now().await;
                        }
                        task.cancel();
                        if read {
                            drop(task.outcome().await);
                        }
                    })
                    .await;
                    values.assert_all_gone();
                }
            }
        }
    }

    // C352
    async fn a_value_that_a_child_produces_as_it_is_cancelled_is_delivered() {
        scope(async |s| {
            let cancelling = Arc::new(std::sync::Mutex::new(None::<Arc<foster::Task<u32>>>));
            let own = Arc::clone(&cancelling);
            let task = Arc::new(s.spawn(async move {
                own.lock().unwrap().take().unwrap().cancel();
                7
            }));
            *cancelling.lock().unwrap() = Some(Arc::clone(&task));
            turns().await;
            assert_eq!(Arc::into_inner(task).unwrap().outcome().await, Ok(7));
        })
        .await;
    }

    // S6
    async fn awaiting_a_cancelled_task_panics_with_its_name_and_reason() {
        let task = scope(async |s| {
            let task = s.named("fetch").spawn(pending::<()>());
            task.cancel();
            task
        })
        .await;
        let payload = AssertUnwindSafe(task).catch_unwind().await.unwrap_err();
        let message = payload.downcast_ref::<String>().unwrap();
        assert!(message.contains("fetch") && message.contains("cancelled"), "{message}");
    }

    // S6. A child that is cancelled between its spawn and its first poll is never polled, whoever
    // cancels.
    async fn a_child_that_is_cancelled_before_it_begins_is_not_polled() {
        let log = &Log::new();
        scope(async |s| {
            let tasks: Vec<_> = (0..100).map(|_| s.spawn(async { log.note("polled") })).collect();
            tasks.iter().for_each(Task::cancel);
            for task in tasks {
                assert_eq!(*task.outcome().await.unwrap_err().reason(), "its task was cancelled".into());
            }
            assert_eq!(s.len(), 0);
        })
        .await;
        assert!(log.entries().is_empty());
    }

    // C003
    async fn a_child_that_is_cancelled_alone_leaves_its_scope_and_its_siblings_as_they_are() {
        let probe = Probe::new();
        let endless = probe.endless();
        let (one, two) = scope(async |s| {
            let one = s.named("one").spawn(endless);
            let two = s.spawn(async {
                turns().await;
                2
            });
            yield_now().await;
            one.cancel();
            (one.outcome().await, two.await)
        })
        .await;
        let cancelled = one.unwrap_err();
        assert!(matches!(cancelled.reason(), Reason::Requested(_)), "{cancelled:?}");
        assert_eq!(cancelled.task(), &"one");
        assert_eq!(two, 2);
        probe.assert_all_gone();
    }

    // C027
    async fn a_name_shows_in_the_handle_its_debug_form_and_the_error() {
        scope(async |s| {
            let task = s.named("fetch").spawn(pending::<()>());
            assert_eq!(task.name(), "fetch");
            assert!(format!("{task:?}").contains("fetch"));
            task.cancel();
            let cancelled = task.outcome().await.unwrap_err();
            assert!(cancelled.to_string().contains("fetch"), "{cancelled}");
        })
        .await;
    }
}

// C323
#[test]
fn a_task_may_be_cancelled_from_another_thread() {
    harness::each(&harness::REAL, |runtime| {
        let probe = Probe::new();
        let (child, parallel) = (probe.endless(), probe.endless());
        runtime.run(scope(async |s| {
            for task in [s.spawn(child), s.spawn_parallel(parallel)] {
                yield_now().await;
                let task = Arc::new(task);
                let canceller = Arc::clone(&task);
                let thread = thread::spawn(move || canceller.cancel());
                until(|| task.is_finished()).await;
                thread.join().unwrap();
                let task = Arc::into_inner(task).unwrap();
                assert!(matches!(task.outcome().await.unwrap_err().reason(), Reason::Requested(_)));
            }
        }));
        probe.assert_all_gone();
    });
}

// C210
#[test]
fn a_child_that_awaits_itself_is_named_and_refused() {
    let run = scope(async |s| {
        let (give, take) = futures::channel::oneshot::channel::<foster::Task<u32>>();
        let task = s.named("narcissus").spawn(async move { take.await.unwrap().await });
        drop(give.send(task));
    });
    let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| harness::sim().run(run)));
    let message = refused.unwrap_err().downcast::<String>().expect("a message");
    assert!(message.contains("narcissus"), "{message}");
}

#[test]
fn a_child_that_awaits_its_own_task_is_told_so() {
    bare(|| async {
        let out = std::panic::AssertUnwindSafe(scope(async |s| {
            let (tx, rx) = futures::channel::oneshot::channel::<Task<()>>();
            let t = s.spawn(async move {
                let t = rx.await.unwrap();
                t.await
            });
            let _ = tx.send(t);
        }))
        .catch_unwind()
        .await;
        assert!(out.is_err());
    });
}

#[test]
fn a_parallel_child_that_awaits_its_own_task_is_told_so() {
    run(harness::basic, || async {
        let out = std::panic::AssertUnwindSafe(scope(async |s| {
            let (tx, rx) = futures::channel::oneshot::channel::<Task<()>>();
            let t = s.spawn_parallel(async move { rx.await.unwrap().await });
            let _ = tx.send(t);
        }))
        .catch_unwind()
        .await;
        assert!(out.is_err());
    });
}

#[test]
fn a_child_may_await_the_task_of_a_child_of_its_own() {
    bare(|| async {
        scope(async |s| {
            s.spawn(async {
                let (tx, rx) = futures::channel::oneshot::channel::<Task<u32>>();
                let inner = scope(async |s| {
                    let _ = tx.send(s.spawn(async {
                        yield_now().await;
                        7
                    }));
                });
                let ((), seven) = futures::join!(inner, async { rx.await.unwrap().await });
                assert_eq!(seven, 7);
            })
            .await;
        })
        .await;
    });
}
