//! Connections between hosts that behave.

use std::cell::Cell;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use foster::net::{TcpListener, TcpStream, lookup};
use foster::runtimes::Sim;
use foster::runtimes::sim::Link;
use foster::testing::{explore_all, settle};
use foster::{Token, gather, scope, shield, sleep, timeout, yield_now};
use futures::io::{AsyncReadExt, AsyncWriteExt};

use super::{all_of, echo, for_seeds};

const MILLI: Duration = Duration::from_millis(1);

async fn say_hello(to: &str) {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    stream.close().await.unwrap();
    assert_eq!(all_of(&stream).await, b"hello");
}

#[test]
fn a_program_that_names_no_host_runs_as_on_real_sockets() {
    for_seeds(|sim| {
        sim.run(scope(async |s| {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let server = s.spawn(echo(listener));
            say_hello(&format!("localhost:{port}")).await;
            server.cancel();
        }));
        assert!(sim.elapsed().is_zero(), "nothing takes time within a host");
    });
}

#[test]
fn each_way_between_hosts_takes_the_latency_of_the_link() {
    for_seeds(|sim| {
        let (client, server) = (sim.host("client"), sim.host("server"));
        sim.network().set("client", "server", Link::new().latency(7 * MILLI).jitter(Duration::ZERO));
        server.program(|| async { echo(TcpListener::bind("server:80").await.unwrap()).await });
        client.run(async {
            settle().await;
            say_hello("server:80").await;
        });
        assert_eq!(sim.elapsed(), 28 * MILLI, "connect and answer, bytes and answer");
    });
}

#[test]
fn jitter_comes_from_the_seed_and_leaves_the_order() {
    let mut times = Vec::new();
    for_seeds(|sim| {
        let server = sim.host("server");
        sim.network().set_all(Link::new().latency(MILLI).jitter(9 * MILLI));
        let bytes = sim.run(scope(async |s| {
            let sent = s.spawn_on(
                async {
                    let (mut stream, _) = TcpListener::bind("0.0.0.0:80").await.unwrap().accept().await.unwrap();
                    for byte in 0..100 {
                        stream.write_all(&[byte]).await.unwrap();
                        sleep(MILLI / 10).await;
                    }
                },
                &server,
            );
            settle().await;
            let stream = TcpStream::connect("server:80").await.unwrap();
            sent.await;
            all_of(&stream).await
        }));
        assert_eq!(bytes, (0..100).collect::<Vec<u8>>());
        times.push(sim.elapsed());
    });
    times.dedup();
    assert!(times.len() > 40, "{times:?}");
}

#[test]
fn hosts_see_their_own_addresses() {
    for_seeds(|sim| {
        let (client, server) = (sim.host("client"), sim.host("server"));
        assert_ne!(client.address(), server.address());
        assert_eq!((client.name(), client.is_up()), ("client".to_string(), true));
        client.run(scope(async |s| {
            assert_eq!(lookup("server:80").await.unwrap()[0].ip(), server.address());
            let accepted = s.spawn_on(
                async {
                    let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
                    let (stream, peer) = listener.accept().await.unwrap();
                    assert_eq!(stream.peer_addr().unwrap(), peer);
                    (stream.local_addr().unwrap(), peer)
                },
                &server,
            );
            settle().await;
            let stream = TcpStream::connect("server:80").await.unwrap();
            let (local, peer) = accepted.await;
            assert_eq!((local.ip(), peer.ip()), (server.address(), client.address()));
            assert_eq!((stream.peer_addr().unwrap(), stream.local_addr().unwrap()), (local, peer));
        }));
    });
}

