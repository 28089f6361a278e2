//! The shared pool for blocking jobs, where no runtime in force has a pool of its own.
//!
//! [`blocking`](crate::blocking()) and [`Scope::spawn_blocking`](crate::Scope::spawn_blocking) use
//! the pool of the [runtime in force](crate::Handle::try_current) if that is tokio, smol or
//! async-std. They use this pool on `Basic`, which has none, and where there is no runtime. A
//! process has one such pool.
//!
//! The pool has no thread before its first job. It starts one for each job that is queued or
//! running, up to a limit, and a thread ends after five seconds without work. Jobs that find all
//! threads busy are queued, and begin in the order in which they were submitted.
//!
//! # The limit
//!
//! The limit is [`DEFAULT_MAX_THREADS`], as in tokio, and [`set_max_threads`] sets another.
//!
//! Jobs may wait for the jobs that they submit themselves, however many do so at once. A running
//! job that has submitted another one no longer counts towards the limit. The thread that this adds
//! takes older jobs first. Jobs that wait for an older job which does so, or for something that
//! other code submits *later*, need a thread each. Raise the limit if more of them may be running
//! at once than it allows. Otherwise they wait for ever, as they would in the pools of tokio and
//! smol.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ptr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use futures_task::SpawnError;

use crate::panic::contain;
use crate::runtime::Job;

/// How many threads the pool has at most, unless [`set_max_threads`] has been called.
pub const DEFAULT_MAX_THREADS: usize = 512;

/// How long a thread waits for work before it ends.
const IDLE: Duration = Duration::from_secs(5);

static POOL: BlockingPool = BlockingPool::new(DEFAULT_MAX_THREADS, IDLE);

/// Sets how many threads the pool has at most, for the whole process.
///
/// The application should decide this, and not a library. A higher limit starts threads for the
/// jobs that are queued. With a lower limit, the threads beyond it end after their present job. The
/// counterpart of tokio's `max_blocking_threads`.
///
/// # Panics
///
/// Panics if `threads` is 0, since no job would ever run.
///
/// ```
/// foster::runtime::blocking_pool::set_max_threads(1_000);
/// ```
#[track_caller]
pub fn set_max_threads(threads: usize) {
    assert!(threads > 0, "a pool of 0 threads could run no job: allow at least 1");
    POOL.set_max_threads(threads);
}

/// Runs `job` on a thread of the shared pool.
///
/// # Errors
///
/// Returns an error if the pool has no thread and the system refuses to start one.
pub(crate) fn spawn(job: Job) -> Result<(), SpawnError> {
    POOL.spawn(job)
}

thread_local! {
    static RUNNING: Cell<Running> = const { Cell::new(Running::Nothing) };
}

/// What this thread runs. The number is the address of its pool.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Running {
    Nothing,
    Job(usize),
    /// A job that has submitted others, and may be waiting for them.
    Parent(usize),
}

/// A pool of threads for jobs that may block.
struct BlockingPool {
    state: Mutex<State>,
    work: Condvar,
    idle: Duration,
}

/// The state of a pool, under its lock.
///
/// Invariant: if more jobs are queued than threads wait, then there are as many threads as the
/// limit allows, unless the system has refused one.
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    /// Threads that wait for work. A thread that has been notified counts until it has the lock,
    /// and so does its job in `jobs`. As long as `jobs` is not longer than this, every job has a
    /// thread that will see it.
    waiting: usize,
    /// Running jobs that have submitted others. Each one allows for one more thread, so that the
    /// jobs that it may be waiting for can run.
    parents: usize,
    max_threads: usize,
}

impl State {
    /// Returns how many threads there may be now.
    fn limit(&self) -> usize {
        self.max_threads.saturating_add(self.parents)
    }
}

