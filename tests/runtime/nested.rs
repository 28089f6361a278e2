//! A runtime that is run in the middle of another one's poll, and what it finds there.

use std::future::pending;
use std::sync::{Arc, Mutex, mpsc};

use foster::runtimes::{Basic, Sim};
use foster::{Handle, Inherited, Reason, Task, scope, sleep};
use futures::FutureExt;
use futures::task::SpawnExt;

use crate::harness::{T, watched};
use crate::probes::turns;

static NAME: Inherited<&str> = Inherited::new();

fn name() -> Option<&'static str> {
    NAME.get().map(|name| *name)
}

/// No time passes for the outer one while its thread is blocked.
#[test]
fn the_tasks_of_a_nested_runtime_do_not_find_the_outer_one() {
    watched(|| {
        Sim::default().run(async {
            let basic = Basic::current_thread();
            let (done, told) = futures::channel::oneshot::channel();
            basic
                .spawn(async {
                    sleep(T / 10).await;
                    done.send(Handle::try_current().is_none()).unwrap();
                })
                .unwrap();
            assert!(basic.run(told).unwrap());
        });
    });
}

#[test]
fn a_nested_root_finds_the_inherited_values_and_other_tasks_do_not() {
    watched(|| {
        Sim::default().run(NAME.provide("outer", async {
            let basic = Basic::current_thread();
            let (done, told) = futures::channel::oneshot::channel();
            basic.spawn(async { done.send(name()).unwrap() }).unwrap();
            assert_eq!(basic.run(async { (name(), told.await.unwrap()) }), (Some("outer"), None));
        }));
    });
}

/// Runs a root that drops a scope, and notes why the child of that scope has ended.
struct DropsAScope(Arc<Mutex<Option<Reason>>>);

impl Drop for DropsAScope {
    fn drop(&mut self) {
        let reason = Basic::current_thread().run(async {
            let mut kept = None::<Task<()>>;
            let mut inner = Box::pin(scope(async |s| {
                kept = Some(s.spawn(pending()));
                turns().await;
                pending::<()>().await;
            }));
            assert!((&mut inner).now_or_never().is_none());
            drop(inner);
            kept.unwrap().outcome().await.unwrap_err().reason().clone()
        });
        *self.0.lock().unwrap() = Some(reason);
    }
}

// S7
#[test]
fn what_a_nested_root_drops_does_not_end_for_the_reason_of_the_outer_cancellation() {
    watched(|| {
        let noted = Arc::new(Mutex::new(None));
        let inside = DropsAScope(Arc::clone(&noted));
        Sim::default().run(scope(async |s| {
            s.spawn(async {
                let _inside = inside;
                pending::<()>().await;
            });
            turns().await;
            s.cancel("the outer reason");
        }));
        assert_eq!(noted.lock().unwrap().take(), Some(Reason::Dropped));
    });
}

/// Only the inner runtime could end the child, and nobody drives it.
#[test]
fn what_a_root_leaves_that_cannot_go_on_is_not_waited_for_by_the_scope_around_it() {
    watched(|| {
        let (sim, (tell, told)) = (Sim::default(), mpsc::channel());
        futures::executor::block_on(scope(async |_| {
            let stuck = scope(async |s| s.spawn_parallel(pending::<()>()).await);
            tell.send(sim.try_run(stuck).is_err()).unwrap();
        }));
        assert!(told.recv().unwrap());
    });
}
