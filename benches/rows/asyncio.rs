//! Row 13: asyncio's task group, where there is a `python3` that has one.

use std::process::Command;

use super::on_futures;
use crate::children::YieldOnce;
use crate::measure::Role::{Foster, Peer};
use crate::measure::{Contender, Cost};
use crate::report::{Goal, Row, Unit};

const N: usize = 1000;

/// Prints the nanoseconds of a group of a thousand tasks: the mean of twenty.
const SCRIPT: &str = "
import asyncio, time

async def child(i):
    await asyncio.sleep(0)
    return i

async def group():
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(child(i)) for i in range(1000)]
    return sum(task.result() for task in tasks)

async def main():
    await group()
    start = time.process_time_ns()
    for _ in range(20):
        await group()
    print((time.process_time_ns() - start) / 20)

asyncio.run(main())
";

pub(crate) fn rows() -> Vec<Row> {
    vec![Row {
        id: "13",
        work: "scope of 1,000 that yield once, and asyncio's",
        unit: Unit::Nanos,
        contenders: vec![
            Contender::fallible(Peer, "asyncio TaskGroup", N, task_group),
            on_futures(Foster, "scope", N, || {
                foster::scope(async |s| {
                    let tasks: Vec<_> = (0..N).map(|i| s.spawn(YieldOnce::new(i))).collect();
                    let mut total = 0;
                    for task in tasks {
                        total += task.await;
                    }
                    total
                })
            }),
        ],
        goals: vec![Goal::Faster(35.0, "asyncio TaskGroup")],
    }]
}

/// `None` without a Python that has task groups (3.11).
fn task_group() -> Option<Cost> {
    let output = Command::new("python3").args(["-c", SCRIPT]).output().ok()?;
    let cpu = String::from_utf8(output.stdout).ok()?.trim().parse().ok()?;
    Some(Cost { cpu, elapsed: cpu, ..Cost::default() })
}
