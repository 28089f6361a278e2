//! Datagrams between hosts: they overtake each other, get lost, and arrive twice.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foster::net::{TcpListener, TcpStream, UdpSocket};
use foster::runtimes::Sim;
use foster::runtimes::sim::{Fault, Faults, Host, Link, Moment};
use foster::testing::{EveryAwait, Explore, cancel_at_every_await, settle};
use foster::{bracket, gather, scope, sleep, timeout, try_gather, yield_now};
use futures::io::{AsyncReadExt, AsyncWriteExt};

use super::for_seeds;

const SECOND: Duration = Duration::from_secs(1);

/// Two hosts, of which the second one sends back what comes to its port 53.
fn client_and_server(sim: &Sim) -> (Host, Host) {
    let (client, server) = (sim.host("client"), sim.host("server"));
    server.program(|| async {
        let socket = UdpSocket::bind("server:53").await.unwrap();
        let mut buffer = [0; 1000];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            socket.send_to(&buffer[..length], from).await.unwrap();
        }
    });
    (client, server)
}

/// A socket with the server as its peer, which is there.
async fn connected() -> UdpSocket {
    settle().await;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
    socket.connect("server:53").await.unwrap();
    socket
}

async fn next(socket: &UdpSocket) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; 1000];
    let length = socket.recv(&mut buffer).await?;
    buffer.truncate(length);
    Ok(buffer)
}

/// All that arrives within a second.
async fn arriving(socket: &UdpSocket) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let Ok(datagram) = timeout(SECOND, next(socket)).await {
        all.push(datagram.unwrap());
    }
    all
}

async fn ask(socket: &UdpSocket, question: &[u8]) -> Option<Vec<u8>> {
    socket.send(question).await.unwrap();
    timeout(SECOND, next(socket)).await.ok().map(Result::unwrap)
}

/// Asks twenty questions at once, and returns the answers in the order of their arrival.
async fn twenty_answers() -> Vec<Vec<u8>> {
    let socket = connected().await;
    for byte in 0..20 {
        socket.send(&[byte; 100]).await.unwrap();
    }
    arriving(&socket).await
}

fn lines_of(sim: &Sim) -> String {
    format!("{:?}", sim.trace())
}

#[test]
fn hosts_send_to_each_other_and_know_the_senders() {
    for_seeds(|sim| {
        let (client, server) = client_and_server(&sim);
        client.run(async {
            let socket = connected().await;
            let here = socket.local_addr().unwrap();
            assert_eq!((here.ip(), socket.peer_addr().unwrap()), (client.address(), (server.address(), 53).into()));
            for question in [&b"hello"[..], b"", b"again"] {
                assert_eq!(ask(&socket, question).await.unwrap(), question);
            }
            let other = UdpSocket::bind(("client", 0)).await.unwrap();
            other.send_to(b"not of the peer", here).await.unwrap();
            assert_eq!(arriving(&socket).await, [] as [Vec<u8>; 0]);
        });
        assert!(lines_of(&sim).contains("client → server: 5 bytes"), "{}", sim.trace());
        assert!(sim.elapsed() > SECOND * 6 / 1000, "six datagrams took {:?}", sim.elapsed());
    });
}

#[test]
fn within_a_host_datagrams_take_no_time() {
    let sim = Sim::new(0);
    sim.run(async {
        let server = UdpSocket::bind("127.0.0.1:53").await.unwrap();
        let client = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
        let mut buffer = [0; 3];
        let ask = async {
            client.send_to(b"hello", (Ipv4Addr::LOCALHOST, 53)).await.unwrap();
            let (length, from) = client.recv_from(&mut [0; 8]).await.unwrap();
            assert_eq!((length, from), (3, server.local_addr().unwrap()));
        };
        let answer = async {
            let (peeked, _) = server.peek_from(&mut [0; 8]).await.unwrap();
            let (length, from) = server.recv_from(&mut buffer).await.unwrap();
            assert_eq!((peeked, length), (5, 3), "the rest is lost");
            assert_eq!(from, SocketAddr::from((Ipv4Addr::LOCALHOST, client.local_addr().unwrap().port())));
            server.send_to(&buffer, from).await.unwrap();
        };
        gather((ask, answer)).await;
    });
    assert_eq!(sim.elapsed(), Duration::ZERO);
}

