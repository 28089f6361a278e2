//! A server with faults, for the session to show what it makes of them.
//!
//! | request | answer |
//! |---|---|
//! | `GET /pages/7` | `page 7` |
//! | `GET /files/100000` | as many bytes, or the rest of them that `Range` asks for |
//! | `POST /orders` with an [`Order`] as JSON | a [`Receipt`] |
//!
//! The query of an address is a list of [faults](Fault). The first request for this address meets
//! the first one, the second request the second one, and after the last one all is well:
//! `/pages/7?error,lost` is answered by the third attempt.

use std::collections::HashMap;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use foster::net::hyper_io::{ForHyper, graceful};
use foster::net::serve::{Served, serve};
use foster::net::{Endpoint, TcpListener, TcpOptions, TcpStream};
use foster::{Token, yield_now};
use futures_util::stream::{self, Stream, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, RANGE, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use serde::{Deserialize, Serialize};

/// The length of the chunks in which a body is sent.
const CHUNK: usize = 16 << 10;

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `error`: it is answered by the status 500.
    Error,
    /// `busy`: it is answered by the status 429, and a `Retry-After` of one second.
    Busy,
    /// `silent`: it is never answered.
    Silent,
    /// `lost`: it is done, and the connection breaks off before the answer.
    Lost,
    /// `cut`: the connection breaks off in the middle of the body.
    Cut,
    /// `stall`: the second half of the body never comes.
    Stall,
    /// `whole`: its `Range` is ignored.
    Whole,
}

impl Fault {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "error" => Fault::Error,
            "busy" => Fault::Busy,
            "silent" => Fault::Silent,
            "lost" => Fault::Lost,
            "cut" => Fault::Cut,
            "stall" => Fault::Stall,
            "whole" => Fault::Whole,
            _ => return None,
        })
    }
}

/// Something to order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// What is ordered.
    pub item: String,
    /// How much of it.
    pub count: u32,
}

/// The answer to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The number of the order, counted from 1.
    pub number: usize,
}

/// What a server has seen.
#[derive(Debug, Default)]
pub struct Log {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    /// How often each address was asked for.
    requests: HashMap<Uri, usize>,
    connections: usize,
    promised: usize,
    orders: Vec<Order>,
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how many requests have come.
    pub fn requests(&self) -> usize {
        self.lock().requests.values().sum()
    }

    /// Returns how many connections were accepted.
    pub fn connections(&self) -> usize {
        self.lock().connections
    }

    /// Returns how many bytes the bodies of pages, files and receipts have in all, by their
    /// `Content-Length`.
    pub fn promised(&self) -> usize {
        self.lock().promised
    }

    /// Returns what was ordered.
    pub fn orders(&self) -> Vec<Order> {
        self.lock().orders.clone()
    }

    /// Records a request, and returns the fault that it meets.
    fn visit(&self, address: &Uri) -> Option<Fault> {
        let mut entries = self.lock();
        let visits = entries.requests.entry(address.clone()).or_default();
        let fault = address.query().and_then(|query| Fault::parse(query.split(',').nth(*visits)?));
        *visits += 1;
        fault
    }

    fn order(&self, order: Order) -> Receipt {
        let mut entries = self.lock();
        entries.orders.push(order);
        Receipt { number: entries.orders.len() }
    }
}

/// A server that is bound, and does not serve yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
}

impl Server {
    /// Binds to an address.
    ///
    /// # Errors
    ///
    /// Returns the error of the network.
    pub async fn bind(at: impl Into<Endpoint>) -> io::Result<Self> {
        Ok(Server { listener: TcpOptions::new().nodelay(true).bind(at).await? })
    }

    /// Returns the address, such as `http://127.0.0.1:8000`.
    ///
    /// # Errors
    ///
    /// Returns the error of the network.
    pub fn url(&self) -> io::Result<String> {
        Ok(format!("http://{}", self.listener.local_addr()?))
    }

    /// Serves until `stop` is cancelled and all requests have been answered.
    pub async fn run(self, log: &Log, stop: &Token) -> Served {
        serve(self.listener, |stream| converse(stream, log, stop)).stop_on(stop).run().await
    }
}

/// Answers the requests of a connection.
async fn converse(stream: TcpStream, log: &Log, stop: &Token) {
    log.lock().connections += 1;
    let service = service_fn(|request| answer(request, log));
    let http = http1::Builder::new().serve_connection(ForHyper::new(stream), service);
    // What goes wrong here goes wrong for the client, too.
    _ = graceful(http, stop, http1::Connection::graceful_shutdown).await;
}