#[test]
fn what_cannot_be_is_refused_with_the_error_of_real_sockets() {
    for_seeds(|sim| {
        let (client, server) = (sim.host("client"), sim.host("server"));
        client.run(scope(async |s| {
            let kind = |result: std::io::Result<TcpStream>| result.unwrap_err().kind();
            assert_eq!(kind(TcpStream::connect("server:80").await), ErrorKind::ConnectionRefused);
            assert_eq!(kind(TcpStream::connect("127.0.0.1:80").await), ErrorKind::ConnectionRefused);
            assert_eq!(kind(TcpStream::connect("192.0.2.1:80").await), ErrorKind::HostUnreachable);
            let unknown = TcpStream::connect("nowhere:80").await.unwrap_err();
            assert_eq!(unknown.kind(), ErrorKind::NotFound);
            assert!(unknown.to_string().contains("no host \"nowhere\", but localhost, client, server"), "{unknown}");
            let elsewhere = TcpListener::bind("server:80").await.unwrap_err();
            assert_eq!(elsewhere.kind(), ErrorKind::AddrNotAvailable);

            // A port that is taken on one host is free on another, and on another address.
            let listener = TcpListener::bind("client:80").await.unwrap();
            let taken = TcpListener::bind("0.0.0.0:80").await.unwrap_err();
            assert_eq!(taken.kind(), ErrorKind::AddrInUse);
            let local = TcpListener::bind("127.0.0.1:80").await.unwrap();
            s.spawn_on(async { drop(TcpListener::bind("0.0.0.0:80").await.unwrap()) }, &server).await;
            drop((listener, local));
            TcpListener::bind("0.0.0.0:80").await.unwrap();
        }));
        assert!(sim.trace().to_string().contains("server → client: refused"), "{}", sim.trace());
    });
}

#[test]
fn a_slow_reader_makes_its_writer_wait() {
    for_seeds(|sim| {
        let server = sim.host("server");
        sim.network().set_all(Link::new().buffer(1_000));
        let written = Cell::new(0);
        sim.run(scope(async |s| {
            let reader = s.spawn_on(
                async {
                    let (stream, _) = TcpListener::bind("server:80").await.unwrap().accept().await.unwrap();
                    sleep(60 * 1_000 * MILLI).await;
                    all_of(&stream).await.len()
                },
                &server,
            );
            settle().await;
            let stream = TcpStream::connect("server:80").await.unwrap();
            let write = async {
                for _ in 0..50 {
                    (&stream).write_all(&[7; 100]).await.unwrap();
                    written.set(written.get() + 100);
                }
                (&stream).close().await.unwrap();
            };
            let watch = async {
                sleep(59 * 1_000 * MILLI).await;
                assert_eq!(written.get(), 1_000);
            };
            gather((write, watch)).await;
            assert_eq!(reader.await, 5_000);
        }));
    });
}

#[test]
fn bandwidth_is_shared_by_all_connections_of_a_link() {
    for_seeds(|sim| {
        let server = sim.host("server");
        let link = Link::new().latency(Duration::ZERO).jitter(Duration::ZERO).bandwidth(10_000);
        sim.network().set_all(link);
        sim.run(scope(async |s| {
            let read = s.spawn_on(
                async {
                    let listener = TcpListener::bind("server:80").await.unwrap();
                    let (one, _) = listener.accept().await.unwrap();
                    let (other, _) = listener.accept().await.unwrap();
                    gather((all_of(&one), all_of(&other))).await
                },
                &server,
            );
            settle().await;
            for _ in 0..2 {
                s.spawn(async {
                    let mut stream = TcpStream::connect("server:80").await.unwrap();
                    stream.write_all(&[7; 10_000]).await.unwrap();
                });
            }
            read.await;
        }));
        assert_eq!(sim.elapsed(), 2_000 * MILLI);
    });
}

#[test]
fn bandwidth_is_not_saved_up() {
    for_seeds(|sim| {
        sim.network().set_all(Link::new().latency(Duration::ZERO).jitter(Duration::ZERO).bandwidth(1_000).whole());
        let server = sim.host("server");
        sim.run(scope(async |s| {
            let got = s.spawn_on(
                async {
                    let (stream, _) = TcpListener::bind("server:80").await.unwrap().accept().await.unwrap();
                    all_of(&stream).await.len()
                },
                &server,
            );
            settle().await;
            let mut stream = TcpStream::connect("server:80").await.unwrap();
            sleep(Duration::from_secs(10)).await;
            stream.write_all(&[7; 1_000]).await.unwrap();
            drop(stream);
            assert_eq!(got.await, 1_000);
        }));
        assert_eq!(sim.elapsed(), Duration::from_secs(11));
    });
}

#[test]
fn a_connection_has_a_port_that_nothing_listens_at() {
    for_seeds(|sim| {
        sim.run(async {
            // The first that connections get.
            let listener = TcpListener::bind("localhost:49152").await.unwrap();
            let stream = TcpStream::connect("localhost:49152").await.unwrap();
            assert_ne!(stream.local_addr().unwrap(), listener.local_addr().unwrap());
        });
    });
}

