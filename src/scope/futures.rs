//! The futures that scopes are, and what they resolve to.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{slice, vec};

use pin_project_lite::pin_project;

use super::child::Plain;
use super::kind::{AnyThread, Kind};
use super::machine::Machine;
use super::policy::{End, Notice, Policy, cancelled};
use crate::name::Name;
use crate::set::unit::unit;
use crate::token::Cancelled;

pin_project! {
    /// The future of [`scope`](crate::scope): everything in it is over when it resolves.
    ///
    /// # Panics
    ///
    /// With the panic of the body or of a child, when all others are over. When the scope was
    /// [cancelled](crate::Scope::cancel) before its body had a value other than `()`; [`outcome`](ScopeFuture::outcome) tells that
    /// instead. When polled after it was ready.
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
    /// The future of [`try_scope`](crate::try_scope): everything in it is over when it resolves.
    ///
    /// # Errors
    ///
    /// The first error, of the body or of a child.
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
    pub(super) fn new(body: F, machine: Machine<'env, F::Output, Infallible, K>) -> Self {
        ScopeFuture { body: Some(Plain::new(body)), machine }
    }

    /// Names the scope, for reports: of failures, of overruns, of deadlocks under [`Sim`](crate::runtimes).
    ///
    /// Otherwise it is called by its file and line.
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

    /// Bounds each step of a wind-down: the children's end, then each finalizer. Without it, they take as long as they take.
    ///
    /// What has not ended by then is dropped, and reported by name; parallel children and adopted futures pass to the
    /// scope around. The finalizers that remain still get their turn, of the same length. [`Duration::MAX`] is no bound. A scope
    /// that ends by itself is not bounded.
    ///
    /// With [`Duration::ZERO`] the scope waits for nothing: a finalizer has one poll. A blocking job that is running cannot be
    /// interrupted, so it passes to the enclosing scope as parallel children do, and that scope waits for it.
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

    /// Is told of children and finalizers that were dropped because they overran the [grace](ScopeFuture::grace).
    ///
    /// See [`Notice`]; there are no errors here. The observer is called while the scope is polled, so it must not block.
    pub fn observe(mut self, observer: impl FnMut(Notice<Infallible>) + Send + 'static) -> Self {
        self.machine.policy.observer = Some(Box::new(observer));
        self
    }

    /// Resolves to an error where the scope was cancelled before its body had a value, instead of panicking.
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

    /// Bounds the wait for adopted futures when the body is over.
    pub(super) fn linger(mut self, linger: Duration) -> Self {
        self.machine.policy.linger = Some(linger);
        self
    }
}

impl<'env, F, T, E, K: Kind> TryScopeFuture<'env, F, T, E, K> {
    pub(super) fn new(body: F, machine: Machine<'env, T, E, K>) -> Self {
        TryScopeFuture { body: Some(body), machine }
    }

    /// Names the scope, for reports. An error of the body bears this name, too; see [`ScopeFuture::named`].
    pub fn named(mut self, name: impl Into<Name>) -> Self {
        self.machine.policy.name = name.into();
        self
    }

    /// Bounds each step of a wind-down; see [`ScopeFuture::grace`].
    pub fn grace(mut self, grace: Duration) -> Self {
        self.machine.policy.grace = Some(grace);
        self
    }

    /// Is told what is not part of the result: errors after the first, and overruns. See [`Notice`].
    ///
    /// The observer is called while the scope is polled, so it must not block. It is the place to log what is not returned.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let result = foster::try_scope(async |s| {
    ///     s.defer(async { Err("could not close") });
    ///     Err::<(), _>("could not write")
    /// }).observe(move |event| tell.send(event).unwrap());
    /// assert_eq!(result.await, Err("could not write"));
    /// assert!(matches!(told.recv(), Ok(foster::scope::Notice::LateError { error: "could not close", .. })));
    /// # });
    /// ```
    pub fn observe(mut self, observer: impl FnMut(Notice<E>) + Send + 'static) -> Self {
        self.machine.policy.observer = Some(Box::new(observer));
        self
    }

    /// Lets the other children run on when one fails, and resolves to all errors.
    ///
    /// The body runs on, too; its value is lost if there was an error. Awaiting the task of a child that failed panics then, as
    /// there is no value: [`Task::outcome`](crate::Task::outcome) says so instead. A panic cancels as ever. The counterpart of
    /// Kotlin's `supervisorScope`.
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

    /// Resolves to an error where the scope was cancelled before its body had a value, instead of panicking.
    ///
    /// As [`ScopeFuture::outcome`], around the scope's own `Result`: an `Err` of a child is `Ok(Err(_))`.
    pub fn outcome(self) -> ScopeOutcome<Self> {
        ScopeOutcome { scope: self }
    }
}

