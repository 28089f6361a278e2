//! The thread pool for blocking jobs where the runtime has none, or where there is no runtime.
//!
//! One for the process. It has no thread before its first job, one for each job that is waiting or running up to
//! [`MAX_THREADS`], and none again after [`IDLE`] without work. Jobs that find all threads busy wait in order. Whoever
//! makes a job wait for a later one should know that limit.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use futures_task::SpawnError;

use crate::contain::contain;
use crate::runtime::Job;

const MAX_THREADS: usize = 256;
const IDLE: Duration = Duration::from_secs(5);

static POOL: Pool = Pool::new(MAX_THREADS, IDLE);

/// Runs `job` on a thread of the shared pool.
///
/// # Errors
///
/// When the pool has no thread and the system refuses one.
#[cfg_attr(not(feature = "basic"), allow(dead_code))]
pub(crate) fn spawn(job: Job) -> Result<(), SpawnError> {
    POOL.spawn(job)
}

struct Pool {
    state: Mutex<State>,
    work: Condvar,
    max_threads: usize,
    idle: Duration,
}

struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    /// Threads that wait for work. One that has been notified counts until it has the lock, and so does its job in
    /// `jobs`: as long as `jobs` is not the longer, every job has a thread that will see it.
    waiting: usize,
}

impl Pool {
    const fn new(max_threads: usize, idle: Duration) -> Self {
        let state = State { jobs: VecDeque::new(), threads: 0, waiting: 0 };
        Pool { state: Mutex::new(state), work: Condvar::new(), max_threads, idle }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&'static self, job: Job) -> Result<(), SpawnError> {
        let mut state = self.lock();
        state.jobs.push_back(job);
        if state.jobs.len() <= state.waiting || state.threads == self.max_threads {
            self.work.notify_one();
            return Ok(());
        }
        let started = thread::Builder::new().name("foster-blocking".into()).spawn(|| self.work());
        if started.is_ok() {
            state.threads += 1;
        } else if state.threads == 0 {
            let refused = state.jobs.pop_back();
            drop(state);
            drop(refused);
            return Err(SpawnError::shutdown());
        }
        Ok(())
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            contain(job);
        }
    }

    /// The next job; `None` when the calling thread is to end, and is no longer counted.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        let mut timed_out = false;
        loop {
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
    use std::sync::{Arc, mpsc};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn pool(max_threads: usize) -> &'static Pool {
        Box::leak(Box::new(Pool::new(max_threads, Duration::from_millis(20))))
    }

    #[test]
    fn threads_start_with_the_first_job_and_end_without_work() {
        let pool = pool(4);
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
        let pool: &Pool = Box::leak(Box::new(Pool::new(1, PATIENCE)));
        pool.spawn(Box::new(|| panic!("a job that panics"))).unwrap();
        pool.spawn(Box::new(|| std::panic::panic_any(Bomb))).unwrap();
        let (done, wait) = mpsc::channel();
        pool.spawn(Box::new(move || done.send(()).unwrap())).unwrap();
        wait.recv_timeout(PATIENCE).unwrap();
        assert_eq!(pool.lock().threads, 1);
    }
}
