//! A scope as a `Spawn`.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_task::{FutureObj, Spawn, SpawnError};

use super::child::Plain;
use super::parallel;
use crate::context;
use crate::control::{Control, News};
use crate::runtime::Handle;

/// Spawns children into a scope, through `futures::task::Spawn`; from [`Scope::spawner`](crate::Scope::spawner).
///
/// Clones are the same. For libraries that spawn background tasks: here a scope owns them.
///
/// ```
/// use futures::task::SpawnExt;
///
/// # futures::executor::block_on(async {
/// let value = foster::scope(|s| async move {
///     s.spawner().spawn_with_handle(async { 7 }).unwrap().await
/// }).await;
/// assert_eq!(value, 7);
/// # });
/// ```
#[derive(Clone)]
pub struct Spawner {
    control: Arc<Control>,
    runtime: Option<Handle>,
    /// Where it was asked for: the name of what it spawns.
    at: &'static Location<'static>,
}

impl Spawner {
    pub(super) fn new(control: Arc<Control>, at: &'static Location<'static>) -> Self {
        Spawner { control, runtime: context::with(|ambient| ambient.runtime()), at }
    }
}

impl Spawn for Spawner {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.status()?;
        match &self.runtime {
            Some(runtime) => {
                drop(parallel::spawn(&self.control, runtime, None, self.at, Plain::new(future)));
                Ok(())
            }
            None => {
                self.control.uncounted.fetch_add(1, Ordering::Relaxed);
                self.control.send(News::Spawn(future, self.at)).map_err(|_| {
                    self.control.uncounted.fetch_sub(1, Ordering::Relaxed);
                    SpawnError::shutdown()
                })
            }
        }
    }

    fn status(&self) -> Result<(), SpawnError> {
        match self.control.is_cancelled() || self.control.news().is_closed() {
            true => Err(SpawnError::shutdown()),
            false => Ok(()),
        }
    }
}

impl fmt::Debug for Spawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawner").field("runtime", &self.runtime).finish_non_exhaustive()
    }
}
