//! A resource that is in use.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::thread;

use super::Manager;
use super::group::Stored;
use super::shared::SharedPool;
use super::state::Returned;
use crate::panic::{catch, discard};
use crate::time::now;

/// A resource of a [`Pool`](super::Pool), which is returned when this is dropped.
///
/// It goes to the first one who waits, or else it is idle. If it has to be
/// [reset](Manager::reset), a task of the pool does that first. It is closed instead
///
/// - if an operation is [in flight](Pooled::busy), or the resource [is broken](Manager::is_broken),
/// - if this is dropped by a panic, which may have left anything behind,
/// - if it has become too old, or the pool was closed.
///
/// It keeps the pool's memory alive, but not the pool: that is closed with its last handle. Where
/// this is leaked by [`std::mem::forget`], its place stays taken.
#[must_use = "a resource is returned when this is dropped"]
pub struct Pooled<M: Manager> {
    shared: Arc<SharedPool<M>>,
    group: usize,
    /// There until it is returned or taken out.
    stored: Option<Box<Stored<M>>>,
    /// How many operations were begun and are not done. Above zero, the resource is broken.
    in_flight: usize,
}

impl<M: Manager> Pooled<M> {
    #[inline]
    pub(super) fn new(shared: &Arc<SharedPool<M>>, group: usize, stored: Box<Stored<M>>) -> Self {
        Pooled { shared: shared.clone(), group, stored: Some(stored), in_flight: 0 }
    }

    /// Marks an operation as in flight until it is [done](Busy::done).
    ///
    /// What is dropped in the middle of an operation must not be used again: the next one would
    /// read the answer to somebody else's question. So if the operation is dropped before it is
    /// done, by a timeout, by an early return or by a cancellation, the resource is closed when it
    /// is returned.
    ///
    /// Code that speaks a protocol uses this. A driver that does so by itself needs no mark. The
    /// mark borrows the resource. Where the operation is to outlive the function that begins it, as
    /// a stream of rows does, a [`generator`](crate::stream::generator) owns both.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(foster::scope(async |s| {
    ///     use foster::resource::{Manager, Pool};
    ///     use foster::{sleep, timeout};
    ///     use std::convert::Infallible;
    ///     use std::time::Duration;
    ///
    ///     struct Lines;
    ///
    ///     impl Manager for Lines {
    ///         type Resource = Vec<&'static str>;
    ///         type Error = Infallible;
    ///
    ///         async fn create(&self) -> Result<Vec<&'static str>, Infallible> {
    ///             Ok(Vec::new())
    ///         }
    ///     }
    ///
    ///     let pool = Pool::new(Lines, s.spawner());
    ///     let mut line = pool.get().await.unwrap();
    ///     let asking = timeout(Duration::from_secs(1), async {
    ///         let mut operation = line.busy();
    ///         operation.push("ask");
    ///         sleep(Duration::from_secs(5)).await;
    ///         operation.push("read the answer");
    ///         operation.done();
    ///     });
    ///     assert!(asking.await.is_err());
    ///     drop(line);
    ///     assert!(pool.get().await.unwrap().is_empty(), "this is another one");
    /// }));
    /// ```
    pub fn busy(&mut self) -> Busy<'_, M> {
        self.in_flight += 1;
        Busy { pooled: self }
    }

    /// Closes the resource, because it is broken. Others get another one.
    pub fn discard(mut self) {
        self.in_flight += 1;
    }

    /// Takes the resource out of the pool, which forgets it: its place is free at once.
    pub fn into_inner(mut self) -> M::Resource {
        let stored = self.stored.take().expect("it is there until this is dropped");
        let (group, holder, now) = (self.group, stored.holder, now());
        self.shared.change(|state, wakes| state.let_go(group, holder, now, wakes));
        stored.resource
    }

    fn stored(&self) -> &Stored<M> {
        match &self.stored {
            Some(stored) => stored,
            None => unreachable!("it is there until this is dropped"),
        }
    }

    fn stored_mut(&mut self) -> &mut Stored<M> {
        match &mut self.stored {
            Some(stored) => stored,
            None => unreachable!("it is there until this is dropped"),
        }
    }
}

impl<M: Manager> Deref for Pooled<M> {
    type Target = M::Resource;

    fn deref(&self) -> &M::Resource {
        &self.stored().resource
    }
}

impl<M: Manager> DerefMut for Pooled<M> {
    fn deref_mut(&mut self) -> &mut M::Resource {
        &mut self.stored_mut().resource
    }
}

impl<M: Manager> Drop for Pooled<M> {
    #[inline]
    fn drop(&mut self) {
        let Some(mut stored) = self.stored.take() else { return };
        let release = if self.in_flight > 0 || thread::panicking() || stored.is_broken() {
            Returned::Broken
        } else {
            let Stored { resource, manager, .. } = &mut *stored;
            // A panic is the manager's, not the caller's.
            match catch(|| manager.reset(resource).is_some()) {
                Ok(false) => Returned::Clean,
                Ok(true) => Returned::Used,
                Err(payload) => {
                    discard(payload);
                    Returned::Broken
                }
            }
        };
        self.shared.release(self.group, stored, release);
    }
}

impl<M: Manager<Resource: fmt::Debug>> fmt::Debug for Pooled<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pooled").field(&self.stored().resource).finish()
    }
}

/// A resource with an operation in flight. [`Pooled::busy`] returns it.
#[must_use = "an operation that is dropped before it is done breaks the resource"]
pub struct Busy<'a, M: Manager> {
    pooled: &'a mut Pooled<M>,
}

impl<M: Manager> Busy<'_, M> {
    /// Ends the operation: the resource may be used again.
    pub fn done(self) {
        self.pooled.in_flight -= 1;
    }
}

impl<M: Manager> Deref for Busy<'_, M> {
    type Target = M::Resource;

    fn deref(&self) -> &M::Resource {
        self.pooled
    }
}

impl<M: Manager> DerefMut for Busy<'_, M> {
    fn deref_mut(&mut self) -> &mut M::Resource {
        self.pooled
    }
}

impl<M: Manager<Resource: fmt::Debug>> fmt::Debug for Busy<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Busy").field(&**self).finish()
    }
}
