//! Defines the futures of scopes, their options, and what they resolve to.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::adapters::Plain;
use super::errors::Errors;
use super::kind::{AnyThread, Kind};
use super::options::{End, Notice, Policy, cancelled};
use super::state::{Core, Machine};
use crate::cancel::reason::Cancelled;
use crate::context::{self, Ambient};
use crate::name::Name;
use crate::task::unit::unit;

pin_project! {
    /// Runs a scope. [`scope`](fn@crate::scope) returns this future.
    ///
    /// It resolves when everything in the scope has ended. The methods set options.
    ///
    /// # Cancellation
    ///
    /// Dropping this future drops the body and the children. See [`scope`](fn@crate::scope).
    ///
    /// # Panics
    ///
    /// Resumes the panic of the body or of a child, when all others have ended. Panics if the scope
    /// was [cancelled](crate::Scope::cancel) before its body had a value, unless that is `()`.
    /// [`outcome`](ScopeFuture::outcome) returns an error instead. Panics if it is polled after it
    /// completed.
    #[must_use = "a scope runs nothing unless polled"]
    pub struct ScopeFuture<'env, F, K = AnyThread>
    where
        F: Future,
        K: Kind,
    {
        #[pin]
        body: Option<Plain<F, Infallible>>,
        machine: Machine<'env, F::Output, Infallible, K>,
    }

    impl<'env, F, K> PinnedDrop for ScopeFuture<'env, F, K>
    where
        F: Future,
        K: Kind,
    {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            this.machine.abandon(&mut this.body);
        }
    }
}

pin_project! {
    /// Runs a scope that may fail. [`try_scope`](crate::try_scope) returns this future.
    ///
    /// It resolves when everything in the scope has ended. The methods set options.
    ///
    /// # Errors
    ///
    /// Returns the first error of the body, of a child or of a finalizer.
    ///
    /// # Cancellation
    ///
    /// As for [`ScopeFuture`].
    ///
    /// # Panics
    ///
    /// As for [`ScopeFuture`].
    #[must_use = "a scope runs nothing unless polled"]
    pub struct TryScopeFuture<'env, F, T, E, K = AnyThread>
    where
        K: Kind,
    {
        #[pin]
        body: Option<F>,
        machine: Machine<'env, T, E, K>,
    }

    impl<'env, F, T, E, K> PinnedDrop for TryScopeFuture<'env, F, T, E, K>
    where
        K: Kind,
    {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            this.machine.abandon(&mut this.body);
        }
    }
}

impl<'env, F: Future, K: Kind> ScopeFuture<'env, F, K> {
    #[inline]
    pub(super) fn new(body: F, core: Core<'env, Infallible, K>, name: Name) -> Self {
        ScopeFuture { body: Some(Plain::new(body)), machine: Machine::new(core, name) }
    }

    /// Names the scope in reports of failures, overruns and deadlocks.
    ///
    /// Without this, its name is the file and line of the call to [`scope`](fn@crate::scope).
    ///
    /// ```
    /// # #[cfg(feature = "sim")] {
    /// let stuck = foster::scope(|_| std::future::pending::<()>()).named("import");
    /// let error = foster::runtimes::Sim::default().try_run(stuck).unwrap_err();
    /// assert!(error.to_string().contains("scope `import`"));
    /// # }
    /// ```
    pub fn named(mut self, name: impl Into<Name>) -> Self {
        self.machine.policy.name = name.into();
        self
    }

    /// Bounds each step of a wind-down: first the children's end, then each finalizer.
    ///
    /// What has not ended by then is dropped, and the [observer](ScopeFuture::observe) is told its
    /// name. Parallel children and adopted futures are transferred to the enclosing scope. The
    /// finalizers that remain still have their turn, each with a grace of the same length. Those of
    /// scopes inside a child that is dropped are polled once before. [`Duration::MAX`] is no bound,
    /// and is the default. A scope that ends by itself is not bounded.
    ///
    /// [`Duration::ZERO`] waits for nothing, and polls each finalizer once. A blocking job that is
    /// running cannot be interrupted. It is transferred to the enclosing scope, which waits for it.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use foster::{now, scope, sleep};
    ///     use std::time::Duration;
    ///
    ///     let (start, second) = (now(), Duration::from_secs(1));
    ///     scope(async |s| {
    ///         s.defer(sleep(3600 * second));
    ///         s.cancel("enough");
    ///     }).grace(second).await;
    ///     assert_eq!(now() - start, second);
    /// });
    /// ```
    pub fn grace(mut self, grace: Duration) -> Self {
        self.machine.policy.grace = Some(grace);
        self
    }

