//! What the service promises to a client, and what it makes of bad input.

mod support;

use std::error::Error;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foster::net::TcpStream;
use foster::runtimes::Sim;
use foster::testing::explore;
use foster::{now, sleep, timeout};
use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use kv::{Client, ClientError, Refused, Rules};
use support::cluster::{HOSTS, Memory, addresses, run_node, start};

const SECOND: Duration = Duration::from_secs(1);

fn text(value: &str) -> Option<String> {
    Some(value.to_string())
}

#[test]
fn a_write_returns_the_value_that_it_replaces() {
    explore(0..20, || async {
        start(Rules::default());
        let (mut one, mut other) = (Client::new(1, &addresses()), Client::new(2, &addresses()));
        assert_eq!(one.get("x").await.unwrap(), None);
        assert_eq!(one.put("x", "1").await.unwrap(), None);
        assert_eq!(other.put("x", "2").await.unwrap(), text("1"));
        assert_eq!(one.get("x").await.unwrap(), text("2"));
        assert_eq!(one.get("").await.unwrap(), None);
    });
}

#[test]
fn values_outlive_a_crash_of_all_nodes() {
    explore(0..20, || async {
        start(Rules::default());
        let mut client = Client::new(1, &addresses());
        client.put("x", "1").await.unwrap();
        let sim = Sim::current();
        HOSTS.iter().for_each(|host| sim.host(host).crash());
        sleep(SECOND).await;
        HOSTS.iter().for_each(|host| sim.host(host).restart());
        assert_eq!(client.get("x").await.unwrap(), text("1"));
    });
}

#[test]
fn without_a_majority_there_is_an_error_at_the_deadline() {
    explore(0..20, || async {
        start(Rules::default());
        let mut client = Client::new(1, &addresses());
        client.put("x", "1").await.unwrap();
        let sim = Sim::current();
        HOSTS[..2].iter().for_each(|host| sim.host(host).crash());
        let before = now();
        // The deadline ends the last attempt, or forbids another one.
        if let Ok(answer) = timeout(10 * SECOND, client.get("x")).await {
            let error = answer.unwrap_err();
            assert!(matches!(error, ClientError::Unavailable(_)), "{error:?}");
            assert!(error.source().is_some());
        }
        assert!(now() - before <= 10 * SECOND);
        HOSTS[..2].iter().for_each(|host| sim.host(host).restart());
        assert_eq!(client.get("x").await.unwrap(), text("1"));
    });
}

#[test]
fn a_write_that_is_too_long_is_refused() {
    explore(0..5, || async {
        start(Rules::default());
        let mut client = Client::new(1, &addresses());
        // What needs six bytes in JSON.
        let longest = "\u{1}".repeat((64 << 10) - 1);
        client.put("x", &longest).await.unwrap();
        let error = client.put("x", &"1".repeat(64 << 10)).await.unwrap_err();
        assert!(matches!(error, ClientError::Refused(Refused::TooLong)), "{error:?}");
        assert_eq!(client.get("x").await.unwrap(), Some(longest));
    });
}

#[test]
fn many_long_writes_reach_a_node_that_was_down() {
    explore(0..2, || async {
        start(Rules::default());
        let sim = Sim::current();
        sim.host("three").crash();
        let mut client = Client::new(1, &addresses());
        for number in 10..20 {
            client.put("x", &format!("{number}{}", "\u{1}".repeat(60_000))).await.unwrap();
        }
        sim.host("three").restart();
        sim.host("one").crash();
        let value = client.get("x").await.unwrap().unwrap();
        assert!(value.starts_with("19"), "{}", &value[..2]);
    });
}

#[test]
fn two_clients_of_one_number_are_refused() {
    explore(0..20, || async {
        start(Rules::default());
        let (mut one, mut other) = (Client::new(1, &addresses()), Client::new(1, &addresses()));
        one.put("x", "1").await.unwrap();
        one.put("x", "2").await.unwrap();
        let error = other.put("x", "3").await.unwrap_err();
        assert!(matches!(error, ClientError::Refused(Refused::Superseded)), "{error:?}");
        assert_eq!(one.get("x").await.unwrap(), text("2"));
    });
}

#[test]
fn who_sends_no_frames_is_hung_up_on() {
    explore(0..20, || async {
        start(Rules::default());
        let mut client = Client::new(1, &addresses());
        client.put("x", "1").await.unwrap();
        for garbage in [&[0xff; 8][..], b"\0\0\0\x01x", b"\0\0\0\0", b"\0\0\0\x04null"] {
            let mut stream = TcpStream::connect("one:80").await.unwrap();
            stream.write_all(garbage).await.unwrap();
            match stream.read(&mut [0]).await {
                Ok(read) => assert_eq!(read, 0),
                Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
            }
        }
        assert_eq!(client.get("x").await.unwrap(), text("1"));
    });
}

/// Runs a single node on a disk, and returns the value of `x`, which it then sets.
fn value_on(disk: &Arc<Memory>, next: &str) -> Option<String> {
    let sim = Sim::new(7);
    let address = vec![String::from("one:80")];
    sim.run(async {
        run_node(0, address.clone(), Rules::default(), disk.clone());
        let mut client = Client::new(next.parse().unwrap(), &address);
        let value = client.get("x").await.unwrap();
        client.put("x", next).await.unwrap();
        value
    })
}

#[test]
fn a_log_that_a_crash_has_cut_short_has_all_whole_records() {
    let disk = Arc::new(Memory::default());
    assert_eq!(value_on(&disk, "1"), None);
    let first = disk.0.lock().unwrap().len();
    assert_eq!(value_on(&disk, "2"), text("1"));
    let whole = disk.0.lock().unwrap().clone();
    for cut in first..=whole.len() {
        let disk = Arc::new(Memory(Mutex::new(whole[..cut].to_vec())));
        let value = value_on(&disk, "3");
        assert_eq!(value, text(if cut == whole.len() { "2" } else { "1" }), "cut at {cut}");
        // What was written behind the cut is there.
        assert_eq!(value_on(&disk, "4"), text("3"), "cut at {cut}");
    }
}
