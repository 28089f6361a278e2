//! Wakers that panic, and what must hold for all that waits nevertheless: nobody hangs, nothing is
//! lost, and nothing is poisoned.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use foster::testing::CountingWaker;

type Wait<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// What a faulty waker does not survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Clone,
    Wake,
    Drop,
}

/// The fault of a waker, which happens once it is armed.
pub(crate) struct Faulty {
    armed: Mutex<Option<(Fault, Act)>>,
}

/// What a faulty waker does.
type Act = Box<dyn FnOnce() + Send>;

impl Faulty {
    /// Lent for good, since a waker may be kept for any time.
    pub(crate) fn new() -> &'static Self {
        Box::leak(Box::new(Faulty { armed: Mutex::new(None) }))
    }

    pub(crate) fn arm(&self, fault: Fault) {
        self.arm_with(fault, || panic!("a waker that panics"));
    }

    /// Lets `act` take the place of the panic.
    pub(crate) fn arm_with(&self, fault: Fault, act: impl FnOnce() + Send + 'static) {
        *self.armed.lock().unwrap() = Some((fault, Box::new(act)));
    }

    /// Acts if it is armed with this fault. It does so once.
    fn meet(&self, fault: Fault) {
        let met = self.armed.lock().unwrap().take_if(|(armed, _)| *armed == fault);
        if let Some((_, act)) = met {
            act();
        }
    }

    pub(crate) fn has_met(&self) -> bool {
        self.armed.lock().unwrap().is_none()
    }

    pub(crate) fn waker(&'static self) -> Waker {
        fn faulty(data: *const ()) -> &'static Faulty {
            // SAFETY: it is made below, of a reference that is valid for good.
            #[allow(unsafe_code)]
            unsafe {
                &*data.cast()
            }
        }
        const TABLE: RawWakerVTable = RawWakerVTable::new(
            |data| {
                faulty(data).meet(Fault::Clone);
                RawWaker::new(data, &TABLE)
            },
            |data| faulty(data).meet(Fault::Wake),
            |data| faulty(data).meet(Fault::Wake),
            |data| faulty(data).meet(Fault::Drop),
        );
        // SAFETY: the functions keep to the contract of a waker. They own nothing, and what they
        // look at is `Sync` and is valid for good.
        #[allow(unsafe_code)]
        unsafe {
            Waker::from_raw(RawWaker::new(std::ptr::from_ref(self).cast(), &TABLE))
        }
    }
}

/// Something that is waited for.
pub(crate) struct Waited<'a> {
    /// Begins to wait.
    pub(crate) wait: &'a dyn Fn() -> Wait<'a>,
    /// Lets the first one in.
    pub(crate) go: &'a dyn Fn(),
    /// How many wait.
    pub(crate) waiting: &'a dyn Fn() -> usize,
}

/// Polls, and says whether it has come to an end, be it by a panic.
fn has_ended(wait: &mut Wait<'_>, waker: &Waker) -> bool {
    let poll = || wait.as_mut().poll(&mut Context::from_waker(waker)).is_ready();
    catch_unwind(AssertUnwindSafe(poll)).unwrap_or(true)
}

fn is_pending(wait: &mut Wait<'_>, waker: &Waker) -> bool {
    matches!(wait.as_mut().poll(&mut Context::from_waker(waker)), Poll::Pending)
}

/// One with a faulty waker waits between two others.
fn one_of_three(waited: &Waited<'_>, fault: Fault) {
    let (faulty, wakers) = (Faulty::new(), [CountingWaker::new(), CountingWaker::new()]);
    let wakers_left = [wakers[0].waker(), faulty.waker(), wakers[1].waker()];
    let mut waits = [(); 3].map(|()| Some((waited.wait)()));
    for (wait, waker) in waits.iter_mut().zip(&wakers_left) {
        assert!(is_pending(wait.as_mut().unwrap(), waker));
    }
    let middle = &mut waits[1];
    match fault {
        // A waker is cloned when it replaces another one.
        Fault::Clone => {
            let replaces = Faulty::new();
            replaces.arm(fault);
            assert!(has_ended(middle.as_mut().unwrap(), &replaces.waker()) && replaces.has_met());
            *middle = None;
        }
        Fault::Drop => {
            faulty.arm(fault);
            let left = middle.take();
            assert!(catch_unwind(AssertUnwindSafe(|| drop(left))).is_err(), "it is dropped");
        }
        Fault::Wake => faulty.arm(fault),
    }
    for _ in 0..3 {
        _ = catch_unwind(AssertUnwindSafe(|| (waited.go)()));
        for (wait, waker) in waits.iter_mut().zip(&wakers_left) {
            if wait.as_mut().is_some_and(|wait| !has_ended(wait, waker)) {
                break;
            }
            *wait = None;
        }
    }
    assert!(waits.iter().all(Option::is_none), "nobody is left, {fault:?}");
    assert!(faulty.has_met(), "{fault:?}");
    assert!(wakers.iter().all(|waker| waker.count() == 1), "the others are woken once, {fault:?}");
}

/// A waker that cannot be cloned ends a wait before it has begun.
fn one_that_does_not_join(waited: &Waited<'_>) {
    let faulty = Faulty::new();
    let waker = faulty.waker();
    faulty.arm(Fault::Clone);
    let mut wait = (waited.wait)();
    assert!(has_ended(&mut wait, &waker) && faulty.has_met());
    drop(wait);
}

/// Tries all faults. After each, what is waited for is as `fresh` makes it.
pub(crate) fn check(mut fresh: impl FnMut(&mut dyn FnMut(Waited<'_>))) {
    for fault in [Fault::Clone, Fault::Wake, Fault::Drop] {
        fresh(&mut |waited| {
            one_that_does_not_join(&waited);
            assert_eq!((waited.waiting)(), 0);
            one_of_three(&waited, fault);
            assert_eq!((waited.waiting)(), 0, "{fault:?}");
        });
    }
}
