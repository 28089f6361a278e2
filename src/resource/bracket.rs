//! Acquires a resource, uses it, and releases it.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::managed::Managed;
use crate::cancel::{Adopt, Region, adopt};
use crate::context;
use crate::name::Name;
use crate::panic::{FirstPanic, catch};
use crate::scope::{Errors, transfer};
use crate::sync::oneshot;
use crate::trace::tree;

/// Acquires a resource, uses it, and releases it, whatever happens to the use.
///
/// `acquire` yields the resource, and `body` borrows it. `release` gets it by value when `body` has
/// a value, fails, panics or is cancelled.
///
/// When other code drops the future, the enclosing scope runs `release`. That is why the resource
/// and `release` must be `'static + Send`. `acquire` and `body` may borrow what is declared
/// outside of them.
///
/// A resource that borrows, such as a transaction, or that is not `Send`, can be
/// [managed](crate::Scope::manage) by a scope instead. The module [`resource`](crate::resource)
/// compares the two.
///
/// The counterpart of Python's `async with`, and of `bracket` in Haskell and ZIO.
///
/// # Errors
///
/// Returns the error of `acquire`, or those of `body` and `release`. If both fail, the error of
/// `body` is the first. If `release` alone fails, the value of `body` is lost. To go on with one
/// error, write `.map_err(Errors::into_first)?`.
///
/// # Cancellation
///
/// A cancellation by foster drops `acquire` or `body`, and waits for `release`, within the
/// [grace](crate::time::Timeout::grace). A resource that is acquired in the very poll that cancels,
/// or in a shield after it, is released. An error of `release` is returned even then. Enclosing
/// cancellations and deadlines do not reach `release`, as in a [`shield`](crate::shield).
///
/// When other code drops the future (`tokio::select!`), `body` is dropped at once. `release` passes
/// to the enclosing scope or root, or to tokio, as with [`adopt`](crate::adopt). With none of them
/// the resource is dropped, and not released. Nested brackets pass to the scope one by one, and are
/// released side by side there. A release that overruns the grace passes to the scope, too.
///
/// # Panics
///
/// Resumes the panic of `acquire`, `body` or `release`. That of `body` is resumed when the resource
/// has been released. The first panic wins over a later one, and over errors.
///
/// # Cost
///
/// Two allocations, besides those of [`shield`](crate::shield).
///
/// ```
/// # #[cfg(feature = "sim")]
/// foster::runtimes::Sim::default().run(async {
///     use foster::{bracket, queue, sleep, timeout};
///     use std::time::Duration;
///
///     struct Connection(queue::Sender<&'static str>);
///
///     impl Connection {
///         async fn query(&mut self, sql: &str) -> Result<usize, String> {
///             sleep(Duration::from_secs(1)).await;
///             Ok(sql.len())
///         }
///
///         async fn close(self) -> Result<(), String> {
///             sleep(Duration::from_secs(1)).await;
///             self.0.try_send("closed").map_err(|_| "no log".to_string())
///         }
///     }
///
///     let (log, closed) = queue::unbounded();
///     let connect = async || Ok(Connection(log.clone()));
///
///     let sql = String::from("select 1");
///     let length = bracket(connect(), async |conn| conn.query(&sql).await, Connection::close);
///     assert_eq!((length.await.unwrap(), *closed.try_recv().unwrap()), (8, "closed"));
///
///     let endless = bracket(connect(), async |_| std::future::pending().await, Connection::close);
///     let late: Result<Result<(), _>, _> = timeout(Duration::from_secs(1), endless).await;
///     assert!(late.is_err());
///     assert_eq!(*closed.try_recv().unwrap(), "closed");
/// });
/// ```
#[track_caller]
pub fn bracket<A, U, G, Fut, R, T, E>(
    acquire: A,
    body: U,
    release: G,
) -> Bracket<impl Future<Output = Result<T, E>>, impl Future<Output = Result<(), E>> + Send + 'static>
where
    A: Future<Output = Result<R, E>>,
    U: AsyncFnOnce(&mut R) -> Result<T, E>,
    G: FnOnce(R) -> Fut + Send + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    R: Send + 'static,
{
    let (home, returned) = oneshot::channel();
    let used = async move {
        let mut resource = Managed::new(acquire.await?, home);
        body(&mut resource).await
    };
    let released = async move {
        match returned.await {
            Ok(resource) => release(resource).await,
            Err(_never_acquired) => Ok(()),
        }
    };
    let used = Region::new(used);
    Bracket {
        used,
        released: adopt(released),
        phase: BracketPhase::Fresh,
        panics: FirstPanic::default(),
        name: Name::caller(),
    }
}

