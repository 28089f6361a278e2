//! Children that another task runs: refused, taken back, told, counted, and what is left of them.

use std::future::{Future, pending, poll_fn, ready};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::Instant;

use foster::runtime::{Blocking, Clock, Job, RunError, Runtime, Timer};
use foster::runtimes::{Basic, Sim, Tokio};
use foster::{Handle, Reason, Scope, Task, Token, adopt, gather, scope, shield, sleep, timeout};
use futures::future::{BoxFuture, poll_immediate};
use futures::task::{FutureObj, Spawn, SpawnError};
use futures::{FutureExt, StreamExt};

use crate::harness::{self, REAL, T, bare};
use crate::probes::{Gate, Log, OnDrop, Probe, boom, caught, dropping, poll_by_hand, secs, why};

/// A runtime that keeps what it is given until it is told to run it: a pool whose threads are busy.
#[derive(Clone, Default)]
pub(crate) struct Busy {
    tasks: Arc<Mutex<Vec<FutureObj<'static, ()>>>>,
    jobs: Arc<Mutex<Vec<Job>>>,
}

impl Busy {
    /// Takes out the only task that it has.
    pub(crate) fn take(&self) -> FutureObj<'static, ()> {
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
        assert_eq!(tasks.len(), 1);
        tasks.remove(0)
    }

    fn run_all(&self) -> usize {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
        let jobs = std::mem::take(&mut *self.jobs.lock().unwrap());
        let count = tasks.len() + jobs.len();
        tasks.into_iter().for_each(|task| _ = task.now_or_never());
        jobs.into_iter().for_each(|job| job());
        count
    }
}

impl Spawn for Busy {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.tasks.lock().unwrap().push(future);
        Ok(())
    }
}

impl Blocking for Busy {
    fn spawn_blocking(&self, job: Job) -> Result<(), SpawnError> {
        self.jobs.lock().unwrap().push(job);
        Ok(())
    }
}

impl Clock for Busy {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn timer(&self, at: Instant) -> Timer {
        Timer::thread(at.saturating_duration_since(Instant::now()))
    }
}

impl Runtime for Busy {
    fn name(&self) -> &'static str {
        "busy"
    }

    fn block_on(&self, root: Pin<&mut dyn Future<Output = ()>>) -> Result<(), RunError> {
        futures::executor::block_on(root);
        Ok(())
    }
}

/// Runs `test` on every runtime but sim, which knows nothing of what goes on in others.
fn everywhere<F: Future<Output = ()> + 'static>(test: fn() -> F) {
    for runtime in REAL {
        harness::run(runtime, test);
    }
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(task: Task<T>) {
    let outcome = task.outcome().now_or_never().expect("it is over");
    outcome.expect_err("it is refused");
}

/// Nothing that is spawned with `s` starts.
#[track_caller]
fn assert_takes_nothing(s: &Scope<'static>, rt: &Handle) {
    let (probe, ran) = (Probe::new(), Arc::new(AtomicUsize::new(0)));
    assert_refused(s.spawn(probe.watch(ready(1))));
    assert_refused(s.spawn_parallel(probe.watch(ready(2))));
    assert_refused(s.spawn_on(probe.watch(ready(3)), rt));
    assert_refused(s.named("four").spawn_on(probe.watch(ready(4)), rt));
    let counting = Arc::clone(&ran);
    assert_refused(s.spawn_blocking(move || counting.fetch_add(1, Ordering::SeqCst)));
    s.defer(probe.watch(ready(())));
    assert!(s.spawner().spawn_obj(Box::new(probe.watch(ready(()))).into()).is_err());
    assert_eq!((probe.polls(), ran.load(Ordering::SeqCst)), (0, 0), "something ran");
    probe.assert_all_gone();
}

