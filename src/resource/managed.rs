//! Lends a resource to the code that uses it, and gets it back from there.

use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};

use crate::sync::oneshot::{self, Receiver, Sender};

/// Owns a resource that its scope releases at its end.
///
/// [`Scope::manage`](crate::Scope::manage) returns it. It dereferences to the resource, and can be
/// returned from the function that has acquired it, or be moved into a child. When it is dropped,
/// the resource goes back to the scope. [`into_inner`](Managed::into_inner) takes the resource away
/// from the scope instead.
///
/// A scope that has completed releases nothing any more. So a `Managed` that outlives its scope,
/// for instance because the body returns it, drops the resource without a release, and so does one
/// that a completed scope is asked to make.
pub struct Managed<R> {
    /// The resource, and the way back to who releases it. `None` during the drop alone.
    lent: Option<(R, Sender<R>)>,
}

/// Makes a resource a managed one. Whoever releases it keeps the other end.
pub(crate) fn lend<R>(resource: R) -> (Managed<R>, Receiver<R>) {
    let (home, returned) = oneshot::channel();
    (Managed::new(resource, home), returned)
}

/// Calls `release` with the resource, unless it is not managed any more.
pub(crate) async fn release_returned<R, Fut: Future>(
    mut returned: Receiver<R>,
    release: impl FnOnce(R) -> Fut,
) -> Option<Fut::Output> {
    match returned.try_recv() {
        Ok(resource) => Some(release(resource).await),
        Err(_) => None,
    }
}

impl<R> Managed<R> {
    pub(crate) fn new(resource: R, home: Sender<R>) -> Self {
        Managed { lent: Some((resource, home)) }
    }

    /// Takes the resource away from its scope, which then does not release it.
    ///
    /// Use it to acquire all of several resources or none: manage each in a scope, and take them
    /// out when the last one is there. The counterpart of `pop_all` of Python's `AsyncExitStack`.
    ///
    /// It is called as `Managed::into_inner(managed)`, so that the resource may have a method of
    /// that name.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// use foster::resource::Managed;
    ///
    /// async fn connect(n: u32) -> Result<u32, String> {
    ///     if n < 3 { Ok(n) } else { Err(format!("no server {n}")) }
    /// }
    /// let closed = std::sync::Mutex::new(Vec::new());
    ///
    /// // Connects to all of them, or to none.
    /// let connect_all = async |servers: u32| {
    ///     foster::try_scope(async |s| {
    ///         let mut all = Vec::new();
    ///         for n in 0..servers {
    ///             let close = async |n| Ok(closed.lock().unwrap().push(n));
    ///             all.push(s.manage(connect(n).await?, close));
    ///         }
    ///         Ok(all.into_iter().map(Managed::into_inner).collect::<Vec<_>>())
    ///     })
    ///     .await
    /// };
    /// assert_eq!(connect_all(3).await, Ok(vec![0, 1, 2]));
    /// assert!(closed.lock().unwrap().is_empty());
    /// assert_eq!(connect_all(4).await, Err("no server 3".to_string()));
    /// assert_eq!(*closed.lock().unwrap(), [2, 1, 0]);
    /// # });
    /// ```
    pub fn into_inner(managed: Self) -> R {
        let mut managed = managed;
        match managed.lent.take() {
            Some((resource, _home)) => resource,
            None => unreachable!("it is taken by value"),
        }
    }
}

impl<R> Deref for Managed<R> {
    type Target = R;

    fn deref(&self) -> &R {
        match &self.lent {
            Some((resource, _)) => resource,
            None => unreachable!("it is taken by value"),
        }
    }
}

impl<R> DerefMut for Managed<R> {
    fn deref_mut(&mut self) -> &mut R {
        match &mut self.lent {
            Some((resource, _)) => resource,
            None => unreachable!("it is taken by value"),
        }
    }
}

impl<R> Drop for Managed<R> {
    fn drop(&mut self) {
        if let Some((resource, home)) = self.lent.take() {
            // Refused where nobody releases it any more.
            drop(home.send(resource));
        }
    }
}

impl<R: fmt::Debug> fmt::Debug for Managed<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Managed").field(&**self).finish()
    }
}