impl BlockingPool {
    const fn new(max_threads: usize, idle: Duration) -> Self {
        let state = State { jobs: VecDeque::new(), threads: 0, waiting: 0, parents: 0, max_threads };
        BlockingPool { state: Mutex::new(state), work: Condvar::new(), idle }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells this pool apart from others. Only tests make others.
    fn address(&self) -> usize {
        ptr::from_ref(self).addr()
    }

    fn set_max_threads(&'static self, max_threads: usize) {
        let mut state = self.lock();
        state.max_threads = max_threads;
        let unseen = state.jobs.len().saturating_sub(state.waiting);
        for _ in 0..unseen.min(max_threads.saturating_sub(state.threads)) {
            if !self.start_thread(&mut state) {
                return;
            }
        }
    }

    fn spawn(&'static self, job: Job) -> Result<(), SpawnError> {
        let mut state = self.lock();
        if RUNNING.get() == Running::Job(self.address()) {
            RUNNING.set(Running::Parent(self.address()));
            state.parents += 1;
        }
        state.jobs.push_back(job);
        if state.jobs.len() <= state.waiting {
            self.work.notify_one();
        } else if state.threads < state.limit() && !self.start_thread(&mut state) && state.threads == 0 {
            let refused = state.jobs.pop_back();
            drop(state);
            drop(refused);
            return Err(SpawnError::shutdown());
        }
        Ok(())
    }

    /// Starts a thread. Returns false if the system refuses it.
    fn start_thread(&'static self, state: &mut State) -> bool {
        let started = thread::Builder::new().name("foster-blocking".into()).spawn(|| self.work()).is_ok();
        state.threads += usize::from(started);
        started
    }

    /// Runs jobs until the calling thread is to end.
    fn work(&self) {
        while let Some(job) = self.next() {
            RUNNING.set(Running::Job(self.address()));
            contain(job);
            if RUNNING.replace(Running::Nothing) != Running::Job(self.address()) {
                self.lock().parents -= 1;
            }
        }
    }

    /// Returns the next job. Returns `None` if the calling thread is to end and is no longer
    /// counted.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        let mut timed_out = false;
        loop {
            if state.threads > state.limit() {
                state.threads -= 1;
                // The notification of a job may have gone to this thread, so it is passed on.
                self.work.notify_one();
                return None;
            }
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if timed_out {
                state.threads -= 1;
                return None;
            }
            state.waiting += 1;
            let (guard, waited) = self.work.wait_timeout(state, self.idle).unwrap_or_else(PoisonError::into_inner);
            state = guard;
            state.waiting -= 1;
            timed_out = waited.timed_out();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Barrier, mpsc};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    /// Returns a pool whose threads stay for longer than any test.
    fn pool(max_threads: usize) -> &'static BlockingPool {
        Box::leak(Box::new(BlockingPool::new(max_threads, Duration::from_secs(3600))))
    }