/// A scope, and a handle that is kept.
fn with_handle<F: Future>(body: impl FnOnce(Scope<'static>) -> F) -> (impl Future<Output = F::Output>, Scope<'static>) {
    let mut kept = None;
    let future = scope(|s| {
        kept = Some(s.clone());
        body(s)
    });
    (future, kept.unwrap())
}

/// A scope with children in the queue of a busy runtime, cancelled.
async fn take_back_from_a_busy_runtime() {
    let (busy, probe, ran) = (Busy::default(), Probe::new(), Arc::new(AtomicUsize::new(0)));
    let rt = Handle::new(busy.clone());
    let (inside, counting) = (probe.clone(), Arc::clone(&ran));
    let jobs = scope(async |s| {
        let task = s.spawn_on(inside.endless(), &rt);
        drop(s.spawn_on(inside.endless(), &rt));
        s.spawn_blocking(move || counting.fetch_add(1, Ordering::SeqCst));
        s.cancel("enough");
        task.outcome().await.map(drop)
    });
    let cancelled = rt.enter(jobs.outcome()).await.unwrap_err();
    assert_eq!(cancelled.reason(), &Reason::from("enough"));
    probe.assert_all_gone();
    assert_eq!(busy.run_all(), 3, "the runtime still has its part of them");
    assert_eq!((probe.polls(), ran.load(Ordering::SeqCst)), (0, 0), "something ran");
}

/// Begins something in the surroundings of its drop, which its scope finishes.
struct Saves(Log);

impl Drop for Saves {
    fn drop(&mut self) {
        let log = self.0.clone();
        let saved = adopt(async move {
            sleep(T).await;
            log.note("saved");
        });
        assert!(poll_immediate(saved).now_or_never().flatten().is_none());
    }
}

/// A scope in a parallel child of a scope, and so on; a task of the innermost one.
fn nested(depth: usize, give: mpsc::Sender<Task<()>>) -> BoxFuture<'static, ()> {
    scope(async move |s| {
        if depth == 0 {
            give.send(s.spawn(async {})).unwrap();
        } else {
            s.spawn_parallel(nested(depth - 1, give)).await;
        }
    })
    .boxed()
}

/// Waits in its drop until somebody lets it go on.
struct Slow {
    entered: mpsc::Sender<()>,
    go: Mutex<mpsc::Receiver<()>>,
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.entered.send(()).unwrap();
        _ = self.go.lock().unwrap().recv();
    }
}

pub(crate) type Held = BoxFuture<'static, ()>;

/// Runs a parallel child that cancels itself in its first poll, while it holds, and gives away the
/// hold.
async fn cancel_while_held(release: impl FnOnce(Held) + Send + 'static) {
    scope(async |s| {
        let (give, take) = mpsc::channel::<Task<()>>();
        let task = s.spawn_parallel(async move {
            let itself = take.recv().unwrap();
            let mut held = shield(pending::<()>()).boxed();
            assert!(poll_immediate(&mut held).await.is_none());
            itself.cancel();
            release(held);
            pending::<()>().await
        });
        give.send(task).unwrap();
    })
    .await;
}

matrix! {
    // S4. They ran without a context: what they gave to the scope was lost, their timers were none
    // of the runtime's, and under sim that was reported as a deadlock.
    async fn the_destructor_of_a_cancelled_parallel_child_finds_its_surroundings() {
        let log = Log::new();
        let saves = log.clone();
        let cancelled = scope(async |s| {
            let begun = Gate::new();
            let began = begun.clone();
            s.spawn_parallel(async move {
                let _saves = Saves(saves);
                began.open();
                pending::<()>().await
            });
            begun.wait().await;
            s.cancel("enough");
            pending::<()>().await
        });
        assert!(cancelled.outcome().await.is_err());
        assert_eq!(log.entries(), ["saved"]);
    }

    // A child was counted as ended after its value could be read: whoever throttled by the number
    // waited for nothing.
    async fn a_parallel_child_whose_task_has_been_read_is_not_counted() {
        scope(async |s| {
            for n in 0..1_000 {
                assert_eq!(s.spawn_parallel(async move { n }).await, n);
                assert_eq!(s.len(), 0);
                assert_eq!(s.spawn_blocking(move || n).await, n);
                assert_eq!(s.len(), 0);
                let ended = s.spawn_parallel(pending::<()>());
                ended.cancel();
                assert!(ended.outcome().await.is_err());
                assert_eq!(s.len(), 0);
            }
        })
        .await;
    }

    // S6. It has to learn that it is cancelled before it is suspended, or nobody tells it that the
    // hold is over.
    async fn a_parallel_child_that_cancels_itself_while_it_holds_ends_with_the_hold() {
        let (give, mut take) = futures::channel::mpsc::unbounded::<Held>();
        let release = async { drop(take.next().await) };
        gather((cancel_while_held(move |held| give.unbounded_send(held).unwrap()), release)).await;
    }
}

