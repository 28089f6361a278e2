//! Says which runtime is in force.

use crate::context;
use crate::runtime::Handle;

impl Handle {
    /// Returns the runtime in force here, if there is one.
    ///
    /// [`sleep`](crate::sleep), [`timeout`](crate::timeout),
    /// [`spawn_parallel`](crate::Scope::spawn_parallel) and
    /// [`spawn_blocking`](crate::Scope::spawn_blocking) use it. It is the runtime of the nearest
    /// [`run`](Handle::run), [`enter`](Handle::enter) or child on a runtime. Outside of them, and
    /// with the feature `tokio`, it is the tokio runtime that the thread belongs to. The
    /// counterpart of `tokio::runtime::Handle::try_current`.
    ///
    /// ```
    /// # #[cfg(feature = "sim")] {
    /// use foster::Handle;
    ///
    /// assert!(Handle::try_current().is_none());
    /// let name = foster::runtimes::Sim::default().run(async { Handle::current().name() });
    /// assert_eq!(name, "sim");
    /// # }
    /// ```
    pub fn try_current() -> Option<Self> {
        context::with(|ambient| ambient.runtime())
    }

    /// Returns the runtime in force here. [`try_current`](Handle::try_current) says which one that
    /// is.
    ///
    /// # Panics
    ///
    /// Panics if no runtime is in force.
    #[track_caller]
    pub fn current() -> Self {
        let Some(current) = Self::try_current() else {
            panic!(
                "no runtime is in force here: await this inside `Handle::run` or `Handle::enter`, \
                 or on a thread of tokio's with foster's feature `tokio`"
            )
        };
        current
    }
}
