//! Managed resources: their scope releases them at its end, in reverse order.

use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;

use foster::resource::Managed;
use foster::testing::{Drops, EveryAwait};
use foster::{Scope, TryScope, local, scope, shield, sleep, timeout, try_scope, yield_now};
use futures::future::poll_immediate;

use crate::Connection;
use crate::harness::{T, bare};
use crate::probes::{Late, Log, boom, caught};

/// Acquires a connection that the scope closes.
async fn connect<'env>(
    s: &TryScope<'env, &'static str>,
    name: &'static str,
    log: &Log,
) -> Result<Managed<Connection>, &'static str> {
    Ok(s.manage(Connection::open(name, log).await?, Connection::close))
}

matrix! {
    async fn resources_are_released_at_the_end_of_the_scope_in_reverse_order() {
        let log = &Log::new();
        let value = try_scope(async |s| {
            let (mut a, mut b) = (connect(&s, "a", log).await?, connect(&s, "b", log).await?);
            a.query();
            b.query();
            drop(a);
            yield_now().await;
            b.query();
            Ok(7)
        });
        assert_eq!(value.await, Ok(7));
        assert_eq!(log.entries(), ["a open", "b open", "a used", "b used", "b used", "b closed", "a closed"]);
    }

    async fn a_loop_that_fails_half_way_releases_what_it_has_and_joins_the_errors() {
        let log = &Log::new();
        let errors = try_scope(async |s| {
            let mut connections = Vec::new();
            for name in ["a", "b", "c", "d"] {
                if name == "d" {
                    return Err("d refused");
                }
                connections.push(s.named(name).manage(Connection::open(name, log).await?, Connection::abort));
            }
            Ok(connections.len())
        })
        .named("the loop")
        .keep_going()
        .await
        .unwrap_err();
        let named: Vec<_> = errors.iter().map(|(name, error)| format!("{name}: {error}")).collect();
        assert_eq!(named, ["the loop: d refused", "c: close failed", "b: close failed", "a: close failed"]);
        assert_eq!(log.entries(), ["a open", "b open", "c open", "c closed", "b closed", "a closed"]);
    }

    async fn a_scope_that_does_not_keep_going_returns_the_first_error_and_observes_the_others() {
        let (log, late) = (&Log::new(), Late::default());
        let failed = try_scope(async |s| {
            let _a = s.manage(Connection::open("a", log).await?, Connection::abort);
            Err::<(), _>("failed")
        })
        .observe(late.observer());
        assert_eq!(failed.await, Err("failed"));
        assert_eq!(late.errors(), ["close failed"]);
    }

    async fn resources_are_acquired_all_or_none() {
        let log = &Log::new();
        let all = async |names: &'static [&'static str]| {
            try_scope(async |s| {
                let mut all = Vec::new();
                for name in names {
                    if *name == "bad" {
                        return Err("refused");
                    }
                    all.push(connect(&s, name, log).await?);
                }
                Ok(all.into_iter().map(Managed::into_inner).collect::<Vec<_>>())
            })
            .await
        };
        let kept = all(&["a", "b"]).await.unwrap();
        assert_eq!(log.entries(), ["a open", "b open"], "they are the caller's now");
        for connection in kept {
            connection.close().await.unwrap();
        }
        assert_eq!(all(&["c", "bad"]).await.map(drop), Err("refused"));
        assert_eq!(log.entries(), ["a open", "b open", "a closed", "b closed", "c open", "c closed"]);
    }

    async fn a_resource_is_released_after_the_children_that_use_it() {
        let log = &Log::new();
        let late = timeout(T, try_scope(async |s| {
            let shared = Arc::new(connect(&s, "a", log).await?);
            for name in ["first", "second"] {
                let shared = shared.clone();
                s.spawn(async move {
                    let _over = log.on_drop(format!("{name} over"));
                    shield(sleep(2 * T)).await;
                    log.note(format!("{name} has {}", shared.name));
                    pending::<Result<(), _>>().await
                });
            }
            pending::<Result<(), _>>().await
        }));
        assert!(late.await.is_err());
        assert_eq!(log.place("a closed"), 5, "{log:?}");
    }

    async fn a_resource_that_comes_when_the_scope_is_cancelled_is_released() {
        let log = &Log::new();
        let late = timeout(T, try_scope(async |s| {
            let mut conn = shield(async { sleep(2 * T).await; connect(&s, "a", log).await }).await?;
            conn.query();
            pending::<Result<(), _>>().await
        }));
        assert!(late.await.is_err());
        assert_eq!(log.entries(), ["a open", "a used", "a closed"]);
    }

    async fn a_release_that_panics_does_not_keep_the_others_from_running() {
        let log = &Log::new();
        let panics = try_scope(async |s| {
            let _a = connect(&s, "a", log).await?;
            let _b = s.manage(Connection::open("b", log).await?, |_| -> futures::future::Ready<_> { boom("b") });
            let _c = s.manage(Connection::open("c", log).await?, async |_| boom("c"));
            Ok(())
        });
        assert_eq!(caught(panics).await.unwrap_err(), "c", "the first one");
        assert_eq!(log.place("a closed"), 3);
    }

    async fn every_kind_of_scope_manages() {
        let log = &Log::new();
        scope(async |s: Scope<'_>| {
            let managed = s.manage("scope", async |name| log.note(name));
            assert_eq!((managed.len(), format!("{managed:?}")), (5, "Managed(\"scope\")".to_string()));
        })
        .await;
        let _: Result<(), ()> = try_scope(async |s| {
            *s.manage("scope", async |name| { log.note(name); Ok(()) }) = "try_scope";
            Ok(())
        })
        .await;
        // Neither the resource nor its release is `Send` here.
        let (here, name) = (Rc::new(RefCell::new(Vec::new())), Rc::new("local"));
        local::scope(async |s| {
            let kept = here.clone();
            s.manage(name.clone(), async move |name| kept.borrow_mut().push(name));
        })
        .await;
        let _: Result<(), Rc<str>> = local::try_scope(async |s| {
            let kept = here.clone();
            s.manage(name.clone(), async move |name| { kept.borrow_mut().push(name); Ok(()) });
            Ok(())
        })
        .await;
        assert_eq!((log.entries(), here.borrow().len()), (vec!["scope".to_string(), "try_scope".to_string()], 2));
    }

    async fn a_resource_may_borrow_another_one() {
        struct Transaction<'a>(&'a mut Connection);
        let log = Log::new();
        let mut connection = Connection::open("a", &log).await.unwrap();
        let done = try_scope(async |s| {
            let transaction = s.manage(Transaction(&mut connection), async |transaction| {
                transaction.0.log.note("rolled back");
                Ok(())
            });
            transaction.0.log.note("changed");
            Err::<(), _>("no money")
        });
        assert_eq!(done.await, Err("no money"));
        connection.close().await.unwrap();
        assert_eq!(log.entries(), ["a open", "changed", "rolled back", "a closed"]);
    }
}

