//! A permit that an error keeps, deadpool-rs/deadpool#18: when the pool could not create an object
//! it did not give back the permit for it, and those who waited for their turn waited for ever.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use foster::yield_now;

use crate::{Version, finds_both_ways};

#[derive(Default)]
struct Pool {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    taken: bool,
    waiting: VecDeque<Waker>,
}

impl Pool {
    async fn acquire(&self) {
        poll_fn(|cx| {
            let mut state = self.state.lock().unwrap();
            if std::mem::replace(&mut state.taken, true) {
                state.waiting.push_back(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await
    }

    fn release(&self) {
        let mut state = self.state.lock().unwrap();
        state.taken = false;
        state.waiting.drain(..).for_each(Waker::wake);
    }

    async fn get(&self, version: Version, create: Result<u32, ()>) -> Result<u32, ()> {
        self.acquire().await;
        yield_now().await;
        if create.is_err() && version == Version::Mended {
            self.release();
        }
        create
    }
}

async fn program(version: Version) {
    let pool = Arc::new(Pool::default());
    foster::scope(async |s| {
        for create in [Ok(1), Err(())] {
            let pool = pool.clone();
            s.spawn_parallel(async move {
                if pool.get(version, create).await.is_ok() {
                    pool.release();
                }
            });
        }
    })
    .await;
}

#[test]
fn an_error_keeps_the_permit() {
    let found = finds_both_ways(20, program);
    assert!(found.message().contains("deadlock"), "{found}");
}
