//! Batches: when they begin, who is in them, and who hears how they ended.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Poll;
use std::time::Duration;

use foster::future::{BatchError, Batched, Batcher};
use foster::scope::Spawner;
use foster::testing::{CountingWaker, Drops, Gate, cancel_at_every_await, explore_all, poll_once};
use foster::{Inherited, Reason, deadline, gather, local, now, race, scope, sleep, timeout, yield_now};
use futures::FutureExt as _;

use crate::harness::{T, watched};

/// The batches that a worker has got.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Vec<u32>>>>);

impl Seen {
    fn batches(&self) -> Vec<Vec<u32>> {
        self.0.lock().unwrap().clone()
    }

    fn sizes(&self) -> Vec<usize> {
        self.0.lock().unwrap().iter().map(Vec::len).collect()
    }

    /// A batcher whose results are twice the items.
    fn doubling(&self, spawner: Spawner, max: usize) -> Batcher<u32, u32, Infallible> {
        let seen = self.clone();
        Batcher::new(spawner, max, move |items: Vec<u32>| {
            seen.0.lock().unwrap().push(items.clone());
            async move { Ok(items.into_iter().map(|item| 2 * item).collect()) }
        })
    }
}

fn values<V, E: std::fmt::Debug>(results: Vec<Result<V, BatchError<E>>>) -> Vec<V> {
    results.into_iter().map(Result::unwrap).collect()
}

