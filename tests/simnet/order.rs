//! Streams arrive in their order, whatever happens to the links.

use std::time::Duration;

use foster::net::{TcpListener, TcpStream};
use foster::runtimes::Sim;
use foster::runtimes::sim::{Faults, Link, Links};
use foster::testing::settle;
use foster::{gather, scope, sleep};
use futures::io::AsyncWriteExt;

use super::{all_of, echo, for_seeds};

const MILLI: Duration = Duration::from_millis(1);

/// Sends bytes, stops the link while they are under way, and ends the stream.
fn the_end_waits_for_the_bytes(stop: fn(&Links)) {
    for_seeds(|sim| {
        let (client, server) = (sim.host("client"), sim.host("server"));
        sim.network().set_all(Link::new().latency(10 * MILLI));
        let got = client.run(scope(async |s| {
            let got = s.spawn_on(
                async {
                    let (stream, _) = TcpListener::bind("server:80").await.unwrap().accept().await.unwrap();
                    all_of(&stream).await
                },
                &server,
            );
            settle().await;
            let mut stream = TcpStream::connect("server:80").await.unwrap();
            stream.write_all(b"hello").await.unwrap();
            stop(&sim.network());
            stream.close().await.unwrap();
            // The bytes reach the link meanwhile.
            sleep(100 * MILLI).await;
            sim.network().repair("client", "server");
            got.await
        }));
        assert_eq!(got, b"hello");
    });
}

#[test]
fn an_end_does_not_overtake_bytes_that_are_under_way_when_a_link_is_cut() {
    the_end_waits_for_the_bytes(|links| links.partition("client", "server"));
}

#[test]
fn an_end_does_not_overtake_bytes_that_are_under_way_when_a_link_is_clogged() {
    the_end_waits_for_the_bytes(|links| links.clog("client", "server"));
}

#[test]
fn a_stream_arrives_whole_although_links_are_cut_by_chance_and_broken_by_hand() {
    for seed in 0..200 {
        let faults = Faults::none().lose_packets(0.1).cut_links(0.1, 50 * MILLI);
        let sim = Sim::builder().seed(seed).faults(faults).build();
        let (client, server) = (sim.host("client"), sim.host("server"));
        sim.network().set_all(Link::new().latency(5 * MILLI).jitter(10 * MILLI).buffer(70));
        server.program(|| async { echo(TcpListener::bind("server:80").await.unwrap()).await });
        client.run(async {
            settle().await;
            let stream = TcpStream::connect("server:80").await.unwrap();
            let write = async {
                for byte in 0..100 {
                    (&stream).write_all(&[byte; 5]).await.unwrap();
                    sleep(MILLI).await;
                }
                (&stream).close().await.unwrap();
            };
            let links = sim.network();
            let trouble = async {
                for way in 0..6 {
                    sleep(7 * MILLI).await;
                    match (seed + way) % 3 {
                        0 => links.clog("client", "server"),
                        1 => links.partition_one_way("server", "client"),
                        _ => links.repair_all(),
                    }
                }
                links.repair_all();
            };
            let (_, _, got) = gather((write, trouble, all_of(&stream))).await;
            assert_eq!(got, (0..100).flat_map(|byte| [byte; 5]).collect::<Vec<u8>>(), "{seed}");
        });
    }
}
