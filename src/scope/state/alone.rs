//! A scope that is *alone*: there is nothing in it to poll but its body, as in most roots.
//!
//! Its body is polled in place, with the caller's waker, and neither the set nor the lanes are
//! looked at. Whatever else may come up makes the scope's token, rings its bell or counts as a
//! parallel child, so one look at these three tells when this ends. The body, which has the
//! caller's waker then, is polled once more, with its waker from the set.
//!
//! The bell stays asleep meanwhile, which spares rousing it. So a body that spawns the first child
//! in a poll of this kind wakes the scope that is being polled, once. The bell keeps the caller's
//! waker as long as that is known to stay the same, and the bell has used none. Otherwise it is
//! given the waker again after each poll, because a ring that comes late may have used up the last
//! one.

use std::future::Future;
use std::ptr;
use std::task::{Context, Poll, Waker};

use super::poll_member::Exit;
use super::{Body, Machine};
use crate::context::{Ambient, Swap};
use crate::engine::Key;
use crate::engine::budget::Counted;
use crate::panic::catch;
use crate::scope::kind::Kind;

/// The body's place in the set: it is the first that is put in.
const BODY: Key = Key::new(0);

/// Whether a scope is alone.
pub(super) enum Alone {
    No,
    /// The bell has this waker, which is the caller's.
    Known(Waker),
    /// The caller's waker does not compare equal to its own clone, so the bell is given each one.
    Unknown,
}

impl Alone {
    fn with(waker: &Waker) -> Self {
        let known = waker.clone();
        if is_same(&known, waker) { Alone::Known(known) } else { Alone::Unknown }
    }

    #[inline]
    fn knows(&self, waker: &Waker) -> bool {
        matches!(self, Alone::Known(known) if is_same(known, waker))
    }
}

/// Returns whether both do the same with the same. `will_wake` compares the addresses of the tables
/// of functions, of which a compiler may make several copies.
#[inline]
fn is_same(a: &Waker, b: &Waker) -> bool {
    a.data() == b.data() && (ptr::eq(a.vtable(), b.vtable()) || a.vtable() == b.vtable())
}