roots! {
    // S5. A handle that outlived its scope started children that nobody owned, unless somebody had
    // asked for the scope's token.
    fn a_scope_that_is_gone_starts_nothing_anywhere(rt) {
        let (never_polled, kept) = with_handle(|_| pending::<()>());
        drop(never_polled);
        assert_takes_nothing(&kept, &rt);

        let (dropped, kept) = with_handle(|_| pending::<()>());
        let mut dropped = Box::pin(dropped);
        assert!(poll_by_hand(&mut dropped).is_pending());
        drop(dropped);
        assert_takes_nothing(&kept, &rt);

        let (finished, kept) = with_handle(|_| ready(()));
        rt.run(finished);
        assert_takes_nothing(&kept, &rt);
        rt.run(async { assert_takes_nothing(&kept, &rt) });
    }

    // S5. So did the destructor of a body that was dropped with its scope.
    fn a_destructor_starts_nothing_in_the_scope_that_is_dropped(rt) {
        struct Late(Scope<'static>, Handle);
        impl Drop for Late {
            fn drop(&mut self) {
                assert_takes_nothing(&self.0, &self.1);
            }
        }
        for polls in [0, 1] {
            let late = rt.clone();
            let mut dropped = Box::pin(scope(|s| {
                let late = Late(s, late);
                async move {
                    let _late = late;
                    pending::<()>().await
                }
            }));
            for _ in 0..polls {
                assert!(poll_by_hand(&mut dropped).is_pending());
            }
            drop(dropped);
        }
    }
}

// S5. They were waited for, for as long as the runtime was busy.
#[test]
fn children_that_have_not_begun_are_dropped_by_their_scope_when_it_is_cancelled() {
    everywhere(take_back_from_a_busy_runtime);
}

// S5. A timeout hung by a child on a runtime that nobody drives.
#[test]
fn a_timeout_does_not_wait_for_a_runtime_that_nobody_drives() {
    everywhere(|| async {
        for undriven in [Handle::from(Tokio::current_thread().unwrap()), Basic::current_thread().into()] {
            let probe = Probe::new();
            let inside = probe.clone();
            let expired = timeout(
                T,
                scope(async |s| {
                    s.spawn_on(inside.endless(), &undriven);
                }),
            );
            assert!(expired.await.is_err());
            assert_eq!(probe.polls(), 0);
            probe.assert_all_gone();
        }
    });
}

// S6
#[test]
fn a_task_that_is_cancelled_before_its_child_has_begun_has_its_outcome_at_once() {
    everywhere(|| async {
        let (busy, probe) = (Busy::default(), Probe::new());
        let rt = Handle::new(busy.clone());
        scope(async |s| {
            let task = s.spawn_on(probe.endless(), &rt);
            task.cancel();
            assert!(task.is_finished());
            assert_eq!(s.len(), 0);
            let cancelled = task.outcome().await.unwrap_err();
            assert!(cancelled.to_string().contains("its task was cancelled"), "{cancelled}");
        })
        .await;
        assert_eq!((busy.run_all(), probe.polls()), (1, 0));
        probe.assert_all_gone();
    });
}

// S4. A child that has not begun when its scope is dropped from outside goes with it.
#[test]
fn children_that_have_not_begun_are_dropped_with_their_scope() {
    let (busy, probe) = (Busy::default(), Probe::new());
    let rt = Handle::new(busy.clone());
    let inside = probe.clone();
    let mut dropped = Box::pin(scope(async |s| {
        s.spawn_on(inside.endless(), &rt);
        pending::<()>().await
    }));
    assert!(poll_by_hand(&mut dropped).is_pending());
    drop(dropped);
    probe.assert_all_gone();
    assert_eq!((busy.run_all(), probe.polls()), (1, 0));
}

// S2. What the destructor of a child that has not begun panics with is the scope's.
#[test]
fn a_destructor_that_panics_in_a_child_that_has_not_begun_is_the_scopes_panic() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            boom("bomb");
        }
    }
    everywhere(|| async {
        let rt = Handle::new(Busy::default());
        let panicked = caught(scope(async |s| {
            for _ in 0..3 {
                let bomb = Bomb;
                s.spawn_on(
                    async move {
                        let _bomb = bomb;
                        pending::<()>().await
                    },
                    &rt,
                );
            }
            s.cancel("enough");
            pending::<()>().await
        }));
        assert_eq!(panicked.await, Err::<(), _>("bomb"));
    });
}

