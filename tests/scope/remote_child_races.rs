//! Children that another task runs, and what several threads do to them in the same moment.
//!
//! Each of these hangs where a wake-up is lost. The moments are spread over the steps that they are
//! to hit by spinning, for a different time in each round. What can be hit at will is in
//! `remote_child`; these are for the sanitizers, and for luck.

use std::future::{pending, poll_fn};
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;

use foster::{Handle, Scope, scope};
use futures::future::poll_immediate;

use crate::harness;
use crate::probes::poll_by_hand;
use crate::remote_child::Busy;

const ROUNDS: usize = 2_000;

/// Lets a moment pass, which is a little longer in each round.
fn moment(round: usize) {
    (0..round % 64).for_each(|_| spin_loop());
}

// S4. The scope may be dropped between a child's look whether it is cancelled and its suspension.
#[test]
fn a_child_whose_scope_is_dropped_while_it_falls_asleep_is_told() {
    harness::raced(|| {
        harness::tokio_multi().run(async {
            for round in 0..ROUNDS {
                let begun = Arc::new(AtomicBool::new(false));
                let begins = Arc::clone(&begun);
                scope(async |_| {
                    let orphan = scope(async |s| {
                        s.spawn_parallel(poll_fn(move |_| {
                            begins.store(true, Ordering::Relaxed);
                            Poll::<()>::Pending
                        }));
                        pending::<()>().await
                    });
                    let mut orphan = Box::pin(orphan);
                    assert!(poll_immediate(&mut orphan).await.is_none());
                    while !begun.load(Ordering::Relaxed) {
                        thread::yield_now();
                    }
                    moment(round);
                    drop(orphan);
                })
                .await;
            }
        })
    });
}

// S5. A scope may be dropped between a spawn's look at it and the child's way onto its roster.
#[test]
fn a_child_that_comes_while_its_scope_is_dropped_is_refused_or_told() {
    harness::raced(|| {
        let busy = Handle::new(Busy::default());
        let (give, take) = mpsc::channel::<(usize, Scope<'static>)>();
        let there = busy.clone();
        let spawning = thread::spawn(move || {
            for (round, s) in take {
                moment(round);
                drop(s.spawn_on(pending::<()>(), &there));
            }
        });
        for round in 0..ROUNDS {
            let mut kept = None;
            let mut orphan = Box::pin(scope(|s| {
                kept = Some(s);
                pending::<()>()
            }));
            futures::executor::block_on(scope(async |_| {
                assert!(poll_by_hand(&mut orphan).is_pending());
                give.send((round, kept.take().unwrap())).unwrap();
                moment(round / 64);
                drop(orphan);
            }));
        }
        drop(give);
        spawning.join().unwrap();
    });
}
