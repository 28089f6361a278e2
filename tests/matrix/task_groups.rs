//! Task groups: the rows that users of asyncio's `TaskGroup` rely on.

use foster::{scope, yield_now};

matrix! {
    // C002
    async fn a_child_spawned_late_is_joined_with_the_others() {
        let (early, late) = scope(|s| async move {
            let early = s.spawn(async { 1 });
            yield_now().await;
            let late = s.spawn(async { 2 });
            (early.await, late.await)
        })
        .await;
        assert_eq!((early, late), (1, 2));
    }
}