#[test]
fn datagrams_overtake_each_other_and_arrive_whole() {
    let mut out_of_order = 0;
    for_seeds(|sim| {
        let (client, _server) = client_and_server(&sim);
        let mut arrived = client.run(twenty_answers());
        out_of_order += u32::from(!arrived.is_sorted());
        arrived.sort();
        assert_eq!(arrived, (0..20).map(|byte| [byte; 100]).collect::<Vec<_>>());
    });
    assert!(out_of_order > 45, "{out_of_order} of 50");
    let sim = Sim::new(0);
    sim.network().set_all(Link::new().jitter(Duration::ZERO));
    let arrived = client_and_server(&sim).0.run(twenty_answers());
    assert!(arrived.len() == 20 && arrived.is_sorted());
}

#[test]
fn what_is_sent_over_a_cut_link_is_lost_for_good() {
    for_seeds(|sim| {
        let (client, _server) = client_and_server(&sim);
        sim.network().set_all(Link::new().latency(SECOND / 10));
        client.run(async {
            let socket = connected().await;
            socket.send(b"under way").await.unwrap();
            sleep(SECOND / 20).await;
            sim.network().partition("client", "server");
            assert_eq!(ask(&socket, b"hello").await, None);
            sim.network().repair("client", "server");
            assert_eq!(arriving(&socket).await, [] as [Vec<u8>; 0]);
            assert_eq!(ask(&socket, b"and now?").await.unwrap(), b"and now?");
            sim.network().partition_one_way("server", "client");
            assert_eq!(ask(&socket, b"hi").await, None);
        });
        for line in
            ["client → server: 9 bytes, lost", "client → server: 5 bytes, lost", "server → client: 2 bytes, lost"]
        {
            assert!(lines_of(&sim).contains(line), "{line}: {}", sim.trace());
        }
    });
}

#[test]
fn what_waits_at_a_clogged_link_arrives_at_its_repair() {
    for_seeds(|sim| {
        let (client, _server) = client_and_server(&sim);
        client.run(async {
            let socket = connected().await;
            sim.network().clog("client", "server");
            assert_eq!(ask(&socket, b"hello").await, None);
            assert!(lines_of(&sim).contains("client → server: 5 bytes, held"), "{}", sim.trace());
            sim.network().repair("client", "server");
            assert_eq!(arriving(&socket).await, [b"hello"]);
        });
    });
}

#[test]
fn a_socket_that_is_full_loses_the_newest() {
    for_seeds(|sim| {
        let (client, server) = (sim.host("client"), sim.host("server"));
        sim.network().set_all(Link::new().jitter(Duration::ZERO).buffer(10));
        sim.run(scope(async |s| {
            let sent = s.spawn_on(
                async {
                    let socket = connected().await;
                    for byte in 1..5 {
                        socket.send(&[byte; 4]).await.unwrap();
                    }
                    sleep(SECOND).await;
                    for _ in 0..20 {
                        socket.send(b"").await.unwrap();
                    }
                },
                &client,
            );
            let received = s.spawn_on(
                async {
                    let socket = UdpSocket::bind("server:53").await.unwrap();
                    sleep(SECOND / 2).await;
                    // What was received makes room.
                    arriving(&socket).await
                },
                &server,
            );
            let first = received.await;
            sent.await;
            assert_eq!(&first[..2], [[1; 4], [2; 4]]);
            assert_eq!(first.len(), 2 + 10, "empty ones take room, too: {first:?}");
        }));
        assert_eq!(lines_of(&sim).matches("client → server: 4 bytes, lost").count(), 2, "{}", sim.trace());
        assert_eq!(lines_of(&sim).matches("client → server: 0 bytes, lost").count(), 10, "{}", sim.trace());
    });
}