    fn pool_with_idle(max_threads: usize, idle: Duration) -> &'static BlockingPool {
        Box::leak(Box::new(BlockingPool::new(max_threads, idle)))
    }

    /// Submits `count` jobs that all wait until every one of them is running.
    fn submit_waiting(pool: &'static BlockingPool, count: usize) -> mpsc::Receiver<()> {
        let barrier = Arc::new(Barrier::new(count));
        let (done, wait) = mpsc::channel();
        for _ in 0..count {
            let (barrier, done) = (barrier.clone(), done.clone());
            pool.spawn(Box::new(move || {
                barrier.wait();
                done.send(()).unwrap();
            }))
            .unwrap();
        }
        wait
    }

    #[track_caller]
    fn expect(wait: &mpsc::Receiver<()>, count: usize) {
        for n in 0..count {
            let ended = wait.recv_timeout(PATIENCE);
            assert!(ended.is_ok(), "{n} of {count} jobs have ended, and no other has for {PATIENCE:?}");
        }
    }

    /// Waits until all threads of `pool` are waiting for work.
    fn rest(pool: &BlockingPool) {
        loop {
            let state = pool.lock();
            if state.threads > 0 && state.waiting == state.threads {
                return;
            }
            drop(state);
            thread::yield_now();
        }
    }

    #[test]
    fn threads_start_with_the_first_job_and_end_without_work() {
        let pool = pool_with_idle(4, Duration::from_millis(1));
        assert_eq!(pool.lock().threads, 0);
        let (done, wait) = mpsc::channel();
        pool.spawn(Box::new(move || done.send(()).unwrap())).unwrap();
        wait.recv_timeout(PATIENCE).unwrap();
        while pool.lock().threads > 0 {
            thread::yield_now();
        }
        assert_eq!(pool.lock().waiting, 0);
    }

    #[test]
    fn jobs_that_wait_for_each_other_run_side_by_side_up_to_the_limit() {
        let pool = pool(2);
        let (first, second) = mpsc::channel();
        let (done, wait) = mpsc::channel();
        pool.spawn(Box::new(move || done.send(second.recv().is_ok()).unwrap())).unwrap();
        pool.spawn(Box::new(move || first.send(()).unwrap())).unwrap();
        assert_eq!(wait.recv_timeout(PATIENCE), Ok(true));
    }

    #[test]
    fn an_idle_thread_that_was_notified_is_not_free_for_another_job() {
        for _ in 0..200 {
            let pool = pool(2);
            expect(&submit_waiting(pool, 1), 1);
            rest(pool);
            // There is one idle thread and two jobs that wait for each other. So the second job
            // needs a thread of its own.
            expect(&submit_waiting(pool, 2), 2);
        }
    }

    #[test]
    fn a_thread_that_has_been_idle_for_too_long_leaves_no_job_behind() {
        // The job comes at about the moment at which the thread gives up waiting.
        let pool = pool_with_idle(1, Duration::from_micros(50));
        for round in 0..5_000 {
            expect(&submit_waiting(pool, 1), 1);
            for _ in 0..round % 500 * 10 {
                std::hint::spin_loop();
            }
        }
    }

    /// Submits a job that submits another one and waits for it, and so on.
    fn nest(pool: &'static BlockingPool, depth: usize, done: mpsc::Sender<()>) {
        pool.spawn(Box::new(move || {
            if depth > 0 {
                let (inner, wait) = mpsc::channel();
                nest(pool, depth - 1, inner);
                wait.recv().unwrap();
            }
            done.send(()).unwrap();
        }))
        .unwrap();
    }

    #[test]
    fn jobs_may_wait_for_jobs_of_their_own_beyond_the_limit() {
        // 300 jobs that each waited for a job hung a pool of 256 threads.
        let pool = pool(4);
        let (done, wait) = mpsc::channel();
        for _ in 0..10 {
            nest(pool, 3, done.clone());
        }
        expect(&wait, 10);
        rest(pool);
        let state = pool.lock();
        assert!(state.threads <= 4 && state.parents == 0, "{} threads, {} parents", state.threads, state.parents);
    }

    #[test]
    fn a_job_that_submits_many_others_allows_for_one_thread_more() {
        let pool = pool(2);
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (done, wait) = mpsc::channel();
        let tell = most.clone();
        pool.spawn(Box::new(move || {
            for _ in 0..100 {
                let (running, most, done) = (running.clone(), tell.clone(), done.clone());
                pool.spawn(Box::new(move || {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::yield_now();
                    running.fetch_sub(1, Ordering::SeqCst);
                    done.send(()).unwrap();
                }))
                .unwrap();
            }
        }))
        .unwrap();
        expect(&wait, 100);
        assert!(most.load(Ordering::SeqCst) <= 3);
    }

    #[test]
    fn a_higher_limit_starts_threads_for_the_jobs_that_are_queued() {
        let pool = pool(1);
        let wait = submit_waiting(pool, 3);
        assert!(wait.try_recv().is_err());
        pool.set_max_threads(3);
        expect(&wait, 3);
        assert_eq!(pool.lock().threads, 3);
    }

    #[test]
    fn a_lower_limit_ends_threads_and_leaves_no_job_behind() {
        let pool = pool(4);
        for _ in 0..200 {
            pool.set_max_threads(4);
            expect(&submit_waiting(pool, 4), 4);
            pool.set_max_threads(1);
            expect(&submit_waiting(pool, 1), 1);
            rest(pool);
            assert_eq!(pool.lock().threads, 1);
        }
    }

    #[test]
    fn many_jobs_all_run_on_no_more_threads_than_allowed() {
        let pool = pool(3);
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (done, wait) = mpsc::channel();
        for _ in 0..500 {
            let (running, most, done) = (running.clone(), most.clone(), done.clone());
            pool.spawn(Box::new(move || {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
                done.send(()).unwrap();
            }))
            .unwrap();
        }
        for _ in 0..500 {
            wait.recv_timeout(PATIENCE).unwrap();
        }
        assert!(most.load(Ordering::SeqCst) <= 3);
    }

    #[test]
    fn a_job_that_panics_takes_no_thread_with_it() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("a payload that panics in its drop");
            }
        }
        let pool = pool(1);
        pool.spawn(Box::new(|| panic!("a job that panics"))).unwrap();
        pool.spawn(Box::new(|| std::panic::panic_any(Bomb))).unwrap();
        let (done, wait) = mpsc::channel();
        pool.spawn(Box::new(move || done.send(()).unwrap())).unwrap();
        wait.recv_timeout(PATIENCE).unwrap();
        assert_eq!(pool.lock().threads, 1);
    }
}
