//! What one thread tells another: that something has happened, or a value.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::{Letter, block_on, model, thread};
use crate::sync::{Barrier, BarrierWait, Condition, Event, Mutex, oneshot, watch};

#[test]
fn what_was_written_before_an_event_is_set_is_seen_by_all_who_waited() {
    model(|| {
        let (event, letter) = (Arc::new(Event::new()), Arc::new(Letter::new()));
        let (setter, writes) = (event.clone(), letter.clone());
        let threads = [
            thread::spawn(move || {
                writes.write();
                setter.set();
            }),
            {
                let event = event.clone();
                thread::spawn(move || block_on(event.wait()))
            },
        ];
        block_on(event.wait());
        assert!(letter.arrived().is_ready());
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!((event.is_set(), event.statistics().waiting()), (true, 0));
    });
}

#[test]
fn a_waiter_that_came_before_an_edge_is_let_in() {
    model(|| {
        let event = Arc::new(Event::new());
        let setter = event.clone();
        let mut wait = Box::pin(event.wait());
        assert!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let thread = thread::spawn(move || {
            setter.set();
            setter.clear();
        });
        block_on(wait);
        thread.join().unwrap();
        assert!(!event.is_set());
    });
}

#[test]
fn a_waiter_that_leaves_an_event_while_it_is_set_leaves_nothing_behind() {
    model(|| {
        let event = Arc::new(Event::new());
        let setter = event.clone();
        let thread = thread::spawn(move || setter.set());
        {
            let mut wait = pin!(event.wait());
            let _ = wait.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
        block_on(event.wait());
        thread.join().unwrap();
        assert_eq!(event.statistics().waiting(), 0);
    });
}

#[test]
fn a_value_and_what_was_written_before_it_arrive() {
    model(|| {
        let (sender, receiver) = oneshot::channel();
        let letter = Arc::new(Letter::new());
        let writes = letter.clone();
        let thread = thread::spawn(move || {
            writes.write();
            sender.send(7).unwrap();
        });
        assert_eq!(block_on(receiver), Ok(7));
        assert!(letter.arrived().is_ready());
        thread.join().unwrap();
    });
}

#[test]
fn a_value_arrives_though_another_waker_is_left() {
    model(|| {
        let (sender, mut receiver) = oneshot::channel();
        let thread = thread::spawn(move || sender.send(7).unwrap());
        let polled = pin!(&mut receiver).poll(&mut Context::from_waker(Waker::noop()));
        if polled.is_pending() {
            assert_eq!(block_on(receiver), Ok(7));
        }
        thread.join().unwrap();
    });
}

#[test]
fn a_value_is_in_one_place_when_the_receiver_goes_while_it_is_sent() {
    model(|| {
        let (sender, mut receiver) = oneshot::channel();
        let value = Arc::new(());
        let sent = value.clone();
        let thread = thread::spawn(move || {
            receiver.close();
            let received = receiver.try_recv().is_ok();
            drop(receiver);
            received
        });
        let is_sent = sender.send(sent).is_ok();
        assert_eq!(thread.join().unwrap(), is_sent);
        assert_eq!(Arc::strong_count(&value), 1);
    });
}

#[test]
fn each_side_hears_that_the_other_has_gone() {
    model(|| {
        let (mut sender, receiver) = oneshot::channel::<u32>();
        let thread = thread::spawn(move || drop(receiver));
        block_on(sender.closed());
        thread.join().unwrap();
        let (sender, receiver) = oneshot::channel::<u32>();
        let thread = thread::spawn(move || drop(sender));
        assert!(block_on(receiver).is_err());
        thread.join().unwrap();
    });
}

#[test]
fn parties_of_a_barrier_see_what_the_others_have_written() {
    model(|| {
        let barrier = Arc::new(Barrier::new(2));
        let letters = Arc::new([Letter::new(), Letter::new()]);
        let (other, theirs) = (barrier.clone(), letters.clone());
        let thread = thread::spawn(move || {
            theirs[0].write();
            let result = block_on(other.wait()).unwrap();
            assert!(theirs[1].arrived().is_ready());
            result.index()
        });
        letters[1].write();
        let index = block_on(barrier.wait()).unwrap().index();
        assert!(letters[0].arrived().is_ready());
        assert_eq!(index + thread.join().unwrap(), 1);
        assert_eq!(barrier.statistics().waiting(), 0);
    });
}

#[test]
fn a_party_that_leaves_a_barrier_is_met_or_does_not_count() {
    model(|| {
        let barrier = Arc::new(Barrier::new(2));
        let poll = |wait: &mut Pin<Box<BarrierWait<'_>>>| {
            let polled = wait.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            if let Poll::Ready(result) = polled { Some(result.unwrap().index()) } else { None }
        };
        let mut leaves = Box::pin(barrier.wait());
        assert!(poll(&mut leaves).is_none());
        let other = barrier.clone();
        let thread = thread::spawn(move || block_on(other.wait()).unwrap().index());
        drop(leaves);
        // It meets the thread, unless that has met the one who left.
        let mut stays = Box::pin(barrier.wait());
        let first = poll(&mut stays);
        let index = thread.join().unwrap();
        match first.or_else(|| if barrier.statistics().waiting() == 0 { poll(&mut stays) } else { None }) {
            Some(own) => assert_eq!(own + index, 1),
            None => assert_eq!((index, barrier.statistics().waiting()), (1, 1)),
        }
    });
}

#[test]
fn a_notification_is_not_missed_between_the_unlocking_and_the_wait() {
    model(|| {
        let (mutex, condition) = (Arc::new(Mutex::new(false)), Arc::new(Condition::new()));
        let (theirs, notifies) = (mutex.clone(), condition.clone());
        let thread = thread::spawn(move || {
            *block_on(theirs.lock()) = true;
            notifies.notify(1);
        });
        let guard = block_on(condition.wait_for(block_on(mutex.lock()), |is_set| *is_set));
        assert!(*guard);
        drop(guard);
        thread.join().unwrap();
        assert!(!mutex.is_locked());
    });
}

#[test]
fn a_notified_waiter_that_leaves_passes_its_notification_on() {
    model(|| {
        let (mutex, condition) = (Arc::new(Mutex::new(())), Arc::new(Condition::new()));
        let mut leaves = Box::pin(condition.wait(mutex.try_lock().unwrap()));
        assert!(leaves.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let mut stays = Box::pin(condition.wait(mutex.try_lock().unwrap()));
        assert!(stays.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let notifies = condition.clone();
        let thread = thread::spawn(move || notifies.notify(1));
        let guard = leaves.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        drop(leaves);
        if !guard {
            drop(block_on(stays));
        }
        thread.join().unwrap();
    });
}

#[test]
fn the_last_value_of_a_watch_arrives() {
    model(|| {
        let (sender, mut receiver) = watch::channel(0);
        let thread = thread::spawn(move || {
            sender.send(1);
            sender.send(2);
        });
        let mut last = 0;
        while let Ok(value) = block_on(receiver.changed()) {
            assert!(*value > last);
            last = *value;
        }
        assert_eq!(last, 2);
        thread.join().unwrap();
    });
}

#[test]
fn changes_of_a_watch_by_two_threads_both_count() {
    model(|| {
        let (sender, receiver) = watch::channel(0);
        let other = sender.clone();
        let thread = thread::spawn(move || other.send_modify(|value| *value += 1));
        sender.send_modify(|value| *value += 10);
        thread.join().unwrap();
        assert_eq!(*receiver.get(), 11);
    });
}
