//! hyper over the bridges: servers that stop, clients, timers and tasks.

use std::convert::Infallible;
use std::future::Future;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use foster::net::hyper_io::{ForHyper, FromHyper, HyperTimer, graceful};
use foster::net::serve::{Served, serve};
use foster::net::{TcpStream, duplex};
use foster::testing::{Drops, Gate};
use foster::{Scope, Task, Token, gather, now, scope, sleep, yield_now};
use futures::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONNECTION, UPGRADE};
use hyper::rt::{Executor, Sleep, Timer};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};

use super::cancelled::in_a_cancelled_region;
use super::{listen, sockets};

const S: Duration = Duration::from_secs(1);

/// Answers the requests of `stream` by `answer`, until `stop` is cancelled.
async fn converse<B, F>(stream: TcpStream, stop: Token, answer: impl Fn(Request<Incoming>) -> F)
where
    B: Body<Data = Bytes, Error = Infallible> + 'static,
    F: Future<Output = Response<B>>,
{
    let service = service_fn(|request| {
        let answer = answer(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let http = http1::Builder::new().timer(HyperTimer).serve_connection(ForHyper::new(stream), service);
    _ = graceful(http, &stop, http1::Connection::graceful_shutdown).await;
}

/// Connects to a server, with a driver in `s` that ends with the connection.
async fn connect(s: &Scope<'_>, to: SocketAddr) -> (SendRequest<Empty<Bytes>>, Task<()>) {
    let (requests, driver) = handshake(ForHyper::new(TcpStream::connect(to).await.unwrap())).await.unwrap();
    // Its errors are also those of the requests.
    (requests, s.spawn(async { drop(driver.await) }))
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(path).body(Empty::new()).unwrap()
}

async fn text(response: Response<Incoming>) -> Bytes {
    response.collect().await.unwrap().to_bytes()
}

/// Asks by `connections` at once until `requests` were answered. Then the server stops, while they
/// go on to ask. Returns what the server has done, how many requests have begun there, and how many
/// responses have come.
async fn stop_in_mid_load(connections: u64, requests: u32) -> (Served, u32, u32) {
    let (listener, stop) = (listen().await, Token::new());
    let address = listener.local_addr().unwrap();
    let (begun, answered) = (Arc::new(AtomicU32::new(0)), AtomicU32::new(0));
    let load = async || {
        scope(async |s| {
            let (mut client, _) = connect(&s, address).await;
            let mut sent = 0;
            // A connection that closed before a request was read fails it.
            while let Ok(response) = client.send_request(get(&format!("/{sent}"))).await {
                assert_eq!(text(response).await, format!("answer to /{sent}"));
                sent += 1;
                if answered.fetch_add(1, Relaxed) + 1 == requests {
                    stop.cancel("closing time");
                }
                if client.ready().await.is_err() {
                    break;
                }
            }
        })
        .await;
    };
    let served = scope(async |s| {
        let handler = async |stream| {
            let (begun, stop) = (begun.clone(), stop.clone());
            let answer = move |request: Request<Incoming>| {
                begun.fetch_add(1, Relaxed);
                async move {
                    // What has a region of its own must not see the stop as its cancellation.
                    scope(async |s| s.spawn(yield_now()).await).await;
                    Response::new(Full::from(format!("answer to {}", request.uri().path())))
                }
            };
            scope(async move |s| drop(s.spawn_parallel(converse(stream, stop, answer)))).await;
        };
        let server = s.spawn(serve(listener, handler).stop_on(&stop).grace(Duration::MAX).run());
        gather((0..connections).map(|_| load())).await;
        server.await
    });
    let served = served.await;
    (served, begun.load(Relaxed), answered.load(Relaxed))
}

sockets! {
    async fn a_stop_in_mid_load_loses_no_request() {
        let (served, begun, answered) = stop_in_mid_load(32, 32 * 20).await;
        assert_eq!((served.accepted(), served.completed()), (32, 32));
        assert_eq!(begun, answered);
        assert!(answered >= 32 * 20);
    }

    async fn a_stop_closes_idle_connections_and_waits_for_responses_in_flight() {
        let (listener, stop) = (listen().await, Token::new());
        let address = listener.local_addr().unwrap();
        let (reached, gate) = (Gate::new(), Gate::new());
        let answer = |request: Request<Incoming>| {
            let (reached, gate) = (reached.clone(), gate.clone());
            async move {
                let body = match request.uri().path() {
                    "/quick" => Pieces::of(["quick"]),
                    "/stream" => Pieces::of(["begun, "]).then(gate, "and ended"),
                    "/slow" => {
                        // The child would be dropped if the stop were its cancellation.
                        scope(async |s| {
                            s.spawn(async {
                                reached.open();
                                gate.wait().await;
                            })
                            .await;
                        })
                        .await;
                        Pieces::of(["slow"])
                    }
                    other => panic!("nobody asks for {other}"),
                };
                Response::new(body)
            }
        };
        scope(async |s| {
            let handler = async |stream| converse(stream, stop.clone(), &answer).await;
            let server = s.spawn(serve(listener, handler).stop_on(&stop).grace(Duration::MAX).run());

            let mut silent = TcpStream::connect(address).await.unwrap();
            let (mut idle, idling) = connect(&s, address).await;
            assert_eq!(text(idle.send_request(get("/quick")).await.unwrap()).await, "quick");
            let (mut streaming, _) = connect(&s, address).await;
            let mut stream = streaming.send_request(get("/stream")).await.unwrap().into_body();
            assert_eq!(stream.frame().await.unwrap().unwrap().into_data().unwrap(), "begun, ");
            let (mut slow, _) = connect(&s, address).await;
            let slow = s.spawn(async move {
                let response = slow.send_request(get("/slow")).await.unwrap();
                (response.headers()[CONNECTION].clone(), text(response).await)
            });
            reached.wait().await;

            stop.cancel("closing time");
            assert_eq!(silent.read(&mut [0]).await.unwrap(), 0, "one that has never asked is closed");
            idling.await; // an idle one is closed
            assert!(!slow.is_finished() && !server.is_finished());
            gate.open();
            assert_eq!(stream.collect().await.unwrap().to_bytes(), "and ended");
            assert_eq!(slow.await, ("close".parse().unwrap(), Bytes::from("slow")));
            let served = server.await;
            assert_eq!((served.accepted(), served.completed()), (4, 4));
        })
        .await;
    }

    async fn long_bodies_cross_the_bridge_in_both_directions() {
        let listener = listen().await;
        let sent = Bytes::from_iter((0..1_000_000_u32).map(|n| (n / 7) as u8));
        let echo = async |request: Request<Incoming>| {
            let mut body = request.into_body();
            let mut pieces = Vec::new();
            while let Some(piece) = body.frame().await {
                pieces.extend_from_slice(&piece.unwrap().into_data().unwrap());
            }
            Response::new(Full::<Bytes>::from(pieces))
        };
        scope(async |s| {
            s.spawn(async {
                let (stream, _) = listener.accept().await.unwrap();
                converse(stream, Token::new(), echo).await;
            });
            let stream = ForHyper::new(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
            let (mut client, driver) = handshake(stream).await.unwrap();
            s.spawn(async { drop(driver.await) });
            let request = Request::post("/").body(Full::new(sent.clone())).unwrap();
            let echo = text(client.send_request(request).await.unwrap()).await;
            assert!(echo == sent, "{} bytes came back", echo.len());
            drop(client);
        })
        .await;
    }

    async fn bytes_and_the_end_cross_two_bridges() {
        let (one, other) = duplex(3);
        let mut one = FromHyper::new(ForHyper::new(one));
        let mut other = FromHyper::new(ForHyper::new(other));
        let send = async {
            let written = other.write_vectored(&[IoSlice::new(b"t"), IoSlice::new(b"he")]).await.unwrap();
            assert_eq!(written, 3, "one call took both buffers");
            other.write_all(b"re and back").await.unwrap();
            other.flush().await.unwrap();
            other.close().await.unwrap();
        };
        let mut text = String::new();
        gather((send, async { one.read_to_string(&mut text).await.map(drop).unwrap() })).await;
        assert_eq!(text, "there and back");
        one.write_all(b"too").await.unwrap();
        other.read_exact(&mut [0; 3]).await.unwrap();
    }

    async fn an_upgraded_connection_has_the_traits_of_futures() {
        let listener = listen().await;
        scope(async |s| {
            let (listener, tasks) = (&listener, s.spawner());
            s.spawn(async move {
                let (stream, _) = listener.accept().await.unwrap();
                let service = service_fn(|mut request: Request<Incoming>| {
                    tasks.execute(async move {
                        let mut stream = FromHyper::new(hyper::upgrade::on(&mut request).await.unwrap());
                        let mut asked = [0; 3];
                        stream.read_exact(&mut asked).await.unwrap();
                        assert_eq!(&asked, b"who");
                        stream.write_all(b"the server").await.unwrap();
                        stream.close().await.unwrap();
                    });
                    let switch = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS).header(UPGRADE, "echo");
                    async { switch.body(Empty::<Bytes>::new()) }
                });
                let http = http1::Builder::new().serve_connection(ForHyper::new(stream), service);
                http.with_upgrades().await.unwrap();
            });
            let stream = ForHyper::new(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
            let (mut client, driver) = handshake(stream).await.unwrap();
            s.spawn(async { driver.with_upgrades().await.unwrap() });
            let mut request = get("/");
            request.headers_mut().insert(CONNECTION, "upgrade".parse().unwrap());
            request.headers_mut().insert(UPGRADE, "echo".parse().unwrap());
            let response = client.send_request(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
            let mut stream = FromHyper::new(hyper::upgrade::on(response).await.unwrap());
            stream.write_all(b"who").await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer, "the server");
        })
        .await;
    }

    async fn what_http2_spawns_belongs_to_the_scope() {
        let listener = listen().await;
        let drops = Drops::new();
        scope(async |s| {
            let (listener, drops, tasks) = (&listener, &drops, s.spawner());
            s.spawn(async move {
                let (stream, _) = listener.accept().await.unwrap();
                let service = service_fn(|request: Request<Incoming>| {
                    let guard = drops.guard();
                    async move {
                        yield_now().await;
                        drop(guard);
                        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(request.uri().path().to_string())))
                    }
                });
                let mut http = hyper::server::conn::http2::Builder::new(tasks);
                _ = http.timer(HyperTimer).serve_connection(ForHyper::new(stream), service).await;
            });
            let stream = ForHyper::new(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
            let mut http = hyper::client::conn::http2::Builder::new(s.spawner());
            let (client, driver) = http.timer(HyperTimer).handshake(stream).await.unwrap();
            s.spawner().execute(driver);
            let ask = async |n: u32| {
                let path = format!("http://localhost/{n}");
                assert_eq!(text(client.clone().send_request(get(&path)).await.unwrap()).await, format!("/{n}"));
            };
            gather((0..100).map(ask)).await;
            drop(client);
        })
        .await;
        assert_eq!((drops.count(), drops.alive()), (100, 0));
    }
}

/// Ten thousand requests, on each runtime. It takes seconds, so it is run by name.
#[foster::test(runtimes(tokio, tokio_multi, smol, async_std, basic), timeout = "120s")]
#[ignore = "it takes seconds"]
async fn a_stop_after_ten_thousand_requests_loses_none() {
    let (served, begun, answered) = stop_in_mid_load(64, 10_000).await;
    assert_eq!((served.accepted(), served.completed()), (64, 64));
    assert_eq!(begun, answered);
    assert!(answered >= 10_000);
}

/// A body in pieces, the last of which may wait.
struct Pieces {
    first: Option<&'static str>,
    last: Option<Pin<Box<dyn Future<Output = &'static str> + Send>>>,
}

impl Pieces {
    fn of([first]: [&'static str; 1]) -> Self {
        Pieces { first: Some(first), last: None }
    }

    fn then(self, gate: Gate, last: &'static str) -> Self {
        let last = async move {
            gate.wait().await;
            last
        };
        Pieces { last: Some(Box::pin(last)), ..self }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = |text: &'static str| Some(Ok(Frame::data(Bytes::from(text))));
        if let Some(first) = self.first.take() {
            return Poll::Ready(piece(first));
        }
        let Some(last) = &mut self.last else { return Poll::Ready(None) };
        let polled = last.as_mut().poll(cx).map(piece);
        if polled.is_ready() {
            self.last = None;
        }
        polled
    }
}

#[foster::test(runtimes(sim), seeds = 1, timeout = "10s")]
async fn idle_connections_are_closed_by_the_clock_in_force() {
    let (mut client, server) = duplex(1024);
    let start = now();
    let service = service_fn(async |_| Ok::<_, Infallible>(Response::new(String::from("here"))));
    let http = http1::Builder::new()
        .timer(HyperTimer)
        .header_read_timeout(30 * S)
        .serve_connection(ForHyper::new(server), service);
    let ask = async {
        for _ in 0..2 {
            sleep(20 * S).await;
            client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        }
        let mut answers = String::new();
        client.read_to_string(&mut answers).await.unwrap();
        assert_eq!(answers.matches("HTTP/1.1 200").count(), 2);
    };
    gather((async { drop(http.await) }, ask)).await;
    assert_eq!(now() - start, 70 * S);
}

#[foster::test(runtimes(sim), seeds = 1, timeout = "10s")]
async fn timers_count_from_the_call_and_are_reset_in_place() {
    let start = now();
    let timer = HyperTimer;
    let mut slept = timer.sleep(3 * S);
    sleep(2 * S).await;
    slept.as_mut().await;
    assert_eq!((now() - start, timer.now()), (3 * S, now()));
    let place = address(&slept);
    timer.reset(&mut slept, start + 10 * S);
    slept.as_mut().await;
    assert_eq!((now() - start, address(&slept)), (10 * S, place));
    timer.sleep_until(start + 11 * S).await;
    assert_eq!(now() - start, 11 * S);
    let mut foreign: Pin<Box<dyn Sleep>> = Box::pin(Foreign);
    timer.reset(&mut foreign, start + 15 * S);
    foreign.await;
    assert_eq!(now() - start, 15 * S);
    assert!(futures::poll!(timer.sleep(Duration::MAX)).is_pending());
}

#[foster::test(runtimes(sim), seeds = 1, timeout = "10s")]
async fn in_a_cancelled_region_no_sleep_begins() {
    assert!(!in_a_cancelled_region(async { HyperTimer.sleep(Duration::ZERO).await }).await);
}

/// The timer of a sleep that was dropped is moved for the next one. It may be set to another time,
/// and in the second round it is that of a runtime which has ended.
#[test]
fn the_timer_of_a_dropped_sleep_does_not_tell_when_the_next_one_ends() {
    for _ in 0..2 {
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(
            async {
                for next in [5 * S, 50 * S] {
                    assert!(futures::poll!(HyperTimer.sleep(20 * S)).is_pending());
                    let start = now();
                    HyperTimer.sleep(next).await;
                    assert_eq!((now() - start).as_secs(), next.as_secs());
                }
                assert!(futures::poll!(HyperTimer.sleep(20 * S)).is_pending());
            },
        );
    }
}

fn address(sleep: &Pin<Box<dyn Sleep>>) -> *const () {
    std::ptr::from_ref(&**sleep).cast()
}

/// A sleep of another timer, without end.
struct Foreign;

impl Sleep for Foreign {}

impl Future for Foreign {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

/// Reads what it is told, and claims to have read more.
struct Boasts(&'static [u8], usize);

impl AsyncRead for Boasts {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<std::io::Result<usize>> {
        buffer[..self.0.len()].copy_from_slice(self.0);
        Poll::Ready(Ok(self.1))
    }
}

#[test]
fn a_stream_that_claims_too_much_shows_nothing_of_another_one() {
    futures::executor::block_on(async {
        let mut buffer = [1; 8];
        let mut honest = FromHyper::new(ForHyper::new(Boasts(b"secret", 6)));
        assert_eq!(honest.read(&mut buffer).await.unwrap(), 6);
        let mut boasting = FromHyper::new(ForHyper::new(Boasts(b"s", 6)));
        assert_eq!(boasting.read(&mut buffer).await.unwrap(), 6);
        assert_eq!(&buffer, b"s\0\0\0\0\0\x01\x01");
    });
}