// S13. A child kept its runtime alive, and so the scope waited for a runtime that nobody could end.
#[test]
fn a_parallel_child_ends_with_its_runtimes_last_handle() {
    everywhere(|| async {
        let runtimes: [fn() -> Handle; 5] = [
            || Tokio::current_thread().unwrap().into(),
            || Tokio::multi_thread(1).unwrap().into(),
            || Basic::current_thread().into(),
            || Basic::thread_pool(1).unwrap().into(),
            || Sim::default().into(),
        ];
        for (n, runtime) in runtimes.into_iter().enumerate() {
            let reason = scope(async |s| {
                let (runtime, begun) = (runtime(), Gate::new());
                let began = begun.clone();
                let task = s.spawn_on(
                    async move {
                        began.open();
                        pending::<()>().await
                    },
                    &runtime,
                );
                // The others are driven by those who block on them.
                if [1, 3].contains(&n) {
                    begun.wait().await;
                }
                drop(runtime);
                task.outcome().await.unwrap_err().reason().clone()
            });
            assert_eq!(reason.await, Reason::Shutdown, "the {n}th");
        }
    });
}

// A task of the innermost of many nested scopes keeps them all, and dropped them by recursion.
#[test]
fn a_task_kept_from_deep_within_is_dropped_on_a_small_stack() {
    harness::watched(|| {
        let (give, kept) = mpsc::channel();
        Basic::thread_pool(1).unwrap().run(nested(20_000, give));
        let small = thread::Builder::new().stack_size(64 << 10);
        small.spawn(move || drop(kept.recv().unwrap())).unwrap().join().unwrap();
    });
}

// S1
#[test]
fn a_scope_waits_for_the_drop_of_a_value_that_nobody_reads() {
    for runtime in [harness::tokio_multi, harness::smol, harness::async_std, harness::basic] {
        harness::watched(move || {
            let rt = runtime();
            let (entered, enter) = mpsc::channel();
            let (go, wait) = mpsc::channel();
            let slow = Slow { entered, go: Mutex::new(wait) };
            let mut scope = Box::pin(scope(async |s| {
                let unread = Gate::new();
                let wait = unread.wait();
                drop(s.spawn_on(
                    async move {
                        wait.await;
                        slow
                    },
                    &rt,
                ));
                unread.open();
            }));
            assert!(poll_by_hand(&mut scope).is_pending());
            enter.recv().unwrap();
            assert!(poll_by_hand(&mut scope).is_pending(), "the value is being dropped");
            go.send(()).unwrap();
            futures::executor::block_on(scope);
        });
    }
}

// S5. A scope may be dropped between a spawn's look at it and the child's way onto its roster.
#[test]
fn a_child_that_comes_while_its_scope_is_dropped_is_refused() {
    harness::watched(|| {
        let (pool, probe) = (Basic::thread_pool(1).unwrap(), Probe::new());
        for _ in 0..2_000 {
            let (left, s) = with_handle(|_| pending::<()>());
            let mut left = Box::pin(left);
            assert!(poll_by_hand(&mut left).is_pending());
            let (start, endless) = (Barrier::new(2), probe.endless());
            let task = thread::scope(|threads| {
                let spawn = threads.spawn(|| {
                    start.wait();
                    s.spawn_on(endless, &pool)
                });
                start.wait();
                drop(left);
                spawn.join().unwrap()
            });
            assert!(futures::executor::block_on(task.outcome()).is_err());
        }
        probe.assert_all_gone();
    });
}

