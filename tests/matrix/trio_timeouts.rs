//! Timeouts: the rows that users of Trio's `move_on_after` and `fail_after` rely on.

use std::future::pending;
use std::time::Duration;

use foster::{Deadline, deadline, now, remaining, shield, sleep, timeout, timeout_at};

use crate::probes::{Log, secs};

sim! {
    // C267
    async fn a_timeout_returns_at_its_target_with_the_body_dropped() {
        let log = &Log::new();
        let start = now();
        let late = timeout(secs(1), async {
            let _body = log.on_drop("dropped");
            sleep(secs(100)).await;
            log.note("not reached");
        });
        assert!(late.await.is_err());
        assert_eq!(log.entries(), ["dropped"]);
        assert_eq!(now(), start + secs(1));

        assert!(timeout_at(start + secs(3), pending::<()>()).await.is_err());
        assert_eq!(now(), start + secs(3));
    }

    // C268, C270
    async fn a_shielded_timeout_ignores_the_deadline_around_and_keeps_its_own() {
        let start = now();
        let mut ended = None;
        let late = timeout(secs(1), async {
            let inner = shield(timeout(secs(3), pending::<()>())).await;
            ended = Some((inner.is_err(), now() - start));
            pending::<()>().await
        });
        assert!(late.await.is_err());
        assert_eq!(ended, Some((true, secs(3))));
        assert_eq!(now(), start + secs(3));
    }

    // C268
    async fn a_shield_over_in_time_changes_nothing() {
        let start = now();
        let late = timeout(secs(2), async {
            shield(sleep(secs(1))).await;
            assert_eq!(remaining(), Some(secs(1)));
            pending::<()>().await
        });
        assert!(late.await.is_err());
        assert_eq!(now(), start + secs(2));
    }

    // C330
    async fn the_effective_deadline_inside_a_shield_is_the_shields_own() {
        let start = now();
        timeout(secs(1), shield(async {
            assert_eq!(deadline(), None);
            let inner = timeout(secs(5), async { assert_eq!(deadline(), Some(start + secs(5))) });
            inner.await.unwrap();
        })).await.unwrap();
    }

    // C272
    async fn there_is_no_negative_timeout_and_a_deadline_that_has_passed_is_one_of_zero() {
        let start = now();
        sleep(secs(1)).await;
        assert!(timeout_at(start, pending::<()>()).await.is_err());
        assert!(Deadline::at(start).timeout(pending::<()>()).await.is_err());
        assert_eq!(timeout_at(start, async { 7 }).await, Ok(7));
        assert_eq!(now(), start + secs(1));
    }

    // C273
    async fn a_timeout_counts_from_its_first_poll() {
        let start = now();
        let movable = Deadline::after(secs(2));
        let late = timeout(secs(3), pending::<()>());
        let moved = movable.timeout(pending::<()>());
        sleep(secs(10)).await;
        assert_eq!(movable.when(), None);
        assert!(late.await.is_err());
        assert_eq!(now(), start + secs(13));
        assert!(moved.await.is_err());
        assert_eq!(now(), start + secs(15));
        assert_eq!(movable.when(), Some(start + secs(15)));
    }

    // C235
    async fn a_timeout_that_was_over_before_its_deadline_never_fires() {
        let start = now();
        let deadline = Deadline::after(secs(5));
        deadline.timeout(sleep(secs(1))).await.unwrap();
        sleep(secs(10)).await;
        assert!(!deadline.is_expired());
        assert_eq!(now(), start + secs(11));
    }

    async fn the_inner_of_two_deadlines_fires_first_and_the_outer_one_still_counts() {
        let start = now();
        let outer = timeout(secs(5), async {
            assert!(timeout(secs(2), pending::<()>()).await.is_err());
            assert_eq!(now(), start + secs(2));
            assert!(timeout(secs(100), pending::<()>()).await.is_err());
            unreachable!("the outer deadline comes first");
        });
        let outer: Result<(), _> = outer.await;
        assert!(outer.is_err());
        assert_eq!(now(), start + secs(5));
    }

    async fn an_outer_deadline_of_zero_wins_over_an_inner_one() {
        let late = timeout(Duration::ZERO, async {
            drop(timeout(Duration::ZERO, pending::<()>()).await);
            unreachable!("both expire at one instant, and the outer one reports it");
        });
        let late: Result<(), _> = late.await;
        assert!(late.is_err());
    }
}
