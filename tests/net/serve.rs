//! Servers: limits, errors of `accept`, and how they end.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use foster::net::serve::serve;
use foster::net::{Duplex, TcpListener, TcpStream, duplex};
use foster::testing::{Drops, settle};
use foster::{Token, gather, now, scope, sleep, timeout, yield_now};
use futures::channel::mpsc::{self, UnboundedSender};
use futures::io::{AsyncReadExt, AsyncWriteExt};

use super::own::Plan;
use super::{listen, sockets};

const S: Duration = Duration::from_secs(1);

/// Sends back one message.
async fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 16];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        stream.write_all(&buffer[..read]).await.unwrap();
    }
}

sockets! {
    async fn clients_are_served_until_the_server_stops() {
        let listener = listen().await;
        let (address, stop) = (listener.local_addr().unwrap(), Token::new());
        let client = |i: u8| async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(&[i; 10]).await.unwrap();
            stream.close().await.unwrap();
            let mut back = Vec::new();
            stream.read_to_end(&mut back).await.unwrap();
            assert_eq!(back, [i; 10]);
        };
        let clients = async {
            gather((0..64).map(client)).await;
            stop.cancel("all are served");
        };
        let (served, ()) = gather((serve(listener, echo).limit(5).stop_on(&stop).run(), clients)).await;
        assert_eq!((served.accepted(), served.completed(), served.cancelled(), served.errors()), (64, 64, 0, 0));
        assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }

    async fn handlers_borrow_and_a_stopped_scope_stops_its_server() {
        let (listener, seen) = (listen().await, Mutex::new(Vec::new()));
        let address = listener.local_addr().unwrap();
        let note = async |stream: TcpStream| seen.lock().unwrap().push(stream.peer_addr().unwrap());
        let served = scope(async |s| {
            let server = s.spawn(serve(listener, note).run());
            let mut client = TcpStream::connect(address).await.unwrap();
            assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
            s.stop("one is enough", Duration::MAX);
            (server.await, client.local_addr().unwrap())
        });
        let (served, client) = served.await;
        assert_eq!((served.completed(), seen.lock().unwrap().as_slice()), (1, &[client][..]));
    }
}

/// Runs `test` in a simulation, with a listener and the end that feeds it.
fn with_listener<F: Future>(test: impl FnOnce(TcpListener, UnboundedSender<io::Result<Duplex>>) -> F) -> F::Output {
    let plan = Plan::default();
    let (feed, incoming) = mpsc::unbounded();
    *plan.incoming.lock().unwrap() = Some(incoming);
    plan.sim().run(async {
        let listener = TcpListener::bind(SocketAddr::from(([10, 0, 0, 1], 80))).await.unwrap();
        test(listener, feed).await
    })
}

/// What the system says when a process has too many files open.
fn too_many_files() -> io::Error {
    io::Error::from_raw_os_error(24)
}

#[test]
fn an_error_of_the_system_makes_the_server_pause() {
    with_listener(async |listener, feed| {
        let (stop, start) = (Token::new(), now());
        (0..4).for_each(|_| feed.unbounded_send(Err(too_many_files())).unwrap());
        let (_client, end) = duplex(8);
        feed.unbounded_send(Ok(end)).unwrap();
        let served = serve(listener, async |_| stop.cancel("served")).stop_on(&stop).run().await;
        assert_eq!((served.accepted(), served.completed(), served.errors()), (1, 1, 4));
        assert_eq!((now() - start).as_millis(), 5 + 10 + 20 + 40);
    });
}