impl<T, E, K: Kind> Machine<'_, T, E, K> {
    /// Polls the body in place, if the scope is alone. Returns true if that is all there is to do.
    #[inline]
    pub(super) fn poll_alone<B>(
        &mut self,
        body: &mut Body<'_, B>,
        is_tripped: bool,
        ambient: &Ambient,
        cx: &mut Context<'_>,
    ) -> bool
    where
        B: Future<Output = Result<T, E>>,
    {
        if let Alone::No = self.alone {
            return false;
        }
        let undisturbed =
            !is_tripped && self.is_quiet() && self.enclosing.is_as_before(ambient) && !ambient.is_drawing();
        if undisturbed && self.poll_body(body, ambient, cx) && self.keep_asleep(cx.waker()) {
            return true;
        }
        // The set polls the body, which needs its waker from there. It does nothing if there is no
        // body any more.
        self.alone = Alone::No;
        self.set.wake(BODY);
        false
    }

    /// Returns whether nothing has come from outside the body since the scope went to sleep.
    #[inline]
    fn is_quiet(&self) -> bool {
        let control = self.control();
        control.bell.is_asleep() && control.known_token().is_none() && control.parallel() == 0
    }

    /// Polls the body with the caller's waker. Returns true if it is pending and may stay alone.
    #[inline(always)]
    fn poll_body<B>(&mut self, body: &mut Body<'_, B>, ambient: &Ambient, cx: &mut Context<'_>) -> bool
    where
        B: Future<Output = Result<T, E>>,
    {
        // A set counts the steps of its members, and this poll is made by none.
        let _counted = Counted::begin();
        self.within(ambient, |machine| {
            let Some(future) = body.as_mut().as_pin_mut() else { return false };
            // The body has no token while it is alone, or the scope would have one.
            let mut token = None;
            let polled = {
                let _token = Swap::new(&ambient.token, &mut token);
                catch(|| future.poll(cx))
            };
            let result = match polled {
                Ok(Poll::Pending) if token.is_none() => return true,
                Ok(Poll::Pending) => {
                    // The body is polled once more, by the set, and then finds whether the scope
                    // was cancelled meanwhile.
                    if let (Some(member), Some(token)) = (machine.set.get(BODY), token) {
                        token.attach(machine.core.hub().token());
                        member.get_mut().token = Some(token);
                    }
                    return false;
                }
                Ok(Poll::Ready(output)) => Ok(output),
                Err(payload) => Err(payload),
            };
            machine.set.remove(BODY);
            machine.exit(BODY, Some(Exit::Body(Some(result))), body, ambient);
            false
        })
    }

    /// Sees that the bell has the caller's waker. Returns false if the scope is no longer alone.
    ///
    /// That is asked last: what comes after the bell has the waker wakes the scope.
    #[inline]
    fn keep_asleep(&mut self, waker: &Waker) -> bool {
        let known = self.alone.knows(waker);
        (known && self.control().bell.is_untouched() || self.sleep_again(waker, known)) && self.is_quiet()
    }

    /// Gives the bell the caller's waker.
    #[cold]
    fn sleep_again(&mut self, waker: &Waker, known: bool) -> bool {
        let asleep = self.control().bell.sleep(waker);
        if asleep && !known && matches!(self.alone, Alone::Known(_)) {
            self.alone = Alone::with(waker);
        }
        asleep
    }

    /// Sees whether the scope is alone until the next poll. The bell has been given `waker`.
    ///
    /// A scope that is winding down, or has an alarm beside its body, has a token, and so is not
    /// quiet. One that needs time to end must take its hold when it is moved into a region, and is
    /// not alone for that.
    #[inline]
    pub(super) fn rest(&mut self, needs_time: bool, waker: &Waker) {
        let alone = self.set.len() == 1
            && !needs_time
            && self.is_quiet()
            && self.set.get(BODY).is_some_and(|member| member.runner.is_none());
        self.alone = if alone { Alone::with(waker) } else { Alone::No };
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{pending, poll_fn};
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Wake;

    use super::*;
    use crate::context;
    use crate::name::Name;
    use crate::scope::control::Parts;
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

    /// It sleeps on the bell although it is polled again, or it would never be alone.
    #[test]
    fn a_body_that_wakes_itself_is_alone_from_the_second_poll_on() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut callers = Vec::new();
        let mut scope = pin!(crate::scope(async |_| {
            poll_fn(|cx| {
                callers.push(cx.waker().will_wake(&waker));
                cx.waker().wake_by_ref();
                if callers.len() < 3 { Poll::Pending } else { Poll::Ready(callers.clone()) }
            })
            .await
        }));
        let mut poll = || scope.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(poll().is_pending() && woken.take());
        assert!(poll().is_pending() && woken.take());
        assert_eq!(poll(), Poll::Ready(vec![false, true, true]));
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

    /// A ring that is late takes the waker that the scope has registered meanwhile. The scope,
    /// polled in place because of it, slept on a bell without a waker.
    #[test]
    fn a_ring_that_is_late_leaves_a_scope_that_is_alone_its_waker() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let core = Core::<Infallible, AnyThread>::new(Parts::new());
        let mut machine = Machine::<(), Infallible, AnyThread>::new(core.clone(), Name::from("alone"));
        let mut body = pin!(Some(pending::<Result<(), Infallible>>()));
        let mut poll = || {
            let cx = &mut Context::from_waker(&waker);
            context::with(|ambient| machine.poll(body.as_mut(), ambient, cx).is_pending())
        };
        assert!(poll() && poll());
        core.hub().bell.ring();
        assert!(poll() && poll());
        // As if that ring had been late.
        core.hub().bell.unhang();
        assert!(poll());
        woken.take();
        core.hub().bell.ring();
        assert!(woken.take());
    }

    /// Nothing else than the body is polled while the scope is alone.
    #[test]
    fn an_adopted_future_is_polled_beside_a_body_without_children() {
        let core = Core::<Infallible, AnyThread>::new(Parts::new());
        let mut machine = Machine::<(), Infallible, AnyThread>::new(core.clone(), Name::from("not alone"));
        let mut body = pin!(Some(pending::<Result<(), Infallible>>()));
        let mut poll = || {
            let cx = &mut Context::from_waker(Waker::noop());
            context::with(|ambient| machine.poll(body.as_mut(), ambient, cx).is_pending())
        };
        let over = Arc::new(AtomicBool::new(false));
        let (go, gone) = futures::channel::oneshot::channel::<()>();
        let notes = Arc::clone(&over);
        let adopted = async move {
            _ = gone.await;
            notes.store(true, Ordering::SeqCst);
        };
        assert!(core.hub().adopt(Box::pin(adopted)).is_ok());
        assert!(poll() && poll() && poll());
        drop(go);
        assert!(poll());
        assert!(over.load(Ordering::SeqCst));
    }
}