/// A scope's future whose options can still be set.
pub(super) trait Options {
    /// How the scope's children may fail.
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

/// A scope's future that can say that it was cancelled. Not to be named from outside.
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
        let this = self.project();
        this.machine.poll(this.body, cx).map(|end| end.output.ok_or_else(|| cancelled(end.reason)))
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
        this.machine.poll(this.body, cx).map(|End { output, errors, reason }| {
            let mut errors = errors.into_iter();
            let first = errors.next();
            if let Some(observer) = &mut this.machine.policy.observer {
                errors.for_each(|(task, error)| observer(Notice::LateError { task, error }));
            }
            match (first, output) {
                (Some((_, error)), _) => Ok(Err(error)),
                (None, Some(output)) => Ok(Ok(output)),
                (None, None) => Err(cancelled(reason)),
            }
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
        this.machine.poll(this.body, cx).map(|End { output, errors, reason }| match output {
            _ if !errors.is_empty() => Ok(Err(Errors { list: errors })),
            Some(output) => Ok(Ok(output)),
            None => Err(cancelled(reason)),
        })
    }
}

/// The value of a scope's body, which may have been cancelled before it had one: quietly, where the value
/// would have said nothing.
fn value<T>(outcome: Result<T, Cancelled>) -> T {
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

/// The same for a body that may fail.
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
    /// The future of [`TryScopeFuture::keep_going`].
    ///
    /// # Errors
    ///
    /// All errors, of the body and of the children, in the order in which they happened.
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
    /// Names the scope, for reports. See [`TryScopeFuture::named`].
    pub fn named(mut self, name: impl Into<Name>) -> Self {
        self.policy().name = name.into();
        self
    }

    /// Bounds each step of a wind-down. See [`ScopeFuture::grace`].
    pub fn grace(mut self, grace: Duration) -> Self {
        self.policy().grace = Some(grace);
        self
    }

    /// Registers a callback for what is not part of the result: here overruns, and errors beside a
    /// panic. See [`TryScopeFuture::observe`].
    pub fn observe(mut self, observer: impl FnMut(Notice<E>) + Send + 'static) -> Self {
        self.policy().observer = Some(Box::new(observer));
        self
    }

    /// Resolves to an error where the scope was cancelled before its body had a value, instead of
    /// panicking.
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
    /// The future of [`ScopeFuture::outcome`], [`TryScopeFuture::outcome`] and [`KeepGoing::outcome`].
    ///
    /// # Errors
    ///
    /// [`Cancelled`], where the scope was cancelled before its body had a value.
    #[must_use = "a scope runs nothing unless polled"]
    pub struct ScopeOutcome<S> {
        #[pin]
        scope: S,
    }
}

#[allow(private_bounds)]
impl<S: Options> ScopeOutcome<S> {
    /// Names the scope, for reports. See [`ScopeFuture::named`].
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
    /// Lets the other children run on when one fails, and resolves to all errors. See
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

/// All errors of a scope that kept going: at least one.
///
/// As an error, its [source](std::error::Error::source) is the first of them, and its text names them all:
///
/// ```
/// # futures::executor::block_on(async {
/// let errors = foster::try_scope(async |s| {
///     s.named("left").spawn(async { Err::<(), _>("no disk") });
///     s.named("right").spawn(async { Err::<(), _>("no net") });
///     Ok(())
/// }).keep_going().await.unwrap_err();
/// assert_eq!(errors.to_string(), "`left` failed: no disk; `right` failed: no net");
/// assert_eq!(errors.into_vec(), ["no disk", "no net"]);
/// # });
/// ```
#[derive(Debug)]
pub struct Errors<E> {
    list: Vec<(Name, E)>,
}

impl<E> Errors<E> {
    /// The errors, each with the name of what failed, in the order in which they happened.
    ///
    /// `for (name, error) in &errors` does the same, and `for (name, error) in errors` gives the
    /// errors away.
    pub fn iter(&self) -> ErrorsIter<'_, E> {
        ErrorsIter { list: self.list.iter() }
    }

    /// The errors alone.
    pub fn into_vec(self) -> Vec<E> {
        self.list.into_iter().map(|(_, error)| error).collect()
    }

    /// How many there are: never zero.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.list.len()
    }
}

/// The iterator of [`Errors::iter`].
#[derive(Debug)]
pub struct ErrorsIter<'a, E> {
    list: slice::Iter<'a, (Name, E)>,
}

impl<'a, E> Iterator for ErrorsIter<'a, E> {
    type Item = (&'a Name, &'a E);

    fn next(&mut self) -> Option<Self::Item> {
        self.list.next().map(|(name, error)| (name, error))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.list.size_hint()
    }
}

impl<E> ExactSizeIterator for ErrorsIter<'_, E> {}

impl<'a, E> IntoIterator for &'a Errors<E> {
    type Item = (&'a Name, &'a E);
    type IntoIter = ErrorsIter<'a, E>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<E> IntoIterator for Errors<E> {
    type Item = (Name, E);
    type IntoIter = vec::IntoIter<(Name, E)>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl<E: fmt::Display> fmt::Display for Errors<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, error)) in self.list.iter().enumerate() {
            write!(f, "{}`{name}` failed: {error}", if i == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl<E: std::error::Error + 'static> std::error::Error for Errors<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.list.first().map(|(_, error)| error as _)
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
