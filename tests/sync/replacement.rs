//! What sqlx looks for: "a replacement" for the fair semaphore that its pools have from an
//! unmaintained crate. Its `AsyncSemaphore` in a few lines over ours, with what it could not have:
//! an owned form, and `close`.

use std::sync::{Arc, Mutex};

use foster::scope;
use foster::sync::{AcquireError, AcquireOwned, OwnedPermit, Semaphore};

use crate::by_hand::ByHand;

struct AsyncSemaphore {
    inner: Arc<Semaphore>,
    /// The permits whose releasers were disarmed, until they are released by number.
    disarmed: Mutex<Option<OwnedPermit>>,
}

struct AsyncSemaphoreReleaser<'a> {
    semaphore: &'a AsyncSemaphore,
    permit: OwnedPermit,
}

impl AsyncSemaphore {
    /// It is fair in any case.
    fn new(_fair: bool, permits: usize) -> Self {
        AsyncSemaphore { inner: Arc::new(Semaphore::new(permits)), disarmed: Mutex::new(None) }
    }

    fn permits(&self) -> usize {
        self.inner.available()
    }

    async fn acquire(&self, permits: u32) -> AsyncSemaphoreReleaser<'_> {
        let permit = self.acquire_owned(permits).await.expect("it is not closed, and has so many");
        AsyncSemaphoreReleaser { semaphore: self, permit }
    }

    fn try_acquire(&self, permits: u32) -> Option<AsyncSemaphoreReleaser<'_>> {
        let permit = self.inner.clone().try_acquire_owned(permits as usize).ok()?;
        Some(AsyncSemaphoreReleaser { semaphore: self, permit })
    }

    /// Releases permits whose releasers were disarmed, and adds what is beyond them.
    fn release(&self, permits: usize) {
        let mut disarmed = self.disarmed.lock().unwrap();
        let known = disarmed.as_mut().and_then(|all| all.split(permits.min(all.count())));
        drop(disarmed);
        self.inner.add(permits - known.as_ref().map_or(0, OwnedPermit::count));
    }

    fn acquire_owned(&self, permits: u32) -> AcquireOwned {
        self.inner.clone().acquire_owned(permits as usize)
    }

    fn close(&self) {
        self.inner.close();
    }
}

impl AsyncSemaphoreReleaser<'_> {
    fn disarm(self) {
        let mut disarmed = self.semaphore.disarmed.lock().unwrap();
        match &mut *disarmed {
            Some(others) => others.merge(self.permit),
            none => *none = Some(self.permit),
        }
    }
}

matrix! {
    async fn permits_move_into_connections_and_come_back_by_number() {
        let semaphore = AsyncSemaphore::new(true, 2);
        let _one = semaphore.acquire(1).await;
        semaphore.try_acquire(1).unwrap().disarm();
        assert!((semaphore.permits(), semaphore.try_acquire(1).is_none()) == (0, true));
        let (first, second) = (ByHand::waiting(semaphore.acquire(1)), ByHand::waiting(semaphore.acquire(2)));
        semaphore.release(1);
        assert_eq!(semaphore.inner.statistics().in_use(), 2);
        first.turn().disarm();
        semaphore.release(2);
        drop(second.turn());
        assert_eq!((semaphore.permits(), semaphore.inner.statistics().in_use()), (2, 1));
    }

    async fn whoever_closes_the_pool_waits_for_all_permits_in_its_turn() {
        let semaphore = AsyncSemaphore::new(true, 3);
        scope(async |s| {
            let held = semaphore.acquire(1).await;
            let waiting = async |count| {
                while semaphore.inner.statistics().waiting() < count {
                    foster::yield_now().await;
                }
            };
            let all = s.spawn(async { semaphore.acquire(3).await.permit.count() });
            waiting(1).await;
            let late = s.spawn(async { semaphore.acquire_owned(1).await.map(drop) });
            waiting(2).await;
            drop(held);
            assert_eq!((all.await, late.await), (3, Ok(())));
            semaphore.close();
            assert!(semaphore.acquire_owned(1).await.is_err_and(|error: AcquireError| error.is_closed()));
        }).await;
    }
}
