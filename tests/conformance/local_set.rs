//! An adapter that foster does not bring along: over a `tokio::task::LocalSet` on a thread of its
//! own.

use std::future::Future;
use std::pin::Pin;
use std::thread;
use std::time::Instant;

use foster::Handle;
use foster::runtime::{Blocking, Clock, Job, RunError, Runtime, Timer};
use foster::testing::conformance::Conformance;
use futures::StreamExt;
use futures::channel::mpsc::{self, UnboundedSender};
use futures::task::{FutureObj, Spawn, SpawnError};
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};

/// It ends with its last handle: then the channel is closed, and the set is dropped.
struct OnLocalSet {
    tasks: UnboundedSender<FutureObj<'static, ()>>,
    tokio: tokio::runtime::Handle,
}

impl OnLocalSet {
    fn start() -> Handle {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let tokio = runtime.handle().clone();
        let (tasks, mut incoming) = mpsc::unbounded::<FutureObj<'static, ()>>();
        thread::spawn(move || {
            LocalSet::new().block_on(&runtime, async move {
                while let Some(task) = incoming.next().await {
                    drop(spawn_local(task));
                }
            });
        });
        Handle::new(OnLocalSet { tasks, tokio })
    }
}

impl Spawn for OnLocalSet {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.tasks.unbounded_send(future).map_err(|_| SpawnError::shutdown())
    }
}

impl Clock for OnLocalSet {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn timer(&self, at: Instant) -> Timer {
        let _entered = self.tokio.enter();
        Timer::boxed(Box::pin(tokio::time::sleep_until(at.into())))
    }
}

impl Blocking for OnLocalSet {
    fn spawn_blocking(&self, job: Job) -> Result<(), SpawnError> {
        drop(self.tokio.spawn_blocking(job));
        Ok(())
    }
}

impl Runtime for OnLocalSet {
    fn name(&self) -> &'static str {
        "tokio's LocalSet"
    }

    fn block_on(&self, root: Pin<&mut dyn Future<Output = ()>>) -> Result<(), RunError> {
        futures::executor::block_on(root);
        Ok(())
    }
}

#[test]
fn an_adapter_over_a_local_set_keeps_the_contract() {
    Conformance::of(OnLocalSet::start).ends_with_last_handle().run();
}