matrix! {
    async fn each_caller_gets_the_result_of_its_item() {
        let seen = Seen::default();
        let results = scope(async |s| {
            let batcher = seen.doubling(s.spawner(), 7);
            let mine = (0..50).map(|n| batcher.run(n));
            let others: Vec<_> = (50..100).map(|n| {
                let batcher = batcher.clone();
                s.spawn_parallel(async move { batcher.run(n).await })
            }).collect();
            let (mine, others) = gather((gather(mine), gather(others))).await;
            assert_eq!(batcher.gathered(), 0);
            [mine, others].concat()
        }).await;
        assert_eq!(values(results), (0..100).map(|n| 2 * n).collect::<Vec<_>>());
        assert!(seen.sizes().iter().all(|size| (1..=7).contains(size)));
        let mut items = seen.batches().concat();
        items.sort();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }

    async fn a_single_caller_is_not_kept_waiting() {
        let seen = Seen::default();
        scope(async |s| {
            let batcher = seen.doubling(s.spawner(), 100);
            for n in 0..3 {
                assert_eq!(batcher.run(n).await.unwrap(), 2 * n);
            }
        }).await;
        assert_eq!(seen.sizes(), [1, 1, 1]);
    }

    async fn an_error_of_the_worker_reaches_all_callers_of_the_batch() {
        scope(async |s| {
            let batcher = Batcher::new(s.spawner(), 3, async |items: Vec<u32>| {
                if items.contains(&1) { Err(String::from("down")) } else { Ok(items) }
            }).delay(Duration::from_secs(3600));
            for result in gather((0..3).map(|n| batcher.run(n))).await {
                let error = result.unwrap_err();
                assert_eq!(error.error().unwrap(), "down");
                assert_eq!(error.to_string(), "the batch has failed: down");
            }
            let results = gather((3..6).map(|n| batcher.run(n))).await;
            assert_eq!(values(results), [3, 4, 5], "the next batch is another one");
        }).await;
    }

    async fn a_panic_of_the_worker_is_an_error_of_all_callers_and_not_of_the_scope() {
        scope(async |s| {
            let batcher = Batcher::new(s.spawner(), 2, |items: Vec<u32>| {
                assert!(!items.contains(&0), "before its future");
                async move {
                    assert!(!items.contains(&2), "in its future");
                    Ok::<_, Infallible>(items)
                }
            }).delay(Duration::from_secs(3600));
            for (items, message) in [(0..2, "before its future"), (2..4, "in its future")] {
                for result in gather(items.map(|n| batcher.run(n))).await {
                    let error = result.unwrap_err();
                    assert!(error.is_panicked());
                    assert_eq!(error.to_string(), format!("the work on the batch panicked: {message}"));
                }
            }
            assert_eq!(values(gather((4..6).map(|n| batcher.run(n))).await), [4, 5]);
        }).await;
    }

    async fn a_worker_that_returns_too_few_or_too_many_results_is_an_error_of_all_callers() {
        scope(async |s| {
            for results in [0, 2, 4, 5] {
                let batcher = Batcher::new(s.spawner(), 3, move |_: Vec<u32>| async move {
                    Ok::<_, Infallible>(vec![(); results])
                }).delay(Duration::from_secs(3600));
                for error in gather((0..3).map(|n| batcher.run(n))).await {
                    let error = error.unwrap_err();
                    assert!(error.is_miscounted() && error.error().is_none() && error.reason().is_none());
                    assert!(error.to_string().contains(&format!("{results} results for a batch of 3")), "{error}");
                }
            }
        }).await;
    }

    async fn a_scope_that_is_cancelled_ends_the_wait_of_all_callers() {
        let (drops, begun) = (Drops::new(), Gate::new());
        scope(async |outer| {
            let (given, taken) = futures::channel::oneshot::channel();
            let alive = drops.clone();
            let entered = begun.wait();
            let inner = outer.spawn(scope(async move |s| {
                let batcher = Batcher::new(s.spawner(), 2, move |_: Vec<u32>| {
                    let alive = alive.guard();
                    async move {
                        let _alive = alive;
                        std::future::pending::<Result<Vec<u32>, Infallible>>().await
                    }
                }).delay(Duration::from_secs(3600));
                _ = given.send(batcher);
                entered.await;
                s.cancel("enough");
            }));
            let batcher = taken.await.unwrap();
            let third = Box::pin(batcher.run(3));
            let opens = async {
                while drops.alive() == 0 || batcher.gathered() == 0 {
                    sleep(T / 10).await;
                }
                begun.open();
            };
            let (first, second, third, ()) = gather((batcher.run(1), batcher.run(2), third, opens)).await;
            for result in [first, second, third] {
                assert!(result.unwrap_err().is_cancelled());
            }
            assert_eq!(drops.alive(), 0, "the work is gone before its callers hear of it");
            _ = inner.outcome().await;
            let refused = batcher.run(4).await.unwrap_err();
            assert!(matches!(refused.reason(), Some(Reason::Requested(_))), "{refused:?}");
            assert_eq!(batcher.gathered(), 0);
        }).await;
    }

    async fn the_futures_are_send() {
        fn is_send<F: Send>(future: F) -> F {
            future
        }
        let seen = Seen::default();
        scope(async |s| {
            let batcher = seen.doubling(s.spawner(), 1);
            assert_eq!(is_send(batcher.run(4)).await.unwrap() + is_send(batcher.run_shared(5)).await.unwrap(), 18);
        }).await;
    }
}

/// Runs `test` with a batcher whose batches run on the scope's own task, where it is exact when
/// they begin.
fn on_one_task<F: Future<Output = ()>>(max: usize, test: impl FnOnce(Batcher<u32, u32, Infallible>, Seen) -> F) {
    let seen = Seen::default();
    futures::executor::block_on(scope(async |s| test(seen.doubling(s.spawner(), max), seen.clone()).await));
}

#[test]
fn all_who_are_ready_to_add_are_in_the_batch() {
    on_one_task(100, |batcher, seen| async move {
        local::scope(async |s| {
            for n in 0..20 {
                let batcher = &batcher;
                s.spawn(async move {
                    // They come in four passes, one after the other.
                    for _ in 0..n % 4 {
                        yield_now().await;
                    }
                    batcher.run(n).await.unwrap();
                });
            }
        })
        .await;
        assert_eq!(seen.sizes(), [20]);
    });
}

