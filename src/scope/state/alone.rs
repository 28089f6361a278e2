//! A scope that is *alone*: there is nothing in it to poll but its body, as in most roots.
//!
//! Its body is polled in place, with the caller's waker, and neither the set nor the lanes are looked at. Whatever else
//! may come up makes the scope's token, rings its bell or counts as a parallel child, so one look at these three tells
//! when this ends. The body, which has the caller's waker then, is polled once more, with its waker from the set.
//!
//! The bell stays asleep meanwhile, which spares rousing it. So a body that spawns the first child in a poll of this
//! kind wakes the scope that is being polled, once. After each poll the bell is given the caller's waker again: a ring
//! that comes late may have used up the last one.

use std::future::Future;
use std::task::{Context, Poll};

use super::poll_member::poll_or_stop;
use super::{Body, Machine, Phase};
use crate::context::Ambient;
use crate::engine::Key;
use crate::scope::kind::Kind;

/// The body's place in the set: it is the first that is put in.
const BODY: Key = Key::new(0);

impl<T, E, K: Kind> Machine<'_, T, E, K> {
    /// Whether the scope is alone, still. If it no longer is, the set polls the body.
    #[inline]
    pub(super) fn is_alone(&mut self, ambient: &Ambient) -> bool {
        if self.alone && (!self.is_quiet() || ambient.is_drawing()) {
            self.back_to_the_set();
        }
        self.alone
    }

    /// Whether nothing has come from outside the body since the scope went to sleep.
    #[inline]
    fn is_quiet(&self) -> bool {
        let control = self.control();
        control.bell.is_asleep() && control.known_token().is_none() && control.parallel() == 0
    }

    /// Polls the body in place. True if there is nothing else to do.
    pub(super) fn poll_alone<B>(&mut self, body: &mut Body<'_, B>, ambient: &Ambient, cx: &mut Context<'_>) -> bool
    where
        B: Future<Output = Result<T, E>>,
    {
        let Some(member) = self.set.get(BODY) else { return false };
        let mut result = None;
        match poll_or_stop(member.get_mut(), &self.core.control, false, body, &mut result, ambient, cx) {
            Poll::Pending if self.control().bell.sleep(cx.waker()) && self.is_quiet() => return true,
            Poll::Pending => self.back_to_the_set(),
            Poll::Ready(exit) => {
                self.alone = false;
                self.set.remove(BODY);
                self.exit(BODY, exit, result, body, ambient);
            }
        }
        false
    }

    /// Has the set poll the body, which needs its waker from there.
    fn back_to_the_set(&mut self) {
        self.alone = false;
        self.set.wake(BODY);
    }

    /// Sees whether the scope is alone until the next poll.
    #[inline]
    pub(super) fn rest(&mut self) {
        self.alone = self.set.len() == 1
            && self.phase == Phase::Running
            && self.adopted.is_empty()
            && self.alarm.is_none()
            && self.is_quiet()
            && self.set.get(BODY).is_some_and(|member| member.runner.is_none());
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{pending, poll_fn};
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Wake, Waker};

    use super::*;
    use crate::context;
    use crate::name::Name;
    use crate::scope::kind::AnyThread;
    use crate::scope::state::Core;

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    impl Woken {
        fn take(&self) -> bool {
            self.0.swap(false, Ordering::SeqCst)
        }
    }

    #[test]
    fn a_body_that_is_alone_has_the_callers_waker_from_the_second_poll_on() {
        let waker = Waker::from(Arc::new(Woken::default()));
        let callers = AtomicBool::new(false);
        let mut scope = pin!(crate::scope(async |_| {
            poll_fn(|cx| {
                callers.store(cx.waker().will_wake(&waker), Ordering::SeqCst);
                Poll::<()>::Pending
            })
            .await
        }));
        for expected in [false, true, true] {
            assert!(scope.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            assert_eq!(callers.load(Ordering::SeqCst), expected);
        }
    }

    #[test]
    fn a_child_that_is_spawned_by_a_body_that_was_alone_wakes_that_body() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let (go, gone) = futures::channel::oneshot::channel();
        let mut scope = pin!(crate::scope(async |s| {
            gone.await.unwrap();
            s.spawn(async {
                crate::yield_now().await;
                7
            })
            .await
        }));
        let mut poll = || scope.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(poll().is_pending());
        assert!(poll().is_pending());
        woken.take();
        go.send(()).unwrap();
        let value = loop {
            assert!(woken.take(), "the scope sleeps, and nobody would wake it");
            if let Poll::Ready(value) = poll() {
                break value;
            }
        };
        assert_eq!(value, 7);
    }

    /// A ring that is late takes the waker that the scope has registered meanwhile. The scope, polled in place
    /// because of it, slept on a bell without a waker.
    #[test]
    fn a_ring_that_is_late_leaves_a_scope_that_is_alone_its_waker() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let core = Core::<Infallible, AnyThread>::new();
        let mut machine = Machine::<(), Infallible, AnyThread>::new(Arc::clone(&core), Name::from("alone"));
        let mut body = pin!(Some(pending::<Result<(), Infallible>>()));
        let mut poll = || {
            let cx = &mut Context::from_waker(&waker);
            context::with(|ambient| machine.poll(body.as_mut(), ambient, cx).is_pending())
        };
        assert!(poll() && poll());
        core.control.bell.unhang();
        assert!(poll());
        woken.take();
        core.control.bell.ring();
        assert!(woken.take());
    }
}
