//! The options of a scope.

use std::future::pending;

use foster::scope::Notice;
use foster::{TryScope, scope, try_scope};

use crate::harness::T;
use crate::probes::reason;

matrix! {
    // S2
    async fn a_scopes_options_come_in_any_order() {
        let errors = || async |s: TryScope<'_, &'static str>| {
            s.spawn(async { Err::<(), _>("left") });
            s.spawn(async { Err::<(), _>("right") });
            Ok(())
        };
        let (tell, told) = std::sync::mpsc::channel();
        let observer = move |event| drop(tell.send(event));
        let one = try_scope(errors()).keep_going().named("all").grace(T).observe(|_| ()).outcome();
        let other = try_scope(errors()).outcome().observe(|_| ()).grace(T).named("all").keep_going();
        for outcome in [one.await, other.await] {
            let errors = outcome.unwrap().unwrap_err();
            assert_eq!(errors.len(), 2);
        }
        let failing = async |s: TryScope<'_, &'static str>| {
            s.defer(async { Err("late") });
            Err::<(), _>("first")
        };
        let first = try_scope(failing).outcome().named("first").observe(observer).await;
        assert_eq!(first.unwrap(), Err("first"));
        let notices: Vec<_> = told.try_iter().collect();
        assert!(matches!(notices[..], [Notice::LateError { error: "late", .. }]), "{notices:?}");
        assert_eq!(scope(async |_| 7).outcome().named("plain").grace(T).observe(|_| ()).await.unwrap(), 7);
        let going = try_scope(async |s: TryScope<'_, ()>| {
            s.cancel("enough");
            pending::<Result<(), ()>>().await
        });
        assert_eq!(reason(going.keep_going().outcome().await), "enough".into());
    }
}
