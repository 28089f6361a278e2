//! Lets a scope be used as a `futures::task::Spawn`.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_task::{FutureObj, Spawn, SpawnError};

use super::adapters::Plain;
use super::remote_child;
use crate::cancel::reason::Reason;
use crate::cancel::token::Token;
use crate::context::{self, inherited::Inheriting};
use crate::runtime::{Handle, WeakHandle};
use crate::scope::control::{Adopted, Control, News};

/// Spawns children into a scope, through `futures::task::Spawn`.
///
/// For libraries that spawn background tasks: the scope owns these tasks.
/// [`Scope::spawner`](crate::Scope::spawner) returns one, and [`Spawner::current`] where no scope
/// is at hand. Clones spawn into the same scope.
///
/// The children run in parallel, on the runtime that was in force when the spawner was made. If
/// there was none, they run on the scope's own task. A spawner keeps neither the scope nor the
/// runtime alive. When one of them has ended, it refuses to spawn.
///
/// ```
/// use futures::task::SpawnExt;
///
/// # futures::executor::block_on(async {
/// let value = foster::scope(async |s| {
///     s.spawner().spawn_with_handle(async { 7 }).unwrap().await
/// }).await;
/// assert_eq!(value, 7);
/// # });
/// ```
#[derive(Clone)]
pub struct Spawner {
    control: Arc<Control>,
    runtime: Option<WeakHandle>,
    /// Where the spawner was made. The children have this as their name.
    at: &'static Location<'static>,
}

impl Spawner {
    pub(super) fn new(control: Arc<Control>, runtime: Option<&Handle>, at: &'static Location<'static>) -> Self {
        Spawner { control, runtime: runtime.map(Handle::downgrade), at }
    }

    /// Returns the spawner of the nearest scope, whose body, child or finalizer makes this call.
    ///
    /// For code that no scope is passed to, such as an executor that a library names by a type
    /// alone. In [`Handle::run`](crate::Handle::run) and [`Handle::enter`](crate::Handle::enter),
    /// outside of any scope, it is the root's. The root waits for what it spawns, within the
    /// handle's [grace](crate::Handle::with_grace).
    ///
    /// # Panics
    ///
    /// Panics outside of any scope and root. [`try_current`](Spawner::try_current) returns `None`
    /// instead.
    ///
    /// ```
    /// use foster::scope;
    /// use foster::scope::Spawner;
    /// use futures::task::SpawnExt;
    ///
    /// fn deep_within_a_library() {
    ///     Spawner::current().spawn(async { /* the scope below waits for this */ }).unwrap();
    /// }
    ///
    /// # futures::executor::block_on(async {
    /// scope(async |_| deep_within_a_library()).await;
    /// # });
    /// ```
    #[track_caller]
    pub fn current() -> Self {
        let Some(current) = Self::try_current() else {
            panic!("no scope is running here: call this inside a scope, or inside of `Handle::run` or `Handle::enter`")
        };
        current
    }

    /// Returns the spawner that [`current`](Spawner::current) returns, or `None` outside of any
    /// scope and root.
    #[track_caller]
    pub fn try_current() -> Option<Self> {
        let at = Location::caller();
        context::with(|ambient| Some(Spawner::new(ambient.scope()?, ambient.runtime().as_ref(), at)))
    }

    /// Returns a token that is cancelled when the scope only waits for its children: its body has
    /// completed, or it was stopped or cancelled.
    ///
    /// For what is done beside the scope's work, as long as there is any.
    pub(crate) fn until_joining(&self) -> Token {
        self.control.until_joining()
    }

    /// Makes the scope finish `future`, also while it is cancelled, or the nearest enclosing one
    /// that has not completed. If there is none, `future` is dropped.
    pub(crate) fn adopt(&self, future: Adopted) {
        context::adopt(Some(&self.control), future);
    }

    fn refused(&self) -> Option<Arc<Reason>> {
        context::with(|ambient| ambient.refusal(&self.control))
    }

    /// Returns why what was spawned has no outcome: it was refused, or dropped.
    pub(crate) fn refusal(&self) -> Arc<Reason> {
        self.refused().unwrap_or_else(|| Arc::new(Reason::Shutdown))
    }
}

impl Spawn for Spawner {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.status()?;
        match &self.runtime {
            Some(runtime) => {
                let runtime = runtime.upgrade().ok_or_else(SpawnError::shutdown)?;
                drop(remote_child::spawn(&self.control, &runtime, None, self.at, Plain::new(future)));
                Ok(())
            }
            None => {
                let future = match context::with(|ambient| ambient.values()) {
                    None => future,
                    Some(values) => FutureObj::new(Box::new(Inheriting::new(Some(values), future))),
                };
                self.control.uncounted.fetch_add(1, Ordering::Relaxed);
                self.control.send(News::Spawn(future, self.at)).map_err(|_| {
                    self.control.uncounted.fetch_sub(1, Ordering::Relaxed);
                    SpawnError::shutdown()
                })
            }
        }
    }

    fn status(&self) -> Result<(), SpawnError> {
        if self.refused().is_some() { Err(SpawnError::shutdown()) } else { Ok(()) }
    }
}

impl fmt::Debug for Spawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runtime = self.runtime.as_ref().and_then(WeakHandle::upgrade);
        f.debug_struct("Spawner").field("runtime", &runtime).finish_non_exhaustive()
    }
}
