//! A join that never ends, rust-lang/futures-rs#304: of all who wait for a shared result one drives
//! the future behind it. When that one is dropped, nobody tells the others that it is their turn.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use futures::channel::oneshot;

use crate::{Version, finds_both_ways};

struct Inner {
    version: Version,
    state: Mutex<State>,
}

struct State {
    future: oneshot::Receiver<u32>,
    result: Option<u32>,
    /// The clone that drives the future.
    driver: Option<u32>,
    waiting: Vec<Waker>,
}

struct Shared {
    id: u32,
    inner: Arc<Inner>,
}

impl Future for Shared {
    type Output = u32;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u32> {
        let mut state = self.inner.state.lock().unwrap();
        if *state.driver.get_or_insert(self.id) == self.id {
            if let Poll::Ready(Ok(result)) = Pin::new(&mut state.future).poll(cx) {
                state.result = Some(result);
                state.waiting.drain(..).for_each(Waker::wake);
            }
        } else if state.result.is_none() {
            state.waiting.push(cx.waker().clone());
        }
        state.result.map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let mut state = self.inner.state.lock().unwrap();
        if state.driver == Some(self.id) && self.inner.version == Version::Mended {
            state.driver = None;
            state.waiting.drain(..).for_each(Waker::wake);
        }
    }
}

async fn program(version: Version) {
    let (done, future) = oneshot::channel();
    let state = Mutex::new(State { future, result: None, driver: None, waiting: Vec::new() });
    let inner = Arc::new(Inner { version, state });
    foster::scope(async |s| {
        let first = s.spawn_parallel(Shared { id: 1, inner: inner.clone() });
        let second = s.spawn_parallel(Shared { id: 2, inner });
        foster::yield_now().await;
        first.cancel();
        drop(first.outcome().await);
        done.send(42).unwrap_or_default();
        assert_eq!(second.await, 42);
    })
    .await;
}

#[test]
fn those_who_wait_with_a_driver_that_is_dropped_wait_for_ever() {
    let found = finds_both_ways(100, program);
    assert!(found.message().contains("deadlock"), "{found}");
}
