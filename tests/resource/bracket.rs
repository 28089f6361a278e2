//! Brackets: the release runs whatever happens to the body.

use std::cell::Cell;
use std::future::{Future, pending, ready};
use std::pin::pin;
use std::rc::Rc;

use foster::runtimes::Sim;
use foster::testing::{CountingWaker, Drops, EveryAwait, explore, waiting_for};
use foster::{Elapsed, Token, bracket, deadline, now, scope, shield, sleep, timeout, yield_now};
use futures::executor::block_on;

use crate::Connection;
use crate::harness::{T, bare, watched};
use crate::probes::{Log, OnDrop, boom, caught, secs, turns};

matrix! {
    async fn a_resource_is_released_when_the_body_has_a_value() {
        let log = Log::new();
        let value = bracket(
            Connection::open("a", &log),
            async |conn| {
                conn.query();
                yield_now().await;
                conn.query();
                Ok(7)
            },
            Connection::close,
        );
        assert_eq!(value.await.unwrap(), 7);
        assert_eq!(log.entries(), ["a open", "a used", "a used", "a closed"]);
    }

    async fn a_resource_is_released_when_the_body_fails() {
        let log = Log::new();
        let failed = bracket(
            Connection::open("a", &log),
            async |conn| {
                conn.query();
                Err::<(), _>("query failed")
            },
            Connection::close,
        );
        assert_eq!(failed.await.unwrap_err().into_vec(), ["query failed"]);
        assert_eq!(log.entries(), ["a open", "a used", "a closed"]);
    }

    async fn an_error_of_the_release_is_the_brackets() {
        let log = Log::new();
        let failed = bracket(Connection::open("a", &log), async |_| Ok(7), Connection::abort);
        assert_eq!(failed.await.unwrap_err().into_vec(), ["close failed"]);
    }

    // C030
    async fn errors_of_the_body_and_of_the_release_are_both_returned() {
        let log = Log::new();
        let line = line!() + 1;
        let failed = bracket(Connection::open("a", &log), async |_| Err::<(), _>("query failed"), Connection::abort);
        let errors = failed.await.unwrap_err();
        let at = format!("{}:{line}", file!());
        assert_eq!(
            errors.to_string(),
            format!("`{at}` failed: query failed; `release of {at}` failed: close failed")
        );
        assert_eq!(errors.len(), 2);
        assert_eq!(errors.into_first(), "query failed");
    }

    async fn nothing_is_released_when_nothing_was_acquired() {
        let failed = bracket(
            async { Err::<Connection, _>("refused") },
            async |_| -> Result<(), _> { unreachable!("there is nothing to use") },
            async |_| unreachable!("there is nothing to release"),
        );
        assert_eq!(failed.await.unwrap_err().into_vec(), ["refused"]);
    }

    async fn a_panic_of_the_body_is_resumed_when_the_resource_is_released() {
        let log = Log::new();
        let panics = bracket(
            Connection::open("a", &log),
            async |conn| -> Result<(), _> {
                conn.query();
                yield_now().await;
                boom("in the body")
            },
            Connection::close,
        );
        assert_eq!(caught(panics).await.unwrap_err(), "in the body");
        assert_eq!(log.entries(), ["a open", "a used", "a closed"]);
    }

    async fn a_panic_of_the_release_is_the_brackets_unless_the_body_has_panicked_before() {
        let log = Log::new();
        let panics = bracket(Connection::open("a", &log), async |_| Err::<(), _>("failed"), async |_| boom("release"));
        assert_eq!(caught(panics).await.unwrap_err(), "release");
        let panics = bracket(
            Connection::open("a", &log),
            async |_| -> Result<(), _> { boom("body") },
            |_| -> futures::future::Ready<_> { boom("release") },
        );
        assert_eq!(caught(panics).await.unwrap_err(), "body");
    }

    async fn a_panic_while_acquiring_is_the_brackets() {
        let panics = bracket(
            async { if true { boom("acquire") } else { Err::<Connection, _>("") } },
            async |_| Ok(()),
            async |_| unreachable!("there is nothing to release"),
        );
        assert_eq!(caught(panics).await.unwrap_err(), "acquire");
    }

    async fn a_timeout_waits_for_the_release() {
        let log = Log::new();
        let late = timeout(T, bracket(
            Connection::open("a", &log),
            async |_| -> Result<(), _> {
                let _body = log.on_drop("body dropped");
                pending().await
            },
            Connection::close,
        ));
        assert_elapsed(late.await);
        assert_eq!(log.entries(), ["a open", "body dropped", "a closed"]);
    }

    async fn a_timeout_while_acquiring_drops_the_wait() {
        let log = Log::new();
        let late = timeout(T, bracket(
            async {
                let _acquire = log.on_drop("acquire dropped");
                pending::<Result<Connection, &str>>().await
            },
            async |_| Ok(()),
            async |_| unreachable!("there is nothing to release"),
        ));
        assert_elapsed(late.await);
        assert_eq!(log.entries(), ["acquire dropped"]);
    }

    async fn what_is_acquired_in_the_poll_that_cancels_is_released() {
        let (log, token) = (Log::new(), Token::new());
        let cancelled = token.run_until_cancelled(bracket(
            async {
                let connection = Connection::open("a", &log).await;
                token.cancel("in this poll");
                connection
            },
            async |_| -> Result<(), _> { pending().await },
            Connection::close,
        ));
        assert!(cancelled.await.is_err());
        assert_eq!(log.entries(), ["a open", "a closed"]);
    }

    async fn what_is_acquired_after_the_cancellation_is_released() {
        let log = Log::new();
        let late = timeout(T, bracket(
            shield(async {
                sleep(2 * T).await;
                Connection::open("a", &log).await
            }),
            async |_| -> Result<(), _> { pending().await },
            Connection::close,
        ));
        assert_elapsed(late.await);
        assert_eq!(log.entries(), ["a open", "a closed"]);
    }

    async fn an_error_of_the_release_is_not_lost_in_a_cancellation() {
        let log = Log::new();
        let late = timeout(T, bracket(
            Connection::open("a", &log),
            async |_| -> Result<(), _> { pending().await },
            Connection::abort,
        ));
        assert_eq!(late.await.unwrap().unwrap_err().into_vec(), ["close failed"]);
    }

    async fn a_value_of_the_body_that_comes_after_the_cancellation_is_returned() {
        let log = Log::new();
        let late = timeout(T, bracket(
            Connection::open("a", &log),
            async |_| { shield(sleep(2 * T)).await; Ok(7) },
            Connection::close,
        ));
        assert_eq!(late.await.unwrap().unwrap(), 7);
        assert_eq!(log.entries(), ["a open", "a closed"]);
    }

    async fn nested_brackets_are_released_innermost_first() {
        let log = &Log::new();
        let nested = || bracket(
            Connection::open("a", log),
            async |a| {
                let inner = bracket(
                    Connection::open("b", log),
                    async |b| {
                        a.query();
                        b.query();
                        sleep(T).await;
                        Ok(7)
                    },
                    Connection::close,
                );
                inner.await.map_err(|errors| errors.into_first())
            },
            Connection::close,
        );
        let all = ["a open", "b open", "a used", "b used", "b closed", "a closed"];
        assert_eq!(nested().await.unwrap(), 7);
        assert_eq!(log.entries(), all);
        assert!(timeout(T / 2, nested()).await.is_err());
        assert_eq!(log.entries(), [all, all].concat());
    }

    async fn a_bracket_does_not_begin_in_a_cancelled_region() {
        let log = Log::new();
        let endless = async {
            loop {
                let _ = bracket(
                    Connection::open("a", &log),
                    async |_| { shield(sleep(2 * T)).await; Ok(()) },
                    Connection::close,
                )
                .await;
            }
        };
        assert!(timeout(T, endless).await.is_err());
        assert_eq!(log.entries(), ["a open", "a closed"]);
    }

    async fn no_deadline_holds_in_the_release() {
        let seen = timeout(T, bracket(
            ready(Ok::<_, Elapsed>(())),
            async |_| -> Result<(), _> { pending().await },
            async |()| {
                assert!(deadline().is_none());
                timeout(T, pending()).await
            },
        ));
        assert!(seen.await.unwrap().is_err(), "a timeout in the release works");
    }

    async fn a_destructor_that_panics_in_the_body_does_not_prevent_the_release() {
        let log = Log::new();
        let panics = timeout(T, bracket(
            Connection::open("a", &log),
            async |_| -> Result<(), _> {
                let _body = OnDrop(|| boom("in a destructor"));
                pending().await
            },
            Connection::close,
        ));
        assert_eq!(caught(panics).await.unwrap_err(), "in a destructor");
        assert_eq!(log.entries(), ["a open", "a closed"]);
    }

    async fn a_scope_that_is_cancelled_waits_for_the_release() {
        let log = &Log::new();
        scope(async |s| {
            s.spawn(async {
                let _ = bracket(
                    Connection::open("a", log),
                    async |_| -> Result<(), _> { pending().await },
                    Connection::close,
                )
                .await;
            });
            turns().await;
            s.cancel("enough");
        })
        .await;
        assert_eq!(log.entries(), ["a open", "a closed"]);
    }
}

