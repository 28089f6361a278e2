//! What a crash takes away, also from who is still there.

use std::future::pending;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use foster::net::{TcpListener, TcpOptions, TcpStream, UdpSocket};
use foster::runtimes::Sim;
use foster::runtimes::sim::{Fault, Faults, Host, Link, Moment};
use foster::testing::settle;
use foster::{gather, scope, sleep, timeout, yield_now};
use futures::io::{AsyncReadExt, AsyncWriteExt};

use super::{echo, for_seeds};

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_root_on_a_host_that_crashes_goes_on_without_sockets() {
    for_seeds(|sim| {
        let (server, client) = (sim.host("server"), sim.host("client"));
        server.run(scope(async |s| {
            let listener = Arc::new(TcpListener::bind("server:80").await.unwrap());
            let connect = s.spawn_on(TcpStream::connect("server:80"), &client);
            let (mut stream, _) = listener.accept().await.unwrap();
            let _client = connect.await.unwrap();
            let waiting = listener.clone();
            let accept = s.spawn(async move { waiting.accept().await.unwrap_err().kind() });
            settle().await;
            server.crash();
            for _ in 0..2 {
                assert_eq!(stream.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::NotConnected);
                assert_eq!(stream.write(&[0]).await.unwrap_err().kind(), ErrorKind::NotConnected);
            }
            assert_eq!(TcpListener::bind("server:81").await.unwrap_err().kind(), ErrorKind::NotConnected);
            assert_eq!(TcpStream::connect("client:80").await.unwrap_err().kind(), ErrorKind::NotConnected);
            assert_eq!(accept.await, ErrorKind::NotConnected);
            listener.local_addr().unwrap_err();
            server.restart();
            let connect = s.spawn_on(TcpStream::connect("server:80"), &client);
            // The listener is there, but listens no more.
            assert_eq!(connect.await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
            TcpListener::bind("server:80").await.unwrap();
            drop(listener);
        }));
    });
}

#[test]
fn what_is_ready_on_a_host_that_crashes_does_not_run() {
    for_seeds(|sim| {
        let server = sim.host("server");
        sim.run(scope(async |s| {
            for _ in 0..3 {
                s.spawn_on(
                    async {
                        loop {
                            yield_now().await;
                        }
                    },
                    &server,
                );
            }
            yield_now().await;
            server.crash();
        }));
        let trace = format!("{:?}", sim.trace());
        let (_, after) = trace.split_once("server crashes").unwrap();
        assert!(!after.contains("server"), "{trace}");
    });
}

#[test]
fn who_connects_and_crashes_is_unknown_when_the_answer_comes() {
    for_seeds(|sim| {
        sim.network().set_all(Link::new().latency(SECOND).jitter(Duration::ZERO));
        let client = sim.host("client");
        sim.run(scope(async |s| {
            let listener = TcpListener::bind("localhost:80").await.unwrap();
            let to = std::net::SocketAddr::new(sim.host("localhost").address(), 80);
            drop(listener);
            let listener = TcpListener::bind(to).await.unwrap();
            s.spawn_on(async move { drop(TcpStream::connect(to).await) }, &client);
            // The answer is under way.
            sleep(3 * SECOND / 2).await;
            client.crash();
            timeout(3600 * SECOND, listener.accept()).await.unwrap_err();
            client.restart();
            timeout(3600 * SECOND, listener.accept()).await.unwrap_err();
        }));
        assert!(sim.trace().to_string().contains("client → localhost: reset"), "{}", sim.trace());
    });
}

#[test]
fn a_host_that_is_isolated_neither_sends_nor_receives() {
    for_seeds(|sim| {
        let hosts = ["one", "two", "three"].map(|name| sim.host(name));
        for host in &hosts {
            let name = host.name();
            host.program(move || {
                let name = name.clone();
                async move { echo(TcpListener::bind((name.as_str(), 80)).await.unwrap()).await }
            });
        }
        sim.run(scope(async |s| {
            settle().await;
            sim.network().isolate("one");
            for (from, to, arrives) in [(0, 1, false), (1, 0, false), (1, 2, true), (2, 1, true)] {
                let to = format!("{}:80", hosts[to].name());
                let connected = s.spawn_on(timeout(SECOND, TcpStream::connect(to)), &hosts[from]);
                assert_eq!(connected.await.is_ok(), arrives, "from {from}");
            }
        }));
        let trace = format!("{:?}", sim.trace());
        for line in ["one → two: connect, lost", "two → one: connect, lost"] {
            assert!(trace.contains(line), "{line}: {trace}");
        }
    });
}

#[test]
fn a_crash_of_nobody_is_none() {
    let sim = Sim::new(0);
    let server = sim.host("server");
    sim.run(async {
        server.crash();
        server.crash();
        sleep(SECOND).await;
        server.restart();
        assert!(server.is_up());
    });
    assert_eq!(format!("{:?}", sim.trace()).matches("server crashes").count(), 1);
}

// What is polled by others is not dropped with the tasks of the host.
#[test]
fn who_waits_elsewhere_at_sockets_of_a_host_hears_of_its_crash() {
    for_seeds(|sim| {
        let (server, client) = (sim.host("server"), sim.host("client"));
        sim.run(scope(async |s| {
            let listener = server.enter(TcpListener::bind("server:80")).await.unwrap();
            let unanswered = s.spawn(client.enter(async { TcpStream::connect("server:81").await.unwrap_err().kind() }));
            let connected = client.enter(TcpStream::connect("server:80")).await.unwrap();
            let _accepted = listener.accept().await.unwrap();
            assert_eq!(unanswered.await, ErrorKind::ConnectionRefused);
            sim.network().clog("client", "server");
            let unanswered = s.spawn(client.enter(async { TcpStream::connect("server:80").await.unwrap_err().kind() }));
            let receiver = client.enter(UdpSocket::bind("client:53")).await.unwrap();
            let received = s.spawn(async move { receiver.recv(&mut [0]).await.unwrap_err().kind() });
            let read = s.spawn(async move { (&connected).read(&mut [0]).await.unwrap_err().kind() });
            settle().await;
            client.crash();
            let heard = [unanswered.await, received.await, read.await];
            assert_eq!(heard, [ErrorKind::NotConnected; 3]);
        }));
    });
}

#[test]
fn a_program_begins_when_its_host_is_up_and_once() {
    let begun = Arc::new(AtomicU32::new(0));
    let counted = begun.clone();
    let faults = Faults::none().plan(|moment| match moment {
        Moment::Write { to: "server", number: 1, .. } => Some(Fault::Crash(SECOND)),
        _ => None,
    });
    let sim = Sim::builder().faults(faults).strict().build();
    let (server, client) = (sim.host("server"), sim.host("client"));
    client.run(async {
        server.crash();
        server.program(move || {
            counted.fetch_add(1, Relaxed);
            async { echo(TcpListener::bind("server:80").await.unwrap()).await }
        });
        settle().await;
        assert_eq!(begun.load(Relaxed), 0);
        server.restart();
        settle().await;
        assert_eq!(begun.load(Relaxed), 1);
        let mut stream = TcpStream::connect("server:80").await.unwrap();
        stream.write_all(b"crash").await.unwrap();
        settle().await;
        assert!(!server.is_up());
        // Before it is due.
        server.restart();
        sleep(2 * SECOND).await;
        assert_eq!(begun.load(Relaxed), 2);
    });
}

#[test]
fn an_isolated_host_still_reaches_itself() {
    for_seeds(|sim| {
        let alone = sim.host("alone");
        alone.program(|| async { echo(TcpListener::bind("0.0.0.0:80").await.unwrap()).await });
        alone.run(async {
            settle().await;
            sim.network().isolate("alone");
            TcpStream::connect("alone:80").await.unwrap();
        });
    });
}

#[test]
#[should_panic(expected = "no host \"nobody\"")]
fn a_host_that_is_not_there_is_not_isolated() {
    Sim::new(0).network().isolate("nobody");
}

/// Crashes the server while something is under way, and restarts it.
async fn off_and_on(server: &Host) {
    server.crash();
    sleep(SECOND).await;
    server.restart();
}

#[test]
fn a_connect_that_is_under_way_when_its_server_crashes_is_asked_again_after_the_restart() {
    for_seeds(|sim| {
        let (client, server) = (sim.host("client"), sim.host("server"));
        sim.network().set_all(Link::new().latency(10 * MILLI).jitter(Duration::ZERO));
        server.program(|| async { echo(TcpListener::bind("server:80").await.unwrap()).await });
        client.run(async {
            settle().await;
            let crash = async {
                sleep(MILLI).await;
                off_and_on(&server).await;
            };
            let (mut stream, ()) = gather((async { TcpStream::connect("server:80").await.unwrap() }, crash)).await;
            stream.write_all(b"ping").await.unwrap();
            stream.read_exact(&mut [0; 4]).await.unwrap();
        });
    });
}

#[test]
fn a_connect_beyond_the_backlog_of_a_server_that_crashes_is_asked_again_after_the_restart() {
    for_seeds(|sim| {
        let (client, server) = (sim.host("client"), sim.host("server"));
        let serves = Arc::new(AtomicU32::new(0));
        server.program(move || {
            let serves = serves.fetch_add(1, Relaxed) > 0;
            async move {
                let listener = TcpOptions::new().backlog(1).bind("server:80").await.unwrap();
                if serves {
                    echo(listener).await;
                } else {
                    pending().await
                }
            }
        });
        client.run(async {
            settle().await;
            let _first = TcpStream::connect("server:80").await.unwrap();
            let crash = async {
                sleep(SECOND).await;
                off_and_on(&server).await;
            };
            gather((async { drop(TcpStream::connect("server:80").await.unwrap()) }, crash)).await;
        });
    });
}

#[test]
fn a_connect_whose_answer_is_lost_before_its_server_crashes_is_asked_again() {
    for_seeds(|sim| {
        let (client, server) = (sim.host("client"), sim.host("server"));
        server.program(|| async { echo(TcpListener::bind("server:80").await.unwrap()).await });
        client.run(async {
            settle().await;
            sim.network().partition_one_way("server", "client");
            let crash = async {
                sleep(SECOND).await;
                off_and_on(&server).await;
                sim.network().repair_all();
            };
            let (mut stream, ()) = gather((async { TcpStream::connect("server:80").await.unwrap() }, crash)).await;
            stream.write_all(b"ping").await.unwrap();
            stream.read_exact(&mut [0; 4]).await.unwrap();
        });
    });
}

/// Connects and writes from a client that crashes after that. Returns whether the bytes arrive
/// nevertheless.
fn arrives_after_a_crash(sim: &Sim, between: impl AsyncFn(), after: impl AsyncFn()) -> bool {
    let (client, server) = (sim.host("client"), sim.host("server"));
    sim.network().set_all(Link::new().whole());
    sim.run(scope(async |s| {
        let got = s.spawn_on(
            async {
                let (mut stream, _) = TcpListener::bind("server:80").await.unwrap().accept().await.unwrap();
                timeout(3600 * SECOND, stream.read_exact(&mut [0; 4])).await.is_ok()
            },
            &server,
        );
        settle().await;
        let stream = client.enter(TcpStream::connect("server:80")).await.unwrap();
        sleep(SECOND).await;
        between().await;
        (&stream).write_all(b"ping").await.unwrap();
        client.crash();
        after().await;
        got.await
    }))
}

#[test]
fn a_host_that_has_crashed_sends_nothing_again() {
    let lost = Faults::none().plan(|moment| match moment {
        Moment::Write { from: "client", .. } => Some(Fault::Lose),
        _ => None,
    });
    for seed in 0..50 {
        let sim = Sim::builder().seed(seed).faults(lost.clone()).build();
        assert!(!arrives_after_a_crash(&sim, async || {}, async || {}), "lost before the crash");
        let sim = Sim::new(seed);
        let cut = async || sim.network().partition("client", "server");
        let repair = async || sim.network().repair_all();
        assert!(!arrives_after_a_crash(&sim, cut, repair), "lost at a link that was cut");
    }
}

#[test]
fn what_waits_at_a_clogged_link_arrives_although_its_sender_has_crashed() {
    for_seeds(|sim| {
        let clog = async || sim.network().clog("client", "server");
        let repair = async || sim.network().repair_all();
        assert!(arrives_after_a_crash(&sim, clog, repair));
    });
}

#[test]
fn who_waits_for_room_hears_that_its_peer_has_restarted() {
    for_seeds(|sim| {
        let (client, server) = (sim.host("client"), sim.host("server"));
        sim.network().set_all(Link::new().whole().buffer(4));
        server.program(|| async {
            let listener = TcpListener::bind("server:80").await.unwrap();
            let _accepted = (listener.accept().await.unwrap(), listener.accept().await.unwrap());
            pending().await
        });
        client.run(async {
            settle().await;
            let mut streams = Vec::new();
            for _ in 0..2 {
                let mut stream = TcpStream::connect("server:80").await.unwrap();
                stream.write_all(b"full").await.unwrap();
                streams.push(stream);
            }
            sleep(SECOND).await;
            let mut wait = async |before: Duration| {
                let mut stream = streams.pop().unwrap();
                sleep(before).await;
                stream.write(b"more").await.unwrap_err().kind()
            };
            // The one waits before the restart, and the other one begins to wait after it.
            let (heard, ()) = gather((wait(Duration::ZERO), off_and_on(&server))).await;
            assert_eq!([heard, wait(SECOND).await], [ErrorKind::ConnectionReset; 2]);
        });
    });
}

#[test]
fn the_restart_after_a_crash_by_chance_ends_no_crash_by_hand() {
    let faults = Faults::none().plan(|moment| match moment {
        Moment::Write { to: "server", .. } => Some(Fault::Crash(SECOND)),
        _ => None,
    });
    let sim = Sim::builder().faults(faults).build();
    let (client, server) = (sim.host("client"), sim.host("server"));
    server.program(|| async { echo(TcpListener::bind("server:80").await.unwrap()).await });
    client.run(async {
        settle().await;
        let mut stream = TcpStream::connect("server:80").await.unwrap();
        stream.write_all(b"crash").await.unwrap();
        settle().await;
        assert!(!server.is_up());
        server.restart();
        server.crash();
        sleep(3600 * SECOND).await;
        assert!(!server.is_up());
    });
}
