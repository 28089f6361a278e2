//! Row 28: a server of hyper's, over foster's bridges, and over those of hyper-util on tokio.
//!
//! Client and server share tokio's current thread. The client writes the bytes of a request, and
//! reads those of the response, so that little is spent on it.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;

use foster::net as neutral;
use foster::net::hyper_io::{ForHyper, HyperTimer};
use foster::net::serve::serve;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

use super::handle_of;
use crate::measure::Role::{Floor, Foster, Peer, Yardstick};
use crate::measure::{Contender, Cost, Lap, Role};
use crate::report::{Goal, Row, Unit};

const CONNECTIONS: usize = 64;
/// Requests of each connection, in one run.
const REQUESTS: usize = 50;

const REQUEST: &[u8] = b"GET /hello HTTP/1.1\r\nhost: localhost\r\n\r\n";
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\ndate: Fri, 27 Nov 2026 12:00:00 GMT\r\n\r\n";
const BODY: &[u8] = b"hello, world";

const PEER: &str = "hyper-util, tokio::spawn";

pub(crate) fn rows() -> Vec<Row> {
    vec![Row {
        id: "28",
        work: "a request to hyper, 64 connections (tokio)",
        unit: Unit::Nanos,
        contenders: vec![
            on_tokio(Floor, "no hyper", without_hyper),
            on_tokio(Peer, PEER, theirs),
            on_tokio(Foster, "net, spawn_parallel", || ours(true)),
            on_tokio(Yardstick, "net, on one task", || ours(false)),
        ],
        goals: vec![Goal::Times(1.02, PEER)],
    }]
}

/// A contender that measures itself on tokio's current thread.
fn on_tokio<F: Future<Output = Cost>>(role: Role, name: &'static str, work: impl Fn() -> F + 'static) -> Contender {
    Contender::new(role, name, CONNECTIONS * REQUESTS, move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("tokio starts");
        let handle = handle_of(&runtime);
        runtime.block_on(handle.enter(work()))
    })
}

/// Sends all requests, and measures that.
async fn load(address: SocketAddr) -> Cost {
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(address).await.expect("the server accepts");
        stream.set_nodelay(true).expect("it is open");
        // Each connection has been accepted and served when it is measured.
        exchange(&mut stream).await;
        streams.push(stream);
    }
    let lap = Lap::start();
    let clients: Vec<_> = streams
        .into_iter()
        .map(|mut stream| {
            tokio::spawn(async move {
                for _ in 0..REQUESTS {
                    exchange(&mut stream).await;
                }
                stream
            })
        })
        .collect();
    let mut streams = Vec::new();
    for client in clients {
        streams.push(client.await.expect("it does not panic"));
    }
    lap.stop()
}

async fn exchange(stream: &mut TcpStream) {
    stream.write_all(REQUEST).await.expect("the server reads");
    let (mut response, mut length) = ([0; 512], 0);
    while !response[..length].ends_with(BODY) {
        let read = stream.read(&mut response[length..]).await.expect("the server answers");
        assert!(read > 0, "the server has closed the connection");
        length += read;
    }
}

async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(BODY))))
}

const ANY: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

/// What the client and the system cost.
async fn without_hyper() -> Cost {
    on_plain_tokio(async |mut stream: TcpStream| {
        let response = [HEAD, BODY].concat();
        let mut request = [0; REQUEST.len()];
        while stream.read_exact(&mut request).await.is_ok() {
            stream.write_all(&response).await.expect("the client reads");
        }
    })
    .await
}

async fn theirs() -> Cost {
    on_plain_tokio(async |stream| {
        let mut http = http1::Builder::new();
        let http = http.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service_fn(hello));
        http.await.expect("the client closes it");
    })
    .await
}

/// Spawns a task of tokio's for each connection.
async fn on_plain_tokio<F>(connection: impl Fn(TcpStream) -> F + Send + 'static) -> Cost
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(SocketAddr::from(ANY)).await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let server = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a client comes");
            stream.set_nodelay(true).expect("it is open");
            tokio::spawn(connection(stream));
        }
    });
    let cost = load(address).await;
    server.abort();
    cost
}

async fn ours(is_parallel: bool) -> Cost {
    let listener = neutral::TcpOptions::new().nodelay(true).bind(SocketAddr::from(ANY)).await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    foster::scope(async |s| {
        let server = s.spawn(accept(listener, is_parallel));
        let cost = load(address).await;
        server.cancel();
        cost
    })
    .await
}

async fn accept(listener: neutral::TcpListener, is_parallel: bool) {
    foster::scope(async |connections| {
        let connection = async |stream| {
            if is_parallel {
                drop(connections.spawn_parallel(converse(stream)));
            } else {
                converse(stream).await;
            }
        };
        serve(listener, connection).run().await;
    })
    .await;
}

async fn converse(stream: neutral::TcpStream) {
    let mut http = http1::Builder::new();
    let http = http.timer(HyperTimer).serve_connection(ForHyper::new(stream), service_fn(hello));
    http.await.expect("the client closes it");
}
