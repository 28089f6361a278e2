//! A connection is there for its client first, and its server accepts no other one.

use std::time::Duration;

use foster::net::{TcpListener, TcpOptions, TcpStream};
use foster::runtimes::Sim;
use foster::runtimes::sim::Link;
use foster::testing::settle;
use foster::{gather, scope, sleep, timeout};
use futures::io::AsyncReadExt;

use super::for_seeds;

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Accepts what comes to port 80 of the server, `after` this time, and counts it.
async fn accepted(backlog: u32, after: Duration) -> u32 {
    let listener = TcpOptions::new().backlog(backlog).bind("server:80").await.unwrap();
    sleep(after).await;
    let mut count = 0;
    while let Ok(Ok(_)) = timeout(60 * SECOND, listener.accept()).await {
        count += 1;
    }
    count
}

#[test]
fn a_server_whose_answer_is_lost_accepts_nobody() {
    for_seeds(|sim| {
        let (client, server) = (sim.host("client"), sim.host("server"));
        client.run(scope(async |s| {
            let accepted = s.spawn_on(accepted(128, Duration::ZERO), &server);
            settle().await;
            sim.network().partition_one_way("server", "client");
            timeout(SECOND, TcpStream::connect("server:80")).await.unwrap_err();
            assert_eq!(accepted.await, 0);
        }));
    });
}

#[test]
fn who_gives_up_before_the_answer_is_not_accepted() {
    for_seeds(|sim| {
        let (client, server) = (sim.host("client"), sim.host("server"));
        sim.network().set_all(Link::new().latency(SECOND));
        client.run(scope(async |s| {
            let accepted = s.spawn_on(accepted(1, Duration::ZERO), &server);
            settle().await;
            // Before the server hears of it, and after that.
            for patience in [SECOND / 2, 3 * SECOND / 2] {
                timeout(patience, TcpStream::connect("server:80")).await.unwrap_err();
            }
            sleep(10 * SECOND).await;
            // Their places in the queue are free.
            TcpStream::connect("server:80").await.unwrap();
            assert_eq!(accepted.await, 1);
        }));
    });
}

#[test]
fn who_gives_up_beyond_the_backlog_is_not_accepted() {
    for_seeds(|sim| {
        let (client, server) = (sim.host("client"), sim.host("server"));
        client.run(scope(async |s| {
            let accepted = s.spawn_on(accepted(1, SECOND), &server);
            settle().await;
            let _first = TcpStream::connect("server:80").await.unwrap();
            timeout(SECOND / 10, TcpStream::connect("server:80")).await.unwrap_err();
            let third = TcpStream::connect("server:80");
            gather((async { drop(third.await.unwrap()) }, sleep(SECOND))).await;
            assert_eq!(accepted.await, 2);
        }));
    });
}

#[test]
fn a_connect_that_was_given_up_is_not_sent_again() {
    for_seeds(|sim| {
        let (client, server) = (sim.host("client"), sim.host("server"));
        client.run(scope(async |s| {
            let accepted = s.spawn_on(accepted(1, Duration::ZERO), &server);
            settle().await;
            sim.network().partition("client", "server");
            timeout(SECOND, TcpStream::connect("server:80")).await.unwrap_err();
            sim.network().repair("client", "server");
            assert_eq!(accepted.await, 0);
        }));
    });
}

#[test]
fn a_server_that_speaks_first_is_heard_after_two_round_trips() {
    let sim = Sim::new(0);
    let (client, server) = (sim.host("client"), sim.host("server"));
    sim.network().set_all(Link::new().latency(MILLI).jitter(Duration::ZERO));
    server.program(|| async {
        let listener = TcpListener::bind("server:80").await.unwrap();
        while let Ok((mut stream, _)) = listener.accept().await {
            futures::io::AsyncWriteExt::write_all(&mut stream, b"220").await.unwrap();
        }
    });
    client.run(async {
        settle().await;
        let mut stream = TcpStream::connect("server:80").await.unwrap();
        assert_eq!(sim.elapsed(), 2 * MILLI);
        stream.read_exact(&mut [0; 3]).await.unwrap();
    });
    assert_eq!(sim.elapsed(), 4 * MILLI);
}

#[test]
fn a_client_that_crashes_before_it_has_heard_of_the_answer_keeps_no_place_in_the_queue() {
    for is_lost in [false, true] {
        for_seeds(|sim| {
            let (dead, client, server) = (sim.host("dead"), sim.host("client"), sim.host("server"));
            sim.network().set_all(Link::new().latency(10 * MILLI).jitter(Duration::ZERO));
            client.run(scope(async |s| {
                let accepted = s.spawn_on(accepted(1, Duration::ZERO), &server);
                settle().await;
                s.spawn_on(async { drop(TcpStream::connect("server:80").await) }, &dead);
                sleep(15 * MILLI).await;
                if is_lost {
                    // The client hears of the answer, and the server hears nothing of the client.
                    sim.network().partition_one_way("dead", "server");
                    sleep(10 * MILLI).await;
                    dead.crash();
                    sim.network().repair_all();
                    dead.restart();
                } else {
                    dead.crash();
                }
                sleep(SECOND).await;
                timeout(30 * SECOND, TcpStream::connect("server:80")).await.unwrap().unwrap();
                assert_eq!(accepted.await, 1);
            }));
        });
    }
}