#[test]
fn the_pauses_grow_up_to_a_second_and_begin_anew() {
    with_listener(async |listener, feed| {
        let (stop, start) = (Token::new(), now());
        let at = Mutex::new(Vec::new());
        (0..12).for_each(|_| feed.unbounded_send(Err(too_many_files())).unwrap());
        let (_client, end) = duplex(8);
        feed.unbounded_send(Ok(end)).unwrap();
        feed.unbounded_send(Err(too_many_files())).unwrap();
        let (_client, end) = duplex(8);
        feed.unbounded_send(Ok(end)).unwrap();
        let note = async |_: TcpStream| {
            let mut at = at.lock().unwrap();
            at.push((now() - start).as_millis());
            if at.len() == 2 {
                stop.cancel("served");
            }
        };
        serve(listener, note).stop_on(&stop).run().await;
        assert_eq!(*at.lock().unwrap(), [1275 + 4000, 1275 + 4000 + 5]);
    });
}

#[test]
fn an_error_of_one_connection_costs_no_time() {
    with_listener(async |listener, feed| {
        let (stop, start) = (Token::new(), now());
        let kinds = [ErrorKind::ConnectionAborted, ErrorKind::ConnectionReset, ErrorKind::Interrupted];
        kinds.iter().cycle().take(99).for_each(|kind| feed.unbounded_send(Err((*kind).into())).unwrap());
        let (_client, end) = duplex(8);
        feed.unbounded_send(Ok(end)).unwrap();
        let served = serve(listener, async |_| stop.cancel("served")).stop_on(&stop).run().await;
        assert_eq!((served.errors(), now() - start), (99, Duration::ZERO));
    });
}

#[test]
fn a_crowd_of_newcomers_keeps_nobody_waiting() {
    with_listener(async |listener, feed| {
        let (stop, accepted, begun) = (Token::new(), AtomicUsize::new(0), OnceLock::new());
        let _clients: Vec<_> = (0..100)
            .map(|_| {
                let (client, end) = duplex(8);
                feed.unbounded_send(Ok(end)).unwrap();
                client
            })
            .collect();
        let handler = |_: TcpStream| {
            accepted.fetch_add(1, Relaxed);
            async {
                let so_far = accepted.load(Relaxed);
                begun.get_or_init(|| so_far);
                if so_far == 100 {
                    stop.cancel("all are accepted");
                }
            }
        };
        let served = serve(listener, handler).stop_on(&stop).run().await;
        assert_eq!((served.completed(), begun.get()), (100, Some(&1)));
    });
}

#[test]
fn errors_of_connections_keep_nobody_waiting() {
    with_listener(async |listener, feed| {
        let stop = Token::new();
        (0..100).for_each(|_| feed.unbounded_send(Err(ErrorKind::ConnectionAborted.into())).unwrap());
        let stopping = async {
            yield_now().await;
            yield_now().await;
            stop.cancel("at once");
        };
        let (served, ()) = gather((serve(listener, echo).stop_on(&stop).run(), stopping)).await;
        assert!(served.errors() < 10, "{served:?}");
    });
}

#[test]
fn no_more_are_accepted_than_the_limit_allows() {
    with_listener(async |listener, feed| {
        let stop = Token::new();
        let (started, gate) = (Drops::new(), foster::testing::Gate::new());
        let handler = async |stream: TcpStream| {
            let _started = started.guard();
            gate.wait().await;
            drop(stream);
        };
        let clients: Vec<_> = (0..3)
            .map(|_| {
                let (client, end) = duplex(8);
                feed.unbounded_send(Ok(end)).unwrap();
                client
            })
            .collect();
        let watch = async {
            settle().await;
            assert_eq!(started.alive(), 2, "the third waits");
            gate.open();
            settle().await;
            assert_eq!(started.count(), 3);
            stop.cancel("seen");
        };
        let (served, ()) = gather((serve(listener, handler).limit(2).stop_on(&stop).run(), watch)).await;
        assert_eq!((served.accepted(), served.completed()), (3, 3));
        drop(clients);
    });
}

