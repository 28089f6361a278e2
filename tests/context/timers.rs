//! Timers and tokens: what fires beside a used up budget, what yields, what can be moved in place.

use std::collections::HashSet;
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use foster::runtime::Timer;
use foster::testing::CountingWaker;
use foster::time::{Sleep, Timeout};
use foster::{Interval, Token, interval, interval_at, now, race, scope, sleep, timeout};
use futures::FutureExt;
use futures::future::poll_immediate;

use crate::harness::T;
use crate::probes::{poll_by_hand, secs};

/// Is always ready to go on, and pending only when tokio's cooperative budget is used up.
async fn busy() {
    let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
    tx.send(0).unwrap();
    while let Some(n) = rx.recv().await {
        tx.send(n).unwrap();
    }
}

/// Tests for tokio alone, whose budget they use up.
macro_rules! budgets {
    ($($(#[$meta:meta])* async fn $name:ident() $body:block)*) => {$(
        #[foster::test(runtimes(tokio, tokio_multi), timeout = "10s")]
        $(#[$meta])*
        async fn $name() $body
    )*};
}

// tokio's sleep looked pending for as long as the future beside it used up the task's budget.
budgets! {
    async fn a_timeout_ends_what_uses_up_the_budget() {
        assert!(timeout(T, busy()).await.is_err());
    }

    async fn a_stop_ends_what_uses_up_the_budget() {
        let stopped = scope(async |s: foster::Scope<'_>| {
            s.stop("enough", T);
            busy().await
        });
        assert!(stopped.outcome().await.is_err());
    }

    async fn a_scopes_grace_ends_what_uses_up_the_budget() {
        let overdue = scope(async |s: foster::Scope<'_>| {
            s.defer(busy());
            s.cancel("now");
            pending::<()>().await
        });
        assert!(overdue.grace(T).outcome().await.is_err());
    }

    async fn a_timeouts_grace_ends_what_uses_up_the_budget() {
        assert!(timeout(T, foster::shield(busy())).grace(T).await.is_err());
    }

    async fn a_sleep_wins_a_race_against_what_uses_up_the_budget() {
        race((busy(), sleep(T))).await;
    }

    async fn an_interval_ticks_beside_what_uses_up_the_budget() {
        let ticks = async {
            let mut ticks = interval(T);
            ticks.tick().await;
            ticks.tick().await;
        };
        race((busy(), ticks)).await;
    }
}

#[test]
fn a_roots_grace_ends_what_uses_up_the_budget() {
    crate::harness::each(&[crate::harness::tokio, crate::harness::tokio_multi], |rt| {
        rt.with_grace(T).run(async {
            assert!(poll_immediate(Box::pin(foster::adopt(busy()))).await.is_none());
        });
    });
}

matrix! {
    // A late tick was ready at once: such a loop starved the timeout around it.
    async fn an_interval_that_cannot_keep_up_leaves_turns_to_others() {
        let ms = Duration::from_millis(1);
        let late = timeout(20 * ms, async {
            let mut ticks = interval_at(now(), ms / 1000);
            loop {
                ticks.tick().await;
            }
        });
        // Under `sim` no time passes where there is no wait, so somebody else has to end it.
        let turns = async {
            for _ in 0..100 {
                foster::yield_now().await;
            }
        };
        race((async { drop(late.await) }, turns)).await;
    }

    async fn an_interval_starts_anew_when_it_is_reset() {
        let mut ticks = interval(10_000 * T);
        ticks.tick().await;
        assert!(poll_immediate(ticks.tick()).await.is_none());
        let at = now() + T;
        ticks.reset_at(at);
        assert_eq!(ticks.tick().await, at);
    }

    async fn a_sleep_is_moved_before_while_and_after_it_waits() {
        let mut sleep = pin!(sleep(10_000 * T));
        sleep.as_mut().reset(now() + T);
        sleep.as_mut().await;
        sleep.as_mut().reset(now() + 10_000 * T);
        assert!(poll_immediate(sleep.as_mut()).await.is_none());
        let at = now() + T;
        sleep.as_mut().reset(at);
        sleep.as_mut().await;
        assert!(now() >= at);
        sleep.as_mut().reset(now());
        assert!(poll_immediate(sleep.as_mut()).await.is_none(), "an instant that has passed yields once");
        sleep.await;
    }
}

sim! {
    async fn late_ticks_yield_once_each_and_the_first_does_not() {
        let mut second = interval(secs(1));
        assert!(poll_immediate(second.tick()).await.is_some());
        sleep(secs(2)).await;
        for _ in 0..2 {
            assert!(poll_immediate(second.tick()).await.is_none());
            assert!(poll_immediate(second.tick()).await.is_some());
        }
        assert!(timeout(Duration::from_millis(999), second.tick()).await.is_err());
    }

    async fn resets_count_from_now_and_keep_the_period() {
        let start = now();
        let mut ticks = interval(secs(10));
        ticks.tick().await;
        sleep(secs(4)).await;
        ticks.reset();
        assert_eq!(ticks.tick().await, start + secs(14));
        ticks.reset_after(secs(1));
        assert_eq!(ticks.tick().await, start + secs(15));
        assert_eq!(ticks.tick().await, start + secs(25));
        assert_eq!(now(), start + secs(25));
    }

    async fn a_timeout_may_be_none() {
        assert_eq!(timeout(None, async { foster::deadline() }).await, Ok(None));
        assert_eq!(foster::timeout_at(None, async { foster::remaining() }).await, Ok(None));
        let left = timeout(secs(5), async { timeout(foster::remaining(), sleep(secs(9))).await });
        assert!(left.await.is_err());
    }

    async fn a_sleep_counts_from_its_first_poll() {
        let start = now();
        let later = sleep(secs(5));
        sleep(secs(3)).await;
        later.await;
        assert_eq!(now(), start + secs(8));
    }
}

#[test]
fn timers_are_sync_where_what_they_hold_is() {
    fn is<T: Send + Sync>() {}
    is::<Timer>();
    is::<Sleep>();
    is::<Interval>();
    is::<Timeout<std::future::Ready<u8>>>();
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

struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("a waker that panics");
    }
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
    let _ = poll_by_hand(poll_fn(|_| Poll::Ready(())));
}
