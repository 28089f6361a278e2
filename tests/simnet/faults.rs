//! Faults of the network, by chance and as planned.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use foster::net::{TcpListener, TcpStream};
use foster::runtimes::Sim;
use foster::runtimes::sim::{Fault, Faults, Link, Moment};
use foster::testing::{Explore, settle};
use foster::{sleep, timeout};
use futures::io::{AsyncReadExt, AsyncWriteExt};

use super::echo;

const SECOND: Duration = Duration::from_secs(1);

fn served() {
    let server = Sim::current().host("server");
    server.program(|| async { echo(TcpListener::bind("server:80").await.unwrap()).await });
}

async fn request() -> io::Result<()> {
    let mut stream = TcpStream::connect("server:80").await?;
    stream.write_all(b"12345678").await?;
    stream.read_exact(&mut [0; 8]).await
}

/// How many requests of twenty fail, each within ten seconds, over many seeds.
fn failures(faults: Faults) -> Vec<ErrorKind> {
    let failures = std::cell::RefCell::new(Vec::new());
    Explore::new().seeds(0..50).faults(faults).check(|| async {
        served();
        settle().await;
        for _ in 0..20 {
            let failed = match timeout(10 * SECOND, request()).await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.kind(),
                Err(_) => ErrorKind::TimedOut,
            };
            failures.borrow_mut().push(failed);
            sleep(SECOND).await;
        }
    });
    failures.into_inner()
}

/// How many of `failures` are of this kind, of a thousand requests.
fn count(failures: &[ErrorKind], kind: ErrorKind) -> usize {
    failures.iter().filter(|&&failure| failure == kind).count()
}

#[test]
fn without_faults_nothing_fails() {
    assert_eq!(failures(Faults::none()), []);
}

#[test]
fn connections_are_refused_by_chance() {
    let failures = failures(Faults::none().refuse_connections(0.1));
    let refused = count(&failures, ErrorKind::ConnectionRefused);
    assert!(refused == failures.len() && (50..200).contains(&refused), "{refused} of {}", failures.len());
}

#[test]
fn connections_are_reset_by_chance() {
    let failures = failures(Faults::none().reset_connections(0.1));
    let reset = count(&failures, ErrorKind::ConnectionReset);
    let ended = count(&failures, ErrorKind::UnexpectedEof) + count(&failures, ErrorKind::BrokenPipe);
    assert!(reset > 50 && reset + ended == failures.len(), "{failures:?}");
}

#[test]
fn lost_packets_are_late_and_fail_nothing() {
    assert_eq!(failures(Faults::none().lose_packets(0.3)), []);
}

#[test]
fn each_lost_packet_is_sent_again_after_a_while() {
    let sim = Sim::builder().faults(Faults::none().lose_packets(1.0)).build();
    sim.network().set_all(Link::new().whole());
    sim.run(async {
        served();
        settle().await;
        request().await.unwrap();
    });
    // One way and the other.
    assert!(sim.elapsed() >= 2 * SECOND / 5 && sim.elapsed() < SECOND / 2, "{:?}", sim.elapsed());
}

#[test]
fn a_host_is_neither_cut_from_itself_nor_crashed_by_itself() {
    let faults = Faults::none().cut_links(1.0, SECOND).crash_hosts(1.0, SECOND);
    let sim = Sim::builder().faults(faults).strict().build();
    let server = sim.host("server");
    server.run(async {
        served();
        settle().await;
        request().await.unwrap();
    });
    assert_eq!(sim.elapsed(), Duration::ZERO);
}

#[test]
fn links_are_cut_by_chance_for_a_while() {
    assert_eq!(failures(Faults::none().cut_links(0.1, SECOND)), []);
    let failures = failures(Faults::none().cut_links(0.1, 60 * SECOND));
    assert!(count(&failures, ErrorKind::TimedOut) > 50, "{failures:?}");
}

#[test]
fn hosts_with_a_program_crash_by_chance_and_restart() {
    let failures = failures(Faults::none().crash_hosts(0.1, SECOND));
    let (reset, refused) =
        (count(&failures, ErrorKind::ConnectionReset), count(&failures, ErrorKind::ConnectionRefused));
    assert!(reset > 20 && reset + refused == failures.len(), "{failures:?}");
}

/// Runs a request with a fault at the first write from the client.
fn run_with(seed: u64, fault: Fault) -> (Sim, Result<io::Result<()>, foster::Elapsed>) {
    let faults = Faults::none().plan(move |moment| match moment {
        Moment::Write { from: "client", to: "server", number: 1, .. } => Some(fault),
        _ => None,
    });
    let sim = Sim::builder().seed(seed).faults(faults).strict().build();
    let client = sim.host("client");
    let done = client.run(async {
        served();
        settle().await;
        timeout(3600 * SECOND, request()).await
    });
    (sim, done)
}

