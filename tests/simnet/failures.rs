//! Links that are cut or clogged, connections that are reset, and hosts that crash.

use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use foster::net::{TcpListener, TcpOptions, TcpStream};
use foster::runtimes::Sim;
use foster::runtimes::sim::{Host, Link};
use foster::testing::{Drops, EveryAwait, cancel_at_every_await, settle};
use foster::{Reason, gather, scope, sleep, timeout};
use futures::io::{AsyncReadExt, AsyncWriteExt};

use super::{all_of, echo, for_seeds};

const SECOND: Duration = Duration::from_secs(1);

/// Two hosts, of which the second one sends back what comes to its port 80.
fn client_and_server(sim: &Sim) -> (Host, Host) {
    let (client, server) = (sim.host("client"), sim.host("server"));
    server.program(|| async { echo(TcpListener::bind("server:80").await.unwrap()).await });
    (client, server)
}

/// All lines of the trace, of which its text shows the last ones.
fn lines_of(sim: &Sim) -> String {
    format!("{:?}", sim.trace())
}

async fn connect() -> TcpStream {
    settle().await;
    TcpStream::connect("server:80").await.unwrap()
}

async fn ask(mut stream: &TcpStream) -> io::Result<()> {
    stream.write_all(b"ping").await?;
    stream.read_exact(&mut [0; 4]).await
}

#[test]
fn in_a_partition_nothing_arrives_and_nothing_fails() {
    for_seeds(|sim| {
        let (client, _server) = client_and_server(&sim);
        client.run(async {
            let stream = connect().await;
            ask(&stream).await.unwrap();
            sim.network().partition("client", "server");
            let before = sim.elapsed();
            timeout(3600 * SECOND, ask(&stream)).await.unwrap_err();
            timeout(3600 * SECOND, TcpStream::connect("server:80")).await.unwrap_err();
            assert_eq!(sim.elapsed(), before + 7200 * SECOND);

            sim.network().repair("client", "server");
            (&stream).read_exact(&mut [0; 4]).await.unwrap();
            ask(&stream).await.unwrap();
            let late = sim.elapsed() - before - 7200 * SECOND;
            assert!(late > SECOND / 5 && late < SECOND / 4, "sent again after {late:?}");
        });
        let trace = lines_of(&sim);
        for line in ["client → server is cut", "client → server: connect, lost", "client → server is repaired"] {
            assert!(trace.contains(line), "{line}: {trace}");
        }
    });
}

#[test]
fn what_is_under_way_when_a_link_is_cut_is_lost_too() {
    for_seeds(|sim| {
        let (client, _server) = client_and_server(&sim);
        sim.network().set_all(Link::new().whole());
        client.run(async {
            let stream = connect().await;
            (&stream).write_all(b"ping").await.unwrap();
            sim.network().partition_one_way("client", "server");
            timeout(SECOND, (&stream).read(&mut [0; 4])).await.unwrap_err();
        });
        assert!(lines_of(&sim).contains("client → server: 4 bytes, lost"), "{}", sim.trace());
    });
}

#[test]
fn a_link_is_cut_in_one_direction_alone() {
    for_seeds(|sim| {
        let (client, _server) = client_and_server(&sim);
        sim.network().set_all(Link::new().whole());
        client.run(async {
            let stream = connect().await;
            sim.network().isolate("server");
            sim.network().repair_all();
            ask(&stream).await.unwrap();
            sim.network().partition_one_way("server", "client");
            timeout(SECOND, ask(&stream)).await.unwrap_err();
        });
        assert!(lines_of(&sim).contains("server → client: 4 bytes, lost"), "{}", sim.trace());
    });
}

#[test]
fn what_waits_at_a_clogged_link_arrives_at_its_repair_in_order() {
    for_seeds(|sim| {
        let (client, _server) = client_and_server(&sim);
        client.run(async {
            let stream = connect().await;
            sim.network().clog("client", "server");
            let write = async {
                for byte in 0..100 {
                    (&stream).write_all(&[byte]).await.unwrap();
                }
                (&stream).close().await.unwrap();
                sleep(SECOND).await;
                sim.network().repair("client", "server");
                sim.elapsed()
            };
            let (repaired, bytes) = gather((write, all_of(&stream))).await;
            assert_eq!(bytes, (0..100).collect::<Vec<u8>>());
            assert!(sim.elapsed() - repaired <= 6 * SECOND / 1_000, "at once");
        });
        assert!(lines_of(&sim).contains("client → server is repaired"));
    });
}