// Only a batch that waits for a time may wait for longer than a caller has.
#[test]
fn a_caller_with_a_deadline_does_not_hurry_a_batch_that_waits_for_nothing() {
    on_one_task(100, |batcher, seen| async move {
        let late = async {
            yield_now().await;
            batcher.run(2).await
        };
        let (first, late) = gather((timeout(Duration::from_secs(3600), batcher.run(1)), late)).await;
        assert_eq!((first.unwrap().unwrap(), late.unwrap()), (2, 4));
        assert_eq!(seen.batches(), [[1, 2]]);
    });
}

#[test]
fn a_call_in_a_cancelled_region_adds_nothing() {
    on_one_task(100, |batcher, seen| async move {
        let cancelled = local::scope(async |s| {
            s.cancel("enough");
            let mut call = Box::pin(batcher.run(1));
            assert!(poll_once(call.as_mut()).await.is_pending());
            assert_eq!(batcher.gathered(), 0);
            std::future::pending::<()>().await
        });
        assert!(cancelled.outcome().await.is_err());
        assert!(seen.batches().is_empty());
    });
}

#[test]
fn a_full_batch_begins_at_once_and_the_rest_is_another_one() {
    on_one_task(10, |batcher, seen| async move {
        assert_eq!(values(gather((0..25).map(|n| batcher.run(n))).await).len(), 25);
        assert_eq!(seen.sizes(), [10, 10, 5]);
    });
}

#[test]
fn who_leaves_before_the_batch_begins_takes_its_item_out() {
    on_one_task(3, |batcher, seen| async move {
        let mut gone: Vec<_> = (10..12).map(|n| Box::pin(batcher.run(n))).collect();
        for gone in &mut gone {
            assert!(poll_once(gone.as_mut()).await.is_pending());
        }
        assert_eq!(batcher.gathered(), 2);
        drop(gone);
        assert_eq!(batcher.gathered(), 0);
        let (one, two) = gather((batcher.run(1), batcher.run(2))).await;
        assert_eq!((one.unwrap(), two.unwrap()), (2, 4));
        assert_eq!(seen.batches(), [[1, 2]], "those who left do not fill the batch");
    });
}

#[test]
fn a_batch_that_all_have_left_is_not_worked_on() {
    on_one_task(3, |batcher, seen| async move {
        assert!(poll_once(Box::pin(batcher.run(1)).as_mut()).await.is_pending());
        for _ in 0..10 {
            yield_now().await;
        }
        assert!(seen.batches().is_empty());
        assert_eq!(batcher.run(2).await.unwrap(), 4);
    });
}

#[test]
fn equal_items_are_one_and_their_callers_get_clones_of_its_result() {
    on_one_task(3, |batcher, seen| async move {
        let shared = gather([1, 2, 1, 1, 2].map(|n| batcher.run_shared(n))).await;
        assert_eq!(shared.map(Result::unwrap), [2, 4, 2, 2, 4]);
        assert_eq!(seen.batches(), [[1, 2]]);
        let alone = gather([1, 1].map(|n| batcher.run(n))).await;
        assert_eq!(alone.map(Result::unwrap), [2, 2]);
        assert_eq!(seen.batches()[1..], [[1, 1]]);
        // An item stays as long as one of its callers does, and comes back with the next.
        let mut first = Box::pin(batcher.run_shared(7));
        let mut second = Box::pin(batcher.run_shared(7));
        assert!(poll_once(first.as_mut()).await.is_pending() && poll_once(second.as_mut()).await.is_pending());
        drop(first);
        assert_eq!(batcher.gathered(), 1);
        drop(second);
        assert_eq!(batcher.gathered(), 0);
        let mut third = Box::pin(batcher.run_shared(7));
        assert!(poll_once(third.as_mut()).await.is_pending());
        assert_eq!(batcher.gathered(), 1);
        let third = gather((third, batcher.run_shared(7), batcher.run_shared(8))).await;
        assert_eq!((third.0.unwrap(), third.1.unwrap(), third.2.unwrap()), (14, 14, 16));
        assert_eq!(seen.batches()[2..], [[7, 8]]);
    });
}

