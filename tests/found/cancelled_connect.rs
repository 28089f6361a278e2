//! A permit forgotten on drop, djc/bb8#67: whoever gives up waiting for a connection while the pool
//! opens one leaves the pool in the belief that one is being opened; in the end it opens none any
//! more.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foster::testing::{Explore, Faults};
use foster::{sleep, timeout};
use futures::channel::oneshot;

use crate::{Version, finds};

const MILLI: Duration = Duration::from_millis(1);

/// A pool of one connection.
#[derive(Default)]
struct Pool {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Open, or being opened.
    connections: usize,
    waiting: VecDeque<oneshot::Sender<()>>,
}

impl Pool {
    async fn with_connection(&self, version: Version) {
        loop {
            let turn = {
                let mut state = self.state.lock().unwrap();
                if state.connections == 0 {
                    state.connections += 1;
                    break;
                }
                let (turn, wait) = oneshot::channel();
                state.waiting.push_back(turn);
                wait
            };
            turn.await.unwrap_or_default();
        }
        let permit = Permit(self);
        match version {
            Version::Mended => sleep(5 * MILLI).await,
            Version::Reported => {
                std::mem::forget(permit);
                sleep(5 * MILLI).await;
                drop(Permit(self));
            }
        }
    }
}

struct Permit<'a>(&'a Pool);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap();
        state.connections -= 1;
        while state.waiting.pop_front().is_some_and(|turn| turn.send(()).is_err()) {}
    }
}

async fn program(version: Version) {
    let pool = Arc::new(Pool::default());
    foster::scope(async |s| {
        let hasty = pool.clone();
        s.spawn_parallel(async move { drop(timeout(8 * MILLI, hasty.with_connection(version)).await) });
        s.spawn_parallel(async move { pool.with_connection(version).await });
    })
    .await;
}

#[test]
fn a_connection_that_nobody_waits_for_any_more_is_never_opened() {
    let slow = Explore::new().faults(Faults::none().delay_timers(10 * MILLI));
    let found = finds(slow, 200, program);
    assert!(found.message().contains("deadlock"), "{found}");
}