#[test]
fn a_reset_fails_both_ends_once_and_then_ends_the_stream() {
    for_seeds(|sim| {
        let server = sim.host("server");
        sim.run(scope(async |s| {
            let accepted = s.spawn_on(
                async {
                    let (mut stream, _) = TcpListener::bind("server:80").await.unwrap().accept().await.unwrap();
                    stream.read(&mut [0; 4]).await.unwrap_err().kind()
                },
                &server,
            );
            let mut stream = connect().await;
            sim.network().reset("localhost", "server");
            assert_eq!(stream.read(&mut [0; 4]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
            assert_eq!(stream.read(&mut [0; 4]).await.unwrap(), 0);
            assert_eq!(stream.write(&[0; 4]).await.unwrap_err().kind(), ErrorKind::BrokenPipe);
            assert_eq!(accepted.await, ErrorKind::ConnectionReset);
        }));
    });
}

#[test]
fn what_is_under_way_arrives_before_a_reset() {
    let mut arrived = 0;
    for_seeds(|sim| {
        let server = sim.host("server");
        sim.run(scope(async |s| {
            let accepted = s.spawn_on(
                async {
                    let (mut stream, _) = TcpListener::bind("server:80").await.unwrap().accept().await.unwrap();
                    let mut bytes = Vec::new();
                    stream.read_to_end(&mut bytes).await.unwrap_err();
                    bytes
                },
                &server,
            );
            let mut stream = connect().await;
            sim.network().clog("localhost", "server");
            stream.write_all(b"hello").await.unwrap();
            sim.network().reset("localhost", "server");
            stream.read(&mut [0; 4]).await.unwrap_err();
            sim.network().repair("localhost", "server");
            arrived += u32::from(accepted.await == b"hello");
        }));
    });
    assert!(arrived > 10, "{arrived} of 50");
}

#[test]
fn who_reads_no_more_lets_its_peer_go_on() {
    for_seeds(|sim| {
        sim.run(async {
            let listener = TcpListener::bind("localhost:80").await.unwrap();
            let client = TcpStream::connect("localhost:80").await.unwrap();
            let (server, _) = listener.accept().await.unwrap();
            let write = async { (&client).write_all(&[7; 200_000]).await.unwrap() };
            let give_up = async {
                sleep(SECOND).await;
                server.shutdown(Shutdown::Read).unwrap();
            };
            gather((write, give_up)).await;
        });
    });
}

#[test]
fn hosts_are_there_for_the_next_run() {
    for_seeds(|sim| {
        let (client, _) = client_and_server(&sim);
        for _ in 0..2 {
            client.run(async { ask(&connect().await).await.unwrap() });
            // A strict run ends the programs.
            client_and_server(&sim);
        }
    });
}

#[test]
fn who_writes_to_an_end_that_is_gone_is_reset() {
    let mut lost = 0;
    for_seeds(|sim| {
        sim.run(async {
            let listener = TcpListener::bind("localhost:80").await.unwrap();
            let mut client = TcpStream::connect("localhost:80").await.unwrap();
            let (mut server, _) = listener.accept().await.unwrap();
            client.write_all(b"request").await.unwrap();
            server.write_all(b"answer").await.unwrap();
            // It has not read the request.
            drop(server);
            let mut answer = Vec::new();
            let error = client.read_to_end(&mut answer).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            assert!(answer.is_empty() || answer == b"answer");
            lost += u32::from(answer.is_empty());
        });
    });
    assert!((10..40).contains(&lost), "the seed decides whether what was received is lost, {lost} of 50 times");
}

#[test]
fn dropping_with_zero_linger_resets() {
    for_seeds(|sim| {
        sim.run(async {
            let listener = TcpListener::bind("localhost:80").await.unwrap();
            let options = TcpOptions::new().linger(Duration::ZERO);
            let client = options.connect("localhost:80").await.unwrap();
            let (mut server, _) = listener.accept().await.unwrap();
            drop(client);
            assert_eq!(server.read(&mut [0; 4]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        });
    });
}

#[test]
fn a_listener_that_is_dropped_refuses_whom_it_has_not_answered() {
    for_seeds(|sim| {
        sim.run(scope(async |s| {
            let listener = TcpOptions::new().backlog(1).bind("localhost:80").await.unwrap();
            let _first = TcpStream::connect("localhost:80").await.unwrap();
            let second = s.spawn(TcpStream::connect("localhost:80"));
            settle().await;
            drop(listener);
            assert_eq!(second.await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        }));
    });
}

#[test]
fn dropping_with_another_linger_ends_the_stream() {
    for_seeds(|sim| {
        sim.run(async {
            let listener = TcpListener::bind("localhost:80").await.unwrap();
            let options = TcpOptions::new().linger(SECOND);
            let mut client = options.connect("localhost:80").await.unwrap();
            let (mut server, _) = listener.accept().await.unwrap();
            client.write_all(b"hello").await.unwrap();
            drop(client);
            let mut bytes = Vec::new();
            server.read_to_end(&mut bytes).await.unwrap();
            assert_eq!(bytes, b"hello");
        });
    });
}

#[test]
fn who_ends_a_stream_that_its_peer_has_dropped_hears_no_error() {
    for_seeds(|sim| {
        sim.run(async {
            let listener = TcpListener::bind("localhost:80").await.unwrap();
            let mut client = TcpStream::connect("localhost:80").await.unwrap();
            drop(listener.accept().await.unwrap());
            assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
            client.close().await.unwrap();
            sleep(SECOND).await;
            assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        });
    });
}

#[test]
fn a_listener_that_is_dropped_refuses_whom_it_has_not_accepted() {
    for_seeds(|sim| {
        sim.run(async {
            let listener = TcpListener::bind("localhost:80").await.unwrap();
            let mut waiting = TcpStream::connect("localhost:80").await.unwrap();
            drop(listener);
            assert_eq!(waiting.read(&mut [0; 4]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
            let late = TcpStream::connect("localhost:80").await.unwrap_err();
            assert_eq!(late.kind(), ErrorKind::ConnectionRefused);
        });
    });
}

#[test]
fn a_crash_drops_the_tasks_of_the_host_and_tells_nobody() {
    for_seeds(|sim| {
        let (drops, server) = (Drops::new(), sim.host("server"));
        sim.run(scope(async |s| {
            let guard = drops.guard();
            let task = s.spawn_on(
                async move {
                    let _guard = guard;
                    echo(TcpListener::bind("server:80").await.unwrap()).await;
                },
                &server,
            );
            let stream = connect().await;
            ask(&stream).await.unwrap();
            server.crash();
            assert!(!server.is_up() && drops.alive() == 0);
            assert_eq!(task.outcome().await.unwrap_err().reason(), &Reason::Shutdown);
            timeout(3600 * SECOND, ask(&stream)).await.unwrap_err();
            // Nothing runs on it.
            s.spawn_on(async { unreachable!() }, &server).outcome().await.unwrap_err();

            server.restart();
            assert_eq!(ask(&stream).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
            let refused = TcpStream::connect("server:80").await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        }));
        let trace = lines_of(&sim);
        for line in ["server crashes", "server restarts", ", lost", "server → localhost: reset"] {
            assert!(trace.contains(line), "{line}: {trace}");
        }
    });
}

#[test]
fn a_program_starts_again_with_its_host() {
    for_seeds(|sim| {
        let (client, server) = (sim.host("client"), sim.host("server"));
        let starts = Arc::new(AtomicU32::new(0));
        let count = starts.clone();
        server.program(move || {
            count.fetch_add(1, Relaxed);
            async { echo(TcpListener::bind("server:80").await.unwrap()).await }
        });
        client.run(async {
            for start in 1..4 {
                ask(&connect().await).await.unwrap();
                assert_eq!(starts.load(Relaxed), start);
                server.restart();
            }
        });
    });
}

#[test]
fn a_task_may_crash_its_own_host() {
    for_seeds(|sim| {
        let (drops, server) = (Drops::new(), sim.host("server"));
        let (guard, host) = (drops.guard(), server.clone());
        sim.run(scope(async |s| {
            let task = s.spawn_on(
                async move {
                    let _guard = guard;
                    host.crash();
                    foster::yield_now().await;
                    unreachable!("its host has crashed");
                },
                &server,
            );
            task.outcome().await.unwrap_err();
            assert_eq!(drops.alive(), 0);
        }));
    });
}

#[test]
fn a_program_that_panics_ends_the_run() {
    let sim = Sim::new(0);
    sim.host("server").program(|| async { panic!("the server is broken") });
    let run = std::panic::AssertUnwindSafe(|| sim.run(sleep(SECOND)));
    let payload = std::panic::catch_unwind(run).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"the server is broken"));
}

#[test]
fn a_host_without_a_file_descriptor_accepts_later() {
    for_seeds(|sim| {
        let server = sim.host("server");
        server.limit_sockets(2);
        sim.run(scope(async |s| {
            let serving = s.spawn_on(
                async {
                    let listener = TcpListener::bind("server:80").await.unwrap();
                    let (first, _) = listener.accept().await.unwrap();
                    let full = listener.accept().await.unwrap_err();
                    assert_eq!(full.kind(), io::Error::from_raw_os_error(24).kind());
                    assert_eq!(TcpStream::connect("server:80").await.unwrap_err().kind(), full.kind());
                    TcpListener::bind("server:81").await.unwrap_err();
                    drop(first);
                    listener.accept().await.unwrap();
                },
                &server,
            );
            let _first = connect().await;
            let _second = connect().await;
            serving.await;
        }));
    });
}

#[test]
fn a_deadlock_says_who_waits_for_bytes_of_whom() {
    let sim = Sim::new(0);
    let (client, _server) = client_and_server(&sim);
    let error = client.try_run(async {
        let stream = connect().await;
        ask(&stream).await.unwrap();
        sim.network().partition("client", "server");
        ask(&stream).await.unwrap();
    });
    let error = error.unwrap_err().to_string();
    for line in [
        "bytes of server, at client; the link from it is cut; the link to it is cut",
        "bytes of client, at server; the link from it is cut",
        "server: `program` (task 1)",
    ] {
        assert!(error.contains(line), "{line}: {error}");
    }
    let error = client.try_run(async { TcpStream::connect("server:80").await }).unwrap_err().to_string();
    assert!(error.contains("answer of server, at client; the link from it is cut"), "{error}");
}

#[test]
fn a_request_is_cancelled_at_every_await() {
    let report = cancel_at_every_await(
        || async {
            let sim = Sim::current();
            let (_, server) = client_and_server(&sim);
            sim.network().set_all(Link::new().whole());
            settle().await;
            let stream = TcpStream::connect("server:80").await.unwrap();
            ask(&stream).await.unwrap();
            drop((stream, server));
        },
        || {},
    );
    let found = report.suspensions();
    assert!(found.iter().any(|wait| wait.contains("answer of server")), "{found:?}");
    assert!(found.iter().any(|wait| wait.contains("bytes of server")), "{found:?}");
}

#[test]
fn a_frame_cut_by_a_cancellation_is_found_at_every_await() {
    // Four bytes go at a time, so the frame waits in its middle.
    let frames = std::cell::RefCell::new(Vec::new());
    let failure = EveryAwait::new().run(
        || async {
            let sim = Sim::current();
            sim.network().set_all(Link::new().whole().buffer(4));
            let server = sim.host("server");
            scope(async |s| {
                let got = s.spawn_on(
                    async {
                        let (stream, _) = TcpListener::bind("server:80").await.unwrap().accept().await.unwrap();
                        all_of(&stream).await
                    },
                    &server,
                );
                let mut stream = connect().await;
                _ = timeout(SECOND / 1_000, stream.write_all(b"12345678")).await;
                drop(stream);
                frames.replace(got.await);
            })
            .await;
        },
        || assert!([0, 8].contains(&frames.borrow().len()), "half a frame"),
    );
    assert!(failure.unwrap_err().to_string().contains("half a frame"));
}

#[test]
fn a_connection_is_reset_once() {
    for_seeds(|sim| {
        let server = sim.host("server");
        sim.network().set_all(Link::new().whole().latency(SECOND).jitter(Duration::ZERO));
        sim.run(scope(async |s| {
            let accepting = async {
                let _accepted = TcpListener::bind("server:80").await.unwrap().accept().await.unwrap();
                sleep(60 * SECOND).await;
            };
            s.spawn_on(accepting, &server);
            let mut stream = connect().await;
            sim.network().reset("localhost", "server");
            // Its answer is another reset.
            stream.write_all(b"ping").await.unwrap();
            assert_eq!(stream.read(&mut [0; 4]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
            sleep(10 * SECOND).await;
            assert_eq!(stream.read(&mut [0; 4]).await.unwrap(), 0);
        }));
    });
}
