//! A hand-written executor with one thread, and its adapter; both can be made to be wrong in one
//! way.

use std::collections::HashMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use foster::Handle;
use foster::runtime::{Blocking, Clock, Job, RunError, Runtime, Timer};
use futures::executor::block_on;
use futures::task::{FutureObj, Spawn, SpawnError};

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// Drops every tenth task unrun, and says that all is well.
    DropsTasks,
    /// Keeps futures that are over until it ends.
    KeepsFinishedTasks,
    /// Polls futures that are over when they are woken.
    PollsFinishedTasks,
    /// Polls a task again and again for as long as it wakes itself.
    PollsWhileReady,
    /// Loses the wake-ups that come from other threads.
    LosesForeignWakes,
    /// Refuses tasks from threads other than the one that made it.
    RefusesForeignTasks,
    /// Lets a task's panic end its thread.
    PanicsEndTheThread,
    /// Leaks what is left over at its end.
    LeaksLeftovers,
    /// Leaks what is spawned after its end.
    LeaksLateTasks,
    /// Runs what is spawned after its end on the caller's stack.
    RunsLateTasks,
    /// Returns from `block_on` after the first poll.
    ReturnsEarly,
    /// Keeps a root's panic to itself.
    SwallowsPanics,
    /// Its clock jumps to and fro.
    ClockJumps,
    /// Its timers fire when a quarter of their time is over.
    TimersFireEarly,
    /// Its timers wait for a second at most.
    TimersAreCapped,
    /// Its timers begin to count when they are polled.
    TimersCountFromTheirFirstPoll,
    /// Its timers wake the waker that polled them first.
    TimersKeepTheFirstWaker,
    /// Its timers panic when they are for an instant that has passed.
    PastTimersPanic,
    /// Runs jobs at once, in the call that hands them over.
    RunsJobsInline,
    /// Runs jobs on the thread that runs the tasks.
    RunsJobsAsTasks,
    /// Runs jobs on one thread, which the first panic ends.
    PanicsEndTheJobs,
}

enum Event {
    Spawn(FutureObj<'static, ()>),
    Wake(usize),
    End,
}

struct Alarm {
    task: usize,
    events: Sender<Event>,
    /// The thread of the executor, where it wakes for that thread alone.
    only: Option<ThreadId>,
    woken: AtomicBool,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        if self.only.is_none_or(|thread| thread == thread::current().id()) {
            self.woken.store(true, Ordering::SeqCst);
            _ = self.events.send(Event::Wake(self.task));
        }
    }
}

struct Task {
    future: FutureObj<'static, ()>,
    alarm: Arc<Alarm>,
}

impl Task {
    fn poll(&mut self, flaw: Flaw) -> Poll<()> {
        let waker = Waker::from(self.alarm.clone());
        let mut poll = || Pin::new(&mut self.future).poll(&mut Context::from_waker(&waker));
        loop {
            self.alarm.woken.store(false, Ordering::SeqCst);
            let polled = match flaw {
                Flaw::PanicsEndTheThread => poll(),
                _ => catch_unwind(AssertUnwindSafe(&mut poll)).unwrap_or(Poll::Ready(())),
            };
            let again = flaw == Flaw::PollsWhileReady && self.alarm.woken.load(Ordering::SeqCst);
            if polled.is_ready() || !again {
                return polled;
            }
        }
    }
}

fn execute(events: Receiver<Event>, sender: &Sender<Event>, flaw: Flaw) {
    let mut tasks = HashMap::new();
    let mut finished = Vec::new();
    for (new, event) in events.iter().enumerate() {
        let (number, mut task) = match event {
            Event::Spawn(future) => {
                let only = (flaw == Flaw::LosesForeignWakes).then(|| thread::current().id());
                let alarm = Alarm { task: new, events: sender.clone(), only, woken: AtomicBool::new(false) };
                (new, Task { future, alarm: Arc::new(alarm) })
            }
            Event::Wake(number) => match tasks.remove(&number) {
                Some(task) => (number, task),
                None => continue,
            },
            Event::End => break,
        };
        if task.poll(flaw).is_pending() || flaw == Flaw::PollsFinishedTasks {
            tasks.insert(number, task);
        } else if flaw == Flaw::KeepsFinishedTasks {
            finished.push(task);
        }
    }
    if flaw == Flaw::LeaksLeftovers {
        std::mem::forget(tasks);
    }
}

struct Adapter {
    events: Sender<Event>,
    ended: Arc<AtomicBool>,
    maker: ThreadId,
    flaw: Flaw,
    calls: AtomicUsize,
    jobs: Sender<Job>,
    start: Instant,
}

