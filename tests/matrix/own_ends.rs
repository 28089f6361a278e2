//! How scopes and tasks tell of an end that they brought about themselves.

use std::future::pending;

use foster::future::catch_panic;
use foster::{gather, scope, try_scope, yield_now};

matrix! {
    // C037: asyncio's and Trio's groups end quietly when they are cancelled from inside.
    async fn a_scope_that_cancels_itself_ends_quietly_where_there_is_nothing_to_return() {
        scope(async |s| {
            s.cancel("enough");
            pending::<()>().await
        })
        .await;
        let failing = try_scope(async |s| {
            let canceller = s.clone();
            s.spawn(async move { canceller.cancel("enough"); Ok::<_, ()>(()) });
            pending::<Result<(), ()>>().await
        });
        assert_eq!(failing.await, Ok(()));
        let told = scope(async |s| {
            s.cancel("enough");
            pending::<()>().await
        });
        assert_eq!(told.outcome().await.unwrap_err().reason(), &"enough".into());
    }

    async fn a_scope_that_cancels_itself_says_so_where_its_value_is_missing() {
        let cancelled = catch_panic(scope(async |s| {
            s.cancel("enough");
            pending::<u32>().await
        }));
        let told = cancelled.await.unwrap_err().to_string();
        assert!(told.contains("`.outcome()`") && told.contains("enough"), "{told}");
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
}