    /// Registers a callback for children and finalizers that overran the
    /// [grace](ScopeFuture::grace) and were dropped.
    ///
    /// See [`Notice`]. A scope that cannot fail reports no errors. The callback runs while the
    /// scope is polled, so it must not block.
    pub fn observe(mut self, observer: impl FnMut(Notice<Infallible>) + Send + 'static) -> Self {
        self.machine.policy.observer = Some(Box::new(observer));
        self
    }

    /// Returns `Err(Cancelled)` instead of panicking if the scope is cancelled before its body has
    /// a value.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let outcome = foster::scope(async |s| {
    ///     s.cancel("no longer needed");
    ///     std::future::pending::<()>().await
    /// }).outcome().await;
    /// assert_eq!(outcome.unwrap_err().reason(), &"no longer needed".into());
    /// # });
    /// ```
    pub fn outcome(self) -> ScopeOutcome<Self> {
        ScopeOutcome { scope: self }
    }

    /// Polls the scope, for a caller that has the context at hand.
    #[inline]
    pub(super) fn poll_in(
        self: Pin<&mut Self>,
        ambient: &Ambient,
        cx: &mut Context<'_>,
    ) -> Poll<Result<F::Output, Cancelled>> {
        let this = self.project();
        this.machine.poll(this.body, ambient, cx).map(|end| end.output.ok_or_else(|| cancelled(end.reason)))
    }

    /// Bounds the wait for what is left when the body has completed. Roots use this.
    pub(super) fn linger(mut self, linger: Duration) -> Self {
        self.machine.policy.linger = Some(linger);
        self
    }
}

impl<'env, F, T, E, K: Kind> TryScopeFuture<'env, F, T, E, K> {
    #[inline]
    pub(super) fn new(body: F, core: Core<'env, E, K>, name: Name) -> Self {
        TryScopeFuture { body: Some(body), machine: Machine::new(core, name) }
    }

    /// Names the scope in reports. An error of the body has this name, too. See
    /// [`ScopeFuture::named`].
    pub fn named(mut self, name: impl Into<Name>) -> Self {
        self.machine.policy.name = name.into();
        self
    }

    /// Bounds each step of a wind-down. See [`ScopeFuture::grace`].
    pub fn grace(mut self, grace: Duration) -> Self {
        self.machine.policy.grace = Some(grace);
        self
    }

    /// Registers a callback for what is not part of the result: errors after the first, and
    /// overruns.
    ///
    /// This is the place to log what the scope does not return. The callback runs while the scope
    /// is polled, so it must not block. See [`Notice`].
    ///
    /// ```
    /// use foster::scope::Notice;
    ///
    /// # futures::executor::block_on(async {
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let result = foster::try_scope(async |s| {
    ///     s.defer(async { Err("could not close") });
    ///     Err::<(), _>("could not write")
    /// }).observe(move |notice| tell.send(notice).unwrap());
    /// assert_eq!(result.await, Err("could not write"));
    /// let notice = told.recv().unwrap();
    /// assert!(matches!(notice, Notice::LateError { error: "could not close", .. }));
    /// # });
    /// ```
    pub fn observe(mut self, observer: impl FnMut(Notice<E>) + Send + 'static) -> Self {
        self.machine.policy.observer = Some(Box::new(observer));
        self
    }

    /// Lets the other children run on when one fails, and returns all errors.
    ///
    /// The body runs on, too. Its value is lost if there was an error. A panic cancels the scope
    /// all the same. The counterpart of Kotlin's `supervisorScope`.
    ///
    /// A child that failed has no value, so awaiting its task panics.
    /// [`Task::outcome`](crate::Task::outcome) returns an error instead.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let errors = foster::try_scope(async |s| {
    ///     for word in ["1", "x", "y"] {
    ///         s.named(word).spawn(async move { word.parse::<u32>() });
    ///     }
    ///     Ok(())
    /// }).keep_going().await.unwrap_err();
    /// let failed: Vec<_> = errors.iter().map(|(name, _)| name.to_string()).collect();
    /// assert_eq!(failed, ["x", "y"]);
    /// # });
    /// ```
    pub fn keep_going(mut self) -> KeepGoing<'env, F, T, E, K> {
        self.machine.policy.keep_going = true;
        KeepGoing { scope: self }
    }

    /// Returns `Err(Cancelled)` instead of panicking if the scope is cancelled before its body has
    /// a value.
    ///
    /// As [`ScopeFuture::outcome`]. The scope's own `Result` is inside: the `Err` of a child is
    /// `Ok(Err(_))`.
    pub fn outcome(self) -> ScopeOutcome<Self> {
        ScopeOutcome { scope: self }
    }
}

/// Gives access to the options of a scope's future, for [`ScopeOutcome`].
pub(super) trait Options {
    /// The error of the scope's children.
    type Error;

