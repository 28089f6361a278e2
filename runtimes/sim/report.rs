//! Why a run failed, in words.

use std::sync::Arc;

use super::task::Task;
use super::watch::Watching;
use super::world::{State, World};
use crate::runtime::RunError;
use crate::set::shuffle::shuffled;
use crate::tree;

/// Polls everything once more, in the order of spawning, for a drawing of it.
pub(super) fn draw(world: &World, root: impl FnOnce()) -> Vec<String> {
    let _in_order = shuffled(None);
    tree::draw(|| {
        tree::named("main".to_string(), root);
        draw_tasks(world);
    })
}

fn draw_tasks(world: &World) {
    let tasks: Vec<Arc<Task>> = world.lock().tasks.values().cloned().collect();
    for task in tasks {
        tree::named(task.label.to_string(), || world.step(&task));
    }
}

pub(super) fn deadlock(world: &World, stuck: &[String]) -> RunError {
    let mut message = format!(
        "deadlock in the simulation with seed {} after {:?}: nothing is ready and no timer is set; stuck are:",
        world.seed,
        world.lock().elapsed,
    );
    list(&mut message, stuck);
    RunError::new(message)
}

pub(super) fn endless(world: &World, state: &State) -> RunError {
    RunError::new(format!(
        "the simulation with seed {} has not come to its end after {} steps, at {:?}: something is ready always",
        world.seed, world.limit, state.elapsed,
    ))
}

/// Fails if the run has left something behind.
pub(super) fn leaks(world: &World, watching: Watching) -> Result<(), RunError> {
    let mut lines = match world.lock().tasks.is_empty() {
        true => Vec::new(),
        false => {
            let _in_order = shuffled(None);
            tree::draw(|| draw_tasks(world))
        }
    };
    let mut living = watching.into_living();
    lines.extend(
        living.take_lost().into_iter().map(|name| format!("adopted `{name}`, dropped when the grace was over")),
    );
    if lines.is_empty() {
        // Those that belong to a live task are no news.
        lines.extend(living.children().into_iter().map(|name| format!("`{name}`, whose scope was forgotten")));
    }
    if lines.is_empty() {
        return Ok(());
    }
    let mut message = format!("the run with seed {} is over and has left behind:", world.seed);
    list(&mut message, &lines);
    Err(RunError::new(message))
}

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
