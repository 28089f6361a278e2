//! Where the channels of `async-channel` differ from our queues: the rows of the table on the page
//! of `foster::sync::async_channel`. Each test does the same with both, and says what it finds.

use foster::queue;
use foster::sync::async_channel;
use foster::testing::Drops;

use crate::by_hand::ByHand;

#[test]
fn a_newcomer_takes_the_item_of_one_that_waits_only_there() {
    let (jobs, work) = queue::bounded(2);
    let receiver = ByHand::waiting(work.recv());
    jobs.try_send(1).unwrap();
    assert!(work.try_recv().is_err());
    assert_eq!(*receiver.turn().unwrap(), 1);

    let (jobs, work) = async_channel::bounded(2);
    let mut receiver = ByHand::waiting(work.recv());
    jobs.try_send(1).unwrap();
    assert_eq!((receiver.wakes(), work.try_recv()), (1, Ok(1)));
    assert!(receiver.poll().is_none(), "it was woken for nothing");
}

#[test]
fn a_newcomer_takes_the_room_of_one_that_waits_only_there() {
    let (jobs, work) = queue::bounded(1);
    jobs.try_send(1).unwrap();
    let sender = ByHand::waiting(jobs.send(2));
    drop(work.try_recv().unwrap());
    assert!(jobs.try_send(3).is_err());
    sender.turn().unwrap();

    let (jobs, work) = async_channel::bounded(1);
    jobs.try_send(1).unwrap();
    let mut sender = ByHand::waiting(jobs.send(2));
    work.try_recv().unwrap();
    assert_eq!((sender.wakes(), jobs.try_send(3)), (1, Ok(())));
    assert!(sender.poll().is_none(), "it was woken for nothing");
}

#[test]
fn a_dropped_receive_loses_nothing_with_both() {
    let (jobs, work) = queue::bounded(2);
    let [first, second] = [(); 2].map(|()| ByHand::waiting(work.recv()));
    jobs.try_send(1).unwrap();
    drop(first);
    assert_eq!(*second.turn().unwrap(), 1);

    let (jobs, work) = async_channel::bounded(2);
    let [first, second] = [(); 2].map(|()| ByHand::waiting(work.recv()));
    jobs.try_send(1).unwrap();
    drop(first);
    assert_eq!(second.turn(), Ok(1));
}

#[test]
fn a_dropped_send_drops_its_item_with_both() {
    let drops = Drops::new();
    let (jobs, work) = queue::bounded(1);
    jobs.try_send(drops.guard()).unwrap();
    drop(ByHand::waiting(jobs.send(drops.guard())));
    assert_eq!((drops.count(), work.len()), (1, 1));

    let drops = Drops::new();
    let (jobs, work) = async_channel::bounded(1);
    assert!(jobs.try_send(drops.guard()).is_ok());
    drop(ByHand::waiting(jobs.send(drops.guard())));
    assert_eq!((drops.count(), work.len()), (1, 1));
}

#[test]
fn what_is_queued_goes_with_the_last_receiver_only_here() {
    let drops = Drops::new();
    let (jobs, work) = queue::bounded(1);
    jobs.try_send(drops.guard()).unwrap();
    drop(work);
    assert_eq!(drops.alive(), 0);

    let drops = Drops::new();
    let (jobs, work) = async_channel::bounded(1);
    assert!(jobs.try_send(drops.guard()).is_ok());
    drop(work);
    assert_eq!(drops.alive(), 1);
    drop(jobs);
    assert_eq!(drops.alive(), 0);
}