#[test]
fn reads_and_writes_are_split_by_the_seed_and_joined() {
    let split = Cell::new(0);
    let joined = Cell::new(0);
    for_seeds(|sim| {
        sim.run(async {
            let listener = TcpListener::bind("localhost:80").await.unwrap();
            let mut client = TcpStream::connect("localhost:80").await.unwrap();
            let (mut server, _) = listener.accept().await.unwrap();
            client.write_all(b"one").await.unwrap();
            client.write_all(b"two").await.unwrap();
            let mut buffer = [0; 10];
            let read = server.read(&mut buffer).await.unwrap();
            split.set(split.get() + u32::from(read % 3 != 0));
            joined.set(joined.get() + u32::from(read > 3));
            server.read_exact(&mut buffer[read..6]).await.unwrap();
            assert_eq!(&buffer[..6], b"onetwo");
        });
    });
    assert!(split.get() > 3 && joined.get() > 20, "{split:?} of 50 split, {joined:?} joined");
}

#[test]
fn connections_beyond_the_backlog_wait_and_none_is_lost() {
    for_seeds(|sim| {
        let connected = &AtomicU32::new(0);
        sim.run(scope(async |s| {
            let listener = foster::net::TcpOptions::new().backlog(2).bind("localhost:80").await.unwrap();
            s.spawn(async move {
                for _ in 0..5 {
                    let stream = TcpStream::connect("localhost:80").await.unwrap();
                    connected.fetch_add(1, Relaxed);
                    drop(stream);
                }
            });
            settle().await;
            assert_eq!(connected.load(Relaxed), 2);
            for _ in 0..5 {
                listener.accept().await.unwrap();
                yield_now().await;
            }
            settle().await;
            assert_eq!(connected.load(Relaxed), 5);
        }));
    });
}

#[test]
fn the_same_seed_is_the_same_run_packet_for_packet() {
    let run = |seed| {
        let sim = Sim::new(seed);
        let server = sim.host("server");
        server.program(|| async { echo(TcpListener::bind("server:80").await.unwrap()).await });
        sim.run(async {
            settle().await;
            for _ in 0..5 {
                say_hello("server:80").await;
            }
        });
        (sim.elapsed(), sim.trace())
    };
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed));
        assert_ne!(run(seed), run(seed + 1));
    }
    let trace = run(0).1.to_string();
    assert!(
        trace.contains("localhost → server: connect\n") && trace.contains("server → localhost: 5 bytes"),
        "{trace}"
    );
}

#[test]
fn every_schedule_of_a_client_and_a_server() {
    let explored = explore_all(|| {
        let server = Sim::current().host("server");
        scope(async move |s| {
            let listening = s.spawn_on(
                async {
                    let (mut stream, _) = TcpListener::bind("server:80").await.unwrap().accept().await.unwrap();
                    let mut buffer = [0; 4];
                    stream.read_exact(&mut buffer).await.unwrap();
                    stream.write_all(&buffer).await.unwrap();
                },
                &server,
            );
            settle().await;
            for _ in 0..2 {
                s.spawn(yield_now());
            }
            let mut stream = TcpStream::connect("server:80").await.unwrap();
            stream.write_all(b"ping").await.unwrap();
            assert_eq!(all_of(&stream).await, b"ping");
            listening.await;
        })
    });
    assert!(explored.schedules() > 10, "{explored:?}");
}

#[test]
fn hosts_have_ports_of_their_own() {
    for_seeds(|sim| {
        let hosts = ["one", "two"].map(|name| sim.host(name));
        for (host, greeting) in hosts.iter().zip([b"1", b"2"]) {
            host.program(move || async move {
                let listener = TcpListener::bind("0.0.0.0:80").await.unwrap();
                while let Ok((mut stream, _)) = listener.accept().await {
                    stream.write_all(greeting).await.unwrap();
                }
            });
        }
        sim.run(async {
            settle().await;
            for (address, greeting) in [("one:80", b"1"), ("two:80", b"2")] {
                assert_eq!(all_of(&TcpStream::connect(address).await.unwrap()).await, greeting);
            }
        });
    });
}