#[test]
fn who_has_a_peer_hears_that_it_is_not_there() {
    for_seeds(|sim| {
        let (client, server) = (sim.host("client"), sim.host("server"));
        client.run(scope(async |s| {
            let socket = connected().await;
            for _ in 0..2 {
                socket.send(b"hello").await.unwrap();
                let refused = socket.recv(&mut [0]).await.unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
                assert_eq!(refused.to_string(), "cannot receive from 10.0.0.3:53: connection refused");
            }
            socket.send(b"hello").await.unwrap();
            sleep(SECOND).await;
            assert_eq!(socket.send(b"hello").await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
            // Without a peer nobody is told.
            let other = UdpSocket::bind("client:0").await.unwrap();
            other.send_to(b"hello", (server.address(), 53)).await.unwrap();
            assert_eq!(arriving(&other).await, [] as [Vec<u8>; 0]);
            let bound = s.spawn_on(UdpSocket::bind("server:53"), &server).await.unwrap();
            socket.send(b"hello").await.unwrap();
            assert_eq!(next(&bound).await.unwrap(), b"hello");
        }));
        for line in ["client → server: 5 bytes, lost", "server → client: refused"] {
            assert!(lines_of(&sim).contains(line), "{line}: {}", sim.trace());
        }
    });
}

#[test]
fn a_crash_closes_sockets_and_what_comes_meanwhile_is_lost() {
    for_seeds(|sim| {
        let (client, server) = client_and_server(&sim);
        client.run(async {
            let socket = connected().await;
            assert_eq!(ask(&socket, b"hello").await.unwrap(), b"hello");
            server.crash();
            assert_eq!(ask(&socket, b"anybody?").await, None);
            server.restart();
            assert_eq!(arriving(&socket).await, [] as [Vec<u8>; 0]);
            assert_eq!(ask(&socket, b"hello again").await.unwrap(), b"hello again");
            let waiting = async { next(&socket).await.unwrap_err().kind() };
            let crash = async {
                settle().await;
                client.crash();
            };
            assert_eq!(gather((waiting, crash)).await.0, ErrorKind::NotConnected);
            assert_eq!(socket.send(b"hello").await.unwrap_err().kind(), ErrorKind::NotConnected);
            assert_eq!(UdpSocket::bind("client:1").await.unwrap_err().kind(), ErrorKind::NotConnected);
            socket.local_addr().unwrap_err();
            client.restart();
            UdpSocket::bind("client:1").await.unwrap();
        });
        assert!(lines_of(&sim).contains("client → server: 8 bytes, lost"), "{}", sim.trace());
    });
}

#[test]
fn wrong_addresses_are_refused() {
    let sim = Sim::new(0);
    let (client, server) = (sim.host("client"), sim.host("server"));
    client.run(async {
        let socket = UdpSocket::bind("client:53").await.unwrap();
        let kind = |refused: io::Result<UdpSocket>| refused.unwrap_err().kind();
        assert_eq!(kind(UdpSocket::bind("client:53").await), ErrorKind::AddrInUse);
        assert_eq!(kind(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 53)).await), ErrorKind::AddrInUse);
        assert_eq!(kind(UdpSocket::bind("server:53").await), ErrorKind::AddrNotAvailable);
        // The ports of TCP are others.
        TcpListener::bind("client:53").await.unwrap();

        let nowhere = SocketAddr::from(([10, 9, 9, 9], 53));
        assert_eq!(socket.send_to(b"hello", nowhere).await.unwrap_err().kind(), ErrorKind::HostUnreachable);
        assert_eq!(socket.connect(nowhere).await.unwrap_err().kind(), ErrorKind::HostUnreachable);
        assert_eq!(socket.send(b"to whom?").await.unwrap_err().kind(), ErrorKind::NotConnected);
        assert_eq!(socket.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
        let to = (server.address(), 53);
        assert_eq!(socket.send_to(&[0; 65_507], to).await.unwrap(), 65_507);
        let long = socket.send_to(&[0; 65_508], to).await.unwrap_err();
        assert!(long.to_string().starts_with("cannot send to 10.0.0.3:53: "), "{long}");
        let looped = UdpSocket::bind("127.0.0.1:54").await.unwrap();
        assert_eq!(looped.send_to(b"hello", to).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(socket.set_broadcast(true).unwrap_err().kind(), ErrorKind::Unsupported);

        client.limit_sockets(2);
        let full = UdpSocket::bind("client:0").await.unwrap_err();
        assert_eq!(full.kind(), io::Error::from_raw_os_error(24).kind());
        drop(socket);
        UdpSocket::bind("client:53").await.unwrap();
    });
}

/// How many of 20 questions are answered, and how many answers there are, over many seeds.
fn answers(faults: Faults) -> (usize, usize) {
    let counts = std::cell::Cell::new((0, 0));
    Explore::new().seeds(0..50).faults(faults).check(|| async {
        let (_client, _server) = client_and_server(&Sim::current());
        let mut arrived = twenty_answers().await;
        let (answered, answers) = counts.get();
        let all = arrived.len();
        arrived.sort();
        arrived.dedup();
        counts.set((answered + arrived.len(), answers + all));
    });
    counts.into_inner()
}

#[test]
fn datagrams_get_lost_and_arrive_twice_by_chance() {
    assert_eq!(answers(Faults::none()), (1000, 1000));
    let (answered, all) = answers(Faults::none().lose_packets(0.1));
    assert!((750..870).contains(&answered) && all == answered, "{answered}, and {all} of 1000");
    let (answered, all) = answers(Faults::none().duplicate_datagrams(0.1));
    assert!(answered == 1000 && (1150..1270).contains(&all), "{answered}, and {all} of 1000");
    let (answered, _) = answers(Faults::none().cut_links(0.01, SECOND));
    assert!((500..950).contains(&answered), "{answered} of 1000");
}

/// Asks once, with a fault at the question, and returns the answers, and when they were there.
fn with(seed: u64, fault: Fault) -> (Vec<Vec<u8>>, Duration) {
    let faults = Faults::none().plan(move |moment| match moment {
        Moment::Write { from: "client", to: "server", bytes: 5, number: 1 } => Some(fault),
        _ => None,
    });
    let sim = Sim::builder().seed(seed).faults(faults).strict().build();
    let (client, _server) = client_and_server(&sim);
    let answers = client.run(async {
        let socket = connected().await;
        socket.send(b"hello").await.unwrap();
        arriving(&socket).await
    });
    (answers, sim.elapsed())
}

#[test]
fn a_plan_says_which_datagram_goes_wrong() {
    for seed in 0..20 {
        assert_eq!(with(seed, Fault::Refuse).0, [b"hello"]);
        // A datagram has no connection to reset.
        assert_eq!(with(seed, Fault::Reset).0, [b"hello"]);
        assert_eq!(with(seed, Fault::Duplicate).0, [b"hello", b"hello"]);
        assert_eq!(with(seed, Fault::Lose).0, [] as [Vec<u8>; 0]);
        assert_eq!(with(seed, Fault::Cut(SECOND)).0, [] as [Vec<u8>; 0]);
        assert_eq!(with(seed, Fault::Crash(SECOND)).0, [] as [Vec<u8>; 0]);
        let (answers, elapsed) = with(seed, Fault::Delay(SECOND / 2));
        assert_eq!(answers, [b"hello"]);
        assert!(elapsed > 3 * SECOND / 2 && elapsed < 2 * SECOND, "{elapsed:?}");
    }
}

#[test]
fn a_run_is_the_same_again_with_its_seed() {
    let run = |seed| {
        let faults = Faults::none().lose_packets(0.1).duplicate_datagrams(0.1).cut_links(0.05, SECOND);
        let sim = Sim::builder().seed(seed).faults(faults).build();
        let answers = client_and_server(&sim).0.run(twenty_answers());
        (answers, sim.elapsed(), sim.trace())
    };
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed));
    }
    assert_ne!(run(0).0, run(1).0);
}