type Chunks = Pin<Box<dyn Stream<Item = io::Result<Frame<Bytes>>> + Send>>;
type Answer = Response<StreamBody<Chunks>>;

/// Returns an error to break off the connection.
async fn answer(request: Request<Incoming>, log: &Log) -> io::Result<Answer> {
    let fault = log.visit(request.uri());
    match fault {
        Some(Fault::Error) => return Ok(text(StatusCode::INTERNAL_SERVER_ERROR, "a fault\n")),
        Some(Fault::Busy) => {
            let mut response = text(StatusCode::TOO_MANY_REQUESTS, "too many requests\n");
            response.headers_mut().insert(RETRY_AFTER, 1.into());
            return Ok(response);
        }
        Some(Fault::Silent) => pending().await,
        Some(Fault::Lost | Fault::Cut | Fault::Stall | Fault::Whole) | None => {}
    }
    let path: Vec<_> = request.uri().path().split('/').skip(1).collect();
    let (status, body) = match (request.method(), &path[..]) {
        (&Method::GET, ["pages", number]) => (StatusCode::OK, format!("page {number}").into()),
        (&Method::GET, ["files", length]) => match length.parse() {
            Ok(length) if fault == Some(Fault::Whole) => (StatusCode::OK, file(length)),
            Ok(length) => rest_of(file(length), request.headers().get(RANGE).and_then(|range| range.to_str().ok())),
            Err(_) => return Ok(text(StatusCode::NOT_FOUND, "this is no length\n")),
        },
        (&Method::POST, ["orders"]) => {
            let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
            let Ok(order) = serde_json::from_slice(&body) else {
                return Ok(text(StatusCode::BAD_REQUEST, "this is no order\n"));
            };
            (StatusCode::CREATED, serde_json::to_vec(&log.order(order))?.into())
        }
        _ => return Ok(text(StatusCode::NOT_FOUND, "there is nothing\n")),
    };
    log.lock().promised += body.len();
    match fault {
        Some(Fault::Lost) => Err(broken()),
        Some(Fault::Cut) => Ok(half(status, body, stream::once(cut()))),
        Some(Fault::Stall) => Ok(half(status, body, stream::pending())),
        _ => Ok(whole(status, body)),
    }
}

fn broken() -> io::Error {
    io::Error::other("a fault")
}

/// Breaks off a body when what came before has been sent, which hyper does as soon as it has to
/// wait.
async fn cut() -> io::Result<Bytes> {
    yield_now().await;
    Err(broken())
}

/// Returns the content of a file of this length.
pub fn file(length: usize) -> Bytes {
    (0..length).map(|index| (index % 251) as u8).collect()
}

/// Returns what a `Range` asks for, of which `bytes=7-` is understood.
fn rest_of(mut file: Bytes, range: Option<&str>) -> (StatusCode, Bytes) {
    let begin = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    match begin {
        None => (StatusCode::OK, file),
        Some(begin) if begin < file.len() => (StatusCode::PARTIAL_CONTENT, file.split_off(begin)),
        Some(_) => (StatusCode::RANGE_NOT_SATISFIABLE, Bytes::new()),
    }
}

fn text(status: StatusCode, text: &'static str) -> Answer {
    whole(status, Bytes::from_static(text.as_bytes()))
}

fn whole(status: StatusCode, body: Bytes) -> Answer {
    let length = body.len();
    response(status, length, chunks(body))
}

/// Promises a whole body, sends its first half, and goes on as `rest` does.
fn half(status: StatusCode, mut body: Bytes, rest: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Answer {
    let length = body.len();
    body.truncate(length / 2);
    response(status, length, chunks(body).chain(rest))
}

fn chunks(body: Bytes) -> impl Stream<Item = io::Result<Bytes>> {
    stream::unfold(body, |mut rest| async move {
        let chunk = rest.split_to(rest.len().min(CHUNK));
        (!chunk.is_empty()).then_some((Ok(chunk), rest))
    })
}

fn response(
    status: StatusCode,
    length: usize,
    chunks: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> Answer {
    let chunks: Chunks = Box::pin(chunks.map(|chunk| chunk.map(Frame::data)));
    let mut response = Response::new(StreamBody::new(chunks));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    response
}