#[test]
fn nothing_at_all_is_read_and_written_without_a_wait_and_nothing_after_the_end() {
    for_seeds(|sim| {
        sim.run(async {
            let listener = TcpListener::bind("127.0.0.1:80").await.unwrap();
            let mut client = TcpStream::connect("127.0.0.1:80").await.unwrap();
            let (server, _) = listener.accept().await.unwrap();
            assert_eq!(client.read(&mut []).await.unwrap(), 0);
            assert_eq!(client.write(&[]).await.unwrap(), 0);
            client.close().await.unwrap();
            assert_eq!(client.write(b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
            assert_eq!(all_of(&server).await, b"");
        });
    });
}

#[test]
fn the_links_between_hosts_are_not_those_within_one() {
    for_seeds(|sim| {
        sim.network().set_all(Link::new().buffer(1));
        sim.run(async {
            let listener = TcpListener::bind("127.0.0.1:80").await.unwrap();
            let mut client = TcpStream::connect("127.0.0.1:80").await.unwrap();
            let (_server, _) = listener.accept().await.unwrap();
            let mut written = 0;
            for _ in 0..20 {
                written += client.write(&[0; 1000]).await.unwrap();
            }
            assert!(written > 20, "{written}");
        });
    });
}

#[test]
fn a_connection_is_a_socket_of_its_client() {
    for_seeds(|sim| {
        let (client, server) = (sim.host("client"), sim.host("server"));
        server.program(|| async { echo(TcpListener::bind("server:80").await.unwrap()).await });
        client.run(async {
            settle().await;
            client.limit_sockets(1);
            let first = TcpStream::connect("server:80").await.unwrap();
            TcpStream::connect("server:80").await.unwrap_err();
            drop(first);
            TcpStream::connect("server:80").await.unwrap();
        });
    });
}

#[test]
fn where_all_schedules_are_explored_the_network_makes_no_choice() {
    let explored = explore_all(async || {
        let listener = TcpListener::bind("127.0.0.1:80").await.unwrap();
        let mut client = TcpStream::connect("127.0.0.1:80").await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        for _ in 0..50 {
            assert_eq!(client.write(&[0; 100]).await.unwrap(), 100);
            assert_eq!(server.read(&mut [0; 1000]).await.unwrap(), 100);
        }
    });
    assert_eq!(explored.schedules(), 1);
}

#[test]
fn a_listener_for_all_addresses_of_ipv4_takes_none_of_ipv6() {
    for_seeds(|sim| {
        sim.run(async {
            let four = TcpListener::bind("0.0.0.0:80").await.unwrap();
            let refused = TcpStream::connect("[::1]:80").await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            let taken = TcpListener::bind("[::]:80").await.unwrap_err();
            assert_eq!(taken.kind(), ErrorKind::AddrInUse);
            let six = TcpListener::bind("[::1]:80").await.unwrap();
            drop((four, six));
            // The other way round it does.
            let _all = TcpListener::bind("[::]:80").await.unwrap();
            TcpStream::connect("127.0.0.1:80").await.unwrap();
        });
    });
}

#[test]
fn what_is_under_way_for_ever_never_arrives() {
    for latency in [Duration::MAX, Duration::MAX / 2] {
        let sim = Sim::new(0);
        let _server = sim.host("server");
        sim.network().set_all(Link::new().latency(latency));
        let connected = sim.run(timeout(3600 * 1_000 * MILLI, TcpStream::connect("server:80")));
        connected.unwrap_err();
        sim.try_run(TcpStream::connect("server:80")).unwrap_err();
    }
}

// A read there tries once, as it may not wait.
#[test]
fn a_read_in_a_cancelled_region_leaves_its_place_to_who_waits() {
    for_seeds(|sim| {
        sim.run(async {
            let listener = TcpListener::bind("localhost:80").await.unwrap();
            let mut client = TcpStream::connect("localhost:80").await.unwrap();
            let (server, _) = listener.accept().await.unwrap();
            let read = async || (&server).read_exact(&mut [0; 4]).await.unwrap();
            let token = Token::new();
            scope(async |s| {
                s.spawn(read());
                settle().await;
                let region = token.run_until_cancelled(async {
                    shield(async {
                        token.cancel("the region is cancelled");
                        yield_now().await;
                    })
                    .await;
                    read().await;
                });
                region.await.unwrap_err();
                client.write_all(b"ping").await.unwrap();
            })
            .await;
        });
    });
}