#[test]
fn an_item_whose_hash_panics_leaves_the_batcher_as_it_was() {
    watched(|| {
        #[derive(Clone, PartialEq, Eq)]
        struct Key(u32);
        impl Hash for Key {
            fn hash<H: Hasher>(&self, _: &mut H) {
                assert!(self.0 > 0, "it has no hash");
            }
        }
        futures::executor::block_on(scope(async |s| {
            let batcher = Batcher::new(s.spawner(), 9, async |keys: Vec<Key>| {
                Ok::<_, Infallible>(keys.into_iter().map(|key| key.0).collect())
            });
            assert!(catch_unwind(AssertUnwindSafe(|| batcher.run_shared(Key(0)).now_or_never())).is_err());
            let (one, two) = gather((batcher.run_shared(Key(1)), batcher.run_shared(Key(2)))).await;
            assert_eq!((one.unwrap(), two.unwrap()), (1, 2));
        }));
    });
}

sim! {
    async fn a_batch_waits_for_its_delay_and_no_longer() {
        let (seen, start) = (Seen::default(), now());
        scope(async |s| {
            let batcher = &seen.doubling(s.spawner(), 3).delay(10 * T);
            let at = |time: u32, n| async move {
                sleep(time * T).await;
                batcher.run(n).await.unwrap();
                (now() - start).as_nanos() / T.as_nanos()
            };
            let ends = gather((at(0, 1), at(9, 2), at(11, 3), at(12, 4), at(13, 5))).await;
            assert_eq!(ends, (10, 10, 13, 13, 13), "the second batch was full");
        }).await;
        assert_eq!(seen.batches(), [vec![1, 2], vec![3, 4, 5]]);
    }

    async fn a_caller_whose_deadline_comes_first_sends_the_batch_off() {
        let (seen, start) = (Seen::default(), now());
        scope(async |s| {
            for delay in [10 * T, Duration::MAX] {
                let batcher = seen.doubling(s.spawner(), 100).delay(delay);
                let hasty = async {
                    sleep(T).await;
                    timeout(9 * T, batcher.run(2)).await.expect("it did not wait for the delay").unwrap();
                };
                gather((batcher.run(1), hasty)).await.0.unwrap();
            }
            assert_eq!(now() - start, 2 * T);
            let batcher = seen.doubling(s.spawner(), 100).delay(10 * T);
            assert_eq!(timeout(11 * T, batcher.run(3)).await.unwrap().unwrap(), 6);
            assert_eq!(now() - start, 12 * T, "there is enough time");
        }).await;
        assert_eq!(seen.sizes(), [2, 2, 1]);
    }

    async fn a_flush_begins_the_open_batch_at_once() {
        let seen = Seen::default();
        scope(async |s| {
            let batcher = seen.doubling(s.spawner(), 100).delay(Duration::MAX);
            let flush = async {
                sleep(T).await;
                assert_eq!(batcher.gathered(), 2);
                batcher.flush();
            };
            let (one, two, ()) = gather((batcher.run(1), batcher.run(2), flush)).await;
            assert_eq!((one.unwrap(), two.unwrap()), (2, 4));
            batcher.flush();
            assert_eq!(seen.sizes(), [2]);
        }).await;
    }

    async fn a_scope_that_ends_by_itself_waits_for_the_open_batch() {
        let (seen, start) = (Seen::default(), now());
        scope(async |outer| {
            let (given, taken) = futures::channel::oneshot::channel();
            let (seen, inner) = (seen.clone(), outer.spawn(scope(async |s| {
                _ = given.send(seen.doubling(s.spawner(), 9).delay(3 * T));
                sleep(T).await;
            })));
            let batcher: Batcher<u32, u32, Infallible> = taken.await.unwrap();
            assert_eq!(batcher.run(7).await.unwrap(), 14);
            inner.await;
            assert_eq!(now() - start, 3 * T);
            assert!(batcher.run(8).await.unwrap_err().is_cancelled());
            let _ = seen;
        }).await;
    }

    async fn a_batch_has_neither_the_deadline_nor_the_values_of_a_caller() {
        static NAME: Inherited<&str> = Inherited::new();
        scope(async |s| {
            let batcher = Batcher::new(s.spawner(), 9, async |items: Vec<()>| {
                Ok::<_, Infallible>(vec![(deadline().is_none(), NAME.get().is_none()); items.len()])
            });
            let call = NAME.provide("caller", timeout(T, batcher.run(())));
            assert_eq!(call.await.unwrap().unwrap(), (true, true));
        }).await;
    }

    async fn the_next_batch_begins_while_one_is_worked_on() {
        let (under_way, start) = (Arc::new(AtomicUsize::new(0)), now());
        scope(async |s| {
            let most = under_way.clone();
            let batcher = Batcher::new(s.spawner(), 2, move |items: Vec<u32>| {
                most.fetch_add(1, SeqCst);
                async move {
                    sleep(T).await;
                    Ok::<_, Infallible>(items)
                }
            });
            gather((0..10).map(|n| batcher.run(n))).await;
        }).await;
        assert_eq!((under_way.load(SeqCst), now() - start), (5, T));
    }
}