    fn policy(&mut self) -> &mut Policy<Self::Error>;
}

impl<F: Future, K: Kind> Options for ScopeFuture<'_, F, K> {
    type Error = Infallible;

    fn policy(&mut self) -> &mut Policy<Infallible> {
        &mut self.machine.policy
    }
}

impl<F, T, E, K: Kind> Options for TryScopeFuture<'_, F, T, E, K> {
    type Error = E;

    fn policy(&mut self) -> &mut Policy<E> {
        &mut self.machine.policy
    }
}

impl<F, T, E, K: Kind> Options for KeepGoing<'_, F, T, E, K> {
    type Error = E;

    fn policy(&mut self) -> &mut Policy<E> {
        &mut self.scope.machine.policy
    }
}

/// Polls a scope's future without a panic when it was cancelled. It is not for use outside the
/// crate.
#[allow(unreachable_pub)]
pub trait PollOutcome {
    /// What the scope resolves to.
    type Output;

    /// Polls the scope.
    fn poll_outcome(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Self::Output, Cancelled>>;
}

impl<F: Future, K: Kind> PollOutcome for ScopeFuture<'_, F, K> {
    type Output = F::Output;

    fn poll_outcome(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<F::Output, Cancelled>> {
        context::with(|ambient| self.poll_in(ambient, cx))
    }
}

impl<F, T, E, K> PollOutcome for TryScopeFuture<'_, F, T, E, K>
where
    F: Future<Output = Result<T, E>>,
    K: Kind,
{
    type Output = Result<T, E>;

    fn poll_outcome(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Result<T, E>, Cancelled>> {
        let this = self.project();
        context::with(|ambient| this.machine.poll(this.body, ambient, cx)).map(|End { output, errors, reason }| match (
            errors.into_iter().next(),
            output,
        ) {
            (Some((_, error)), _) => Ok(Err(error)),
            (None, Some(output)) => Ok(Ok(output)),
            (None, None) => Err(cancelled(reason)),
        })
    }
}

impl<F, T, E, K> PollOutcome for KeepGoing<'_, F, T, E, K>
where
    F: Future<Output = Result<T, E>>,
    K: Kind,
{
    type Output = Result<T, Errors<E>>;

    fn poll_outcome(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Self::Output, Cancelled>> {
        let this = self.project().scope.project();
        context::with(|ambient| this.machine.poll(this.body, ambient, cx)).map(|End { output, errors, reason }| {
            match output {
                _ if !errors.is_empty() => Ok(Err(Errors::new(errors))),
                Some(output) => Ok(Ok(output)),
                None => Err(cancelled(reason)),
            }
        })
    }
}

/// Makes a scope's output of its outcome.
///
/// A scope that was cancelled before its body had a value ends quietly if that value would have
/// been `()`. Otherwise there is none to return, so this panics.
pub(super) fn value<T>(outcome: Result<T, Cancelled>) -> T {
    match outcome {
        Ok(value) => value,
        Err(cancelled) => unit().unwrap_or_else(|| {
            panic!(
                "the scope was cancelled before its body had a value ({}); `.outcome()` says so without a panic",
                cancelled.reason()
            )
        }),
    }
}

/// Does what [`value`] does, for a body that may fail.
fn result<T, E>(outcome: Result<Result<T, E>, Cancelled>) -> Result<T, E> {
    match outcome {
        Ok(result) => result,
        Err(cancelled) => Ok(value(Err(cancelled))),
    }
}

impl<F: Future, K: Kind> Future for ScopeFuture<'_, F, K> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.poll_outcome(cx).map(value)
    }
}

impl<F, T, E, K> Future for TryScopeFuture<'_, F, T, E, K>
where
    F: Future<Output = Result<T, E>>,
    K: Kind,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, E>> {
        self.poll_outcome(cx).map(result)
    }
}

