//! Testing concurrent code: every schedule, every cancellation, every runtime.
//!
//! This page goes from a flaky test to a race that is found, mended, and shown to be gone. It needs the feature `testing`,
//! in `[dev-dependencies]`.
//!
//! # A test that passes almost always
//!
//! A hall has one seat left, and sells it to two customers. [`#[foster::test]`](macro@crate::test) makes a test for each
//! runtime whose feature is on:
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
//! The late customer asks at the moment when the early one has paid: on most days just after, and then the test passes.
//!
//! # Found
//!
//! `a_seat_is_sold_once::sim` runs in a [simulation](crate::runtimes::Sim): in virtual time, which jumps to the next timer
//! when nothing is ready, and in an order that a seed decides. There are 20 seeds, or as many as are asked for:
//! `#[foster::test(runtimes(sim), seeds = 200)]`. Outside of the attribute there is [`explore`], and [`Explore`] where the
//! result is wanted as a value, as here:
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
//! let failure = Explore::new().seeds(0..200).run(evening).unwrap_err(); // the body of the test above
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
//! The steps are those of tasks and, in a scope, of its children: here `late` has asked before `early` went on. Tasks
//! have the name that [`named`](crate::Scope::named) gave them, or the line that spawned them. The last line
//! runs this schedule alone, say under a debugger, on any machine. A run also fails that cannot go on, naming who waits for what,
//! and one that leaves a task or a child behind.
//!
//! A bug that needs several rare orders at once may want [`Explore::priority`]: its chance of being found is known.
//!
//! # Mended
//!
//! The seat must be taken before the `await`, not after. For so small a program [`explore_all`] then shows more than that no
//! seed fails: it runs *all* schedules.
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
//! # Cancelled
//!
//! A customer may go away, as every future may be dropped where it awaits. [`cancel_at_every_await`] does that, at one
//! suspension after the other, and looks what is left. Here the seat is: taken, and not sold.
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
//! So a guard gives it back:
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
//! cancel_at_every_await(|| book(&hall), || assert_eq!(hall.free.get() + hall.sold.get(), 9, "a seat is lost"));
//! ```
//!
//! [`EveryAwait`] takes several seeds, and cancels by foster's own protocol if wanted.
//!
//! # When things go wrong
//!
//! Virtual time is exact: had the late customer come after 6 ms instead of 5, no seed would have found the race. A machine is
//! not, and [`Faults`] make the simulation as bad: timers are late, tasks refused or thrown away, wake-ups spurious.
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
//! # Steering by hand
//!
//! For a test of one certain order there are probes. A [`Gate`] lets others wait until the test opens it, [`settle`] waits until
//! nothing else is ready, [`advance`] moves the clock. [`Drops`] and [`Polls`] count, [`poll_once`] and [`CountingWaker`] drive
//! a future without a runtime, [`waiting_for`] gives what is awaited a name in the reports.
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
//! # An adapter of your own
//!
//! Whoever [brings a runtime along](crate::runtime) tests it with one line; see [`conformance`].
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