#[test]
fn a_caller_that_is_cancelled_anywhere_leaves_no_item_behind() {
    let batchers = RefCell::new(Vec::new());
    let drops = Drops::new();
    let make = || async {
        scope(async |s| {
            let batcher = Batcher::new(s.spawner(), 4, async |items: Vec<_>| {
                sleep(T).await;
                Ok::<_, Infallible>(items)
            })
            .delay(T);
            batchers.borrow_mut().push(batcher.clone());
            let item = || drops.guard();
            drop(gather((batcher.run(item()), batcher.run(item()))).await);
            drop(batcher.run(item()).await);
        })
        .await;
    };
    let check = || {
        let batcher = batchers.take().pop().expect("each run makes one");
        assert_eq!(batcher.gathered(), 0);
        drop(batcher);
        assert_eq!(drops.alive(), 0);
    };
    let report = cancel_at_every_await(make, check);
    assert!(report.suspensions().len() >= 2, "{report:?}");
}

#[test]
fn in_no_order_is_an_item_lost_or_done_twice() {
    explore_all(|| async {
        let seen = Seen::default();
        scope(async |s| {
            let batcher = seen.doubling(s.spawner(), 2);
            for n in 0..3 {
                let batcher = batcher.clone();
                s.spawn(async move {
                    if n == 1 {
                        let hasty = foster::race((batcher.run(n).map(Some), yield_now().map(|()| None))).await;
                        assert!(hasty.is_none_or(|result| result.unwrap() == 2 * n));
                    } else {
                        assert_eq!(batcher.run(n).await.unwrap(), 2 * n);
                    }
                });
            }
        })
        .await;
        let mut items = seen.batches().concat();
        items.sort();
        assert!(items == [0, 1, 2] || items == [0, 2], "{items:?}");
    });
}

#[test]
fn a_batcher_without_room_is_refused_and_so_is_a_delay_that_comes_too_late() {
    watched(|| {
        let seen = Seen::default();
        futures::executor::block_on(scope(async |s| {
            assert!(catch_unwind(AssertUnwindSafe(|| seen.doubling(s.spawner(), 0))).is_err());
            let batcher = seen.doubling(s.spawner(), usize::MAX);
            let other = batcher.clone();
            assert!(catch_unwind(AssertUnwindSafe(|| other.delay(T))).is_err());
            assert_eq!(batcher.run(1).await.unwrap(), 2);
        }));
    });
}

#[test]
fn a_call_is_not_polled_after_it_has_completed() {
    watched(|| {
        let seen = Seen::default();
        futures::executor::block_on(scope(async |s| {
            let batcher = seen.doubling(s.spawner(), 1);
            let mut call = Box::pin(batcher.run(1));
            call.as_mut().await.unwrap();
            assert!(catch_unwind(AssertUnwindSafe(|| CountingWaker::new().poll(call.as_mut()))).is_err());
        }));
    });
}