#[test]
fn a_resource_that_its_scope_cannot_release_is_dropped() {
    bare(|| async {
        let log = &Log::new();
        let never = async |_| unreachable!("it is not released");
        // It outlives the scope.
        let escaped = scope(async |s| s.manage(log.on_drop("escaped"), never)).await;
        assert!(log.entries().is_empty());
        drop(escaped);
        // The scope has completed.
        let left = scope(async |s| s).await;
        drop(left.manage(log.on_drop("late"), never));
        // Other code drops the scope.
        let dropped = scope(async |s| {
            let _managed = s.manage(log.on_drop("foreign"), never);
            pending::<()>().await
        });
        assert!(poll_immediate(dropped).await.is_none());
        assert_eq!(log.entries(), ["escaped", "late", "foreign"]);
    });
}

#[test]
fn resources_of_a_scope_that_is_cancelled_anywhere_are_released() {
    let (drops, log) = (Drops::new(), Log::new());
    let acquired = std::cell::Cell::new(0);
    let report = EveryAwait::new().seeds(0..5).wind_down().run(
        || {
            local::scope(async |s| {
                for _ in 0..3 {
                    yield_now().await;
                    acquired.set(acquired.get() + 1);
                    let release = async |guard| {
                        sleep(T).await;
                        log.note("released");
                        drop(guard);
                    };
                    let _managed = s.manage(drops.guard(), release);
                    sleep(T).await;
                }
            })
        },
        || {
            assert_eq!(drops.alive(), 0);
            assert_eq!(log.entries().len(), acquired.get());
        },
    );
    assert!(report.unwrap().suspensions().len() >= 9);
    assert!(acquired.get() > 20);
}
