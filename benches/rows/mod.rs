//! The rows, one file for each kind of work.

use std::hint::black_box;

use futures::executor::block_on;

use crate::measure::{Contender, Role, timed};
use crate::report::Row;

mod asyncio;
mod coop;
mod failure;
mod gather;
mod map;
mod memory;
mod parallel;
mod scope;
mod timeout;

/// All rows, in order, but for those with a million children, which come last: they leave the allocator in a state that
/// slows down all contenders after them.
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
        memory::rows(),
    ]
    .into_iter()
    .flatten()
    .collect();
    rows.sort_by_key(|row| row.number() == "12" || row.id.ends_with("million"));
    rows
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

/// Sums values up, so that nobody can leave them out.
fn sum(values: impl IntoIterator<Item = u64>) -> u64 {
    black_box(values.into_iter().sum())
}
