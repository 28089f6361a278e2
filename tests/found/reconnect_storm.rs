//! Redialled without a pause, FreeTAKTeam/LXMF-rs#493: a client backs off only where `connect`
//! fails, and begins anew with each connection. A hub that accepts and hangs up at once, since it
//! has no room, gets a storm of connections from all clients that it has none for.

use std::io;
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use foster::net::{TcpListener, TcpStream};
use foster::runtimes::Sim;
use foster::testing::{Explore, Faults, settle};
use foster::{now, retry, scope, sleep, timeout};
use futures::io::AsyncReadExt;

use crate::{Version, finds};

const SECOND: Duration = Duration::from_secs(1);

/// The hub has room for so many clients.
const ROOM: usize = 3;

/// A connection that has lasted for so long was a good one.
const GOOD: Duration = Duration::from_secs(2);

/// Waits between attempts, without an end.
fn pauses() -> impl Iterator<Item = Duration> {
    iter::successors(Some(SECOND / 4), |pause| Some((2 * *pause).min(8 * SECOND)))
}

/// Counts the connections, and hangs up on those that there is no room for.
async fn hub(accepted: Arc<AtomicUsize>) {
    let listener = TcpListener::bind("hub:80").await.unwrap();
    let clients = &AtomicUsize::new(0);
    scope(async |s| {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            accepted.fetch_add(1, Relaxed);
            if clients.load(Relaxed) < ROOM {
                clients.fetch_add(1, Relaxed);
                s.spawn(async move {
                    // A client says nothing, so this waits for its end.
                    _ = stream.read(&mut [0]).await;
                    clients.fetch_sub(1, Relaxed);
                });
            }
        }
    })
    .await;
}

/// Keeps up a connection, until it breaks.
async fn listen() -> io::Result<()> {
    let mut stream = TcpStream::connect("hub:80").await?;
    while stream.read(&mut [0]).await? > 0 {}
    Ok(())
}

async fn reported() {
    // The attempts are counted from the last one that has connected.
    while let Ok(mut stream) = retry(pauses(), || TcpStream::connect("hub:80")).jitter().await {
        while stream.read(&mut [0]).await.is_ok_and(|read| read > 0) {}
    }
}

async fn mended() {
    let attempt = async || {
        let began = now();
        let ended = listen().await;
        if now() - began < GOOD { Err(ended) } else { Ok(()) }
    };
    // It ends at the deadline, which forbids another attempt.
    while retry(pauses(), attempt).jitter().await.is_ok() {}
}

async fn program(version: Version) {
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = accepted.clone();
    Sim::current().host("hub").program(move || hub(count.clone()));
    settle().await;
    let clients = scope(async |s| {
        for client in 0..6 {
            s.spawn(async move {
                sleep(client * SECOND).await;
                match version {
                    Version::Reported => reported().await,
                    Version::Mended => mended().await,
                }
            });
        }
    });
    _ = timeout(10 * SECOND, clients).await;
    // Pauses of a quarter of a second, a half, one, two, four and eight leave room for few.
    let accepted = accepted.load(Relaxed);
    assert!(accepted < 100, "a storm of {accepted} connections in ten seconds");
}

#[test]
fn a_hub_without_room_is_stormed() {
    let faults = Faults::none().refuse_connections(0.1);
    let found = finds(Explore::new().faults(faults), 200, program);
    assert!(found.message().contains("a storm of"), "{found}");
}