sim! {
    async fn a_release_that_overruns_the_grace_passes_to_the_enclosing_scope_and_is_named() {
        let (log, start) = (&Log::new(), now());
        let line = scope(async |_| {
            let noting = log.clone();
            let slow = async move |()| { sleep(secs(9)).await; noting.note("released"); Ok(()) };
            let line = line!() + 1;
            let slow = bracket(ready(Ok::<_, &str>(())), async |_| pending::<Result<(), _>>().await, slow);
            let elapsed = timeout(secs(1), slow).grace(secs(2)).await.unwrap_err();
            let overrun: Vec<_> = elapsed.overrun().iter().map(ToString::to_string).collect();
            assert_eq!(overrun, [format!("{}:{line}", file!())]);
            assert_eq!(now() - start, secs(3));
            line
        });
        assert!(line.await > 0);
        assert_eq!((now() - start, log.entries()), (secs(10), vec!["released".to_string()]));
    }
}

fn assert_elapsed<T>(result: Result<T, Elapsed>) {
    assert!(result.is_err(), "it was not late");
}

#[test]
fn a_bracket_that_is_cancelled_or_dropped_anywhere_releases_what_it_has_acquired() {
    let (open, released) = (Drops::new(), Cell::new(0));
    for every in [EveryAwait::new().seeds(0..5), EveryAwait::new().seeds(0..5).wind_down()] {
        let acquired = Rc::new(Cell::new(0));
        let count = acquired.clone();
        let log = Log::new();
        let noting = log.clone();
        let report = every.run(
            || {
                let (count, open, log) = (count.clone(), open.clone(), noting.clone());
                async move {
                    let guard = open.guard();
                    let acquire = async {
                        yield_now().await;
                        count.set(count.get() + 1);
                        Ok::<_, ()>(guard)
                    };
                    let body = async |_: &mut _| {
                        sleep(T).await;
                        yield_now().await;
                        Ok(7)
                    };
                    let release = async move |guard| {
                        sleep(T).await;
                        drop(guard);
                        log.note("released");
                        Ok(())
                    };
                    let _ = bracket(acquire, body, release).await;
                }
            },
            || {
                assert_eq!(open.alive(), 0, "a resource is left");
                assert_eq!(log.entries().len(), acquired.get(), "a resource was not released, or twice");
            },
        );
        let report = report.unwrap();
        assert!(report.suspensions().len() >= 4, "{report:?}");
        released.set(released.get() + acquired.get());
    }
    assert!(released.get() > 20);
}