#[test]
fn a_deadlock_says_who_waits_for_datagrams_of_whom() {
    let sim = Sim::new(0);
    let (client, server) = client_and_server(&sim);
    let waits = async {
        let socket = connected().await;
        sim.network().partition_one_way("client", "server");
        socket.send(b"hello").await.unwrap();
        next(&socket).await
    };
    let report = client.try_run(waits).unwrap_err().to_string();
    for line in ["a datagram of server, at client; the link to it is cut", "a datagram to port 53, at server"] {
        assert!(report.contains(line), "{line}: {report}");
    }
    server.crash();
    let report = client.try_run(async { next(&connected().await).await }).unwrap_err().to_string();
    assert!(report.contains("a datagram of server, at client, which has crashed"), "{report}");
}

#[test]
fn a_question_is_cancelled_at_every_await() {
    let report = cancel_at_every_await(
        || async {
            let sim = Sim::current();
            let (_, _server) = client_and_server(&sim);
            let socket = connected().await;
            assert_eq!(ask(&socket, b"hello").await.unwrap(), b"hello");
            socket.writable().await.unwrap();
        },
        || {},
    );
    let found = report.suspensions();
    assert!(found.iter().any(|wait| wait.contains("a datagram of server")), "{found:?}");
}

#[test]
fn a_cancelled_receive_leaves_the_datagrams_to_the_release() {
    const ALL: [u8; 5] = [0, 1, 2, 3, 4];
    let (sent, received) = (Cell::new(0), Arc::new(Mutex::new(Vec::new())));
    for every in [EveryAwait::new(), EveryAwait::new().wind_down()] {
        let found = every.run(
            || async {
                sent.set(0);
                received.lock().unwrap().clear();
                let (during, after) = (received.clone(), received.clone());
                let bind = async { UdpSocket::bind("127.0.0.1:53").await };
                let body = async |server: &mut UdpSocket| {
                    let to = server.local_addr()?;
                    let receive = async {
                        for _ in ALL {
                            let datagram = next(server).await?;
                            during.lock().unwrap().extend(datagram);
                        }
                        Ok(())
                    };
                    let send = async {
                        let client = UdpSocket::bind("127.0.0.1:0").await?;
                        for byte in ALL {
                            client.send_to(&[byte], to).await?;
                            sent.set(sent.get() + 1);
                            yield_now().await;
                        }
                        Ok(())
                    };
                    try_gather((receive, send)).await.map(drop)
                };
                let release = move |server: UdpSocket| async move {
                    let mut buffer = [0];
                    while server.try_recv(&mut buffer).is_ok() {
                        after.lock().unwrap().extend(buffer);
                    }
                    Ok(())
                };
                bracket(bind, body, release).await.unwrap();
            },
            || assert_eq!(received.lock().unwrap()[..], ALL[..sent.get()], "a datagram is lost, or came twice"),
        );
        let found = found.unwrap();
        assert!(found.suspensions().iter().any(|wait| wait.contains("a datagram to port 53")), "{found:?}");
    }
}

