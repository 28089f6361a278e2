//! Tokens, and those that listen to them.

use std::collections::HashSet;
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, RawWaker, RawWakerVTable, Wake, Waker};

use foster::testing::CountingWaker;
use foster::{Reason, Token, gather, scope, shield, sleep, timeout, yield_now};
use futures::FutureExt;
use futures::future::{join_all, poll_immediate};

use crate::harness::T;
use crate::probes::poll_by_hand;

/// A waker that calls a function whenever it is cloned.
fn on_clone(call: &'static (dyn Fn() + Sync)) -> Waker {
    type Call = &'static (dyn Fn() + Sync);
    fn raw(call: &'static Call) -> RawWaker {
        const VTABLE: RawWakerVTable = RawWakerVTable::new(
            |data| {
                // SAFETY: `data` comes from `raw` alone, and is a reference that lives for ever.
                #[allow(unsafe_code)]
                let call: &'static Call = unsafe { &*data.cast() };
                call();
                raw(call)
            },
            |_| {},
            |_| {},
            |_| {},
        );
        RawWaker::new(std::ptr::from_ref(call).cast(), &VTABLE)
    }
    // SAFETY: the table's functions hold to the contract of `RawWaker`: they share a reference to a
    // `Sync` value.
    #[allow(unsafe_code)]
    unsafe {
        Waker::from_raw(raw(Box::leak(Box::new(call))))
    }
}

struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("a waker that panics");
    }
}

matrix! {
    async fn a_token_cancels_those_below_it_and_none_above() {
        let root = Token::new();
        let (left, right) = (root.child(), root.child());
        let leaf = left.child();
        left.cancel("left");
        assert!(left.is_cancelled() && leaf.is_cancelled());
        assert!(!root.is_cancelled() && !right.is_cancelled());
        assert_eq!(leaf.reason(), Some(Reason::from("left")));
        root.cancel("root");
        assert_eq!(right.reason(), Some(Reason::from("root")));
        // C327: the first reason stays.
        assert_eq!(leaf.reason(), Some(Reason::from("left")));
        assert_eq!(left.reason(), Some(Reason::from("left")));
        assert_eq!(left.child().reason(), Some(Reason::from("left")));
    }

    async fn whoever_waits_for_a_token_is_woken_with_the_reason() {
        let token = Token::new();
        let below = token.child().child();
        scope(async |s| {
            let waiting: Vec<_> = (0..3).map(|_| s.spawn(below.cancelled())).collect();
            let parallel = s.spawn_parallel(below.cancelled());
            sleep(T).await;
            token.cancel(String::from("now"));
            for task in waiting {
                assert_eq!(task.await, Reason::from("now"));
            }
            assert_eq!(parallel.await, Reason::from("now"));
            assert_eq!(below.cancelled().await, Reason::from("now"));
        }).await;
    }

    // C323
    async fn a_token_works_from_another_thread() {
        let token = Token::new();
        let elsewhere = token.clone();
        let cancelled = std::thread::spawn(move || elsewhere.cancel("from a thread"));
        // Waking a simulation from outside is no part of it, so it must not be found idle.
        while !token.is_cancelled() {
            yield_now().await;
        }
        assert_eq!(token.cancelled().await, Reason::from("from a thread"));
        cancelled.join().unwrap();
    }

    async fn the_current_token_is_that_of_the_innermost_region() {
        let outer = timeout(1000 * T, async {
            let outer = Token::current().expect("a region");
            let inner = timeout(T, async {
                let inner = Token::current().expect("a region");
                shield(async {
                    let fresh = Token::current().expect("a region");
                    inner.cancelled().await;
                    assert!(!fresh.is_cancelled(), "a shield is a fresh region");
                }).await;
                pending::<()>().await
            });
            assert!(inner.await.is_err());
            assert!(!outer.is_cancelled());
            scope(async |s| {
                let mine = s.spawn(async { Token::current().expect("a region") }).await;
                let parallel = s.spawn_parallel(async { Token::current().expect("a region") }).await;
                assert!(!mine.is_cancelled() && !parallel.is_cancelled());
            }).await;
        });
        assert!(outer.await.is_ok());
    }

    async fn a_scopes_token_does_not_wind_it_down() {
        let value = scope(async |s| {
            s.stop_token().cancel("asked");
            let child = s.spawn(async { sleep(T).await; 7 });
            child.await
        });
        assert_eq!(value.await, 7);
    }

    async fn many_listeners_come_and_go() {
        let token = Token::new();
        for _ in 0..1_000 {
            assert!(poll_immediate(token.cancelled()).await.is_none());
        }
        let all = join_all((0..1_000).map(|_| token.child().cancelled()).collect::<Vec<_>>());
        let cancelling = async { yield_now().await; token.cancel("all") };
        let (reasons, ()) = futures::join!(all, cancelling);
        assert!(reasons.iter().all(|reason| *reason == Reason::from("all")));
        assert_eq!(reasons.len(), 1_000);
    }

    async fn tokens_of_a_gather_are_those_around_it() {
        let around = timeout(1000 * T, async {
            let around = Token::current().expect("a region");
            let inside = gather((0..3).map(|_| async { Token::current().expect("a region") })).await;
            around.cancel("asked");
            assert!(inside.iter().all(Token::is_cancelled));
        });
        around.await.unwrap();
    }
}

