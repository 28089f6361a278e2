//! What one thread tells another: that something has happened, or a value.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use super::{Letter, block_on, model, thread};
use crate::sync::{Event, oneshot};

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
        assert_eq!((event.is_set(), event.waiting()), (true, 0));
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
        assert_eq!(event.waiting(), 0);
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