pin_project! {
    /// The future that [`bracket`] returns.
    // The fields are dropped in this order, so that the resource has returned when `released`
    // passes to the enclosing scope.
    #[must_use = "futures do nothing unless polled"]
    pub struct Bracket<U, F>
    where
        U: Future,
        F: Future,
        F: Send,
        F: 'static,
    {
        // Acquires the resource and uses it. When it completes or is dropped, the resource returns.
        #[pin]
        used: Region<U>,
        // Waits for the resource, and releases it.
        released: Adopt<F>,
        phase: BracketPhase<U::Output>,
        // The first panic, which is resumed when the resource is released.
        panics: FirstPanic,
        name: Name,
    }

    impl<U, F> PinnedDrop for Bracket<U, F>
    where
        U: Future,
        F: Future,
        F: Send,
        F: 'static,
    {
        fn drop(this: Pin<&mut Self>) {
            // Other code drops it during the release. The scope that runs the release has the
            // panic, too.
            let panics = mem::take(this.project().panics);
            if panics.is_some() {
                transfer::pass_up_panic(panics, context::with(|ambient| ambient.scope()).as_ref());
            }
        }
    }
}

impl<U, F> Bracket<U, F>
where
    U: Future,
    F: Future + Send + 'static,
{
    /// Names the bracket in its errors, and in reports of overruns and deadlocks.
    ///
    /// Without this, its name is the file and line of the call to [`bracket`].
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// use foster::bracket;
    ///
    /// let (login, logout) = (async { Ok(7) }, async |_| Err("no goodbye"));
    /// let session = bracket(login, async |_| Err::<(), _>("no answer"), logout).named("session");
    /// let errors = session.await.unwrap_err();
    /// let names: Vec<_> = errors.iter().map(|(name, _)| name.to_string()).collect();
    /// assert_eq!(names, ["session", "release of session"]);
    /// # });
    /// ```
    pub fn named(mut self, name: impl Into<Name>) -> Self {
        self.name = name.into();
        self.released.set_name(release_of(&self.name));
        self
    }
}

/// Returns the name of the release of a bracket.
fn release_of(name: &Name) -> Name {
    Name::from(format!("release of {name}"))
}

/// How far a bracket is.
enum BracketPhase<T> {
    /// Not polled yet.
    Fresh,
    /// The resource is being acquired or used.
    InUse,
    /// The resource is being released. Has what came of the use, unless that was cancelled or has
    /// panicked.
    Releasing(Option<T>),
}

impl<U, F, T, E> Bracket<U, F>
where
    U: Future<Output = Result<T, E>>,
    F: Future<Output = Result<(), E>> + Send + 'static,
{
    fn poll_phase(self: Pin<&mut Self>, cx: &mut Context<'_>, is_drawing: bool) -> Poll<Result<T, Errors<E>>> {
        let mut this = self.project();
        let mut released = Pin::new(this.released);
        if !matches!(this.phase, BracketPhase::Releasing(_)) {
            // The release begins before the use. From here on it holds the enclosing region, and is
            // not lost if this is dropped. It is not ready, because the resource has not returned.
            // A drawing leaves it out, since what the program waits for is the use.
            if !is_drawing || matches!(this.phase, BracketPhase::Fresh) {
                let _pending = released.as_mut().poll(cx);
            }
            *this.phase = BracketPhase::InUse;
            let used = match catch(|| this.used.as_mut().poll(cx)) {
                Ok(used) => ready!(used),
                Err(payload) => {
                    this.panics.add(payload);
                    this.panics.run(|| this.used.give_up());
                    None
                }
            };
            *this.phase = BracketPhase::Releasing(used);
        }
        let released = match catch(|| released.poll(cx)) {
            Ok(released) => ready!(released),
            Err(payload) => {
                this.panics.add(payload);
                Ok(())
            }
        };
        mem::take(this.panics).resume();
        let (value, failed) = match mem::replace(this.phase, BracketPhase::Releasing(None)) {
            BracketPhase::Releasing(Some(Ok(value))) => (Some(value), None),
            BracketPhase::Releasing(Some(Err(error))) => (None, Some((this.name.clone(), error))),
            _ => (None, None),
        };
        let unreleased = released.err().map(|error| (release_of(this.name), error));
        let errors: Vec<_> = failed.into_iter().chain(unreleased).collect();
        match value {
            _ if !errors.is_empty() => Poll::Ready(Err(Errors::new(errors))),
            Some(value) => Poll::Ready(Ok(value)),
            // Whoever cancelled the enclosing region drops this.
            None => Poll::Pending,
        }
    }
}

impl<U, F, T, E> Future for Bracket<U, F>
where
    U: Future<Output = Result<T, E>>,
    F: Future<Output = Result<(), E>> + Send + 'static,
{
    type Output = Result<T, Errors<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if context::with(|ambient| ambient.is_drawing()) {
            tree::named(tree::quoted("bracket ", &self.name), || self.poll_phase(cx, true))
        } else {
            self.poll_phase(cx, false)
        }
    }
}

impl<U, F> fmt::Debug for Bracket<U, F>
where
    U: Future,
    F: Future + Send + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bracket").field("name", &self.name).finish_non_exhaustive()
    }
}
