//! A lost wake-up, tokio-rs/tokio#2854: the receiver of a channel that is closed waits until all
//! sends in progress have ended. A sender that had reserved its place, and then dropped it without
//! sending, did not tell the receiver.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use foster::yield_now;

use crate::{Version, finds_both_ways};

struct Channel {
    version: Version,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    messages: VecDeque<u32>,
    reserved: usize,
    closed: bool,
    receiver: Option<Waker>,
}

struct Permit(Arc<Channel>);

impl Channel {
    fn reserve(self: &Arc<Self>) -> Option<Permit> {
        let mut state = self.state.lock().unwrap();
        state.reserved += usize::from(!state.closed);
        (!state.closed).then(|| Permit(self.clone()))
    }

    /// What was sent before the channel was closed, and then `None`.
    async fn receive(&self) -> Option<u32> {
        poll_fn(|cx| {
            let mut state = self.state.lock().unwrap();
            if let Some(message) = state.messages.pop_front() {
                return Poll::Ready(Some(message));
            }
            if state.closed && state.reserved == 0 {
                return Poll::Ready(None);
            }
            state.receiver = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl Permit {
    fn send(self, message: u32) {
        let mut state = self.0.state.lock().unwrap();
        state.messages.push_back(message);
        if let Some(receiver) = state.receiver.take() {
            receiver.wake();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap();
        state.reserved -= 1;
        let last = state.closed && state.reserved == 0;
        if last && self.0.version == Version::Mended {
            state.receiver.take().into_iter().for_each(Waker::wake);
        }
    }
}

async fn program(version: Version) {
    let channel = Arc::new(Channel { version, state: Mutex::default() });
    foster::scope(async |s| {
        for message in 0..2 {
            let channel = channel.clone();
            s.spawn_parallel(async move {
                let Some(permit) = channel.reserve() else { return };
                yield_now().await;
                // The second one has changed its mind.
                if message == 0 {
                    permit.send(message);
                }
            });
        }
        yield_now().await;
        channel.state.lock().unwrap().closed = true;
        while channel.receive().await.is_some() {}
    })
    .await;
}

#[test]
fn a_place_given_back_without_a_word_leaves_the_receiver_waiting() {
    let found = finds_both_ways(100, program);
    assert!(found.message().contains("deadlock"), "{found}");
}
