//! Queues: items that go from thread to thread, while an end of the queue closes or goes.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::{Arc, AtomicUsize, Letter, Ordering, block_on, model, thread};
use crate::queue;

/// An item that counts its drops.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn what_was_written_before_an_item_was_sent_is_seen_by_its_receiver() {
    model(|| {
        let (jobs, work) = queue::bounded(1);
        let letter = Arc::new(Letter::new());
        let writes = letter.clone();
        let sender = thread::spawn(move || {
            writes.write();
            jobs.try_send(7).unwrap();
        });
        assert_eq!(*block_on(work.recv()).unwrap(), 7);
        assert!(letter.arrived().is_ready());
        sender.join().unwrap();
        assert!(block_on(work.recv()).is_none(), "the last sender has gone");
    });
}

// Who is done is counted by an `Arc` of std, of which loom knows nothing. So this says that the
// wake-up comes, and leaves what is seen after it to ThreadSanitizer.
#[test]
fn one_who_joins_is_woken_when_the_last_item_is_done() {
    model(|| {
        let (jobs, work) = queue::bounded(2);
        jobs.try_send(1).unwrap();
        let worker = thread::spawn(move || {
            let item = work.try_recv().unwrap();
            drop(item);
            work
        });
        block_on(jobs.join());
        assert_eq!((jobs.len(), jobs.unfinished()), (0, 0));
        drop(worker.join().unwrap());
    });
}

#[test]
fn a_sender_that_waits_has_the_room_that_an_item_leaves() {
    model(|| {
        let (jobs, work) = queue::bounded(1);
        jobs.try_send(1).unwrap();
        let sender = thread::spawn(move || block_on(jobs.send(2)).unwrap());
        assert_eq!(*block_on(work.recv()).unwrap(), 1);
        assert_eq!(*block_on(work.recv()).unwrap(), 2);
        sender.join().unwrap();
    });
}

#[test]
fn an_item_that_is_sent_while_the_queue_is_closed_is_received_or_handed_back() {
    model(|| {
        let (jobs, work) = queue::bounded(1);
        let (theirs, closes) = (jobs.clone(), work.clone());
        let sender = thread::spawn(move || block_on(theirs.send(7)).map_err(|error| error.into_inner()));
        let closer = thread::spawn(move || closes.close());
        let received = block_on(work.recv()).map(|item| *item);
        assert!(block_on(work.recv()).is_none());
        match sender.join().unwrap() {
            Ok(()) => assert_eq!(received, Some(7)),
            Err(item) => assert_eq!((item, received), (7, None)),
        }
        closer.join().unwrap();
        block_on(jobs.join());
    });
}

#[test]
fn what_is_sent_while_the_last_receiver_goes_is_dropped_once_and_counts_as_done() {
    model(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let (jobs, work) = queue::bounded(2);
        jobs.try_send(Counted(drops.clone())).unwrap();
        let (theirs, second) = (jobs.clone(), Counted(drops.clone()));
        let sender = thread::spawn(move || drop(block_on(theirs.send(second))));
        let receiver = thread::spawn(move || {
            drop(work.try_recv());
            drop(work);
        });
        block_on(jobs.join());
        sender.join().unwrap();
        receiver.join().unwrap();
        assert_eq!((drops.load(Ordering::Relaxed), jobs.unfinished()), (2, 0));
        assert!(jobs.is_closed());
    });
}

#[test]
fn an_item_goes_to_another_when_its_receiver_leaves_while_it_is_sent() {
    model(|| {
        let (jobs, work) = queue::bounded(1);
        let leaving = work.clone();
        let leaver = thread::spawn(move || {
            let mut recv = pin!(leaving.recv());
            match recv.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(item) => item.map(|item| *item),
                Poll::Pending => None,
            }
        });
        let sender = thread::spawn(move || jobs.try_send(7).unwrap());
        let received = block_on(work.recv()).map(|item| *item);
        let taken = leaver.join().unwrap();
        assert_eq!((received.or(taken), received.and(taken)), (Some(7), None), "one of them has it");
        sender.join().unwrap();
        assert_eq!((work.unfinished(), work.statistics().waiting_receivers()), (0, 0));
    });
}

#[test]
fn an_item_that_is_offered_goes_to_who_waits_and_not_to_who_comes_in_between() {
    model(|| {
        let (jobs, work) = queue::rendezvous();
        let theirs = work.clone();
        let mut waits = pin!(work.recv());
        assert!(waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let offerer = thread::spawn(move || block_on(jobs.send(7)).is_ok());
        let newcomer = thread::spawn(move || theirs.try_recv().is_ok());
        assert_eq!(block_on(waits).map(|item| *item), Some(7));
        assert_eq!((offerer.join().unwrap(), newcomer.join().unwrap()), (true, false));
    });
}

#[test]
fn an_item_that_is_offered_is_with_one_side_when_both_may_leave() {
    model(|| {
        let (jobs, work) = queue::rendezvous();
        let offerer = thread::spawn(move || {
            let mut send = pin!(jobs.send(7));
            matches!(send.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(())))
        });
        let received = {
            let mut recv = pin!(work.recv());
            match recv.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(item) => item.map(|item| *item),
                Poll::Pending => None,
            }
        };
        let is_sent = offerer.join().unwrap();
        // A sender that has left may have been told afterwards that its item was taken.
        assert!(received.is_some() || !is_sent, "an item that was sent is received");
        assert_eq!(work.unfinished(), 0);
    });
}
