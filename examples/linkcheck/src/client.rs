//! Asks one host for documents, over a limited number of connections that are used repeatedly.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytesize::ByteSize;
use foster::net::hyper_io::ForHyper;
use foster::net::{TcpOptions, TcpStream, lookup};
use foster::rate::{CircuitBreaker, CircuitOpen};
use foster::{Scope, queue};
use futures_util::TryStreamExt;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::ext::ReasonPhrase;
use hyper::header::{CONTENT_TYPE, HOST, LOCATION, USER_AGENT};
use hyper::rt::{Read, Write};
use hyper::{Method, Request, Response, StatusCode};
use lol_html::errors::RewritingError;
use url::{Host, Position, Url};

use crate::Config;
use crate::files::{is_html, may_be_page};
use crate::page::{Page, PageReader};
use crate::report::Reason;
use crate::tls::{self, Tls};

/// What is read of an unwanted body, in bytes, so that its connection can be used again.
const MAX_UNWANTED: usize = 64 << 10;

/// The most that is buffered of a connection in each direction, in bytes.
const BUFFER: usize = 64 << 10;

/// The pause before the first retry; each further one takes twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// A host is given up when it has not answered for so many documents in a row, each of which was
/// asked for as often as retries allow.
const SILENCE: u32 = 8;

/// After so long, a host that was given up is asked for one document again.
const GIVEN_UP_FOR: Duration = Duration::from_secs(60);

/// Makes what gives up a host that does not answer.
pub(crate) fn breaker() -> Arc<CircuitBreaker> {
    Arc::new(CircuitBreaker::new(SILENCE, GIVEN_UP_FOR))
}

/// What a host answered.
#[derive(Debug)]
pub(crate) enum Answer {
    Page(Page),
    File,
    Moved(String),
}

/// A client for one host.
///
/// A slot is the right to have a connection, and holds the connection while that is idle. A queue
/// gives the slots out, first come, first served.
#[derive(Debug)]
pub(crate) struct Client {
    /// An address of the host.
    host: Url,
    /// Whether its pages are read. If not, a page is a file like others.
    reads_pages: bool,
    breaker: Arc<CircuitBreaker>,
    tls: Option<Tls>,
    timeout: Duration,
    retries: u32,
    max_page: usize,
    idle: queue::Receiver<Option<Connection>>,
    returned: queue::Sender<Option<Connection>>,
    /// Owns what drives the connections. A driver ends when its connection is closed, at the latest
    /// with the client.
    scope: Scope<'static>,
}

type Connection = SendRequest<Empty<Bytes>>;

impl Client {
    /// A client for the host of an address, whose connections are driven by children of `scope`.
    pub(crate) fn new(
        host: &Url,
        reads_pages: bool,
        breaker: Arc<CircuitBreaker>,
        config: &Config,
        scope: Scope<'static>,
    ) -> Self {
        let (returned, idle) = queue::bounded(config.per_host.get());
        for _ in 0..config.per_host.get() {
            returned.try_send(None).expect("room for every slot");
        }
        Client {
            host: host.clone(),
            reads_pages,
            breaker,
            tls: config.tls.clone(),
            timeout: config.timeout,
            retries: config.retries,
            max_page: usize::try_from(config.max_page.as_u64()).unwrap_or(usize::MAX),
            idle,
            returned,
            scope,
        }
    }

    /// Asks for a document, unless the host was given up.
    pub(crate) async fn fetch(&self, path: &str) -> Result<Answer, Reason> {
        // The slot comes first. Those who had one before may have given the host up meanwhile.
        let slot = self.slot().await;
        self.breaker.call(|| self.insist(slot, path)).when(is_silence).await
    }

    /// Asks for a document, and asks again after a failure that may pass.
    async fn insist(&self, slot: Slot<'_>, path: &str) -> Result<Answer, Reason> {
        let mut answer = self.ask(slot, path).await;
        let mut pause = FIRST_PAUSE;
        for _ in 0..self.retries {
            if !answer.as_ref().is_err_and(is_transient) {
                break;
            }
            foster::sleep(pause).await;
            pause = pause.saturating_mul(2);
            answer = self.ask(self.slot().await, path).await;
        }
        answer
    }

