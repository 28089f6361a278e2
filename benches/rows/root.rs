//! Row 19: what a root adds each time that its task is polled.

use std::cell::LazyCell;

use tokio::runtime::Builder;

use super::{CALLS, in_a_root, in_a_task, one_by_one};
use crate::children::YieldOnce;
use crate::measure::Role::{Floor, Foster};
use crate::measure::{Contender, timed};
use crate::report::{Goal, Row, Unit};

pub(crate) fn rows() -> Vec<Row> {
    let row = |id, work, contenders| Row {
        id,
        work,
        unit: Unit::Nanos,
        contenders,
        goals: vec![Goal::Over(20.0, "no root"), Goal::Allocations(0.0)],
    };
    vec![
        row(
            "19",
            "enter: a poll of a tokio task",
            vec![in_a_task(Floor, "no root", YieldOnce::new), in_a_root(Foster, "enter", YieldOnce::new)],
        ),
        row("19-run", "run: a poll of its future (tokio)", blocking()),
    ]
}

fn blocking() -> Vec<Contender> {
    let bare = LazyCell::new(|| Builder::new_current_thread().enable_all().build().expect("tokio starts"));
    let mine = LazyCell::new(|| foster::runtimes::Tokio::current_thread().expect("tokio starts"));
    vec![
        Contender::new(Floor, "no root", CALLS, move || timed(|| bare.block_on(one_by_one(YieldOnce::new)))),
        Contender::new(Foster, "run", CALLS, move || timed(|| mine.run(one_by_one(YieldOnce::new)))),
    ]
}