#[test]
fn batchers_and_their_errors_may_go_to_other_threads() {
    fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Batcher<u32, u32, String>>();
    assert_send_sync::<BatchError<String>>();
    fn assert_send<T: Send>() {}
    assert_send::<Batched<'_, u32, std::cell::Cell<u32>, String>>();
}

#[test]
fn a_batch_that_all_its_callers_have_left_ends() {
    watched(|| {
        futures::executor::block_on(scope(async |s| {
            let seen = Seen::default();
            let batcher = seen.doubling(s.spawner(), 2).delay(Duration::MAX);
            for item in 0..2 {
                assert!(poll_once(batcher.run(item)).await.is_pending());
                assert_eq!(batcher.gathered(), 0);
            }
            // Those who come later are in a batch of their own.
            assert_eq!(gather([7, 8].map(|item| batcher.run(item))).await.map(Result::unwrap), [14, 16]);
            assert_eq!(seen.batches(), [[7, 8]]);
            assert!(poll_once(batcher.run(9)).await.is_pending());
        }));
    });
}

#[test]
fn callers_that_come_and_go_do_not_keep_a_batch_from_beginning() {
    watched(|| {
        futures::executor::block_on(scope(async |s| {
            let batcher = Seen::default().doubling(s.spawner(), 100);
            let comes_and_goes = poll_fn(|cx| {
                assert!(batcher.run(1).poll_unpin(cx).is_pending());
                cx.waker().wake_by_ref();
                Poll::<u32>::Pending
            });
            assert_eq!(race((batcher.run(7).map(Result::unwrap), comes_and_goes)).await, 14);
        }));
    });
}

/// A key that panics when it is hashed, if it is 13, and asks the batcher when it is dropped.
struct Asks(u32, &'static OnceLock<Batcher<Asks, u32, Infallible>>);

impl PartialEq for Asks {
    fn eq(&self, other: &Self) -> bool {
        assert!(self.0 != 14 && other.0 != 14, "it is compared");
        self.0 == other.0
    }
}

impl Eq for Asks {}

impl Hash for Asks {
    fn hash<H: Hasher>(&self, _: &mut H) {
        assert_ne!(self.0, 13, "it is hashed");
    }
}

impl Drop for Asks {
    fn drop(&mut self) {
        self.1.get().unwrap().gathered();
    }
}

#[test]
fn an_item_whose_hash_or_eq_panics_is_not_added_and_is_dropped_without_a_lock() {
    static BATCHER: OnceLock<Batcher<Asks, u32, Infallible>> = OnceLock::new();
    watched(|| {
        futures::executor::block_on(scope(async |s| {
            let worker = async |items: Vec<Asks>| Ok(items.iter().map(|item| item.0).collect());
            let batcher = BATCHER.get_or_init(|| Batcher::new(s.spawner(), 2, worker));
            let mut first = Box::pin(batcher.run_shared(Asks(1, &BATCHER)));
            assert!(poll_once(&mut first).await.is_pending());
            for item in [13, 14] {
                let panics = AssertUnwindSafe(|| batcher.run_shared(Asks(item, &BATCHER)).now_or_never());
                assert!(catch_unwind(panics).is_err());
            }
            assert_eq!(batcher.gathered(), 1);
            let (first, second) = gather((first, batcher.run_shared(Asks(2, &BATCHER)))).await;
            assert_eq!((first.unwrap(), second.unwrap()), (1, 2));
        }));
    });
}

#[test]
fn a_batch_waits_for_one_that_came_when_another_one_left() {
    watched(|| {
        futures::executor::block_on(scope(async |s| {
            let seen = Seen::default();
            let batcher = seen.doubling(s.spawner(), 100);
            let second = async {
                yield_now().await;
                batcher.run(3).await
            };
            let third = async {
                yield_now().await;
                yield_now().await;
                batcher.run(4).await
            };
            let leaves = race((batcher.run(2).map(drop), yield_now()));
            drop(gather((batcher.run(1), leaves, second, third)).await);
            assert_eq!(seen.batches(), [[1, 3, 4]]);
        }));
    });
}