#[test]
fn a_plan_says_which_write_goes_wrong() {
    for seed in 0..50 {
        let (sim, done) = run_with(seed, Fault::Delay(60 * SECOND));
        done.unwrap().unwrap();
        assert!(sim.elapsed() > 60 * SECOND);
        let (sim, done) = run_with(seed, Fault::Lose);
        done.unwrap().unwrap();
        assert!(sim.elapsed() > SECOND / 5 && sim.elapsed() < SECOND, "{:?}", sim.elapsed());
        let (sim, done) = run_with(seed, Fault::Cut(60 * SECOND));
        done.unwrap().unwrap();
        assert!(sim.elapsed() > 60 * SECOND && sim.elapsed() < 61 * SECOND);
        let (_, done) = run_with(seed, Fault::Reset);
        done.unwrap().unwrap_err();
        let (sim, done) = run_with(seed, Fault::Crash(60 * SECOND));
        assert_eq!(done.unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert!(sim.elapsed() > 60 * SECOND && sim.elapsed() < 61 * SECOND);
    }
}

#[test]
fn a_planned_cut_is_one_in_both_directions() {
    let faults = Faults::none().plan(|moment| match moment {
        Moment::Write { from: "localhost", .. } => Some(Fault::Cut(60 * SECOND)),
        _ => None,
    });
    let sim = Sim::builder().faults(faults).build();
    sim.host("server").program(|| async {
        let (mut stream, _) = TcpListener::bind("server:80").await.unwrap().accept().await.unwrap();
        sleep(SECOND).await;
        stream.write_all(b"hello").await.unwrap();
        std::future::pending().await
    });
    sim.run(async {
        settle().await;
        let mut stream = TcpStream::connect("server:80").await.unwrap();
        // Until the server has accepted it.
        sleep(SECOND / 2).await;
        stream.write_all(b"x").await.unwrap();
        stream.read_exact(&mut [0; 5]).await.unwrap();
    });
    assert!(sim.elapsed() > SECOND && format!("{:?}", sim.trace()).contains("server → localhost: 5 bytes, lost"));
}

#[test]
fn a_plan_refuses_a_connection() {
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let faults = Faults::none().plan(move |moment| {
        let Moment::Connect { from: "localhost", to: "server" } = moment else { return None };
        (count.fetch_add(1, Relaxed) == 0).then_some(Fault::Refuse)
    });
    let sim = Sim::builder().faults(faults).build();
    sim.run(async {
        served();
        settle().await;
        assert_eq!(request().await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        request().await.unwrap();
    });
    assert_eq!(asked.load(Relaxed), 2);
}

#[test]
fn a_reset_strikes_at_any_byte() {
    let mut read = BTreeSet::new();
    for seed in 0..50 {
        let faults = Faults::none().plan(|moment| match moment {
            Moment::Write { from: "server", .. } => Some(Fault::Reset),
            _ => None,
        });
        let sim = Sim::builder().seed(seed).faults(faults).build();
        sim.host("server").program(|| async {
            let (mut stream, _) = TcpListener::bind("server:80").await.unwrap().accept().await.unwrap();
            _ = stream.write_all(b"12345678").await;
            std::future::pending().await
        });
        sim.run(async {
            settle().await;
            let mut stream = TcpStream::connect("server:80").await.unwrap();
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await.unwrap_err();
            assert!(b"12345678".starts_with(&bytes));
            read.insert(bytes.len());
        });
    }
    assert!(read.len() > 6, "{read:?}");
}

#[test]
fn when_a_fault_happens_follows_from_the_seed() {
    let faults = || Faults::none().reset_connections(0.05).cut_links(0.05, SECOND).crash_hosts(0.05, SECOND);
    let run = |seed| {
        let sim = Sim::builder().seed(seed).faults(faults()).build();
        sim.run(async {
            served();
            settle().await;
            for _ in 0..20 {
                _ = timeout(10 * SECOND, request()).await;
            }
        });
        (sim.elapsed(), sim.trace())
    };
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed));
    }
}

#[test]
fn a_cut_by_chance_ends_no_partition_by_hand() {
    Explore::new().seeds(0..50).faults(Faults::none().cut_links(1.0, SECOND)).check(|| async {
        served();
        settle().await;
        let mut stream = TcpStream::connect("server:80").await.unwrap();
        let links = Sim::current().network();
        links.partition("localhost", "server");
        stream.write_all(b"ping").await.unwrap();
        timeout(3600 * SECOND, stream.read_exact(&mut [0; 4])).await.unwrap_err();

        // One that began before it neither.
        links.repair_all();
        stream.write_all(b"ping").await.unwrap();
        links.partition("localhost", "server");
        timeout(3600 * SECOND, stream.read_exact(&mut [0; 8])).await.unwrap_err();
    });
}