    async fn ask(&self, mut slot: Slot<'_>, path: &str) -> Result<Answer, Reason> {
        match foster::timeout(self.timeout, slot.ask(path)).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(Reason::TimedOut(self.timeout)),
        }
    }

    /// Waits for a slot. That is not the host's fault, so no timeout counts it.
    async fn slot(&self) -> Slot<'_> {
        Slot { connection: self.idle.recv().await.and_then(|slot| slot.into_parts().0), client: self }
    }

    async fn connect(&self) -> Result<Connection, Reason> {
        let stream = self.reach().await?;
        match (self.host.scheme(), self.host.host(), &self.tls) {
            ("https", Some(host), Some(tls)) => self.open(ForHyper::new(tls.secure(&host, stream).await?)).await,
            ("https", ..) => Err(Reason::Certificate(tls::NOBODY.to_owned())),
            _ => self.open(ForHyper::new(stream)).await,
        }
    }

    /// Begins to speak HTTP.
    async fn open(&self, stream: impl Read + Write + Send + Unpin + 'static) -> Result<Connection, Reason> {
        let (connection, driver) =
            http1::Builder::new().max_buf_size(BUFFER).handshake(stream).await.map_err(broken_off)?;
        // Its errors are also those of the request under way.
        self.scope.spawn_parallel(async move { drop(driver.await) });
        Ok(connection)
    }

    /// Connects to the first of the host's addresses that answers.
    async fn reach(&self) -> Result<TcpStream, Reason> {
        let port = self.host.port_or_known_default().unwrap_or(80);
        let addresses = match self.host.host() {
            Some(Host::Ipv4(address)) => vec![(address, port).into()],
            Some(Host::Ipv6(address)) => vec![(address, port).into()],
            Some(Host::Domain(name)) => lookup((name, port)).await.map_err(|error| look_up_failed(name, &error))?,
            None => Vec::new(),
        };
        // Requests are small and each waits for its answer: nothing is gained by delaying them.
        TcpOptions::new().nodelay(true).connect(addresses).await.map_err(|error| connection_failed(&error))
    }
}

/// A slot of a [`Client`], for one request. It goes back when it is dropped.
struct Slot<'a> {
    client: &'a Client,
    /// The idle connection. It is taken out for a request, and put back only if another can follow.
    connection: Option<Connection>,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        drop(self.client.returned.try_send(self.connection.take()));
    }
}

impl Slot<'_> {
    /// Fetches pages. Of other documents, and of what other hosts have, the head is enough, except
    /// from servers that refuse to give it.
    async fn ask(&mut self, path: &str) -> Result<Answer, Reason> {
        if !self.client.reads_pages || !may_be_page(path) {
            match self.exchange(Method::HEAD, path).await {
                // A host that is asked too often is not asked again at once.
                Err(reason @ Reason::Status(429, _)) => return Err(reason),
                // Servers refuse to give heads by various answers.
                Ok(Answer::Page(_)) | Err(Reason::Status(..) | Reason::Answer(_)) => {}
                answer => return answer,
            }
        }
        self.exchange(Method::GET, path).await
    }

    async fn exchange(&mut self, method: Method, path: &str) -> Result<Answer, Reason> {
        let (connection, response) = self.send(method, path).await?;
        let (head, body) = response.into_parts();
        let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        let is_page = self.client.reads_pages && head.status.is_success() && header(CONTENT_TYPE).is_some_and(is_html);

        if is_page {
            let page = read_page(body, self.client.max_page).await?;
            self.connection = Some(connection);
            return Ok(Answer::Page(page));
        }
        if skip(body).await.is_ok() {
            self.connection = Some(connection);
        }
        let phrase = match head.extensions.get::<ReasonPhrase>() {
            Some(phrase) => String::from_utf8_lossy(phrase.as_bytes()),
            None => head.status.canonical_reason().unwrap_or_default().into(),
        };
        match (head.status, header(LOCATION)) {
            (status, _) if status.is_success() || status == StatusCode::NOT_MODIFIED => Ok(Answer::File),
            (status, Some(location)) if status.is_redirection() => Ok(Answer::Moved(location.to_owned())),
            (status, _) => Err(Reason::Status(status.as_u16(), phrase.into_owned())),
        }
    }

    /// Sends a request over the idle connection, or over a new one.
    async fn send(&mut self, method: Method, path: &str) -> Result<(Connection, Response<Incoming>), Reason> {
        if let Some(mut connection) = self.connection.take() {
            // Hosts close connections that were idle for long. That is no failure of the request.
            if let Ok(response) = connection.send_request(self.request(&method, path)?).await {
                return Ok((connection, response));
            }
        }
        let mut connection = self.client.connect().await?;
        let response = connection.send_request(self.request(&method, path)?).await.map_err(broken_off)?;
        Ok((connection, response))
    }

    fn request(&self, method: &Method, path: &str) -> Result<Request<Empty<Bytes>>, Reason> {
        Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.client.host[Position::BeforeHost..Position::AfterPort])
            .header(USER_AGENT, concat!("linkcheck/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|error| Reason::Malformed(error.to_string()))
    }
}

