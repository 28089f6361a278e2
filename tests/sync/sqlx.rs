//! What sqlx wants of a semaphore.
//!
//! Its pool has an `AsyncSemaphore` of its own, in front of one for each runtime, with a wish for a
//! fair one that works under all of them. Here is its interface, with what its pool makes up for:
//! owned releasers, and `close`.

use std::sync::Arc;

use foster::sync::{AcquireError, OwnedPermit, Permit, Semaphore};
use foster::{scope, yield_now};

use crate::by_hand::ByHand;

struct AsyncSemaphore(Semaphore);

struct AsyncSemaphoreReleaser<'a>(Permit<'a>);

impl AsyncSemaphore {
    fn new(permits: usize) -> Self {
        AsyncSemaphore(Semaphore::new(permits))
    }

    fn permits(&self) -> usize {
        self.0.available()
    }

    async fn acquire(&self, permits: usize) -> AsyncSemaphoreReleaser<'_> {
        AsyncSemaphoreReleaser(self.0.acquire(permits).await.expect("it is not closed"))
    }

    fn try_acquire(&self, permits: usize) -> Option<AsyncSemaphoreReleaser<'_>> {
        self.0.try_acquire(permits).ok().map(AsyncSemaphoreReleaser)
    }

    fn release(&self, permits: usize) {
        self.0.release(permits);
    }
}

/// The same for connections that outlive their pool's reference, and a pool that ends.
#[derive(Clone)]
struct SharedSemaphore(Arc<Semaphore>);

impl SharedSemaphore {
    async fn acquire(&self, permits: usize) -> Result<OwnedPermit, AcquireError> {
        self.0.clone().acquire_owned(permits).await
    }

    fn close(&self) {
        self.0.close();
    }
}

impl AsyncSemaphoreReleaser<'_> {
    fn disarm(self) {
        self.0.detach();
    }
}

matrix! {
    async fn a_pool_gives_connections_without_their_guards_and_closes_when_all_are_back() {
        let semaphore = AsyncSemaphore::new(3);
        for _ in 0..2 {
            semaphore.acquire(1).await.disarm();
        }
        assert_eq!((semaphore.permits(), semaphore.try_acquire(2).is_some()), (1, false));
        // `Pool::close` takes all, and nobody who comes later gets one before.
        let close = ByHand::waiting(semaphore.acquire(3));
        let late = ByHand::waiting(semaphore.acquire(1));
        semaphore.release(1);
        assert_eq!((close.wakes(), late.wakes()), (0, 0));
        semaphore.release(1);
        drop(close.turn());
        drop(late.turn());
        scope(async |s| {
            for _ in 0..10 {
                s.spawn(async {
                    semaphore.acquire(1).await.disarm();
                    yield_now().await;
                    semaphore.release(1);
                });
            }
        })
        .await;
        assert_eq!(semaphore.permits(), 3);
    }

    async fn a_pool_that_is_closed_refuses_all_who_wait_and_takes_its_connections_back() {
        let semaphore = SharedSemaphore(Arc::new(Semaphore::new(1)));
        let connection = semaphore.acquire(1).await.unwrap();
        scope(async |s| {
            let waits = [(); 3].map(|()| {
                let semaphore = semaphore.clone();
                s.spawn_parallel(async move { semaphore.acquire(1).await.unwrap_err().is_closed() })
            });
            while semaphore.0.statistics().waiting() < 3 {
                yield_now().await;
            }
            semaphore.close();
            for wait in waits {
                assert!(wait.await);
            }
        })
        .await;
        assert!(semaphore.acquire(1).await.unwrap_err().is_closed());
        drop(connection);
        assert_eq!((semaphore.0.available(), semaphore.0.statistics().in_use()), (1, 0));
    }
}
