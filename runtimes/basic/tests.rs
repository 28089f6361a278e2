use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures::channel::oneshot;
use futures::task::SpawnExt;

use super::super::tests::{Drops, block_on, yield_once};
use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn tasks_wait_while_nobody_blocks() {
    let basic = Basic::current_thread();
    let drops = Drops::default();
    let guard = drops.guard();
    basic.spawn(async move { drop(guard) }).unwrap();
    thread::yield_now();
    assert_eq!(drops.count(), 0);
    block_on(&basic, yield_once()).unwrap();
    assert_eq!(drops.count(), 1);
}

#[test]
fn another_thread_takes_over_when_the_driver_leaves() {
    let basic = Basic::current_thread();
    for _ in 0..50 {
        let (first, first_wait) = oneshot::channel();
        let (second, second_wait) = oneshot::channel();
        basic.spawn(async { first.send(()).unwrap() }).unwrap();
        let late = async move {
            for _ in 0..20 {
                yield_once().await
            }
            second.send(()).unwrap()
        };
        basic.spawn(late).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| block_on(&basic, first_wait).unwrap().unwrap());
            scope.spawn(|| block_on(&basic, second_wait).unwrap().unwrap());
        });
    }
}

#[test]
fn a_thread_that_has_blocked_beside_the_driver_leaves_no_waker_behind() {
    let local = LocalExecutor::default();
    let (end, ended) = oneshot::channel::<()>();
    let (begin, begun) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut root = Box::pin(async {
                yield_once().await;
                begin.send(()).unwrap();
                let _ = ended.await;
            });
            local.block_on(root.as_mut() as Pin<&mut dyn Future<Output = ()>>);
        });
        begun.recv_timeout(PATIENCE).unwrap();
        for _ in 0..3 {
            let local = &local;
            let beside = scope.spawn(move || local.block_on(std::pin::pin!(yield_once())));
            beside.join().unwrap();
        }
        let waiting = local.lock().waiting.len();
        end.send(()).unwrap();
        assert_eq!(waiting, 0);
    });
}

#[test]
fn a_pool_that_ends_during_the_first_poll_of_a_task_drops_that_task() {
    let basic = Basic::thread_pool(1).unwrap();
    let drops = Drops::default();
    let guard = drops.guard();
    let ((begin, begun), (go, wait)) = (mpsc::channel(), mpsc::channel());
    let task = poll_fn(move |_| {
        let _ = &guard;
        begin.send(()).unwrap();
        wait.recv().unwrap();
        Poll::<()>::Pending
    });
    basic.spawn(task).unwrap();
    begun.recv_timeout(PATIENCE).unwrap();
    drop(basic);
    assert_eq!(drops.count(), 0);
    go.send(()).unwrap();
    drops.await_count(1);
}

#[test]
fn a_driver_that_leaves_wakes_one_that_waits() {
    let basic = Basic::current_thread();
    let ((first, first_wait), (driving, driven)) = (oneshot::channel::<()>(), mpsc::channel());
    basic.spawn(async move { driving.send(()).unwrap() }).unwrap();
    let first_thread = thread::spawn({
        let basic = basic.clone();
        move || block_on(&basic, first_wait).unwrap().unwrap()
    });
    driven.recv_timeout(PATIENCE).unwrap();
    // When its root is polled for the second time, the second thread is in the list of those
    // that wait.
    let ((second, second_wait), (waiting, waits), (over, ended)) =
        (oneshot::channel::<()>(), mpsc::channel(), mpsc::channel());
    let second_thread = thread::spawn({
        let basic = basic.clone();
        move || {
            let root = async {
                yield_once().await;
                waiting.send(()).unwrap();
                second_wait.await.unwrap();
            };
            block_on(&basic, root).unwrap();
            over.send(()).unwrap();
        }
    });
    waits.recv_timeout(PATIENCE).unwrap();
    first.send(()).unwrap();
    first_thread.join().unwrap();
    basic.spawn(async { second.send(()).unwrap() }).unwrap();
    ended.recv_timeout(PATIENCE).expect("the second thread takes over");
    second_thread.join().unwrap();
}

#[test]
fn a_task_of_a_pool_that_always_wakes_itself_gives_way_and_goes_on() {
    let basic = Basic::thread_pool(1).unwrap();
    let (over, ended) = mpsc::channel();
    let task = async move {
        for _ in 0..10 * PoolTask::BUDGET {
            yield_once().await
        }
        over.send(()).unwrap();
    };
    basic.spawn(task).unwrap();
    ended.recv_timeout(PATIENCE).expect("it is woken after it has given way");
}

#[test]
fn the_list_of_a_pool_forgets_tasks_that_have_ended() {
    let pool = PoolExecutor { pool: ThreadPool::builder().pool_size(1).create().unwrap(), pending: Arc::default() };
    let await_pending = |count| {
        let start = Instant::now();
        while pool.pending.lock().wakers.len() != count {
            assert!(start.elapsed() < PATIENCE, "the list does not come to {count} tasks");
            thread::yield_now();
        }
    };
    let (open, gate) = oneshot::channel::<()>();
    pool.spawn_obj(FutureObj::new(Box::new(async { gate.await.unwrap() }))).unwrap();
    await_pending(1);
    open.send(()).unwrap();
    await_pending(0);
}

#[test]
fn a_thread_that_waits_for_the_tasks_is_noted_once() {
    let local = LocalExecutor::default();
    let [mut driver, mut other] = [(); 2].map(|()| BlockedThread { local: &local, tasks: None, waker: None });
    // Clones of a clone have one table of functions, by whose address they are known.
    let waker = Waker::noop().clone();
    assert!(driver.take_tasks(&waker).is_some());
    for _ in 0..3 {
        assert!(other.take_tasks(&waker).is_none());
    }
    assert_eq!(local.lock().waiting.len(), 1);
}

#[test]
fn tasks_that_always_end_do_not_starve_the_root() {
    fn chain(handle: Handle, stop: Arc<AtomicBool>) {
        let next = handle.clone();
        let task = async move {
            if !stop.load(Ordering::Relaxed) {
                chain(next, stop)
            }
        };
        handle.spawn(task).unwrap();
    }
    let basic = Basic::current_thread();
    let stop = Arc::new(AtomicBool::new(false));
    chain(basic.clone().into(), stop.clone());
    block_on(&basic, async {
        for _ in 0..10 {
            yield_once().await
        }
    })
    .unwrap();
    stop.store(true, Ordering::Relaxed);
}

#[test]
fn blocking_inside_of_a_futures_executor_is_an_error() {
    let basic = Basic::current_thread();
    let inner = block_on(&basic, async { block_on(&basic, async {}) }).unwrap();
    assert!(inner.unwrap_err().to_string().contains("enter"));
}

#[test]
fn no_threads_are_said_clearly() {
    assert_eq!(Basic::thread_pool(0).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}
