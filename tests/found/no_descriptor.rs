//! Dead at EMFILE, dom96/httpbeast#27: an accept that fails since the process has no file
//! descriptor left ends the loop of the server, although the want passes.

use std::time::Duration;

use foster::net::{TcpListener, TcpStream};
use foster::runtimes::Sim;
use foster::testing::{Explore, settle};
use foster::{scope, sleep};
use futures::io::{AsyncReadExt, AsyncWriteExt};

use crate::{Version, finds};

const MILLI: Duration = Duration::from_millis(1);

async fn serve(version: Version) {
    let listener = &TcpListener::bind("server:80").await.unwrap();
    scope(async |s| {
        loop {
            match listener.accept().await {
                Ok((mut stream, _)) => drop(s.spawn(async move {
                    let mut request = [0];
                    while stream.read_exact(&mut request).await.is_ok() {
                        _ = stream.write_all(&request).await;
                    }
                })),
                Err(_) if version == Version::Mended => sleep(10 * MILLI).await,
                Err(_) => break,
            }
        }
    })
    .await;
}

async fn request() -> std::io::Result<()> {
    let mut stream = TcpStream::connect("server:80").await?;
    stream.write_all(b"x").await?;
    stream.read_exact(&mut [0]).await
}

async fn program(version: Version) {
    let server = Sim::current().host("server");
    // The listener, and two connections.
    server.limit_sockets(3);
    server.program(move || serve(version));
    settle().await;
    scope(async |s| {
        for client in 0..6 {
            s.spawn(async move {
                sleep(client * 2 * MILLI).await;
                _ = request().await;
            });
        }
    })
    .await;
    sleep(100 * MILLI).await;
    assert!(request().await.is_ok(), "the server has stopped listening");
}

#[test]
fn a_want_of_descriptors_ends_the_accept_loop() {
    let found = finds(Explore::new(), 200, program);
    assert!(found.message().contains("stopped listening"), "{found}");
}
