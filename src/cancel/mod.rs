//! Cancels futures, and lets what is inside them finish its cleanup first.
//!
//! In Rust a future is cancelled by dropping it. A dropped future cannot await anything on its way
//! out, and what it runs on other threads does not hear of the drop. foster cancels in two steps
//! instead. It tells what is inside that it is cancelled, and goes on polling it until everything
//! that needs time has ended. Only then does it drop the future, and only then does the cancelling
//! operation return: [`timeout`] its error, [`race`] the winner's value, a failed [`try_scope`] its
//! `Err`.
//!
//! This works with borrowed data, on any runtime, and through combinators that know nothing of
//! foster. Where nothing inside needs time, the future is dropped at once, as everywhere in Rust.
//!
//! This page lets you predict what happens in each case. If you read only one part of it, read the
//! [table](#predict-each-case).
//!
//! # Regions
//!
//! A *region* is a part of a program that is cancelled as a whole. Regions nest as the futures do:
//!
//! ```text
//! timeout, or run_until_cancelled
//! └─ what it guards ────────── region
//!    └─ scope
//!       ├─ body ───────────── region
//!       │  └─ join!                        makes no region
//!       │     ├─ race                      or select!, hedge, quorum, try_gather
//!       │     │  ├─ one future ── region
//!       │     │  └─ another ───── region
//!       │     └─ shield ───────── fresh region, needs time
//!       ├─ child ──────────── region
//!       │  └─ scope …
//!       ├─ parallel child ─── region, needs time
//!       ├─ blocking job ───── no region, needs time
//!       ├─ adopted future ─── fresh region, needs time
//!       └─ finalizer ──────── fresh region, needs time
//! ```
//!
//! | region | is cancelled when |
//! |---|---|
//! | the body of a [`scope`][scope], and each child | the scope fails or is cancelled |
//! | a child | also by [`Task::cancel`] |
//! | what a [`timeout`] guards | the deadline passes |
//! | what [`Token::run_until_cancelled`] runs | the token is cancelled |
//! | a future of [`race`] or [`race_ok`], an arm of [`select!`] | another one wins |
//! | an attempt of [`hedge`] | another one has a value |
//! | a future of [`quorum`] | the outcome is known |
//! | a future of [`try_gather`], an item of [`try_each_concurrent`] | another one fails |
//! | any region | an enclosing region is cancelled |
//!
//! [`gather`], [`as_completed`] and `join!` cancel nothing. So they make no regions, and their
//! futures belong to the enclosing one.
//!
//! Cleanup must work while its surroundings are cancelled. A [`shield`], an [adopted](adopt) future
//! and a [finalizer] therefore run in a *fresh* region, which no enclosing region cancels, and
//! under no enclosing deadline. A blocking job, and the destructors of what foster drops, run in no
//! region. They see the enclosing deadline, runtime and inherited values.
//!
//! A region *needs time* while one of these is inside, at any depth:
//!
//! - a [`shield`], an [`adopt`] or a [`bracket`] that has begun,
//! - a scope that has finalizers, parallel children, blocking jobs, futures that it has adopted, or
//!   an error or a panic that it has yet to return.
//!
//! Each of them takes a *hold* on its region, and releases it when it has ended. A region without
//! holds and without listeners allocates nothing.
//!
//! # Three levels
//!
//! A cancellation has three levels. Each reaches everything inside but fresh regions, and none is
//! taken back. The first drops nothing.
//!
//! | level | comes from | effect |
//! |---|---|---|
//! | *asked* | [`Scope::stop`], [`Token::cancel`] | code that listens is woken |
//! | *cancelled* | the table above; the grace of `stop` has passed | the region is wound down |
//! | *overdue* | a [grace](#how-long-it-takes) has passed | what still runs is dropped, and named |
//!
//! Code listens through a [`Token`]: [`Scope::stop_token`] returns that of a scope, and
//! [`Token::current`] that of the region. [`Token::is_cancelled`] is true from the first level on,
//! since code that listens does the same at each: it ends soon. The [`Reason`] is that of the first
//! cause, and no later one replaces it.
//!
//! # Step by step
//!
//! In this program a timeout guards a scope, whose body awaits a second scope inside `join!`:
//!
//! ```
//! # #[cfg(feature = "sim")]
//! foster::runtimes::Sim::default().run(async {
//!     use foster::{local, now, sleep, timeout};
//!     use std::{cell::RefCell, future::pending, time::Duration};
//!
//!     let (start, second) = (now(), Duration::from_secs(1));
//!     let log = RefCell::new(Vec::new());
//!     let cleanup = async |name| {
//!         sleep(second).await;
//!         log.borrow_mut().push((name, now() - start));
//!     };
//!
//!     let late = timeout(second, local::scope(async |outer| {
//!         outer.defer(cleanup("outer"));
//!         futures::join!(
//!             local::scope(async |inner| {
//!                 inner.defer(cleanup("inner"));
//!                 pending::<()>().await
//!             }),
//!             pending::<()>(),
//!         )
//!     }));
//!
//!     assert!(late.await.is_err());
//!     assert_eq!(now() - start, 3 * second);
//!     assert_eq!(*log.borrow(), [("inner", 2 * second), ("outer", 3 * second)]);
//! });
//! ```
//!
//! 1. The timer fires. The timeout polls its future once more, since a value wins a tie, and finds
//!    it pending.
//! 2. It cancels the region. This wakes the code inside that listens, in both scopes. If there were
//!    no holds, the timeout would drop the future now, and return in the same poll.
//! 3. It polls on. The outer scope sees that it is cancelled, and drops its body and its children,
//!    the newest first, except those that have holds. Here the body has one, that of the inner
//!    scope, and so is polled on. Parallel children are told to end.
//! 4. `join!` polls the inner scope, which does the same. Nothing in its body needs time, so the
//!    body is dropped. Its finalizers run, one after the other, the last one first. Then it
//!    releases its hold, and stays pending: it will be dropped, and `join!` must not take it for
//!    completed.
//! 5. The outer scope sees that its body has no holds left, and drops it, with `join!` and the
//!    inner scope. It runs its own finalizers, releases its hold, and stays pending.
//! 6. The timeout sees that there are no holds left, drops the outer scope, and returns
//!    [`Elapsed`].
//!
//! So scopes end from the inside out. What lies between two of them may be anything that polls what
//! is woken: `FuturesUnordered`, a tower service, a state machine written by hand.
//!
//! # Predict each case
//!
//! Code that is not foster's (`tokio::select!`, a timeout of a runtime, `JoinHandle::abort`, a
//! plain `drop`) cannot wait for what it drops. Then only what is `'static` survives. It passes to
//! the nearest enclosing scope, or to the root, which is [`Handle::run`] or [`Handle::enter`], and
//! is finished before that completes. Where there is neither, and the drop happens on a thread of
//! tokio's, a task of tokio finishes it. That needs the feature `tokio`, and helps in the
//! [handlers of a web framework](crate::guide::web), which are dropped when their client hangs up.
//!
//! The first column is for what foster cancels, the others are for what other code drops:
//!
//! | what is inside | foster | in a scope or root | in neither, on tokio | in neither |
//! |---|---|---|---|---|
//! | a future that waits | dropped | dropped | dropped | dropped |
//! | a child that has not begun | dropped | dropped | dropped | dropped |
//! | a body, or a child on this task | wound down | dropped | dropped | dropped |
//! | a [parallel child] | told, waited for | told, the scope waits | told, tokio waits | told |
//! | a [blocking job] that has begun | waited for | the scope waits | tokio waits | runs on |
//! | a [finalizer] | runs | dropped | dropped | dropped |
//! | a [`shield`] that has begun | completes | dropped | dropped | dropped |
//! | an [`adopt`] that has begun | completes | passes to the scope | passes to tokio | dropped |
//! | the release of a [`bracket`] | runs | passes to the scope | passes to tokio | dropped |
//!
//! *Wound down* means told, polled while there are holds inside, and then dropped. A parallel child
//! that is told winds down by itself, on its runtime: so what is inside it finds itself in the
//! first column always, shields and finalizers included. A child that has not begun is dropped
//! unpolled, also where it waits in the queue of a runtime or pool. A scope's token is cancelled in
//! every column. The first column holds as well for the siblings of a child that failed, and for
//! the losers of a race.
//!
//! The same work under the first two columns:
//!
//! ```
//! # #[cfg(feature = "sim")] {
//! use foster::{adopt, queue, runtimes::Sim, scope, shield, sleep, timeout};
//! use futures::future::select;
//! use std::{pin::pin, time::Duration};
//!
//! const SECOND: Duration = Duration::from_secs(1);
//! type Log = queue::Sender<&'static str>;
//!
//! async fn step(log: Log, name: &'static str) {
//!     sleep(2 * SECOND).await;
//!     log.try_send(name).unwrap();
//! }
//!
//! async fn work(log: Log) {
//!     scope(async |s| {
//!         let step = |name| step(log.clone(), name);
//!         s.defer(step("finalizer"));
//!         s.spawn(step("child"));
//!         s.spawn(shield(step("shield")));
//!         s.spawn(adopt(step("adopted")));
//!         s.spawn_parallel(shield(step("shield in a parallel child")));
//!     })
//!     .await
//! }
//!
//! fn completed(log: queue::Receiver<&'static str>) -> Vec<&'static str> {
//!     let mut names = log.close_now();
//!     names.sort();
//!     names
//! }
//!
//! // foster cancels it.
//! let (log, entries) = queue::unbounded();
//! assert!(Sim::default().run(timeout(SECOND, work(log))).is_err());
//! let all_but_the_child = ["adopted", "finalizer", "shield", "shield in a parallel child"];
//! assert_eq!(completed(entries), all_but_the_child);
//!
//! // A select that is not foster's drops it, within a scope.
//! let (log, entries) = queue::unbounded();
//! Sim::default().run(scope(async |_| {
//!     select(pin!(work(log)), pin!(sleep(SECOND))).await;
//! }));
//! assert_eq!(completed(entries), ["adopted", "shield in a parallel child"]);
//! # }
//! ```
//!
//! # What does not start
//!
//! A shield, a scope, a timeout, a race or a sleep of foster's that is *first polled* in a
//! cancelled region stays pending. Otherwise `loop { shield(step()).await }` would never end. That
//! holds from the moment of the cancellation on, also for the code that has asked for it, in the
//! same poll. What has begun and needs time goes on. Code in between runs up to its next
//! suspension. If it blocks its thread on what does not start, it blocks for ever.
//!
//! A timeout whose deadline passes in a region that was cancelled before, or earlier in the same
//! poll, reports nothing, and is dropped: the other cause came first. The same holds for
//! [`run_until_cancelled`](Token::run_until_cancelled), if its token is cancelled after the region.
//!
//! # Values, errors and panics
//!
//! A value that the inside produces while it is wound down is delivered: a `timeout` whose future
//! completes then returns `Ok`. A scope that is wound down from outside produces none, unless an
//! error or a panic came up, from a child's last poll or from a finalizer. Cleanup that fails is
//! reported, so this error wins over `Elapsed`:
//!
//! ```
//! # #[cfg(feature = "sim")]
//! foster::runtimes::Sim::default().run(async {
//!     use foster::{timeout, try_scope};
//!     use std::{future::pending, time::Duration};
//!
//!     let late = timeout(Duration::from_secs(1), try_scope(async |s| {
//!         s.defer(async { Err("the disk is full") });
//!         pending::<Result<(), _>>().await
//!     }));
//!     assert_eq!(late.await, Ok(Err("the disk is full")));
//! });
//! ```
//!
//! A child that panics is dropped at once, with everything in it, as when other code drops it. The
//! scope then cancels its other children, waits for them, and resumes the panic. If other code
//! drops the scope while it waits, the panic passes to the enclosing scope, and is resumed from
//! `drop` where there is none.
//!
//! # How long it takes
//!
//! A wind-down takes as long as the cleanup does, unless a grace bounds it.
//!
//! - The [grace of a scope] bounds each step of that scope's own wind-down: the end of the body and
//!   the children, then each finalizer. A child that has not ended by then is overdue.
//! - The [grace of a timeout] bounds the whole. When it has passed, all that is inside is overdue.
//!   [`Elapsed::overrun`] names the shields, children and finalizers that were dropped.
//! - The [grace of a handle] bounds how long a root waits, after its future has completed, for what
//!   it has adopted.
//!
//! In what is overdue, shields and running finalizers are dropped, finalizers that had no turn are
//! polled once, and what is `'static` passes to the enclosing scope. What nobody polls any more is
//! dropped last. So an inner grace cannot outlast an outer one, which reaches everything inside.
//!
//! # Limits
//!
//! - Cleanup that borrows cannot survive a drop by other code: finalizers and shields are dropped.
//!   Use [`adopt`] where that matters, and cancel through foster wherever you can.
//! - A blocking job that has begun cannot be interrupted. Have it look at a token now and then.
//! - Where neither a scope, nor a root, nor tokio encloses the drop, nobody is left to run cleanup.
//! - `mem::forget` of a scope's future leaks it: its children never run again, nor are they
//!   dropped. This is safe. If the scope has a hold, it keeps it, and only a grace ends a wind-down
//!   of the enclosing region.
//! - Somebody must poll what has a hold. If the code in between stores a scope or a shield, and has
//!   stopped polling it, the wind-down waits for it for ever, or until a grace has passed. Then it
//!   is dropped, and not named. Drop what you no longer poll.
//! - A shield that waits for what only a cancelled sibling would have done waits for ever.
//! - A token that was taken by [`Token::current`] in a `timeout` or a race that other code drops is
//!   not cancelled by that drop. That of a scope is.
//!
//! # Where this comes from
//!
//! Scopes that nest, shields, and deadlines that reach up to the nearest shield are Trio's. The
//! reason, with its first cause, is asyncio's and anyio's. The token is .NET's, by way of
//! tokio-util. Those languages throw an exception into a suspended function; here holds, and
//! polling on, take its place.
//!
//! [scope]: fn@crate::scope
//! [`shield`]: fn@crate::shield
//! [`try_scope`]: crate::try_scope
//! [`Scope::stop`]: crate::Scope::stop
//! [`Scope::stop_token`]: crate::Scope::stop_token
//! [`Task::cancel`]: crate::Task::cancel
//! [parallel child]: crate::Scope::spawn_on
//! [blocking job]: crate::Scope::spawn_blocking
//! [finalizer]: crate::Scope::defer
//! [`timeout`]: crate::timeout
//! [`Elapsed`]: crate::Elapsed
//! [`Elapsed::overrun`]: crate::Elapsed::overrun
//! [grace of a scope]: crate::scope::ScopeFuture::grace
//! [grace of a timeout]: crate::time::Timeout::grace
//! [grace of a handle]: crate::Handle::with_grace
//! [`Handle::run`]: crate::Handle::run
//! [`Handle::enter`]: crate::Handle::enter
//! [`race`]: crate::race
//! [`race_ok`]: crate::race_ok
//! [`select!`]: crate::select
//! [`hedge`]: crate::future::hedge
//! [`quorum`]: crate::future::quorum
//! [`try_gather`]: crate::try_gather
//! [`try_each_concurrent`]: crate::ConcurrentIterator::try_each_concurrent
//! [`gather`]: crate::gather
//! [`as_completed`]: crate::as_completed
//! [`bracket`]: crate::bracket()

mod adopt;
mod idle;
pub(crate) mod reason;
mod region;
mod regions;
mod shield;
pub(crate) mod token;
mod until;

pub use adopt::{Adopt, adopt};
pub(crate) use idle::Idle;
pub use reason::{Cancelled, Reason};
pub(crate) use region::Region;
pub(crate) use regions::Regions;
pub use shield::{Shield, shield};
pub use token::{Token, WaitCancelled};
pub use until::RunUntilCancelled;
