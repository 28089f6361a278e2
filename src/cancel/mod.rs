//! Cancellation: one protocol for everything that can be cancelled.
//!
//! In Rust a future is cancelled by dropping it, at once and without a word. That is simple and cheap, and has two gaps:
//! what was running cannot *await* anything on its way out, and what runs elsewhere, on another thread, does not hear of it.
//! foster closes both for its own cancellations, with borrowed data, on any runtime, in between combinators that know
//! nothing of it. This page says how, so that you can predict every case.
//!
//! # Regions
//!
//! Everything that can be cancelled is a *region*: a scope's child, and its body; the inside of a
//! [`timeout`](crate::timeout); the future given to [`Token::run_until_cancelled`]; each future of a
//! [`try_gather`](crate::try_gather), of a [`race`](crate::race) and its like, and each arm of a
//! [`select!`](crate::select). Regions nest as the futures do. A region has a [`Token`], which is made when
//! something inside asks for it. Two things ask:
//!
//! - code that *listens*, because it wants to know: [`Token::current`], [`Scope::token`](crate::Scope::token);
//! - code that needs *time to end*, which takes a *hold* on the token: a [`shield`] while it runs; a scope as long as it has
//!   finalizers, parallel children or adopted futures. A region with holds inside counts as a hold on the region around it.
//!
//! A region with nothing of this kind inside costs no allocation, no atomic operation, and two pointer-sized moves a poll.
//!
//! # Winding down
//!
//! To cancel a region, its owner
//!
//! 1. *trips* the token, with a [`Reason`]: everything that listens, in this region or one inside it, is woken;
//! 2. keeps polling what is inside for as long as there are holds;
//! 3. drops it when there are none. If there were none to begin with, that is at once, in the same poll.
//!
//! Only then does the cancelling operation return: `timeout` its [`Elapsed`](crate::Elapsed), a failed `try_scope` its error.
//! It does not matter how many futures of other people's lie between the owner and the hold, as long as they
//! poll what is woken: `join!`, `FuturesUnordered`, a hand-written state machine.
//!
//! A scope that finds itself in a tripped region drops its body and its children, newest first, except those with holds of
//! their own; waits for these and for its parallel children, which have been told; runs its finalizers, the last one first;
//! releases its hold; and stays pending until it is dropped. So nested scopes end from the inside out:
//!
//! ```
//! # #[cfg(feature = "sim")]
//! foster::runtimes::Sim::default().run(async {
//!     use foster::{scope, sleep, timeout};
//!     use std::{cell::RefCell, time::Duration};
//!
//!     let second = Duration::from_secs(1);
//!     let log = RefCell::new(Vec::new());
//!     let log = &log;
//!
//!     let outcome = timeout(second, foster::local::scope(async |outer| {
//!         outer.defer(async move { sleep(second).await; log.borrow_mut().push("outer cleaned up") });
//!         futures::join!(
//!             foster::local::scope(async |inner| {
//!                 inner.defer(async move { sleep(second).await; log.borrow_mut().push("inner cleaned up") });
//!                 std::future::pending::<()>().await
//!             }),
//!             std::future::pending::<()>(),
//!         )
//!     }))
//!     .await;
//!
//!     assert!(outcome.is_err());
//!     assert_eq!(*log.borrow(), ["inner cleaned up", "outer cleaned up"]);
//! });
//! ```
//!
//! # What does not start any more
//!
//! A shield, a scope, a timeout or a sleep of foster's that is *first polled* in a tripped region stays pending. Otherwise
//! `loop { shield(step()).await }` would never end. What had begun goes on; code in between runs up to its
//! next suspension. A finalizer, and the inside of a shield, is a *fresh* region: tripped by nothing around it, under no
//! deadline from around it, so that its own timeouts, shields and scopes work as ever. A blocking job, and a destructor of
//! what is dropped, runs in no region, with the deadline, the runtime and the inherited values in force.
//!
//! A timeout whose deadline passes in a region that was cancelled before says nothing, and is dropped: whoever
//! cancelled it came first.
//!
//! # Values and errors on the way out
//!
//! A value that the inside produces while it is wound down is delivered: a `timeout` whose future becomes ready during the
//! wind-down returns `Ok` of it. A scope does not produce one then, unless it brought up an *error* or a *panic*, from a
//! child's last poll or from a finalizer: cleanup that fails is reported, not swallowed, and an error of the cleanup wins over
//! `Elapsed`.
//!
//! # How long
//!
//! As long as the cleanup takes, unless somebody says otherwise. `.grace(d)` on a [scope](crate::scope::ScopeFuture::grace)
//! bounds each step of its own wind-down: the children's end, and each finalizer. `.grace(d)` on a
//! [timeout](crate::time::Timeout::grace) bounds the whole: when it is over, shields give up, finalizers that are running are
//! dropped, those that had no turn are polled once, and [`Elapsed::overrun`](crate::Elapsed::overrun) names what
//! did not end in time. An inner grace cannot exceed an outer one, since being overdue reaches the whole subtree.
//!
//! # Dropped by somebody else
//!
//! `tokio::select!`, a foreign timeout or a plain `drop` cannot wait. Then children on this task are dropped at once, newest
//! first, and finalizers with them, unrun, since they may borrow what is about to go. What is `'static` passes to the
//! nearest scope around, which finishes it before it resolves: the wait for parallel children, which have been told to end, and
//! futures under [`adopt`]. So does the panic of a child, if the scope was still waiting for others; only where there is no
//! enclosing scope is it resumed from `drop`. At the root it passes to [`Handle::run`](crate::Handle::run) or
//! [`enter`](crate::Handle::enter), which wait within their grace. Where there is neither, but the drop happens on a thread of
//! tokio's, that runtime finishes it in a task of its own, with the feature `tokio`. Elsewhere adopted futures are dropped and
//! nobody waits.
//!
//! | | cancelled by foster | dropped by others |
//! |---|---|---|
//! | a child on this task | dropped at its suspension, or wound down if something in it needs time | dropped |
//! | a [parallel](crate::Scope::spawn_on) child | told, waited for | told; the scope around waits |
//! | a blocking job that has begun | waited for | the scope around waits |
//! | [`defer`](crate::Scope::defer) | runs to its end | dropped unrun |
//! | [`shield`] | runs to its end | dropped |
//! | [`adopt`] | runs to its end | the scope around runs it to its end |
//!
//! # Limits
//!
//! - A hold is released by being polled to its end, or dropped. If the code in between keeps a scope or a shield but has
//!   stopped polling it (a loser that a hand-made `select` loop still stores), the wind-down waits for it, for ever without
//!   a grace. Drop what you no longer poll.
//! - A shield that waits for a sibling which is never going to run any more waits for ever, likewise.
//! - When the *root* future is dropped outside [`Handle::run`](crate::Handle::run), nothing is left to poll any cleanup.
//! - `mem::forget` of a scope's future leaks its children; it is safe, and they never run again. A scope that has
//!   finalizers, parallel children or adopted futures keeps its hold then: a timeout around it waits for ever.
//!
//! # Where this comes from
//!
//! The shape (scopes that nest, shields, deadlines up to the nearest shield) is Trio's; the reason with its first cause is
//! asyncio's and anyio's; the token is .NET's, by way of tokio-util. Holds, and winding down by polling on, are what
//! replaces the exception that those languages throw into a suspended function.

mod region;
mod regions;
mod shield;
mod until;

pub use crate::token::{Cancelled, Reason, Token, WaitCancelled};
pub(crate) use region::Region;
pub(crate) use regions::Regions;
pub use shield::{Adopt, Shield, adopt, shield};
pub use until::UntilCancelled;
