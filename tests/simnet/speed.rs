//! How fast the network is. Run it optimised: `cargo test --release -p foster --all-features --test
//! simnet speed -- --ignored --nocapture --test-threads 1`.

use std::time::{Duration, Instant};

use foster::net::{TcpListener, TcpStream};
use foster::runtimes::Sim;
use foster::runtimes::sim::Link;
use foster::scope;
use foster::testing::settle;
use futures::io::{AsyncReadExt, AsyncWriteExt};

const MESSAGES: u32 = 1_000_000;

fn report(what: &str, messages: u32, began: Instant) {
    let taken = began.elapsed();
    println!("{what}: {:.0} messages a second", f64::from(messages) / taken.as_secs_f64());
}

/// Sends messages of 64 bytes from one host to another.
fn stream(what: &str, link: Link) {
    let sim = Sim::new(7);
    let server = sim.host("server");
    sim.network().set_all(link);
    let began = Instant::now();
    sim.run(scope(async |s| {
        let read = s.spawn_on(
            async {
                let (mut stream, _) = TcpListener::bind("server:80").await.unwrap().accept().await.unwrap();
                let mut buffer = [0; 64];
                let mut count = 0;
                while stream.read_exact(&mut buffer).await.is_ok() {
                    count += 1;
                }
                count
            },
            &server,
        );
        settle().await;
        let mut stream = TcpStream::connect("server:80").await.unwrap();
        for _ in 0..MESSAGES {
            stream.write_all(&[7; 64]).await.unwrap();
        }
        drop(stream);
        assert_eq!(read.await, MESSAGES);
    }));
    report(what, MESSAGES, began);
}

#[test]
#[ignore = "a measurement"]
fn speed_of_messages() {
    stream("stream of 64 bytes, whole", Link::new().whole());
    stream("stream of 64 bytes, split by seed", Link::new());
}

/// Runs three hosts, each of which serves, and makes 100 requests of its neighbour.
fn three_hosts(seed: u64) {
    let sim = Sim::new(seed);
    let names = ["one", "two", "three"];
    for name in names {
        sim.host(name).program(move || async move {
            let listener = TcpListener::bind(format!("{name}:80")).await.unwrap();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 64];
                while stream.read_exact(&mut request).await.is_ok() {
                    stream.write_all(&request).await.unwrap();
                }
            }
        });
    }
    sim.run(scope(async |s| {
        settle().await;
        for (at, name) in names.into_iter().enumerate() {
            let neighbour = names[(at + 1) % 3];
            let client = async move {
                let mut stream = TcpStream::connect(format!("{neighbour}:80")).await.unwrap();
                for _ in 0..100 {
                    stream.write_all(&[7; 64]).await.unwrap();
                    stream.read_exact(&mut [0; 64]).await.unwrap();
                }
            };
            s.spawn_on(client, &sim.host(name));
        }
    }));
    assert!(sim.elapsed() > Duration::from_millis(200));
}

#[test]
#[ignore = "a measurement"]
fn speed_of_a_thousand_seeds_of_three_hosts() {
    let began = Instant::now();
    std::thread::scope(|threads| {
        for half in [0..500, 500..1_000] {
            threads.spawn(move || half.for_each(three_hosts));
        }
    });
    println!("1,000 seeds of three hosts with 100 requests each: {:?}", began.elapsed());
    report("requests and answers", 1_000 * 3 * 100 * 2, began);
}
