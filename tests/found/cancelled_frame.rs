//! Cancelled between two writes, vm0-ai/vm0#12205: a request that is given up while its frame is
//! being written leaves half of it on the connection, and the next request appends its own to that.

use std::sync::Mutex;
use std::time::Duration;

use foster::testing::{Explore, Faults};
use foster::{shield, sleep, timeout};

use crate::{Version, finds};

const MILLI: Duration = Duration::from_millis(1);

#[derive(Default)]
struct Connection {
    written: Mutex<Vec<u8>>,
}

impl Connection {
    /// A length, and then so many bytes.
    async fn write(&self, body: &[u8]) {
        self.written.lock().unwrap().push(body.len() as u8);
        sleep(MILLI).await;
        self.written.lock().unwrap().extend_from_slice(body);
    }

    async fn request(&self, version: Version, body: &[u8]) {
        match version {
            Version::Reported => self.write(body).await,
            Version::Mended => shield(self.write(body)).await,
        }
        // The answer.
        sleep(MILLI).await;
    }

    fn frames(&self) -> Option<Vec<Vec<u8>>> {
        let mut rest = &self.written.lock().unwrap()[..];
        let mut frames = Vec::new();
        while let Some((&length, body)) = rest.split_first() {
            let (frame, after) = body.split_at_checked(length.into())?;
            frames.push(frame.to_vec());
            rest = after;
        }
        Some(frames)
    }
}

async fn program(version: Version) {
    let connection = Connection::default();
    for _ in 0..3 {
        drop(timeout(10 * MILLI, connection.request(version, b"hello")).await);
    }
    assert_eq!(connection.frames(), Some(vec![b"hello".to_vec(); 3]), "the peer lost track");
}

#[test]
fn a_frame_cut_short_by_a_timeout_spoils_the_next() {
    // Only a slow write makes the timeout strike between the two.
    let slow = Explore::new().faults(Faults::none().delay_timers(12 * MILLI));
    let found = finds(slow, 200, program);
    assert!(found.message().contains("lost track"), "{found}");
}