#[test]
fn under_every_schedule_a_parallel_child_releases_what_it_has_acquired() {
    let seen = Log::new();
    explore(0..300, || {
        let seen = seen.clone();
        async move {
            let log = Log::new();
            scope(async |s| {
                for _ in 0..2 {
                    let log = log.clone();
                    s.spawn_parallel(async move {
                        let body = async |conn: &mut Connection| {
                            conn.query();
                            sleep(T).await;
                            Ok(())
                        };
                        bracket(Connection::open("a", &log), body, Connection::close).await.unwrap();
                    });
                }
                turns().await;
                s.cancel("enough");
            })
            .await;
            let count = |what: &str| log.entries().iter().filter(|entry| **entry == what).count();
            assert_eq!(count("a open"), count("a closed"), "{log:?}");
            seen.note(count("a open").to_string());
        }
    });
    let mut seen = seen.entries();
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["0", "1", "2"], "some were cancelled before they had acquired");
}

#[test]
fn a_bracket_is_send_where_its_futures_are_and_may_borrow() {
    watched(|| {
        fn send<F: Future + Send>(future: F) -> F {
            future
        }
        let (log, mut count) = (Log::new(), 0);
        let counting = &mut count;
        let borrows = send(async {
            let sql = String::from("select 1");
            bracket(
                Connection::open("a", &log),
                async |conn| {
                    *counting += sql.len();
                    conn.query();
                    yield_now().await;
                    Ok(())
                },
                |conn| async move { conn.close().await },
            )
            .await
        });
        assert!(block_on(borrows).is_ok());
        assert_eq!(count, 8);
        // Neither the body nor what it returns need be.
        let local = bracket(ready(Ok::<_, ()>(7)), async |n| Ok(Rc::new(*n)), async |_| Ok(()));
        assert_eq!(*block_on(local).unwrap(), 7);
    });
}

#[test]
fn a_bracket_that_has_completed_stays_pending_and_one_that_was_not_polled_does_nothing() {
    bare(|| async {
        let log = Log::new();
        let waker = CountingWaker::new();
        let mut done = pin!(bracket(ready(Ok::<_, ()>(7)), async |n| Ok(*n), async |_| Ok(())));
        assert!(waker.poll(done.as_mut()).is_ready());
        assert!(waker.poll(done.as_mut()).is_pending());
        let unpolled = bracket(Connection::open("a", &log), async |_| Ok(()), Connection::close);
        assert!(format!("{unpolled:?}").contains("bracket.rs"));
        drop(unpolled);
        assert!(log.entries().is_empty());
    });
}

#[test]
fn a_program_that_hangs_in_a_bracket_is_told_where() {
    watched(|| {
        let line = line!() + 2;
        let hangs = async || {
            bracket(
                ready(Ok::<_, ()>(())),
                async |()| Ok(waiting_for("news", pending::<bool>()).await),
                async |()| Ok(()),
            )
            .await
        };
        let told = Sim::default().try_run(hangs()).unwrap_err().to_string();
        assert!(told.ends_with(&format!("main\n    bracket `{}:{line}`\n      news", file!())), "{told}");
    });
}
