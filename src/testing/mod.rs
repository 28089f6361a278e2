//! Tests concurrent code: every schedule, every cancellation, every runtime.
//!
//! This page takes a flaky test, finds the race in it, mends the race, and shows that it is gone.
//! It needs the feature `testing`, in `[dev-dependencies]`.
//!
//! # A test that passes almost always
//!
//! A hall has one seat left, and sells it to two customers. [`#[foster::test]`](macro@crate::test)
//! makes a test for each runtime whose feature is on:
//!
//! ```
//! use foster::{local, sleep};
//! use std::{cell::Cell, time::Duration};
//!
//! const MS: Duration = Duration::from_millis(1);
//!
//! struct Hall { free: Cell<i32>, sold: Cell<i32> }
//! # impl Hall {
//! #     fn new(seats: i32) -> Self { Hall { free: Cell::new(seats), sold: Cell::new(0) } }
//! # }
//!
//! async fn charge() {
//!     sleep(5 * MS).await; // the customer's bank
//! }
//!
//! async fn book(hall: &Hall) -> bool {
//!     if hall.free.get() == 0 {
//!         return false;
//!     }
//!     charge().await;
//!     hall.free.set(hall.free.get() - 1);
//!     hall.sold.set(hall.sold.get() + 1);
//!     true
//! }
//!
//! #[foster::test]
//! async fn a_seat_is_sold_once() {
//!     let hall = &Hall::new(1);
//!     local::scope(async |s| {
//!         s.named("early").spawn(book(hall));
//!         s.named("late").spawn(async move { sleep(5 * MS).await; book(hall).await });
//!     })
//!     .await;
//!     assert_eq!(hall.sold.get(), 1);
//! }
//! ```
//!
//! The late customer asks at the moment at which the early one has paid. Usually that is just
//! after, and then the test passes.
//!
//! # Finding the race
//!
//! `a_seat_is_sold_once::sim` runs in a [simulation](crate::runtimes::Sim). Its time is virtual and
//! jumps to the next timer when nothing is ready, and a seed decides the order of events. There are
//! 20 seeds, or as many as `#[foster::test(runtimes(sim), seeds = 200)]` asks for. Outside the
//! attribute, use [`explore`], or [`Explore`] if you want the result as a value, as here:
//!
//! ```
//! use foster::testing::Explore;
//! # use foster::{local, sleep};
//! # use std::{cell::Cell, time::Duration};
//! # const MS: Duration = Duration::from_millis(1);
//! # struct Hall { free: Cell<i32>, sold: Cell<i32> }
//! # impl Hall {
//! #     fn new(seats: i32) -> Self { Hall { free: Cell::new(seats), sold: Cell::new(0) } }
//! # }
//! # async fn charge() { sleep(5 * MS).await }
//! # async fn book(hall: &Hall) -> bool {
//! #     if hall.free.get() == 0 { return false }
//! #     charge().await;
//! #     hall.free.set(hall.free.get() - 1);
//! #     hall.sold.set(hall.sold.get() + 1);
//! #     true
//! # }
//! # async fn evening() {
//! #     let hall = &Hall::new(1);
//! #     local::scope(async |s| {
//! #         s.named("early").spawn(book(hall));
//! #         s.named("late").spawn(async move { sleep(5 * MS).await; book(hall).await });
//! #     })
//! #     .await;
//! #     assert_eq!(hall.sold.get(), 1);
//! # }
//!
//! // `evening` has the body of the test above.
//! let failure = Explore::new().seeds(0..200).run(evening).unwrap_err();
//! assert!(failure.message().contains("left: 2"));
//! assert_eq!(failure.replay(), "FOSTER_SEED=1");
//! // The same run again, and nothing but this run.
//! let again = Explore::new().seeds(failure.seed()..failure.seed() + 1).run(evening).unwrap_err();
//! assert_eq!(again.trace(), failure.trace());
//! ```
//!
//! The test panics with that [`Failure`]:
//!
//! ```text
//! schedule 2 failed, with seed 1: assertion `left == right` failed
//!   left: 2
//!  right: 1
//! its steps were:
//!   main > `late` #2 > `early` #1
//!   the clock moves to 5ms
//!   main > `late` #2 > `early` #1
//!   the clock moves to 10ms
//!   main > `late` #2
//! to run exactly this one: FOSTER_SEED=1 cargo test a_seat_is_sold_once::sim
//! ```
//!
//! The steps are those of tasks and, in a scope, of its children. Here `late` asked before `early`
//! went on. A task has the name that [`named`](crate::Scope::named) gave it, or else the line that
//! spawned it. The last line of the failure runs this schedule alone, on any machine, for example
//! under a debugger.
//!
//! A run also fails if it cannot go on, and then names who waits for what. It fails, too, if it
//! leaves a task or a child behind.
//!
//! For a bug that needs several rare orders at once, use [`Explore::priority`]. Its chance of
//! finding the bug is known.
//!
//! # Mending it
//!
//! The seat must be taken before the `await`, and not after it. For a program as small as this,
//! [`explore_all`] shows more than that no seed fails, because it runs *all* schedules.
//!
//! ```
//! use foster::testing::explore_all;
//! # use foster::{local, sleep};
//! # use std::{cell::Cell, time::Duration};
//! # const MS: Duration = Duration::from_millis(1);
//! # struct Hall { free: Cell<i32>, sold: Cell<i32> }
//! # impl Hall {
//! #     fn new(seats: i32) -> Self { Hall { free: Cell::new(seats), sold: Cell::new(0) } }
//! # }
//! # async fn charge() { sleep(5 * MS).await }
//! # async fn evening() {
//! #     let hall = &Hall::new(1);
//! #     local::scope(async |s| {
//! #         s.named("early").spawn(book(hall));
//! #         s.named("late").spawn(async move { sleep(5 * MS).await; book(hall).await });
//! #     })
//! #     .await;
//! #     assert_eq!(hall.sold.get(), 1);
//! # }
//!
//! async fn book(hall: &Hall) -> bool {
//!     if hall.free.get() == 0 {
//!         return false;
//!     }
//!     hall.free.set(hall.free.get() - 1);
//!     charge().await;
//!     hall.sold.set(hall.sold.get() + 1);
//!     true
//! }
//!
//! let explored = explore_all(evening);
//! assert_eq!(explored.schedules(), 4);
//! ```
//!
//! # Cancelling everywhere
//!
//! A customer may go away, since every future may be dropped where it awaits.
//! [`cancel_at_every_await`] drops a future at one suspension after the other, and checks what is
//! left. Here a seat is left that is taken but not sold.
//!
//! ```
//! use foster::testing::EveryAwait;
//! # use foster::{local, sleep};
//! # use std::{cell::Cell, time::Duration};
//! # const MS: Duration = Duration::from_millis(1);
//! # struct Hall { free: Cell<i32>, sold: Cell<i32> }
//! # impl Hall {
//! #     fn new(seats: i32) -> Self { Hall { free: Cell::new(seats), sold: Cell::new(0) } }
//! # }
//! # async fn charge() { sleep(5 * MS).await }
//! # async fn book(hall: &Hall) -> bool {
//! #     if hall.free.get() == 0 { return false }
//! #     hall.free.set(hall.free.get() - 1);
//! #     charge().await;
//! #     hall.sold.set(hall.sold.get() + 1);
//! #     true
//! # }
//!
//! let hall = Hall::new(9);
//! let check = || assert_eq!(hall.free.get() + hall.sold.get(), 9, "a seat is lost");
//!
//! let failure = EveryAwait::new().run(|| book(&hall), check).unwrap_err();
//! assert_eq!((failure.suspension(), failure.waiting_for()), (Some(1), "sleep of 5ms"));
//! ```
//!
//! So a guard gives the seat back:
//!
//! ```
//! use foster::testing::cancel_at_every_await;
//! # use foster::{local, sleep};
//! # use std::{cell::Cell, time::Duration};
//! # const MS: Duration = Duration::from_millis(1);
//! # struct Hall { free: Cell<i32>, sold: Cell<i32> }
//! # impl Hall {
//! #     fn new(seats: i32) -> Self { Hall { free: Cell::new(seats), sold: Cell::new(0) } }
//! # }
//! # async fn charge() { sleep(5 * MS).await }
//!
//! struct Kept<'a>(&'a Hall);
//!
//! impl Drop for Kept<'_> {
//!     fn drop(&mut self) {
//!         self.0.free.set(self.0.free.get() + 1);
//!     }
//! }
//!
//! async fn book(hall: &Hall) -> bool {
//!     if hall.free.get() == 0 {
//!         return false;
//!     }
//!     hall.free.set(hall.free.get() - 1);
//!     let kept = Kept(hall);
//!     charge().await;
//!     std::mem::forget(kept);
//!     hall.sold.set(hall.sold.get() + 1);
//!     true
//! }
//!
//! let hall = Hall::new(9);
//! let check = || assert_eq!(hall.free.get() + hall.sold.get(), 9, "a seat is lost");
//! cancel_at_every_await(|| book(&hall), check);
//! ```
//!
//! [`EveryAwait`] takes several seeds, and can cancel as foster does instead of dropping.
//!
//! # Injecting faults
//!
//! Virtual time is exact. If the late customer came after 6 ms instead of 5, no seed would find the
//! race. A real machine is not exact, and [`Faults`] make the simulation like it: timers are late,
//! tasks are refused or thrown away, and wake-ups are spurious.
//!
//! ```
//! use foster::testing::{Explore, Faults};
//! # use foster::{local, sleep};
//! # use std::{cell::Cell, time::Duration};
//! # const MS: Duration = Duration::from_millis(1);
//! # struct Hall { free: Cell<i32>, sold: Cell<i32> }
//! # impl Hall {
//! #     fn new(seats: i32) -> Self { Hall { free: Cell::new(seats), sold: Cell::new(0) } }
//! # }
//! # async fn charge() { sleep(5 * MS).await }
//! # struct Kept<'a>(&'a Hall);
//! # impl Drop for Kept<'_> {
//! #     fn drop(&mut self) { self.0.free.set(self.0.free.get() + 1) }
//! # }
//! # async fn book(hall: &Hall) -> bool {
//! #     if hall.free.get() == 0 { return false }
//! #     hall.free.set(hall.free.get() - 1);
//! #     let kept = Kept(hall);
//! #     charge().await;
//! #     std::mem::forget(kept);
//! #     hall.sold.set(hall.sold.get() + 1);
//! #     true
//! # }
//!
//! let faults = Faults::none().delay_timers(10 * MS).spurious_wakes(0.1);
//! Explore::new().seeds(0..200).faults(faults).check(|| async {
//!     let hall = &Hall::new(1);
//!     local::scope(async |s| {
//!         s.named("early").spawn(book(hall));
//!         s.named("late").spawn(async move { sleep(6 * MS).await; book(hall).await });
//!     })
//!     .await;
//!     assert_eq!((hall.free.get(), hall.sold.get()), (0, 1));
//! });
//! ```
//!
//! # Controlling the order by hand
//!
//! For a test of one certain order there are probes:
//!
//! - A [`Gate`] makes others wait until the test opens it.
//! - [`settle`] waits until nothing else is ready, and [`advance`] moves the clock.
//! - [`Drops`] and [`Polls`] count.
//! - [`poll_once`] and [`CountingWaker`] drive a future without a runtime.
//! - [`waiting_for`] gives an awaited future a name in the reports.
//!
//! ```
//! use foster::testing::{Drops, Gate, settle};
//!
//! foster::runtimes::Sim::new(0).run(foster::local::scope(async |s| {
//!     let (gate, drops) = (Gate::named("the bank"), Drops::new());
//!     let (bank, connection) = (gate.clone(), drops.guard());
//!     s.spawn(async move {
//!         let _connection = connection;
//!         bank.wait().await;
//!     });
//!     settle().await;
//!     assert_eq!(drops.alive(), 1);
//!     gate.open();
//!     settle().await;
//!     assert_eq!(drops.alive(), 0);
//! }));
//! ```
//!
//! # Testing an adapter
//!
//! If you [implement a runtime](crate::runtime), [`conformance`] tests it in one line.
//!
//! ```
//! # #[cfg(feature = "basic")]
//! foster::testing::conformance::run(|| foster::runtimes::Basic::current_thread());
//! ```

mod cancel;
mod clock;
pub mod conformance;
mod explore;
mod failure;
#[doc(hidden)]
pub mod harness;
mod probes;
mod watch;

pub use cancel::{CancelFailure, EveryAwait, Report, cancel_at_every_await};
pub use clock::{Settle, advance, settle};
pub use explore::{Explore, Explored, explore, explore_all};
pub use failure::Failure;
pub use probes::{
    CountingWaker, DropGuard, Drops, Gate, GateWait, PollOnce, Polled, Polls, WaitingFor, poll_once, waiting_for,
};

pub use crate::runtimes::sim::{Fault, Faults, Moment, Trace};
