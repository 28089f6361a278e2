//! Two owners, and who keeps the memory beyond them.

use std::task::Poll;

use super::{Arc, AtomicUsize, Letter, Ordering, model, thread};
use crate::task::pair::Owner;

/// Counts how often it is dropped, by when both owners' letters must have arrived.
struct Value {
    letters: [Letter; 2],
    drops: Arc<AtomicUsize>,
}

impl Drop for Value {
    fn drop(&mut self) {
        assert!(self.letters.iter().all(|letter| letter.arrived() == Poll::Ready(())));
        self.drops.fetch_add(1, Ordering::Relaxed);
    }
}

fn pair() -> ([Owner<Value>; 2], Arc<AtomicUsize>) {
    let drops = Arc::new(AtomicUsize::new(0));
    let (one, two) = Owner::pair(Value { letters: [Letter::new(), Letter::new()], drops: drops.clone() });
    ([one, two], drops)
}

fn let_go(owner: Owner<Value>, which: usize) {
    owner.letters[which].write();
}

#[test]
fn of_two_owners_that_let_go_at_once_the_last_drops_the_value_after_all_that_both_did() {
    model(|| {
        let ([one, two], drops) = pair();
        let other = thread::spawn(move || let_go(one, 0));
        let_go(two, 1);
        other.join().unwrap();
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn memory_that_is_kept_beyond_the_owners_is_freed_once_and_by_the_last() {
    model(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let value = Value { letters: [Letter::new(), Letter::new()], drops: drops.clone() };
        let (one, two, [memory]) = Owner::pair_and_memories(value);
        let threads = [thread::spawn(move || let_go(one, 0)), thread::spawn(move || drop(memory))];
        let_go(two, 1);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    });
}
