//! Reports of why a run failed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use super::task::SimTask;
use super::trace::TaskLabel;
use super::watch::Watching;
use super::world::{Excess, World};
use crate::panic::catch;
use crate::runtime::RunError;
use crate::trace::tree;

/// Reports who is stuck. Everything is polled once more for that, in the order of spawning.
pub(super) fn deadlock(world: &World, mut root: Pin<&mut dyn Future<Output = ()>>) -> RunError {
    let mut message = format!(
        "deadlock in the simulation with seed {} after {:?}: nothing is ready and no timer is set; stuck are:",
        world.seed,
        world.lock().elapsed,
    );
    let drawn = tree::draw(|| {
        let poll = || root.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        // A poll that nobody asked for may go on, and may panic. The failure to report is that
        // there was no wake-up before it.
        if tree::named("main".to_string(), || catch(poll).unwrap_or(true)) {
            tree::ended("main".to_string());
        }
        draw_tasks(world);
    });
    list(&mut message, &drawn.lines);
    if !drawn.ended.is_empty() {
        message.push_str("\npolled once more for this list, these came to their end, so a wake-up was lost:");
        list(&mut message, &drawn.ended);
    }
    RunError::new(message)
}

/// Polls every task once, without faults, and draws what it waits for.
fn draw_tasks(world: &World) {
    let tasks: Vec<Arc<SimTask>> = world.lock().tasks.values().cloned().collect();
    for task in tasks {
        draw_task(world, &task, task.label.to_string());
    }
}

fn draw_task(world: &World, task: &Arc<SimTask>, name: String) {
    if tree::named(name, || world.poll_again(task)) {
        tree::ended(task.label.to_string());
    }
}

/// Reports who keeps the simulation busy. Those tasks are polled once more for that.
pub(super) fn busy(world: &World, excess: Excess, root: Option<Pin<&mut dyn Future<Output = ()>>>) -> RunError {
    let state = world.lock();
    let (seed, at, limits) = (world.seed, state.elapsed, world.limits);
    let (busy, of) = state.trace.busiest();
    drop(state);
    let mut message = match excess {
        Excess::Steps => {
            format!("the simulation with seed {seed} has not come to its end after {} steps, at {at:?}", limits.steps)
        }
        Excess::Standstill => format!(
            "the simulation with seed {seed} has taken {} steps at {at:?} and no time has passed",
            limits.standstill
        ),
    };
    message.push_str(": something is ready always; busy are:");
    let share = |label: &TaskLabel| {
        let steps = busy.iter().find(|(busy, _)| busy == label)?.1;
        Some(format!("{label}, with {steps} of the last {of} steps"))
    };
    let drawn = tree::draw(|| {
        if let (Some(mut root), Some(share)) = (root, share(&TaskLabel::Main)) {
            let poll = || root.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
            tree::named(share, || drop(catch(poll)));
        }
        let tasks: Vec<Arc<SimTask>> = world.lock().tasks.values().cloned().collect();
        for task in tasks {
            if let Some(share) = share(&task.label) {
                draw_task(world, &task, share);
            }
        }
    });
    list(&mut message, &drawn.lines);
    message.push_str(match excess {
        Excess::Steps => "\nallow more, if that is no endless loop (`Explore::steps`, `Builder::limit`)",
        Excess::Standstill => {
            "\nlet time pass (`Builder::step_time`, `Sim::advance`), or allow more (`Builder::standstill`)"
        }
    });
    RunError::new(message)
}

/// Returns an error if the run has left something behind.
pub(super) fn leaks(world: &World, watching: Watching) -> Result<(), RunError> {
    let mut lines = tree::draw(|| draw_tasks(world)).lines;
    let mut living = watching.into_living();
    lines.extend(
        living.take_lost().into_iter().map(|name| format!("adopted `{name}`, dropped when the grace was over")),
    );
    if lines.is_empty() {
        // Children that belong to a live task have been listed with it.
        lines.extend(living.children().into_iter().map(|name| format!("`{name}`, whose scope was forgotten")));
    }
    if lines.is_empty() {
        return Ok(());
    }
    let mut message = format!("the run with seed {} is over and has left behind:", world.seed);
    list(&mut message, &lines);
    Err(RunError::new(message))
}

/// Appends `lines` to `message`, up to a limit.
fn list(message: &mut String, lines: &[String]) {
    const NAMED: usize = 32;
    for line in lines.iter().take(NAMED) {
        message.push_str("\n  ");
        message.push_str(line);
    }
    if lines.len() > NAMED {
        message.push_str(&format!("\n  and {} more", lines.len() - NAMED));
    }
}