pin_project! {
    /// Runs a scope that keeps going. [`TryScopeFuture::keep_going`] returns this future.
    ///
    /// # Errors
    ///
    /// Returns all errors of the body, the children and the finalizers, in the order in which they
    /// happened.
    #[must_use = "a scope runs nothing unless polled"]
    pub struct KeepGoing<'env, F, T, E, K = AnyThread>
    where
        K: Kind,
    {
        #[pin]
        scope: TryScopeFuture<'env, F, T, E, K>,
    }
}

impl<F, T, E, K: Kind> KeepGoing<'_, F, T, E, K> {
    /// Names the scope in reports. See [`TryScopeFuture::named`].
    pub fn named(mut self, name: impl Into<Name>) -> Self {
        self.policy().name = name.into();
        self
    }

    /// Bounds each step of a wind-down. See [`ScopeFuture::grace`].
    pub fn grace(mut self, grace: Duration) -> Self {
        self.policy().grace = Some(grace);
        self
    }

    /// Registers a callback for what is not part of the result.
    ///
    /// These are overruns, and the errors if the scope panics. See [`TryScopeFuture::observe`].
    pub fn observe(mut self, observer: impl FnMut(Notice<E>) + Send + 'static) -> Self {
        self.policy().observer = Some(Box::new(observer));
        self
    }

    /// Returns `Err(Cancelled)` instead of panicking if the scope is cancelled before its body has
    /// a value.
    ///
    /// The scope's own `Result` is inside, as with [`TryScopeFuture::outcome`].
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let outcome = foster::try_scope(async |s| {
    ///     s.cancel("no longer needed");
    ///     std::future::pending::<Result<(), String>>().await
    /// }).keep_going().outcome().await;
    /// assert_eq!(outcome.unwrap_err().reason(), &"no longer needed".into());
    /// # });
    /// ```
    pub fn outcome(self) -> ScopeOutcome<Self> {
        ScopeOutcome { scope: self }
    }
}

impl<F, T, E, K> Future for KeepGoing<'_, F, T, E, K>
where
    F: Future<Output = Result<T, E>>,
    K: Kind,
{
    type Output = Result<T, Errors<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_outcome(cx).map(result)
    }
}

pin_project! {
    /// Runs a scope, and returns an error if it was cancelled.
    ///
    /// [`ScopeFuture::outcome`], [`TryScopeFuture::outcome`] and [`KeepGoing::outcome`] return this
    /// future.
    ///
    /// # Errors
    ///
    /// Returns [`Cancelled`] if the scope was cancelled before its body had a value.
    #[must_use = "a scope runs nothing unless polled"]
    pub struct ScopeOutcome<S> {
        #[pin]
        scope: S,
    }
}

#[allow(private_bounds)]
impl<S: Options> ScopeOutcome<S> {
    /// Names the scope in reports. See [`ScopeFuture::named`].
    pub fn named(mut self, name: impl Into<Name>) -> Self {
        self.scope.policy().name = name.into();
        self
    }

    /// Bounds each step of a wind-down. See [`ScopeFuture::grace`].
    pub fn grace(mut self, grace: Duration) -> Self {
        self.scope.policy().grace = Some(grace);
        self
    }

    /// Registers a callback for what is not part of the result. See [`TryScopeFuture::observe`].
    pub fn observe(mut self, observer: impl FnMut(Notice<S::Error>) + Send + 'static) -> Self {
        self.scope.policy().observer = Some(Box::new(observer));
        self
    }
}

impl<'env, F, T, E, K: Kind> ScopeOutcome<TryScopeFuture<'env, F, T, E, K>> {
    /// Lets the other children run on when one fails, and returns all errors. See
    /// [`TryScopeFuture::keep_going`].
    pub fn keep_going(self) -> ScopeOutcome<KeepGoing<'env, F, T, E, K>> {
        ScopeOutcome { scope: self.scope.keep_going() }
    }
}

impl<S: PollOutcome> Future for ScopeOutcome<S> {
    type Output = Result<S::Output, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().scope.poll_outcome(cx)
    }
}

macro_rules! debug {
    ($name:ident<$($param:tt),*> $(where $($bound:tt)*)?) => {
        impl<$($param),*> fmt::Debug for $name<$($param),*> $(where $($bound)*)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    };
}

debug!(ScopeFuture<'env, F, K> where F: Future, K: Kind);
debug!(TryScopeFuture<'env, F, T, E, K> where K: Kind);
debug!(KeepGoing<'env, F, T, E, K> where K: Kind);
debug!(ScopeOutcome<S>);
