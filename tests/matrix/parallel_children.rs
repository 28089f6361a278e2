//! Parallel children: what the runtime does with them, seen from the scope.

use foster::{scope, yield_now};

matrix! {
    // A runtime keeps what it has polled to its end for a moment, and drops it then. By that time the child's task may be
    // gone: it was dropped at once here, and after the value has been read below. The object used to be freed with it.
    async fn a_child_that_nobody_reads_may_be_dropped_late_by_its_runtime() {
        scope(|s| async move {
            for n in 0..10_000_usize {
                drop(s.spawn_parallel(async move { vec![n; 20] }));
                if n % 100 == 0 {
                    yield_now().await;
                }
            }
        })
        .await;
    }

    async fn a_child_that_has_been_read_may_be_dropped_late_by_its_runtime() {
        scope(|s| async move {
            for n in 0..1_000_usize {
                assert_eq!(s.spawn_parallel(async move { vec![n; 20] }).await.len(), 20);
                assert_eq!(s.spawn_blocking(move || vec![n; 30]).await.len(), 30);
            }
        })
        .await;
    }

    // The scope used to wait for ever.
    async fn a_value_that_nobody_reads_may_panic_when_it_is_dropped() {
        scope(|s| async move { drop(s.spawn_parallel(async { PanicsOnDrop })) }).await;
    }
}

struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("in a destructor");
    }
}
