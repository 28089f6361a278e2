//! `until`, `map_with` and `paced_by`.

use std::sync::atomic::{AtomicUsize, Ordering};

use foster::{StreamExt as _, Token, yield_now};
use futures::stream::{self, StreamExt};

matrix! {
    async fn until_ends_with_the_token() {
        let token = Token::new();
        let cancel = token.clone();
        let mut endless = Box::pin(stream::pending::<()>().take_until_cancelled(&token));
        let (end, ()) = futures::join!(endless.next(), async { yield_now().await; cancel.cancel("enough") });
        assert_eq!(end, None);
    }

    async fn map_with_keeps_a_state_and_ends_when_told() {
        let sums = stream::iter(1..).map_with(0, |sum, n| { *sum += n; (*sum < 20).then_some(*sum) });
        assert_eq!(sums.collect::<Vec<i32>>().await, [1, 3, 6, 10, 15]);
    }

    async fn paced_by_waits_for_a_permit_before_each_item() {
        let permits = AtomicUsize::new(0);
        let paced = stream::iter(0..3).paced_by(|| { permits.fetch_add(1, Ordering::SeqCst); yield_now() });
        assert_eq!(paced.collect::<Vec<_>>().await, [0, 1, 2]);
        assert_eq!(permits.load(Ordering::SeqCst), 4);
    }
}
