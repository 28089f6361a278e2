//! The attributes. They are made in a crate of their own, and documented here, where their examples
//! run.

/// Runs an `async fn main` on a runtime.
///
/// The attribute names the runtime. There is no default, because foster prefers none.
///
/// | attribute | feature | `main` runs by | threads |
/// |---|---|---|---|
/// | `#[foster::main(tokio)]` | `tokio` | [`Tokio::multi_thread`] | `threads = 4`, or one for each core |
/// | `#[foster::main(smol)]` | `smol` | [`Smol::global`] | from `SMOL_THREADS`, or one |
/// | `#[foster::main(async_std)]` | `async-std` | [`AsyncStd::global`] | from `ASYNC_STD_THREAD_COUNT`, or one a core |
/// | `#[foster::main(basic)]` | `basic` | [`Basic::thread_pool`] | `threads = 4`, or one for each core |
///
/// ```
/// # #[cfg(feature = "tokio")]
/// #[foster::main(tokio, threads = 2)]
/// async fn main() -> Result<(), std::num::ParseIntError> {
///     let sum = foster::scope(async |s| {
///         let one = s.spawn_parallel(async { "1".parse::<i32>() });
///         let two = s.spawn_parallel(async { "2".parse::<i32>() });
///         Ok(one.await? + two.await?)
///     });
///     assert_eq!(sum.await?, 3);
///     Ok(())
/// }
/// # #[cfg(not(feature = "tokio"))] fn main() {}
/// ```
///
/// This is short for
///
/// ```
/// # #[cfg(feature = "tokio")]
/// fn main() -> Result<(), std::num::ParseIntError> {
///     async fn main() -> Result<(), std::num::ParseIntError> {
///         // ..
/// #       Ok(())
///     }
///     foster::runtimes::Tokio::multi_thread(2).expect("a tokio runtime").run(main())
/// }
/// # #[cfg(not(feature = "tokio"))] fn main() {}
/// ```
///
/// Write that instead if you want another kind of the runtime, a [grace](crate::Handle::with_grace)
/// for adopted futures, or a runtime of your own.
///
/// Under `#[tokio::main]` foster finds tokio by itself, if the feature `tokio` is on. Under the
/// attribute of another runtime, the program sets it by [`Handle::enter`](crate::Handle::enter).
///
/// Where foster has another name, or is re-exported by another crate, `crate = my_crate::foster`
/// after the runtime says where it is, as for the attribute of tokio.
///
/// # Panics
///
/// Panics if the system refuses the threads, and where [`Handle::run`](crate::Handle::run) panics.
///
/// [`Tokio::multi_thread`]: crate::runtimes
/// [`Smol::global`]: crate::runtimes
/// [`AsyncStd::global`]: crate::runtimes
/// [`Basic::thread_pool`]: crate::runtimes
pub use foster_macros::main;

/// Makes one test for each runtime from an `async fn`. The attribute needs the feature `testing`.
///
/// ```
/// use foster::{scope, yield_now};
///
/// #[foster::test]
/// async fn a_child_outlives_its_spawner() {
///     let child = scope(async |s| { s.spawn(async { yield_now().await; 7 }).await });
///     assert_eq!(child.await, 7);
/// }
/// ```
///
/// The tests are `a_child_outlives_its_spawner::tokio`, `::smol` and so on, in a module of that
/// name. There is one for every runtime whose feature of foster is on. So `cargo test smol` runs
/// all tests on smol, and `cargo test a_child` runs this test everywhere.
///
/// | runtime | feature | is |
/// |---|---|---|
/// | `tokio` | `tokio` | a current-thread runtime |
/// | `tokio_multi` | `tokio` | a runtime of two threads |
/// | `smol` | `smol` | smol's global executor |
/// | `async_std` | `async-std` | async-std's global executor |
/// | `basic` | `basic` | a thread pool of two threads |
/// | `sim` | `testing` | the [simulation](crate::runtimes::Sim), in virtual time, once for each seed |
/// | `none` | | no runtime: an executor that only parks its thread. Only where it is listed |
///
/// The features that count are those that foster is built with, so put them into
/// `[dev-dependencies]`: `foster = { version = "0.1", features = ["testing", "tokio", "smol"] }`.
/// There is no test for a runtime whose feature is off. It is an error if that leaves no test at
/// all.
///
/// Use the attribute by its path. Where `use foster::*` imports its bare name, `#[test]` can no
/// longer be told from the standard attribute, and the compiler says so.
///
/// # Arguments
///
/// ```
/// # use std::time::Duration;
/// # #[derive(Debug)] struct Closed;
/// #[foster::test(runtimes(tokio, smol, sim), seeds = 200, timeout = "5s")]
/// async fn a_closed_queue_says_so() -> Result<(), Closed> {
///     foster::sleep(Duration::from_millis(10)).await;
///     Ok(())
/// }
/// ```
///
/// - `runtimes(..)`: the runtimes to test on. The default is all but `none`.
/// - `seeds = 200`: how many schedules `sim` [explores](crate::testing::explore), from seed 0 on.
///   The default is 20. A failure reports its seed and its steps, and `FOSTER_SEED=17` in the
///   environment runs that seed alone. A run that leaves something behind fails, too.
/// - `timeout = "5s"`: how long one test may take, with all its seeds, in `ms`, `s` or `m`. The
///   default is `"30s"`.
/// - `crate = my_crate::foster`: where foster is, if it has another name or is re-exported by
///   another crate. The tests stand in a module of their own, so the path begins with `crate`, `::`
///   or the name of a crate.
///
/// The timeout is by the wall clock, on a thread of its own. Neither virtual time nor a loop
/// without an `await` can hold it up. A test that hangs fails, and shows who waits in which scope.
/// It cannot be stopped, however, and its thread goes on until the test program ends.
///
/// # The function
///
/// It takes no arguments, and returns `()` or a `Result<(), E>` with `E: Debug`. An `Err` fails the
/// test. Its future need not be `Send`. `#[should_panic]` and `#[ignore]` go to each of the tests,
/// and all other attributes stay with the function. A test with `#[should_panic]` that hangs fails,
/// too.
#[cfg(feature = "testing")]
pub use foster_macros::test;
