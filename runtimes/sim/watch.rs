//! What a simulation sets up on its thread while it runs.

use std::sync::Arc;

use super::world::World;
use crate::context::{self, Watch};
use crate::trace::living::{self, Living};
use crate::trace::observed::Observing;
use crate::trace::shuffle::{Shuffled, shuffled};

/// Guard that lets the simulation decide the order of children, and record what is polled.
pub(super) struct Watching {
    _shuffled: Shuffled,
    _observing: Observing,
    watch: Watch,
    /// The list of live children of the enclosing run, if this run keeps a list of its own.
    enclosing: Option<Option<Living>>,
}

impl Watching {
    pub(super) fn start(world: Arc<World>, strict: bool) -> Self {
        let watch = context::with(|ambient| ambient.watch.replace(Watch::Trace));
        let enclosing = strict.then(|| living::replace(Some(Living::default())));
        Watching { _shuffled: shuffled(Some(world)), _observing: Observing::start(), watch, enclosing }
    }

    /// Returns the children that are alive, and those that were lost.
    pub(super) fn into_living(mut self) -> Living {
        self.enclosing.take().and_then(living::replace).unwrap_or_default()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        context::with(|ambient| ambient.watch.set(self.watch));
        if let Some(enclosing) = self.enclosing.take() {
            drop(living::replace(enclosing));
        }
    }
}