#[test]
fn connections_have_the_grace_to_end_by_themselves() {
    with_listener(async |listener, feed| {
        let (stop, start, drops) = (Token::new(), now(), Drops::new());
        let lasting = Mutex::new(vec![3 * S, 30 * S]);
        let handler = async |_: TcpStream| {
            let _guard = drops.guard();
            let last = lasting.lock().unwrap().pop().unwrap();
            sleep(last).await;
        };
        let ends = [duplex(8), duplex(8), duplex(8)].map(|(client, end)| {
            feed.unbounded_send(Ok(end)).unwrap();
            client
        });
        let stopping = async {
            sleep(S).await;
            stop.cancel("closing time");
            sleep(S).await;
            assert!(feed.is_closed(), "it listens no more, while connections are open");
        };
        let server = serve(listener, handler).limit(2).grace(5 * S).stop_on(&stop).run();
        let (served, ()) = gather((server, stopping)).await;
        assert_eq!((served.accepted(), served.completed(), served.cancelled()), (2, 1, 1));
        assert_eq!((drops.alive(), now() - start), (0, 6 * S));
        assert!(feed.is_closed(), "it listens no more, and the third was never accepted");
        drop(ends);
    });
}

// It always found bytes, never gave way, and nobody heard the token or the end of the grace.
#[test]
fn a_client_that_never_pauses_keeps_no_server_from_stopping() {
    with_listener(async |listener, feed| {
        let (stop, start, frames) = (Token::new(), now(), AtomicUsize::new(0));
        let (mut client, end) = duplex(100_000);
        client.write_all(&vec![7; 100_000]).await.unwrap();
        feed.unbounded_send(Ok(end)).unwrap();
        let handler = async |mut stream: TcpStream| {
            while stream.read_exact(&mut [0; 4]).await.is_ok() {
                frames.fetch_add(1, Relaxed);
            }
        };
        let stopping = async {
            while frames.load(Relaxed) == 0 {
                yield_now().await;
            }
            stop.cancel("closing time");
        };
        let server = serve(listener, handler).stop_on(&stop).grace(Duration::ZERO).run();
        let (served, ()) = gather((server, stopping)).await;
        assert_eq!((served.cancelled(), now() - start), (1, Duration::ZERO));
        assert!(frames.load(Relaxed) < 2_500, "some of what it sent was never read");
        drop(client);
    });
}

#[test]
fn a_server_without_settings_gives_ten_seconds_and_any_limit_fits() {
    with_listener(async |listener, feed| {
        let (stop, start) = (Token::new(), now());
        let (_client, end) = duplex(8);
        feed.unbounded_send(Ok(end)).unwrap();
        let handler = async |_: TcpStream| {
            stop.cancel("closing time");
            std::future::pending::<()>().await;
        };
        let served = serve(listener, handler).limit(usize::MAX).stop_on(&stop).run().await;
        assert_eq!((served.cancelled(), now() - start), (1, 10 * S));
    });
}

#[test]
fn a_server_stops_in_the_middle_of_a_pause() {
    with_listener(async |listener, feed| {
        let (stop, start) = (Token::new(), now());
        (0..20).for_each(|_| feed.unbounded_send(Err(too_many_files())).unwrap());
        let stopping = async {
            sleep(3 * S).await;
            stop.cancel("closing time");
        };
        gather((serve(listener, echo).stop_on(&stop).run(), stopping)).await;
        assert_eq!(now() - start, 3 * S);
    });
}

#[test]
fn a_cancelled_server_ends_its_connections() {
    with_listener(async |listener, feed| {
        let drops = Drops::new();
        let (_client, end) = duplex(8);
        feed.unbounded_send(Ok(end)).unwrap();
        let handler = async |_: TcpStream| {
            let _guard = drops.guard();
            std::future::pending::<()>().await;
        };
        assert!(timeout(S, serve(listener, handler).run()).await.is_err());
        assert_eq!((drops.count(), drops.alive(), feed.is_closed()), (1, 0, true));
    });
}

#[test]
#[should_panic(expected = "the handler fails")]
fn a_panic_of_a_handler_is_resumed() {
    with_listener(async |listener, feed| {
        let (_client, end) = duplex(8);
        feed.unbounded_send(Ok(end)).unwrap();
        serve(listener, async |_| panic!("the handler fails")).run().await;
    });
}
