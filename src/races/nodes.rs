//! A future that ends on one thread, and the outcome that another waits for.

use std::cell::Cell;
use std::future::{Future, poll_fn, ready};
use std::panic::{Location, resume_unwind};
use std::rc::Rc;
use std::sync::Arc as Shared;
use std::task::{Context, Poll, Wake, Waker};

use super::{Arc, AtomicUsize, Ordering, block_on, model, thread};
use crate::task::cell::{Ended, Extra, Failed, Node, Reader, Runner, publish_places};
use crate::task::mark::Marked;

/// Counts how often it is dropped.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

type Child<F> = Runner<Node<F, Counted, &'static str>>;
type Task = Reader<Counted, &'static str>;

fn node<F>(future: F) -> (Child<F>, Task)
where
    F: Future<Output = Result<Counted, Failed>>,
{
    Runner::new(future, Location::caller(), ())
}

/// Polls the child once, answers for it as a scope does, and lets go of it.
fn run<F, X>(mut runner: Runner<Node<F, Counted, &'static str, X>>)
where
    F: Future<Output = Result<Counted, Failed>>,
    X: Extra,
{
    let told = match runner.poll(&Cell::new(None), &mut Context::from_waker(Waker::noop())) {
        Poll::Pending | Poll::Ready(Ended::Value) => return,
        Poll::Ready(Ended::Failed) => "failed",
        Poll::Ready(Ended::Panicked(_)) => "panicked",
    };
    assert!(runner.refuse(Some(told)).is_ok());
}

fn outcome(mut task: Task) -> Result<(), Option<&'static str>> {
    match block_on(poll_fn(|cx| task.poll(cx))) {
        Some(told) => told.map(drop).map_err(Some),
        None => Err(None),
    }
}

/// Has one thread run a child while another waits for it: the outcome arrives, and what the future
/// held is dropped once.
fn arrives<F>(child: fn(Counted) -> F, expected: Result<(), Option<&'static str>>)
where
    F: Future<Output = Result<Counted, Failed>> + Send + 'static,
{
    model(move || {
        let drops = Arc::new(AtomicUsize::new(0));
        let (runner, task) = node(child(Counted(drops.clone())));
        let running = thread::spawn(move || run(runner));
        assert_eq!(outcome(task), expected);
        running.join().unwrap();
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_value_arrives() {
    arrives(|value| ready(Ok(value)), Ok(()));
}

#[test]
fn why_there_is_no_value_arrives() {
    arrives(
        |held| async move {
            drop(held);
            Err(Failed)
        },
        Err(Some("failed")),
    );
}

#[test]
fn so_it_does_after_a_panic() {
    arrives(
        |held| async move {
            let _held = held;
            resume_unwind(Box::new(()))
        },
        Err(Some("panicked")),
    );
}

#[test]
fn nobody_waits_for_a_child_that_was_dropped() {
    arrives(
        |held| async move {
            let _held = held;
            std::future::pending().await
        },
        Err(None),
    );
}

/// The waker is exchanged at the moment in which the child takes it to wake it.
#[test]
fn a_task_that_is_polled_with_another_waker_as_its_child_ends_is_not_left_waiting() {
    model(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let (runner, mut task) = node(ready(Ok(Counted(drops.clone()))));
        let running = thread::spawn(move || run(runner));
        if task.poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            assert_eq!(outcome(task), Ok(()));
        }
        running.join().unwrap();
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_task_may_be_dropped_while_its_child_ends() {
    for polls in [0, 1] {
        model(move || {
            let drops = Arc::new(AtomicUsize::new(0));
            let (runner, mut task) = node(ready(Ok(Counted(drops.clone()))));
            let running = thread::spawn(move || run(runner));
            for _ in 0..polls {
                drop(task.poll(&mut Context::from_waker(Waker::noop())));
            }
            drop(task);
            running.join().unwrap();
            assert_eq!(drops.load(Ordering::Relaxed), 1);
        });
    }
}

/// Wakes nobody.
struct Idle;

impl Wake for Idle {
    fn wake(self: Shared<Self>) {}
}

/// The child has woken it, or else it goes with the node, whoever lets go of that last.
#[test]
fn a_waker_that_a_task_leaves_as_its_child_ends_is_dropped() {
    for is_exchanged in [false, true] {
        model(move || {
            let (drops, idle) = (Arc::new(AtomicUsize::new(0)), Shared::new(Idle));
            let (runner, mut task) = node(ready(Ok(Counted(drops.clone()))));
            let running = thread::spawn(move || run(runner));
            drop(task.poll(&mut Context::from_waker(&Waker::from(idle.clone()))));
            if is_exchanged {
                drop(task.poll(&mut Context::from_waker(Waker::noop())));
            }
            drop(task);
            running.join().unwrap();
            assert_eq!((drops.load(Ordering::Relaxed), Shared::strong_count(&idle)), (1, 1));
        });
    }
}

/// A scope takes a child in while its task cancels it. If neither saw the other, the child would
/// run on.
#[test]
fn a_child_that_is_cancelled_while_it_is_given_a_place_is_found() {
    model(|| {
        let (runner, task) = node(ready(Err(Failed)));
        let cancelling = thread::spawn(move || task.cancel());
        runner.header().set_place(7);
        publish_places();
        let seen = runner.header().is_cancelled();
        let place = cancelling.join().unwrap();
        assert!(seen || place == Some(7), "nobody knows");
    });
}

#[test]
fn a_mark_tells_of_a_cancellation_although_both_ends_let_go_meanwhile() {
    model(|| {
        let (place, mark) = (Rc::new(Cell::new(None::<Marked>)), Rc::new(Cell::new(None)));
        let (here, noting) = (Rc::clone(&place), Rc::clone(&mark));
        let (mut runner, task) = node(poll_fn(move |_| {
            let child = here.take();
            noting.set(child.as_ref().map(Marked::mark));
            here.set(child);
            Poll::Pending
        }));
        let cancelling = thread::spawn(move || {
            task.cancel();
        });
        assert!(runner.poll(&place, &mut Context::from_waker(Waker::noop())).is_pending());
        assert!(place.take().is_none(), "it is still lent");
        drop(runner);
        let mark = mark.take().unwrap();
        let _ = mark.cancelled_at();
        cancelling.join().unwrap();
        assert!(mark.cancelled_at().is_some());
    });
}
