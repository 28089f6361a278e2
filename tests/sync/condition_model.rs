//! The condition, beside a model of it that is easily seen to be right.

use foster::sync::{Condition, Mutex, MutexGuard};
use proptest::prelude::*;

use crate::by_hand::ByHand;

#[derive(Clone, Debug)]
enum Step {
    Wait,
    Lock,
    Unlock,
    Notify(usize),
    NotifyAll,
    Poll(usize),
    Drop(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stands {
    /// In the line of the condition.
    Waits,
    /// It was notified, alone or with all, and has not been polled since.
    Notified(bool),
    /// In the line of the mutex.
    Locks(bool),
}

proptest! {
    /// The line of the condition, and the line of the mutex, in which those who were notified stand
    /// once they are polled.
    #[test]
    fn a_condition_is_like_its_model(steps in prop::collection::vec(prop_oneof![
        5 => Just(Step::Wait),
        1 => Just(Step::Lock),
        2 => Just(Step::Unlock),
        2 => (1..4usize).prop_map(Step::Notify),
        1 => Just(Step::NotifyAll),
        4 => (0..8usize).prop_map(Step::Poll),
        3 => (0..8usize).prop_map(Step::Drop),
    ], 1..80)) {
        let (condition, mutex) = (Condition::new(), Mutex::new(()));
        let mut held: Option<MutexGuard<'_, ()>> = None;
        let mut waiters: Vec<(ByHand<'_, MutexGuard<'_, ()>>, Stands)> = Vec::new();
        let notify = |waiters: &mut Vec<(_, Stands)>, count: usize, with_all: bool| {
            let waiting = waiters.iter_mut().filter(|(_, stands)| *stands == Stands::Waits);
            waiting.take(count).for_each(|(_, stands)| *stands = Stands::Notified(with_all));
        };
        for step in steps {
            match step {
                Step::Wait => if let Some(guard) = held.take() {
                    waiters.push((ByHand::waiting(condition.wait(guard)), Stands::Waits));
                }
                Step::Lock => if held.is_none() {
                    held = mutex.try_lock();
                }
                Step::Unlock => held = None,
                Step::Notify(count) => {
                    condition.notify(count);
                    notify(&mut waiters, count, false);
                }
                Step::NotifyAll => {
                    condition.notify_all();
                    notify(&mut waiters, usize::MAX, true);
                }
                Step::Poll(place) if place < waiters.len() => {
                    let (wait, stands) = &mut waiters[place];
                    let polled = wait.poll();
                    match *stands {
                        Stands::Waits => prop_assert!(polled.is_none()),
                        Stands::Notified(with_all) | Stands::Locks(with_all) => {
                            *stands = Stands::Locks(with_all);
                            if let Some(guard) = polled {
                                prop_assert!(held.is_none());
                                held = Some(guard);
                                waiters.remove(place);
                            } else if held.is_none() {
                                prop_assert!(mutex.is_locked(), "it belongs to another one, who was first");
                            }
                        }
                    }
                }
                Step::Drop(place) if place < waiters.len() => {
                    let (wait, stands) = waiters.remove(place);
                    drop(wait);
                    if let Stands::Notified(false) | Stands::Locks(false) = stands {
                        notify(&mut waiters, 1, false);
                    }
                }
                Step::Poll(_) | Step::Drop(_) => {}
            }
            prop_assert_eq!(condition.statistics().waiting(), waiters.iter().filter(|(_, stands)| *stands == Stands::Waits).count());
            for (wait, stands) in &waiters {
                match stands {
                    Stands::Waits => prop_assert_eq!(wait.wakes(), 0),
                    Stands::Notified(_) => prop_assert_eq!(wait.wakes(), 1),
                    Stands::Locks(_) => prop_assert!((1..=2).contains(&wait.wakes())),
                }
            }
            let locking = waiters.iter().filter(|(_, stands)| matches!(stands, Stands::Locks(_))).count();
            prop_assert_eq!(mutex.is_locked(), held.is_some() || locking > 0);
        }
    }
}
