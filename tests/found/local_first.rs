//! Unfair starvation, paxsonsa/murmer-rs#6: a supervisor that always looks into its local mailbox
//! first never comes to the remote one while the local one fills as fast as it is emptied.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use foster::yield_now;

use crate::{Version, finds_both_ways};

#[derive(Default)]
struct Mailboxes {
    local: VecDeque<()>,
    remote: VecDeque<()>,
    answered: bool,
}

/// How many local messages a remote one may have to wait for.
const PATIENCE: usize = 20;

async fn supervise(boxes: Arc<Mutex<Mailboxes>>, version: Version) {
    let mut passed_over = 0;
    for turn in 0.. {
        {
            let mut boxes = boxes.lock().unwrap();
            let remote_first = version == Version::Mended && turn % 2 == 0;
            let local = if remote_first { None } else { boxes.local.pop_front() };
            if local.is_none() && boxes.remote.pop_front().is_some() {
                boxes.answered = true;
                return;
            }
            passed_over += usize::from(!boxes.remote.is_empty());
            assert!(passed_over < PATIENCE, "the remote message is starved");
        }
        yield_now().await;
    }
}

async fn program(version: Version) {
    let boxes = Arc::new(Mutex::new(Mailboxes::default()));
    foster::scope(async |s| {
        s.spawn_parallel(supervise(boxes.clone(), version));
        let busy = boxes.clone();
        s.spawn_parallel(async move {
            while !busy.lock().unwrap().answered {
                busy.lock().unwrap().local.extend([(), ()]);
                yield_now().await;
            }
        });
        s.spawn_parallel(async move { boxes.lock().unwrap().remote.push_back(()) });
    })
    .await;
}

#[test]
fn whoever_is_served_second_is_never_served() {
    let found = finds_both_ways(1_000, program);
    assert!(found.message().contains("starved"), "{found}");
}
