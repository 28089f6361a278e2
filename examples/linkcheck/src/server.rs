//! Serves files over HTTP, on the loopback interface.

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use foster::Scope;
use foster::net::hyper_io::ForHyper;
use foster::net::serve::serve;
use foster::net::{TcpListener, TcpOptions, TcpStream};
use futures_util::{StreamExt, TryStreamExt, future, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::ext::ReasonPhrase;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use url::Url;

use crate::files::{self, Content, Document, Files};
use crate::report::Reason;

/// The most that is buffered of a connection in each direction, in bytes.
const BUFFER: usize = 64 << 10;

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A server that is bound but does not serve yet.
pub(crate) struct Server {
    listener: TcpListener,
    files: Arc<Files>,
}

impl Server {
    /// Binds to a free port of the loopback interface.
    pub(crate) async fn bind(files: Files) -> io::Result<Self> {
        let listener = TcpOptions::new().nodelay(true).bind((Ipv4Addr::LOCALHOST, 0)).await?;
        Ok(Server { listener, files: Arc::new(files) })
    }

    /// Where the files are found.
    pub(crate) fn url(&self) -> io::Result<Url> {
        let url = format!("http://{}/", self.listener.local_addr()?);
        Url::parse(&url).map_err(io::Error::other)
    }

    /// Serves until it is cancelled.
    ///
    /// # Cancellation
    ///
    /// The connections are parallel children of a scope in here: when this has ended, so have they.
    pub(crate) async fn serve(self) {
        let Server { listener, files } = self;
        foster::scope(async |connections| {
            // No limit: the crawl has one of its own.
            let connection = async |stream| {
                drop(connections.spawn_parallel(converse(stream, files.clone(), connections.clone())));
            };
            serve(listener, connection).run().await;
        })
        .await
    }
}

/// Answers the requests of one connection until the client closes it.
async fn converse(stream: TcpStream, files: Arc<Files>, scope: Scope<'static>) {
    let service = service_fn(|request: Request<Incoming>| {
        let (files, scope) = (files.clone(), scope.clone());
        async move { Ok::<_, Infallible>(answer(request, files, scope).await) }
    });
    // What can go wrong here goes wrong for the client too, and it is for the client to say so.
    drop(http1::Builder::new().max_buf_size(BUFFER).serve_connection(ForHyper::new(stream), service).await);
}

async fn answer(request: Request<Incoming>, files: Arc<Files>, scope: Scope<'static>) -> Response<Body> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED);
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    match scope.spawn_blocking(move || files.find(&path)).await {
        Ok(Document::Content(content, kind)) => document(content, &kind, scope),
        Ok(Document::Elsewhere(address)) => {
            let mut response = with_header(whole(""), LOCATION, &address);
            *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
            response
        }
        Ok(Document::Missing) => text(StatusCode::NOT_FOUND),
        Err(error) => unreadable(error.kind()),
    }
}

/// An answer whose phrase says why there is no document.
fn unreadable(kind: io::ErrorKind) -> Response<Body> {
    let mut response = text(match kind {
        io::ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    });
    let phrase = Reason::Unreadable(kind.to_string()).to_string();
    if let Ok(phrase) = ReasonPhrase::try_from(phrase) {
        response.extensions_mut().insert(phrase);
    }
    response
}

/// An answer whose body is read while it is sent.
fn document(content: Content, kind: &str, scope: Scope<'static>) -> Response<Body> {
    let length = content.length();
    let body = StreamBody::new(pieces(content, scope).map_ok(Frame::data)).boxed_unsync();
    let mut response = with_header(body, CONTENT_TYPE, kind);
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    response
}

fn pieces(content: Content, scope: Scope<'static>) -> impl futures_util::Stream<Item = io::Result<Bytes>> {
    let (first, rest) = content.into_parts();
    let rest = stream::try_unfold(rest, move |file| {
        let scope = scope.clone();
        async move {
            let Some(mut file) = file else { return Ok(None) };
            let read = move || files::piece(&mut file).map(|piece| (piece, file));
            let (piece, file) = scope.spawn_blocking(read).await?;
            Ok((!piece.is_empty()).then_some((piece, Some(file))))
        }
    });
    stream::once(future::ok(first)).chain(rest)
}

fn with_header(body: Body, name: HeaderName, value: &str) -> Response<Body> {
    let mut response = Response::new(body);
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}

fn text(status: StatusCode) -> Response<Body> {
    let mut response = with_header(whole(format!("{status}\n")), CONTENT_TYPE, "text/plain");
    *response.status_mut() = status;
    response
}

fn whole(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}
