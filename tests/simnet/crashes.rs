//! What a crash takes away, also from who is still there.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use foster::net::{TcpListener, TcpStream, UdpSocket};
use foster::runtimes::Sim;
use foster::runtimes::sim::{Fault, Faults, Link, Moment};
use foster::testing::settle;
use foster::{scope, sleep, timeout, yield_now};
use futures::io::{AsyncReadExt, AsyncWriteExt};

use super::{echo, for_seeds};

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
        sim.network().set_all(Link::new().latency(SECOND));
        let client = sim.host("client");
        sim.run(scope(async |s| {
            let listener = TcpListener::bind("localhost:80").await.unwrap();
            let to = std::net::SocketAddr::new(sim.host("localhost").address(), 80);
            drop(listener);
            let listener = TcpListener::bind(to).await.unwrap();
            s.spawn_on(async move { drop(TcpStream::connect(to).await) }, &client);
            let (mut stream, _) = listener.accept().await.unwrap();
            client.crash();
            let read = &mut [0];
            timeout(3600 * SECOND, stream.read(read)).await.unwrap_err();
            client.restart();
            assert_eq!(stream.read(read).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        }));
    });
}

#[test]
fn a_connect_that_is_dropped_leaves_a_connection_that_is_reset() {
    for_seeds(|sim| {
        sim.network().set_all(Link::new().latency(SECOND));
        let server = sim.host("server");
        sim.run(scope(async |s| {
            let accepted = s.spawn_on(
                async {
                    let (mut stream, _) = TcpListener::bind("server:80").await.unwrap().accept().await.unwrap();
                    stream.read(&mut [0]).await.unwrap_err().kind()
                },
                &server,
            );
            settle().await;
            timeout(SECOND / 2, TcpStream::connect("server:80")).await.unwrap_err();
            assert_eq!(accepted.await, ErrorKind::ConnectionReset);
        }));
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