// S7. The end of its runtime is why a child ends, unless it was cancelled before.
#[test]
fn a_child_that_its_runtime_drops_after_a_cancellation_has_the_reason_of_that() {
    bare(|| async {
        type Cancels = fn(&Scope<'_>, &Task<()>);
        let cases: [(Cancels, Reason); 3] = [
            (|_, _| {}, Reason::Shutdown),
            (|s, _| s.cancel("enough"), "enough".into()),
            (|_, task| task.cancel(), "its task was cancelled".into()),
        ];
        for (cancel, expected) in cases {
            let (busy, kept) = (Busy::default(), Mutex::new(None));
            let rt = Handle::new(busy.clone());
            let ended = scope(async |s| {
                let task = s.spawn_on(pending::<()>(), &rt);
                let mut given = busy.take();
                assert!(poll_by_hand(&mut given).is_pending());
                cancel(&s, &task);
                drop(given);
                *kept.lock().unwrap() = Some(task);
            });
            _ = ended.outcome().await;
            assert_eq!(why(&kept).await, expected);
        }
    });
}

// As for in-task children.
#[test]
fn a_parallel_child_that_is_cancelled_while_it_is_suspended_is_dropped_without_another_poll() {
    bare(|| async {
        for by_scope in [false, true] {
            let (busy, probe) = (Busy::default(), Probe::new());
            let rt = Handle::new(busy.clone());
            let ended = scope(async |s| {
                let task = s.spawn_on(probe.endless(), &rt);
                let mut given = busy.take();
                assert!(poll_by_hand(&mut given).is_pending());
                if by_scope {
                    s.cancel("enough");
                } else {
                    task.cancel();
                }
                assert!(poll_by_hand(&mut given).is_ready());
                assert_eq!(probe.polls(), 1);
                probe.assert_all_gone();
            });
            _ = ended.outcome().await;
        }
    });
}

// Nothing new starts in a cancelled child, from the first poll on that follows.
#[test]
fn a_parallel_child_that_holds_finds_its_token_cancelled_in_the_first_poll_after_that() {
    bare(|| async {
        let (busy, release, seen) = (Busy::default(), Gate::new(), Arc::new(Mutex::new(Vec::new())));
        let rt = Handle::new(busy.clone());
        scope(async |s| {
            let (noting, mut held) = (Arc::clone(&seen), Box::pin(shield(release.wait())));
            let child = poll_fn(move |cx| {
                noting.lock().unwrap().push(Token::current().unwrap().is_cancelled());
                held.as_mut().poll(cx)
            });
            let task = s.spawn_on(child, &rt);
            let mut given = busy.take();
            assert!(poll_by_hand(&mut given).is_pending());
            task.cancel();
            assert!(poll_by_hand(&mut given).is_pending(), "it holds");
            release.open();
            assert!(poll_by_hand(&mut given).is_ready());
        })
        .await;
        assert_eq!(*seen.lock().unwrap(), [false, true, true]);
    });
}

// What a destructor uses starts, although the region of whoever drops is ending.
#[test]
fn the_destructor_of_a_child_that_has_not_begun_runs_in_no_region() {
    bare(|| async {
        let (rt, log) = (Handle::new(Busy::default()), Log::new());
        let noting = log.clone();
        let cancelled = scope(async |s| {
            let region = OnDrop(move || noting.note(if Token::current().is_some() { "some" } else { "none" }));
            s.spawn_on(dropping(region), &rt);
            s.cancel("enough");
            pending::<()>().await
        });
        assert!(timeout(secs(3600), cancelled.outcome()).await.unwrap().is_err());
        assert_eq!(log.entries(), ["none"]);
    });
}
