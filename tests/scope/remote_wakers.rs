//! The wakers that parallel children and their tasks are polled with.

use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, RawWaker, RawWakerVTable, Wake, Waker};

use foster::testing::CountingWaker;
use foster::{Handle, Task, scope, shield, yield_now};
use futures::FutureExt;
use futures::future::poll_immediate;

use crate::harness::{self, bare};
use crate::probes::{Probe, boom, caught, poll_by_hand};
use crate::remote_child::{Busy, Held};

/// A waker that panics when it is woken.
struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        boom("waker");
    }
}

/// A waker that calls a function with the number of times that it has been cloned, and notes that
/// it is woken.
#[derive(Clone)]
struct Trap(Arc<Trapped>);

struct Trapped {
    clones: AtomicUsize,
    woken: AtomicBool,
    on_clone: Box<dyn Fn(usize) + Send + Sync>,
}

impl Trap {
    fn new(on_clone: impl Fn(usize) + Send + Sync + 'static) -> Self {
        let (clones, woken) = (AtomicUsize::new(0), AtomicBool::new(false));
        Trap(Arc::new(Trapped { clones, woken, on_clone: Box::new(on_clone) }))
    }

    fn is_woken(&self) -> bool {
        self.0.woken.load(Ordering::SeqCst)
    }

    fn waker(&self) -> Waker {
        fn raw(trap: Trap) -> RawWaker {
            RawWaker::new(Box::into_raw(Box::new(trap)).cast(), &TABLE)
        }
        fn look(data: *const ()) -> Trap {
            // SAFETY: `data` is from `raw`, and has not been given to `release`.
            #[allow(unsafe_code)]
            unsafe { &*data.cast::<Trap>() }.clone()
        }
        fn release(data: *const ()) {
            // SAFETY: `data` is from `raw`, and not used any more.
            #[allow(unsafe_code)]
            drop(unsafe { Box::from_raw(data.cast_mut().cast::<Trap>()) });
        }
        const TABLE: RawWakerVTable = RawWakerVTable::new(
            |data| {
                let trap = look(data);
                (trap.0.on_clone)(trap.0.clones.fetch_add(1, Ordering::SeqCst) + 1);
                raw(trap)
            },
            |data| {
                look(data).0.woken.store(true, Ordering::SeqCst);
                release(data);
            },
            |data| look(data).0.woken.store(true, Ordering::SeqCst),
            release,
        );
        // SAFETY: the table's functions hold to the contract of `RawWaker`: each has a `Trap` of
        // its own.
        #[allow(unsafe_code)]
        unsafe {
            Waker::from_raw(raw(self.clone()))
        }
    }
}

// S4. The hold may end between the look at it and the wait for its end: here, while the waker is
// cloned for that.
#[test]
fn a_hold_that_ends_while_its_child_falls_asleep_is_noticed() {
    for at in 1..=4 {
        harness::watched(move || {
            let (busy, hold) = (Busy::default(), Arc::new(Mutex::new(None::<Held>)));
            let (rt, keeps) = (Handle::new(busy.clone()), Arc::clone(&hold));
            let mut scope = Box::pin(scope(async |s| {
                let (give, take) = mpsc::channel::<Task<()>>();
                let child = async move {
                    let mut held = shield(pending::<()>()).boxed();
                    // With another waker: the child's own hears of the cancellation as it is.
                    assert!(poll_by_hand(&mut held).is_pending());
                    *keeps.lock().unwrap() = Some(held);
                    take.recv().unwrap().cancel();
                    pending::<()>().await
                };
                give.send(s.spawn_on(child, &rt)).unwrap();
            }));
            assert!(poll_by_hand(&mut scope).is_pending());
            let mut child = busy.take();
            let ends = Arc::clone(&hold);
            let trap = Trap::new(move |clones| {
                let ended = if clones == at { ends.lock().unwrap().take() } else { None };
                drop(ended);
            });
            let polled = child.poll_unpin(&mut Context::from_waker(&trap.waker()));
            let is_held = hold.lock().unwrap().take().is_some();
            assert!(polled.is_ready() || trap.is_woken() || is_held, "it ended with clone {at}");
            if polled.is_pending() {
                assert!(poll_by_hand(&mut child).is_ready());
            }
            futures::executor::block_on(scope);
        });
    }
}

