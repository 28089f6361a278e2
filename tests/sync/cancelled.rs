//! A region that is cancelled, and still polled.

use std::future::Future;

use foster::{Token, shield, yield_now};

/// Runs `inside` in a region that has been cancelled already, and says whether it has completed.
///
/// The region is cancelled while a shield in it runs. So `inside` is polled in the poll in which
/// the shield ends. If it is pending then, the region drops it.
pub(crate) async fn in_a_cancelled_region(inside: impl Future<Output = ()>) -> bool {
    let token = &Token::new();
    let region = token.run_until_cancelled(async {
        shield(async {
            token.cancel("the region is cancelled");
            yield_now().await;
        })
        .await;
        inside.await;
    });
    region.await.is_ok()
}
