//! The extension methods on futures.

use std::future::{pending, ready};

use foster::{FutureExt as _, Token, sleep};

use crate::harness::T;

matrix! {
    async fn extension_methods_do_what_they_are_named_for() {
        assert!(pending::<()>().timeout(T).await.is_err());
        assert!(pending::<()>().timeout_at(foster::now()).await.is_err());
        let token = Token::new();
        token.cancel("enough");
        assert!(pending::<()>().run_until_cancelled(&token).await.is_err());
        let mut saved = false;
        let late = async { sleep(2 * T).await; saved = true }.shield().timeout(T).await;
        assert!(late.is_ok() && saved, "a value that comes while winding down is delivered");
        assert_eq!(ready(7).named("seven").await, 7);
    }
}
