//! The timeouts of hyper, in virtual time, over a simulated network.

use std::convert::Infallible;
use std::time::Duration;

use foster::net::hyper_io::{ForHyper, HyperTimer};
use foster::net::{TcpListener, TcpStream};
use foster::runtimes::Sim;
use foster::runtimes::sim::Link;
use foster::scope::Spawner;
use foster::testing::settle;
use foster::{now, scope, sleep, timeout};
use futures::io::{AsyncReadExt, AsyncWriteExt};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::rt::Timer;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};

use super::for_seeds;

const SECOND: Duration = Duration::from_secs(1);

/// How long a server waits for the head of a request, which includes an idle time before it.
const IDLE: Duration = Duration::from_secs(30);

/// More than a packet takes there and back.
const SOON: Duration = Duration::from_millis(5);

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from(request.uri().path().to_string())))
}

/// Runs a server of HTTP/1 that closes connections which have been idle for too long.
fn serve_http1(sim: &Sim) {
    sim.host("server").program(|| async {
        let listener = TcpListener::bind("server:80").await.unwrap();
        scope(async |s| {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let mut http = http1::Builder::new();
                http.timer(HyperTimer).header_read_timeout(IDLE);
                s.spawn(async move { drop(http.serve_connection(ForHyper::new(stream), service_fn(answer)).await) });
            }
        })
        .await;
    });
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("http://server{path}")).body(Empty::new()).unwrap()
}

#[test]
fn an_idle_keep_alive_connection_is_closed_when_its_time_is_over() {
    for_seeds(|sim| {
        serve_http1(&sim);
        sim.run(async {
            settle().await;
            let stream = ForHyper::new(TcpStream::connect("server:80").await.unwrap());
            let (mut client, driver) = hyper::client::conn::http1::handshake(stream).await.unwrap();
            scope(async |s| {
                let ended = s.spawn(async {
                    driver.await.unwrap();
                    now()
                });
                // Each request begins the time anew.
                for _ in 0..3 {
                    client.ready().await.unwrap();
                    let response = client.send_request(get("/one")).await.unwrap();
                    assert_eq!(response.collect().await.unwrap().to_bytes(), "/one");
                    sleep(IDLE - SECOND).await;
                }
                let idle_since = now() - (IDLE - SECOND);
                let waited = ended.await - idle_since;
                assert!(waited > IDLE - SOON && waited < IDLE + SOON, "closed after {waited:?}");
                assert!(client.ready().await.is_err(), "a client must see that the connection is closed");
            })
            .await;
        });
    });
}

#[test]
fn a_sleep_that_hyper_drops_leaves_no_timer_for_which_a_simulation_waits() {
    for_seeds(|sim| {
        let stuck = sim.try_run(async {
            assert!(futures::poll!(HyperTimer.sleep(IDLE)).is_pending());
            std::future::pending::<()>().await;
        });
        assert!(stuck.is_err());
        assert_eq!(sim.elapsed(), Duration::ZERO);
    });
}

#[test]
fn a_request_whose_head_does_not_come_to_an_end_is_given_up() {
    for_seeds(|sim| {
        serve_http1(&sim);
        sim.run(async {
            settle().await;
            let mut stream = TcpStream::connect("server:80").await.unwrap();
            let began = now();
            let write = async |mut stream: &TcpStream| {
                // A byte now and then does not keep it up.
                while stream.write_all(b"x").await.is_ok() {
                    sleep(SECOND).await;
                }
            };
            stream.write_all(b"GET / HTTP/1.1\r\nslow: ").await.unwrap();
            let writer = stream;
            _ = timeout(2 * IDLE, write(&writer)).await;
            let waited = now() - began;
            assert!(waited > IDLE && waited < IDLE + 2 * SECOND + SOON, "given up after {waited:?}");
            // The server says why, or has reset the connection by then.
            _ = (&writer).read(&mut [0; 64]).await;
        });
    });
}

#[test]
fn pings_of_http2_notice_a_partition_on_both_sides() {
    for_seeds(|sim| {
        sim.network().set_all(Link::new().whole());
        let server = sim.host("server");
        let (interval, patience) = (20 * SECOND, 5 * SECOND);
        sim.run(scope(async |s| {
            let tasks: Spawner = s.spawner();
            let served = s.spawn_on(
                async move {
                    let (stream, _) = TcpListener::bind("server:80").await.unwrap().accept().await.unwrap();
                    let mut http = http2::Builder::new(tasks);
                    http.timer(HyperTimer).keep_alive_interval(interval).keep_alive_timeout(patience);
                    let ended = http.serve_connection(ForHyper::new(stream), service_fn(answer)).await;
                    (ended.is_err(), now())
                },
                &server,
            );
            settle().await;
            let stream = ForHyper::new(TcpStream::connect("server:80").await.unwrap());
            let mut http = hyper::client::conn::http2::Builder::new(s.spawner());
            http.timer(HyperTimer).keep_alive_interval(interval).keep_alive_timeout(patience);
            let (mut client, driver) = http.keep_alive_while_idle(true).handshake(stream).await.unwrap();
            let driven = s.spawn(async { (driver.await.is_err(), now()) });
            let response = client.send_request(get("/one")).await.unwrap();
            assert_eq!(response.collect().await.unwrap().to_bytes(), "/one");

            // Pings keep an idle connection up.
            sleep(600 * SECOND).await;
            client.ready().await.unwrap();
            let cut = now();
            sim.network().partition("localhost", "server");
            for (has_failed, ended) in [driven.await, served.await] {
                let noticed = ended - cut;
                assert!(has_failed && noticed > patience - SOON, "noticed after {noticed:?}");
                assert!(noticed < interval + patience + SOON, "noticed after {noticed:?}");
            }
            sim.network().repair_all();
        }));
    });
}
