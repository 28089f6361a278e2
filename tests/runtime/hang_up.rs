//! A web server's handler whose client hangs up: hyper drops its future, as under every framework
//! on it.

use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use foster::scope::Errors;
use foster::{Scope, adopt, bracket, scope, shield, sleep};
use futures::channel::oneshot::{self, Sender};
use hyper::Response;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use crate::found::on_tokio;
use crate::harness::T;

/// tokio's sockets for hyper.
struct Socket(TcpStream);

impl Read for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [0; 1024];
        let room = bytes.len().min(into.remaining());
        let mut buffer = ReadBuf::new(&mut bytes[..room]);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer))?;
        into.put_slice(buffer.filled());
        Poll::Ready(Ok(()))
    }
}

impl Write for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Tells that it is dropped.
struct Dropped(Option<Sender<()>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        if let Some(dropped) = self.0.take() {
            _ = dropped.send(());
        }
    }
}

/// Serves one request by `handler`, whose client hangs up once it has `started`.
async fn hang_up(handler: impl Future<Output = ()> + Send + 'static, started: oneshot::Receiver<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let handler = Mutex::new(Some(Box::pin(handler)));
    let serving = tokio::spawn(http1::Builder::new().serve_connection(
        Socket(server),
        service_fn(move |_| {
            let handler = handler.lock().unwrap().take().expect("one request");
            async move {
                handler.await;
                Ok::<_, io::Error>(Response::new(String::new()))
            }
        }),
    ));
    client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    started.await.unwrap();
    drop(client);
    drop(serving.await);
}

// It was dropped with the handler.
#[test]
fn an_adopted_future_of_a_handler_is_finished_when_its_client_hangs_up() {
    on_tokio(|| async {
        let (started, start) = oneshot::channel();
        let (dropped, drop) = oneshot::channel();
        let (released, release) = oneshot::channel();
        let handler = async move {
            let _dropped = Dropped(Some(dropped));
            adopt(async move {
                started.send(()).unwrap();
                drop.await.unwrap();
                sleep(T).await;
                released.send("the resource").unwrap();
            })
            .await;
            pending::<()>().await
        };
        hang_up(handler, start).await;
        assert_eq!(release.await, Ok("the resource"));
    });
}

#[test]
fn parallel_children_of_a_handler_clean_up_when_its_client_hangs_up() {
    on_tokio(|| async {
        let (started, start) = oneshot::channel();
        let (dropped, drop) = oneshot::channel();
        let (saved, save) = oneshot::channel();
        let over = Arc::new(());
        let noting = over.clone();
        let handler = async move {
            let _dropped = Dropped(Some(dropped));
            scope(async move |s: Scope<'_>| {
                s.spawn_parallel(async move {
                    let _over = noting;
                    shield(async move {
                        started.send(()).unwrap();
                        drop.await.unwrap();
                        sleep(T).await;
                        saved.send(()).unwrap();
                    })
                    .await;
                    pending::<()>().await
                });
                pending::<()>().await
            })
            .await
        };
        hang_up(handler, start).await;
        save.await.unwrap();
        while Arc::strong_count(&over) > 1 {
            sleep(T / 10).await;
        }
    });
}

/// A connection that comes home when it is closed.
struct Connection {
    home: Sender<&'static str>,
}

impl Connection {
    async fn close(self) -> Result<(), &'static str> {
        sleep(T).await;
        self.home.send("the connection")
    }
}

/// A dependency of handlers.
async fn with_connection<T>(
    home: Sender<&'static str>,
    work: impl AsyncFnOnce(&mut Connection) -> Result<T, &'static str>,
) -> Result<T, &'static str> {
    let connect = async { Ok(Connection { home }) };
    bracket(connect, work, Connection::close).await.map_err(Errors::into_first)
}

#[test]
fn a_connection_comes_home_when_the_client_hangs_up() {
    on_tokio(|| async {
        let (started, start) = oneshot::channel();
        let (home, comes_home) = oneshot::channel();
        let handler = async move {
            let request = String::from("the request");
            let answer = with_connection(home, async |_| {
                started.send(()).unwrap();
                pending::<()>().await;
                Ok(request.len())
            });
            answer.await.unwrap();
        };
        hang_up(handler, start).await;
        assert_eq!(comes_home.await, Ok("the connection"));
    });
}
