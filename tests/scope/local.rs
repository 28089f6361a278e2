//! Scopes whose children are not `Send`.

use std::future::pending;

use foster::local;

use crate::harness::ok;
use crate::probes::turns;

matrix! {
    // C353
    async fn a_local_scope_keeps_what_is_not_send() {
        let log = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let inside = std::rc::Rc::clone(&log);
        let failed = local::try_scope(|s| async move {
            let (one, two) = (inside.clone(), inside.clone());
            s.defer(ok(async move { two.borrow_mut().push("finalized") }));
            s.spawn(ok(async move {
                one.borrow_mut().push("spawned");
                pending::<()>().await
            }));
            turns().await;
            Err::<(), _>("failed")
        })
        .await;
        assert_eq!(failed, Err("failed"));
        assert_eq!(*log.borrow(), ["spawned", "finalized"]);
        assert_eq!(std::rc::Rc::strong_count(&log), 1);
    }
}
