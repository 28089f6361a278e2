//! Adapters for the runtimes that foster knows. Each is a value, behind a feature of its own name.
//!
//! | type | feature | constructors | tasks run | timers | blocking jobs |
//! |---|---|---|---|---|---|
//! | [`Tokio`] | `tokio` | `current`, `current_thread`, `multi_thread` | on tokio | tokio's, pausable | tokio's pool |
//! | [`Smol`] | `smol` | `global`, `executor` | on smol's threads, or an executor of yours | `async-io` | smol's pool |
//! | [`AsyncStd`] | `async-std` | `global` | on async-std's threads | `async-io`, boxed | async-std's pool |
//! | [`Basic`] | `basic` | `thread_pool`, `current_thread` | on `futures` executors | `futures-timer` | foster's pool |
//! | [`Sim`] | `sim` | `new(seed)` | on the thread that runs the simulation | virtual | as tasks of the simulation |
//!
//! # Which one to use
//!
//! If the application has a runtime already, use that one. If it has none, use [`Smol`] or
//! [`Tokio`] for programs with I/O, and [`Basic`] for programs without. In tests, use [`Sim`]
//! beside the others.
//!
//! Features only *add*. All five adapters can be compiled into one program, and work side by side
//! in it. Each dereferences to [`Handle`], which is the type that functions should take.
//! [`Handle::new`] makes a handle from a custom runtime.
//!
//! With the feature `tokio`, code that is polled on a thread of tokio finds that runtime by itself.
//! The other runtimes cannot be asked where they run, so a program enters them by [`Handle::run`]
//! or [`Handle::enter`].
//!
//! # When a runtime ends
//!
//! A runtime that was made here ends with its last handle. A task that holds a handle keeps its own
//! runtime alive. If nothing will ever wake that task again, it is never dropped.
//!
//! Children of scopes hold no handle. When their runtime ends, they end with it, and are
//! [cancelled](crate::Cancelled) by [`Shutdown`](crate::Reason::Shutdown). The destructors of such
//! a child find no runtime in their context.
//!
//! [`Handle`]: crate::runtime::Handle
//! [`Handle::new`]: crate::runtime::Handle::new
//! [`Handle::run`]: crate::runtime::Handle::run
//! [`Handle::enter`]: crate::runtime::Handle::enter
#![cfg_attr(not(feature = "tokio"), doc = "[`Tokio`]: self")]
#![cfg_attr(not(feature = "smol"), doc = "[`Smol`]: self")]
#![cfg_attr(not(feature = "async-std"), doc = "[`AsyncStd`]: self")]
#![cfg_attr(not(feature = "basic"), doc = "[`Basic`]: self")]
#![cfg_attr(not(feature = "sim"), doc = "[`Sim`]: self")]

/// Makes an adapter dereference to the `Handle` in its first field, and convert into it.
#[cfg(any(feature = "tokio", feature = "smol", feature = "async-std", feature = "basic", feature = "sim"))]
macro_rules! stands_for_handle {
    ($adapter:ident) => {
        impl std::ops::Deref for $adapter {
            type Target = crate::runtime::Handle;

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }

        impl From<$adapter> for crate::runtime::Handle {
            fn from(adapter: $adapter) -> Self {
                adapter.0
            }
        }
    };
}

#[cfg(feature = "async-std")]
mod async_std;
#[cfg(feature = "basic")]
mod basic;
#[cfg(any(feature = "smol", feature = "async-std"))]
mod noted_task;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(feature = "smol")]
mod smol;
#[cfg(feature = "tokio")]
mod tokio;

#[cfg(feature = "async-std")]
pub use async_std::AsyncStd;
#[cfg(feature = "basic")]
pub use basic::Basic;
#[cfg(feature = "sim")]
pub use sim::Sim;
#[cfg(feature = "smol")]
pub use smol::Smol;
#[cfg(feature = "tokio")]
pub use tokio::Tokio;

#[cfg(all(test, any(feature = "tokio", feature = "smol", feature = "async-std", feature = "basic", feature = "sim")))]
mod tests;

/// Returns the error of a constructor that was asked for a runtime without threads.
#[cfg(any(feature = "tokio", feature = "basic"))]
fn no_threads(what: &str) -> std::io::Error {
    let message = format!("{what} of 0 threads could run nothing: ask for at least 1");
    std::io::Error::new(std::io::ErrorKind::InvalidInput, message)
}
