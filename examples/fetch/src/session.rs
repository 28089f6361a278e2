//! A client that keeps its connections.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use foster::rate::KeyedRateLimiter;
use foster::resource::{KeyedPool, PoolOptions, PoolStatistics, Pooled};
use foster::retry::RetryBudget;
use foster::scope::Spawner;
use foster::{retry, timeout};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::{Failure, FetchError};
use crate::host::{Exchange, Host};
use crate::options::Options;
use crate::response::Response;

/// A client for HTTP that any number of tasks share. Clones are the same session.
///
/// It keeps connections to each host for the next requests, limits how many there are and how often
/// a host is asked, and repeats what has failed. The counterpart of aiohttp's `ClientSession`.
///
/// A response with an error status is an error, as with aiohttp's `raise_for_status=True`. A
/// redirect is not followed. There is no TLS.
///
/// # Retries
///
/// A request that has failed is sent again if that may help, after a pause, as often as [there are
/// pauses](Options::pauses). It is not if the deadline comes first, or if too many requests of the
/// session fail. If the server says how long it wants to be left alone, no task asks it before.
///
/// A POST may do something each time it is sent. So it is repeated only if the server has certainly
/// done nothing: there was no connection, or the server said that there were too many requests.
#[derive(Clone)]
pub struct Session {
    hosts: KeyedPool<String, Host>,
    limits: Arc<KeyedRateLimiter<String>>,
    budget: RetryBudget,
    options: Options,
}

/// A request, and the host that it goes to.
#[derive(Debug)]
pub(crate) struct Call {
    host: String,
    request: Request<Full<Bytes>>,
}

impl Call {
    pub(crate) fn get(url: &str) -> Result<Self, Failure> {
        Call::new(Method::GET, url, Bytes::new())
    }

    fn post(url: &str, value: &impl Serialize) -> Result<Self, Failure> {
        let body = serde_json::to_vec(value).map_err(Failure::Json)?;
        let call = Call::new(Method::POST, url, body.into())?;
        Ok(call.header(CONTENT_TYPE, HeaderValue::from_static("application/json")))
    }

    fn new(method: Method, url: &str, body: Bytes) -> Result<Self, Failure> {
        let refused = || Failure::Address(url.to_owned());
        let address: Uri = url.parse().map_err(|_| refused())?;
        let (Some("http"), Some(authority)) = (address.scheme_str(), address.authority()) else {
            return Err(refused());
        };
        let host = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80));
        let path = address.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::builder().method(method).uri(path).header(HOST, &host).body(Full::new(body));
        Ok(Call { request: request.map_err(|_| refused())?, host })
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.request.headers_mut().insert(name, value);
        self
    }
}

impl Session {
    /// Creates a session whose connections are children of the spawner's scope.
    ///
    /// They are closed when the last clone is dropped. So let the session live in the body of the
    /// scope.
    ///
    /// # Panics
    ///
    /// Panics if one of the limits is 0.
    pub fn new(options: Options, spawner: Spawner) -> Self {
        let pool = PoolOptions::new().max_size(options.limit).max_per_key(options.limit_per_host);
        let owner = spawner.clone();
        let open = move |address: &String| Host { address: address.clone(), spawner: owner.clone() };
        Session {
            hosts: pool.create_timeout(options.timeout).build_keyed(open, spawner),
            limits: Arc::new(KeyedRateLimiter::new(options.rate.0, options.rate.1)),
            budget: RetryBudget::new(options.budget),
            options,
        }
    }

    /// Asks for a resource, and returns when the head of the response has come.
    ///
    /// The body is then read in chunks. If it breaks off, that is not mended: [`bytes`] and
    /// [`download`] do so.
    ///
    /// # Errors
    ///
    /// Returns the failure of the last attempt.
    ///
    /// # Cancellation
    ///
    /// If the future or the response is dropped, the connection is closed, because it would bring
    /// the rest of this response to another request.
    ///
    /// [`bytes`]: Session::bytes
    /// [`download`]: Session::download
    pub async fn get(&self, url: &str) -> Result<Response, FetchError> {
        self.retry(true, async || self.send(Call::get(url)?).await).await
    }

