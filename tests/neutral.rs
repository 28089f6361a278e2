//! Code that names no runtime brings none: it starts no thread, and needs no feature.
//!
//! A binary of its own, so that nobody else's threads are counted.

use std::time::Duration;

use foster::{ConcurrentIterator, Token, gather, scope, shield, timeout, try_scope, yield_now};
use futures::StreamExt;
use futures::executor::block_on;

/// How many threads this process has; `None` where the system does not say.
fn threads() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/task").ok()?.count())
}

/// What a library would do.
async fn work() -> u32 {
    let token = Token::new();
    let names = ["one".to_string(), "three".to_string()];
    let lengths = gather(names.iter().map(|name| async move { name.len() as u32 })).await;
    let doubled: Vec<u32> = lengths.into_iter().map_concurrent(2, |n| async move { 2 * n }).in_order().collect().await;
    let (borrowed, ended) = (&doubled, &token);
    let sum = scope(|s| async move {
        s.defer(async { ended.cancel("over") });
        let sum = s.spawn(async move {
            yield_now().await;
            borrowed.iter().sum::<u32>()
        });
        // There is no runtime, so these stay on this task.
        let parallel = s.spawn_parallel(shield(async { 1 }));
        s.spawn(ended.child().run_until_cancelled(std::future::pending::<()>()));
        let sum = sum.await + parallel.await;
        s.cancel("done");
        sum
    })
    .await;
    assert!(token.is_cancelled());
    let ready = timeout(Duration::from_secs(3600), async { Ok::<_, ()>(sum) }).await.unwrap();
    try_scope(|s| async move { Ok::<_, ()>(s.spawn(async move { ready }).await) }).await.unwrap()
}

#[test]
fn neutral_code_starts_no_thread() {
    let before = threads();
    assert_eq!(block_on(work()), 17);
    assert_eq!(threads(), before);
}