#[test]
fn outside_any_region_there_is_no_current_token() {
    assert!(Token::current().is_none());
    assert!(futures::executor::block_on(async { Token::current().is_none() }));
}

#[test]
fn a_chain_of_a_hundred_thousand_tokens_is_cancelled_and_dropped() {
    let root = Token::new();
    let mut last = root.child();
    for _ in 0..100_000 {
        last = last.child();
    }
    root.cancel("all");
    assert_eq!(last.reason(), Some(Reason::from("all")));
    drop(root);
    drop(last);
}

#[test]
fn a_token_with_a_hundred_thousand_children_forgets_those_that_are_gone() {
    let root = Token::new();
    for _ in 0..100_000 {
        let child = root.child();
        assert!(poll_by_hand(child.cancelled()).is_pending());
    }
    let last = root.child();
    root.cancel("all");
    assert!(last.cancelled().now_or_never().is_some());
}

#[test]
fn a_token_that_is_cancelled_while_somebody_begins_to_listen_is_seen() {
    let token: &'static Token = Box::leak(Box::new(Token::new()));
    let waker = on_clone(Box::leak(Box::new(|| token.cancel("while it is cloned"))));
    let mut wait = pin!(token.cancelled());
    assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
}

#[test]
fn a_token_is_equal_to_its_clones_alone() {
    let (one, two) = (Token::new(), Token::new());
    assert_eq!(one, one.clone());
    assert_ne!(one, two);
    assert_ne!(one, one.child());
    #[allow(clippy::mutable_key_type)] // What is hashed does not change.
    let known: HashSet<Token> = [&one, &two, &one].into_iter().cloned().collect();
    assert_eq!(known.len(), 2);
    assert!(known.contains(&two));
}

// The first waker that panicked kept the rest from being woken.
#[test]
fn a_waker_that_panics_keeps_no_other_listener_from_being_woken() {
    let token = Token::new();
    let counting = CountingWaker::new();
    let bomb = Waker::from(Arc::new(Bomb));
    let mut waits: Vec<_> = (0..5).map(|_| Box::pin(token.cancelled())).collect();
    for (i, wait) in waits.iter_mut().enumerate() {
        let waker = if i % 2 == 0 { bomb.clone() } else { counting.waker() };
        assert!(wait.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
    }
    assert!(catch_unwind(AssertUnwindSafe(|| token.cancel("now"))).is_err());
    assert_eq!(counting.count(), 2);
    assert!(token.is_cancelled());
}

// Two panics in one drop abort the process: the second one came while the first was unwinding.
#[test]
fn two_wakers_that_panic_in_one_drop_abort_nothing() {
    let token = Token::new();
    let bomb = Waker::from(Arc::new(Bomb));
    let mut waits: Vec<_> = (0..2).map(|_| Box::pin(token.cancelled())).collect();
    for wait in &mut waits {
        assert!(wait.poll_unpin(&mut Context::from_waker(&bomb)).is_pending());
    }
    struct CancelOnDrop(Token);
    impl Drop for CancelOnDrop {
        fn drop(&mut self) {
            self.0.cancel("dropped");
        }
    }
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _cancel = CancelOnDrop(token.clone());
        panic!("the first");
    }));
    assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"the first"));
    assert!(token.is_cancelled());
}