    /// Asks for a resource, and returns its bytes.
    ///
    /// # Errors
    ///
    /// Returns the failure of the last attempt. A body that breaks off is one.
    ///
    /// # Cancellation
    ///
    /// As [`get`](Session::get).
    pub async fn bytes(&self, url: &str) -> Result<Bytes, FetchError> {
        self.retry(true, async || self.send(Call::get(url)?).await?.bytes().await).await
    }

    /// Sends a value as JSON by a POST, and returns what the server answers.
    ///
    /// # Errors
    ///
    /// Returns the failure of the last attempt. If it [may have been done](Failure::is_undone), it
    /// is not repeated.
    ///
    /// # Cancellation
    ///
    /// As [`get`](Session::get). The server may have done it, or do it later.
    pub async fn post<T>(&self, url: &str, value: &(impl Serialize + Sync)) -> Result<T, FetchError>
    where
        T: DeserializeOwned,
    {
        self.retry(false, async || self.send(Call::post(url, value)?).await?.json().await).await
    }

    /// Returns how many connections there are, and how many requests wait for one.
    pub fn statistics(&self) -> PoolStatistics {
        self.hosts.statistics()
    }

    /// Closes the session, and waits until all requests have ended and all connections are closed.
    ///
    /// Requests that come later, or wait for a connection, fail.
    pub async fn close(&self) {
        self.hosts.close().await;
    }

    /// Makes attempts until one succeeds, or another one would not help. What is not safe to do
    /// twice is repeated only where it was not done.
    pub(crate) async fn retry<T, F>(&self, is_safe: bool, attempt: impl FnMut() -> F) -> Result<T, FetchError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        retry(self.options.pauses.iter().copied(), attempt)
            .when(|failure: &Failure| failure.is_transient() && (is_safe || failure.is_undone()))
            .after(Failure::retry_after)
            .jitter()
            .budget(&self.budget)
            .outcome()
            .await
    }

    /// Sends a request, and waits for the head of a response that is not an error.
    ///
    /// The connection comes first and the token second. Who has a token sends at once, so that the
    /// host is not asked faster than at its rate by those who have waited for a connection.
    pub(crate) async fn send(&self, call: Call) -> Result<Response, Failure> {
        let Call { host, mut request } = call;
        let limiter = self.limits.of(host.clone());
        let connection = self.connect(&host).await?;
        limiter.acquire(1).await.map_err(Failure::Limited)?;
        // Not before there is a token, or to wait for one in vain would close the connection.
        let mut exchange = Exchange::new(connection);
        let response = loop {
            let is_fresh = exchange.is_fresh();
            match timeout(self.options.timeout, exchange.send(request)).await.map_err(Failure::Late)? {
                Ok(response) => break Response::new(response, exchange, self.options.timeout),
                // The server has closed a connection that was idle, and has seen nothing of this.
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !is_fresh => request = unsent,
                    _ => return Err(Failure::Broken(error.into_error())),
                },
            }
            drop(exchange);
            exchange = Exchange::new(self.connect(&host).await?);
        };
        let status = response.status();
        if !(status.is_client_error() || status.is_server_error()) {
            return Ok(response);
        }
        let retry_after = response.retry_after();
        if let Some(pause) = retry_after {
            limiter.pause(pause);
        }
        response.skip().await;
        Err(Failure::Status { status, retry_after })
    }

    async fn connect(&self, host: &str) -> Result<Pooled<Host>, Failure> {
        self.hosts.get(host.to_owned()).await.map_err(Failure::Connect)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("options", &self.options).field("hosts", &self.hosts).finish_non_exhaustive()
    }
}
