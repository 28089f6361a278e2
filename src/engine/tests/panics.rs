use super::*;

/// Notes its number when it is dropped, and panics if told to.
struct Noisy<'a>(usize, bool, &'a RefCell<Vec<usize>>);

impl Drop for Noisy<'_> {
    fn drop(&mut self) {
        self.2.borrow_mut().push(self.0);
        assert!(!self.1, "drop of {}", self.0);
    }
}

#[test]
fn all_are_dropped_newest_first_although_some_panic() {
    let order = RefCell::default();
    let mut set = Set::new();
    for i in 0..100 {
        set.insert(Noisy(i, i % 10 == 5, &order));
    }
    let panic = catch_unwind(AssertUnwindSafe(|| set.clear())).unwrap_err();
    assert_eq!(panic.downcast_ref::<String>().unwrap(), "drop of 95");
    assert_eq!(order.take(), (0..100).rev().collect::<Vec<_>>());

    for i in 0..100 {
        set.insert(Noisy(i, i % 10 == 5, &order));
    }
    assert!(catch_unwind(AssertUnwindSafe(|| drop(set))).is_err());
    assert_eq!(order.take().len(), 100);
}

#[test]
fn a_panic_in_a_drop_during_another_panic_does_not_abort() {
    let order = RefCell::default();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let mut set = Set::new();
        for i in 0..10 {
            set.insert(Noisy(i, i == 5, &order));
        }
        panic!("outer");
    }));
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"outer"));
    assert_eq!(order.take().len(), 10);
}

/// Panics when it is dropped, unless a panic is under way.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "a payload was dropped");
    }
}

#[test]
fn payloads_that_panic_when_dropped_keep_no_member_from_being_dropped() {
    struct Armed<'a>(&'a Cell<usize>);
    impl Drop for Armed<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
            std::panic::panic_any(Bomb);
        }
    }
    let drops = Cell::new(0);
    let full = || Set::collect((0..100).map(|_| Armed(&drops)));
    let mut set = full();
    let clear = catch_unwind(AssertUnwindSafe(|| set.clear()));
    let payload = clear.unwrap_err();
    assert!(payload.is::<Bomb>());
    std::mem::forget(payload);
    assert_eq!((drops.take(), set.len()), (100, 0));

    let set = full();
    let payload = catch_unwind(AssertUnwindSafe(|| drop(set))).unwrap_err();
    assert!(payload.is::<Bomb>());
    std::mem::forget(payload);
    assert_eq!(drops.get(), 100);
}

#[test]
fn a_panic_in_a_poll_harms_nobody_else() {
    let drops = Cell::new(0);
    let mut set = Set::with_capacity(10);
    for _ in 0..10 {
        set.insert(CountDrop(&drops));
    }
    let mut seen = Vec::new();
    let mut each = |key: Key, _: Pin<&mut CountDrop<'_>>, _: &mut Context<'_>| {
        seen.push(key.index());
        assert!(key.index() != 4 || seen.iter().filter(|&&i| i == 4).count() > 2);
        Poll::Ready(())
    };
    for _ in 0..2 {
        let all = AssertUnwindSafe(|| drive(&mut set, Waker::noop(), &mut each));
        assert!(catch_unwind(all).is_err());
        assert_eq!((drops.get(), set.len()), (4, 6));
    }
    assert_eq!(drive(&mut set, Waker::noop(), &mut each).0.len(), 6);
    assert_eq!(seen, [0, 1, 2, 3, 4, 4, 4, 5, 6, 7, 8, 9]);
    assert_eq!(drops.get(), 10);
}

#[test]
fn a_panic_in_a_poll_gives_the_budget_back() {
    let mut set = Set::new();
    set.insert(());
    let mut cx = Context::from_waker(Waker::noop());
    let poll = AssertUnwindSafe(|| set.poll_next::<()>(&mut cx, |_, _, _| panic!()));
    assert!(catch_unwind(poll).is_err());
    let mut other = Set::with_capacity(100);
    other.extend(0..100);
    let (results, _) = drive(&mut other, Waker::noop(), |_, _, _| Poll::Ready(()));
    assert_eq!(results.len(), BUDGET as usize);
}

#[test]
fn a_panic_in_the_drop_of_a_finished_member_harms_nobody_else() {
    let order = RefCell::default();
    let mut set = Set::new();
    for i in 0..10 {
        set.insert(Noisy(i, i == 4, &order));
    }
    let all = AssertUnwindSafe(|| drive(&mut set, Waker::noop(), |_, _, _| Poll::Ready(())));
    assert!(catch_unwind(all).is_err());
    assert_eq!(set.len(), 5);
    assert_eq!(drive(&mut set, Waker::noop(), |_, _, _| Poll::Ready(())).0.len(), 5);
    assert_eq!(order.take(), (0..10).collect::<Vec<_>>());
}

// Members are put into a block first, and belong to the set when the block is full or their source
// ends.
#[test]
fn members_that_were_there_when_their_source_panicked_are_dropped() {
    for n in [1, 5, 64, 65, 130] {
        let drops = Cell::new(0);
        let members = (0..200).map(|i| if i < n { CountDrop(&drops) } else { panic!("no more") });
        assert!(catch_unwind(AssertUnwindSafe(|| Set::collect(members))).is_err());
        assert_eq!(drops.get(), n);
    }
}
