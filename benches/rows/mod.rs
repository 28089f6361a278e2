//! The rows, one file for each kind of work.

use std::cell::LazyCell;
use std::future::Future;
use std::hint::black_box;

use foster::Handle;
use foster::runtimes::Tokio;
use futures::executor::block_on;
use tokio::runtime::{Builder, Runtime};

use crate::measure::{Contender, Cost, Lap, Role, timed};
use crate::report::Row;

mod asyncio;
mod coop;
mod failure;
mod few;
mod gather;
mod hyper;
mod locks;
mod map;
mod memory;
mod net;
mod parallel;
mod pool;
mod queue;
mod race;
mod rate;
mod root;
mod scope;
mod small;
mod timeout;

/// All rows, in order, but for those with a million children, which come last: they leave the
/// allocator in a state that slows down all contenders after them.
pub(crate) fn all() -> Vec<Row> {
    let mut rows: Vec<Row> = [
        gather::rows(),
        coop::rows(),
        map::rows(),
        scope::rows(),
        parallel::rows(),
        failure::rows(),
        timeout::rows(),
        asyncio::rows(),
        race::rows(),
        few::rows(),
        small::rows(),
        root::rows(),
        locks::rows(),
        pool::rows(),
        queue::rows(),
        rate::rows(),
        memory::rows(),
        net::rows(),
        hyper::rows(),
    ]
    .into_iter()
    .flatten()
    .collect();
    rows.sort_by_key(|row| row.number() == "12" || row.id.ends_with("million"));
    rows
}

/// How often small pieces of work are done, one after the other. Each counts as a child.
const CALLS: usize = 10_000;

/// Awaits so many futures on one task, one after the other.
async fn one_by_one<F: Future>(make: impl Fn(usize) -> F) {
    for i in 0..CALLS {
        black_box(make(black_box(i)).await);
    }
}

/// A contender whose future, made by `work`, runs on the executor of `futures`.
fn on_futures<F: Future>(
    role: Role,
    name: &'static str,
    children: usize,
    mut work: impl FnMut() -> F + 'static,
) -> Contender {
    Contender::new(role, name, children, move || timed(|| block_on(work())))
}

/// A contender whose futures run one after the other on the executor of `futures`.
fn repeatedly<F: Future>(role: Role, name: &'static str, make: impl Fn(usize) -> F + Copy + 'static) -> Contender {
    on_futures(role, name, CALLS, move || one_by_one(make))
}

/// A contender whose futures run one after the other in a task of tokio's current thread.
fn in_a_task<F>(role: Role, name: &'static str, make: impl Fn(usize) -> F + Copy + Send + 'static) -> Contender
where
    F: Future + Send + 'static,
{
    on_tokio(role, name, move |_| lap(make))
}

/// The same in a root: foster's context is there for the length of the task.
fn in_a_root<F>(role: Role, name: &'static str, make: impl Fn(usize) -> F + Copy + Send + 'static) -> Contender
where
    F: Future + Send + 'static,
{
    on_tokio(role, name, move |handle| handle.enter(lap(make)))
}

async fn lap<F: Future>(make: impl Fn(usize) -> F) -> Cost {
    let lap = Lap::start();
    one_by_one(make).await;
    lap.stop()
}

/// A contender that measures itself in a task of tokio's current thread.
fn on_tokio<F>(role: Role, name: &'static str, work: impl Fn(Handle) -> F + 'static) -> Contender
where
    F: Future<Output = Cost> + Send + 'static,
{
    let surroundings = LazyCell::new(|| {
        let runtime = Builder::new_current_thread().enable_time().build().expect("tokio starts");
        let handle = handle_of(&runtime);
        (runtime, handle)
    });
    Contender::new(role, name, CALLS, move || {
        let (runtime, handle) = &*surroundings;
        let task = work(handle.clone());
        runtime.block_on(async { tokio::spawn(task).await }).expect("it does not panic")
    })
}

/// foster's handle to a runtime that somebody else owns.
fn handle_of(runtime: &Runtime) -> Handle {
    let _entered = runtime.enter();
    Tokio::current().into()
}

/// Sums values up, so that nobody can leave them out.
fn sum(values: impl IntoIterator<Item = u64>) -> u64 {
    black_box(values.into_iter().sum())
}
