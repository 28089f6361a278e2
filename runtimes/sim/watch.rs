//! What a simulation sets up on its thread for as long as it runs.

use std::sync::Arc;

use super::world::World;
use crate::context::{self, Watch};
use crate::set::living::{self, Living};
use crate::set::shuffle::{Shuffled, shuffled};

/// Has the order of children settled by the simulation, and what is polled noted for it.
pub(super) struct Watching {
    _shuffled: Shuffled,
    watch: Watch,
    /// The list of the run around, and whether this one keeps one of its own.
    around: Option<Option<Living>>,
}

impl Watching {
    pub(super) fn start(world: Arc<World>, strict: bool) -> Self {
        let watch = context::with(|ambient| ambient.watch.replace(Watch::Trace));
        let around = strict.then(|| living::replace(Some(Living::default())));
        Watching { _shuffled: shuffled(Some(world)), watch, around }
    }

    /// Who is alive still, and who was lost.
    pub(super) fn into_living(mut self) -> Living {
        self.around.take().and_then(living::replace).unwrap_or_default()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        context::with(|ambient| ambient.watch.set(self.watch));
        if let Some(around) = self.around.take() {
            drop(living::replace(around));
        }
    }
}