/// A runtime with `flaw`, and what ends it, which its last handle does, too.
pub(crate) fn start(flaw: Flaw) -> (Handle, impl FnOnce() + Send + use<>) {
    let (events, receiver) = channel();
    let (jobs, to_do) = channel::<Job>();
    let sender = events.clone();
    let executor = thread::spawn(move || execute(receiver, &sender, flaw));
    thread::spawn(move || to_do.into_iter().for_each(|job| job()));
    let ended = Arc::new(AtomicBool::new(false));
    let (calls, maker) = (AtomicUsize::new(0), thread::current().id());
    let start = Instant::now();
    let adapter = Adapter { events: events.clone(), ended: ended.clone(), maker, flaw, calls, jobs, start };
    let end = move || {
        ended.store(true, Ordering::SeqCst);
        _ = events.send(Event::End);
        _ = executor.join();
    };
    (Handle::new(adapter), end)
}

impl Drop for Adapter {
    fn drop(&mut self) {
        _ = self.events.send(Event::End);
    }
}

impl Adapter {
    fn nth_call(&self) -> usize {
        self.calls.fetch_add(1, Ordering::SeqCst)
    }

    fn late(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        match self.flaw {
            Flaw::LeaksLateTasks => std::mem::forget(future),
            Flaw::RunsLateTasks => futures::executor::block_on(future),
            _ => return Err(SpawnError::shutdown()),
        }
        Ok(())
    }
}

impl Spawn for Adapter {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        let foreign = thread::current().id() != self.maker;
        match self.flaw {
            Flaw::DropsTasks if self.nth_call() % 10 == 9 => return Ok(()),
            Flaw::RefusesForeignTasks if foreign => return Err(SpawnError::shutdown()),
            _ => {}
        }
        match self.events.send(Event::Spawn(future)) {
            Ok(()) => Ok(()),
            Err(error) => match error.0 {
                Event::Spawn(future) => self.late(future),
                Event::Wake(_) | Event::End => unreachable!("a task was sent"),
            },
        }
    }
}

impl Clock for Adapter {
    fn now(&self) -> Instant {
        match self.flaw {
            Flaw::ClockJumps if self.nth_call() % 2 == 1 => self.start,
            _ => Instant::now(),
        }
    }

    fn timer(&self, at: Instant) -> Timer {
        let after = at.saturating_duration_since(Instant::now());
        match self.flaw {
            Flaw::TimersFireEarly => Timer::thread(after / 4),
            Flaw::TimersAreCapped => Timer::thread(after.min(Duration::from_millis(1))),
            Flaw::TimersCountFromTheirFirstPoll => Timer::boxed(Box::pin(async move { Timer::thread(after).await })),
            Flaw::PastTimersPanic if after.is_zero() => panic!("an instant that has passed"),
            Flaw::TimersKeepTheFirstWaker => Timer::boxed(Box::pin(FirstWaker { at, waker: None })),
            _ => Timer::thread(after),
        }
    }
}

/// A timer that forgets that it may be polled by somebody else the next time.
struct FirstWaker {
    at: Instant,
    waker: Option<Arc<Mutex<Waker>>>,
}

impl Future for FirstWaker {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let after = self.at.saturating_duration_since(Instant::now());
        if after.is_zero() {
            return Poll::Ready(());
        }
        if self.waker.is_none() {
            let waker = Arc::new(Mutex::new(cx.waker().clone()));
            self.waker = Some(waker.clone());
            thread::spawn(move || {
                block_on(Timer::thread(after));
                waker.lock().unwrap().wake_by_ref();
            });
        }
        Poll::Pending
    }
}

impl Blocking for Adapter {
    fn spawn_blocking(&self, job: Job) -> Result<(), SpawnError> {
        if self.ended.load(Ordering::SeqCst) {
            return Err(SpawnError::shutdown());
        }
        match self.flaw {
            Flaw::RunsJobsInline => job(),
            Flaw::RunsJobsAsTasks => return self.spawn_obj(Box::new(async { job() }).into()),
            Flaw::PanicsEndTheJobs => return self.jobs.send(job).map_err(|_| SpawnError::shutdown()),
            _ => drop(thread::spawn(job)),
        }
        Ok(())
    }
}

impl Runtime for Adapter {
    fn name(&self) -> &'static str {
        "hand-written"
    }

    fn block_on(&self, mut root: Pin<&mut dyn Future<Output = ()>>) -> Result<(), RunError> {
        match self.flaw {
            Flaw::ReturnsEarly => _ = root.as_mut().poll(&mut Context::from_waker(Waker::noop())),
            Flaw::SwallowsPanics => {
                _ = catch_unwind(AssertUnwindSafe(|| futures::executor::block_on(root)));
            }
            _ => futures::executor::block_on(root),
        }
        Ok(())
    }
}