#[test]
fn hosts_have_ports_of_their_own() {
    for_seeds(|sim| {
        let [one, two] = ["one", "two"].map(|name| sim.host(name));
        sim.run(async {
            let [first, second] = [&one, &two].map(|host| host.enter(UdpSocket::bind("0.0.0.0:53")));
            let (first, second) = (first.await.unwrap(), second.await.unwrap());
            let sender = UdpSocket::bind("0.0.0.0:0").await.unwrap();
            sender.send_to(b"two", (two.address(), 53)).await.unwrap();
            sender.send_to(b"one", (one.address(), 53)).await.unwrap();
            assert_eq!((next(&first).await.unwrap(), next(&second).await.unwrap()), (b"one".to_vec(), b"two".to_vec()));
        });
    });
}

#[test]
fn the_trace_tells_of_datagrams_that_are_lost_or_refused_but_not_of_what_arrives_within_a_host() {
    let faults = Faults::none().plan(|moment| match moment {
        Moment::Write { number: 1, .. } => Some(Fault::Lose),
        _ => None,
    });
    let sim = Sim::builder().faults(faults).strict().build();
    sim.run(async {
        let [one, two] = ["127.0.0.1:1", "127.0.0.1:2"].map(UdpSocket::bind);
        let (one, two) = (one.await.unwrap(), two.await.unwrap());
        for datagram in [&b"1"[..], b"22"] {
            one.send_to(datagram, two.local_addr().unwrap()).await.unwrap();
        }
        assert_eq!(next(&two).await.unwrap(), b"22");
        one.connect("127.0.0.1:3").await.unwrap();
        one.send(b"333").await.unwrap();
        next(&one).await.unwrap_err();
    });
    let lines = lines_of(&sim);
    for line in ["1 byte, lost", "3 bytes, lost", "refused"] {
        assert_eq!(lines.matches(&format!("localhost → localhost: {line}")).count(), 1, "{line}: {lines}");
    }
    assert!(!lines.contains("2 bytes"), "{lines}");
}