/// Reads a page while it comes in, so that only a piece of its text is in memory at a time.
async fn read_page(body: Incoming, max_page: usize) -> Result<Page, Reason> {
    let mut pieces = Limited::new(body, max_page).into_data_stream();
    let mut reader = PageReader::new();
    while let Some(piece) = pieces.try_next().await.map_err(|error| cut_short(error, max_page))? {
        reader.read(&piece).map_err(unreadable)?;
    }
    reader.finish().map_err(unreadable)
}

/// Reads to the end of a body that nobody wants, so that its connection can be used again.
async fn skip(body: Incoming) -> Result<(), Reason> {
    let mut pieces = Limited::new(body, MAX_UNWANTED).into_data_stream();
    while pieces.try_next().await.map_err(|error| cut_short(error, MAX_UNWANTED))?.is_some() {}
    Ok(())
}

fn cut_short(error: Box<dyn Error + Send + Sync>, limit: usize) -> Reason {
    match error.downcast::<hyper::Error>() {
        Ok(error) => broken_off(*error),
        Err(_) => Reason::Answer(format!("longer than {}", ByteSize::b(limit as u64).display().iec())),
    }
}

fn unreadable(error: RewritingError) -> Reason {
    Reason::Answer(format!("not a page that can be read: {error}"))
}

/// Whether the host has not answered. A host that answers with an error is there.
fn is_silence(reason: &Reason) -> bool {
    matches!(reason, Reason::TimedOut(_) | Reason::Connection(_))
}

fn is_transient(reason: &Reason) -> bool {
    match reason {
        Reason::Status(code, _) => *code >= 500 || [408, 429].contains(code),
        reason => is_silence(reason),
    }
}

impl From<CircuitOpen> for Reason {
    fn from(_: CircuitOpen) -> Self {
        Reason::GivenUp(SILENCE)
    }
}

/// Names an error by its kind, because what a runtime adds to an error differs from one to the
/// next.
pub(crate) fn connection_failed(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => closed_early(),
        kind => Reason::Connection(kind.to_string()),
    }
}

/// Says it in the words of the system, without those that the standard library puts before them.
fn look_up_failed(name: &str, error: &io::Error) -> Reason {
    let error = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    let why = error.strip_prefix("failed to lookup address information: ").unwrap_or(&error);
    Reason::Connection(format!("the look-up of `{name}` failed: {why}"))
}

fn closed_early() -> Reason {
    Reason::Connection("the connection was closed too early".to_owned())
}

fn broken_off(error: hyper::Error) -> Reason {
    match error.source().and_then(|source| source.downcast_ref::<io::Error>()) {
        Some(error) => connection_failed(error),
        None if error.is_parse() => Reason::Answer(format!("not an answer in HTTP: {error}")),
        None => closed_early(),
    }
}