// The memory of its node, where the waker is, may be kept for as long as the runtime likes.
#[test]
fn a_parallel_child_that_has_ended_keeps_no_waker_of_its_runtime() {
    bare(|| async {
        let (busy, waker) = (Busy::default(), CountingWaker::new());
        let rt = Handle::new(busy.clone());
        scope(async |s| {
            s.spawn_on(yield_now(), &rt);
            let mut given = busy.take();
            assert!(waker.poll(Pin::new(&mut given)).is_pending());
            assert!(waker.held() > 0, "it is woken by nothing");
            assert!(waker.poll(Pin::new(&mut given)).is_ready());
            assert_eq!(waker.held(), 0);
        })
        .await;
    });
}

// S12. The newest child is told first.
#[test]
fn a_waker_that_panics_while_children_are_told_to_end_keeps_no_other_child_from_hearing() {
    bare(|| async {
        let (busy, probe, heard) = (Busy::default(), Probe::new(), CountingWaker::new());
        let (rt, given) = (Handle::new(busy.clone()), Mutex::new(Vec::new()));
        let mut ending = Box::pin(caught(scope(async |s| {
            for waker in [heard.waker(), Waker::from(Arc::new(Panics))] {
                s.spawn_on(probe.endless(), &rt);
                let mut child = busy.take();
                assert!(Pin::new(&mut child).poll(&mut Context::from_waker(&waker)).is_pending());
                given.lock().unwrap().push(child);
            }
            s.cancel("enough");
            pending::<()>().await
        })));
        assert!(poll_immediate(&mut ending).await.is_none(), "it waits for its children");
        assert_eq!(heard.count(), 1);
        for mut child in given.lock().unwrap().drain(..) {
            assert!(poll_by_hand(&mut child).is_ready());
        }
        assert_eq!(ending.await, Err("waker"));
        probe.assert_all_gone();
    });
}

// S12. Whoever awaits the task of a child that is refused hears of it in the middle of the
// wind-down.
#[test]
fn a_waker_that_panics_while_a_child_is_refused_keeps_nobody_else_from_ending() {
    bare(|| async {
        for parallel in [false, true] {
            let (probe, kept) = (Probe::new(), Mutex::new(Vec::new()));
            let rt = Handle::new(Busy::default());
            let ended = caught(scope(async |s| {
                let spawn = |_| if parallel { s.spawn_on(probe.endless(), &rt) } else { s.spawn(probe.endless()) };
                let mut tasks: Vec<Task<()>> = (0..3).map(spawn).collect();
                let waker = Waker::from(Arc::new(Panics));
                assert!(Pin::new(&mut tasks[1]).poll(&mut Context::from_waker(&waker)).is_pending());
                *kept.lock().unwrap() = tasks;
                s.cancel("enough");
                pending::<()>().await
            }));
            assert_eq!(ended.await, Err("waker"), "parallel: {parallel}");
            probe.assert_all_gone();
            for task in std::mem::take(&mut *kept.lock().unwrap()) {
                let ended = task.outcome().now_or_never().unwrap().unwrap_err();
                assert_eq!(*ended.reason(), "enough".into());
            }
        }
    });
}

// S3. It ended the task of the runtime that polled the child, and whatever else runs there.
#[test]
fn a_waker_that_panics_when_a_parallel_child_has_ended_is_not_the_runtimes_panic() {
    bare(|| async {
        let busy = Busy::default();
        let rt = Handle::new(busy.clone());
        let ended = caught(scope(async |s| {
            let mut task = s.spawn_on(yield_now(), &rt);
            let mut given = busy.take();
            assert!(poll_by_hand(&mut given).is_pending());
            let waker = Waker::from(Arc::new(Panics));
            assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
            let polled = catch_unwind(AssertUnwindSafe(|| poll_by_hand(&mut given)));
            assert!(polled.is_ok_and(|polled| polled.is_ready()));
        }));
        assert_eq!(ended.await, Err("waker"));
    });
}