#[test]
fn a_fault_of_connections_strikes_no_datagram_and_the_other_way_round() {
    let asked = |faults: Faults| {
        let sim = Sim::builder().faults(faults).strict().build();
        let (client, _server) = client_and_server(&sim);
        client.run(async {
            let socket = connected().await;
            ask(&socket, b"hello").await
        })
    };
    assert_eq!(asked(Faults::none().reset_connections(1.0)).as_deref(), Some(&b"hello"[..]));
    assert_eq!(asked(Faults::none().reset_connections(1.0).lose_packets(1.0)), None);
    let sim = Sim::builder().faults(Faults::none().duplicate_datagrams(1.0).reset_connections(1.0)).strict().build();
    sim.run(async {
        let listener = TcpListener::bind("127.0.0.1:80").await.unwrap();
        let mut client = TcpStream::connect("127.0.0.1:80").await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        client.write_all(b"hello").await.unwrap();
        assert_eq!(server.read_exact(&mut [0; 5]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn what_waits_at_a_clogged_link_is_lost_when_that_is_cut() {
    for_seeds(|sim| {
        let server = sim.host("server");
        sim.run(scope(async |s| {
            let received = s.spawn_on(
                async {
                    let socket = UdpSocket::bind("server:53").await.unwrap();
                    timeout(60 * SECOND, socket.recv(&mut [0])).await.is_ok()
                },
                &server,
            );
            settle().await;
            let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
            socket.connect("server:53").await.unwrap();
            sim.network().clog("localhost", "server");
            socket.send(b"x").await.unwrap();
            sim.network().partition("localhost", "server");
            sim.network().repair_all();
            assert!(!received.await);
        }));
        assert!(sim.trace().to_string().contains("localhost → server: 1 byte, lost"), "{}", sim.trace());
    });
}

#[test]
fn a_socket_of_one_family_reaches_none_of_the_other() {
    for_seeds(|sim| {
        sim.run(async {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            socket.connect("[::1]:9").await.unwrap_err();
            let socket = UdpSocket::bind("[::1]:0").await.unwrap();
            socket.send_to(b"x", (Ipv4Addr::LOCALHOST, 9)).await.unwrap_err();
            // One for all addresses of IPv6 is for those of IPv4, too.
            let all = UdpSocket::bind("[::]:53").await.unwrap();
            socket.send_to(b"six", (Ipv6Addr::LOCALHOST, 53)).await.unwrap();
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            socket.send_to(b"four", (Ipv4Addr::LOCALHOST, 53)).await.unwrap();
            for length in [3, 4] {
                assert_eq!(all.recv(&mut [0; 9]).await.unwrap(), length);
            }
        });
    });
}
