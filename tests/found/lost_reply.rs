//! Lost to a reset, hyperium/hyper#3078: a server that answers before it has read the whole request
//! closes a connection with unread bytes. That resets it, and the reset may take away the answer,
//! which the client has received and not read yet.

use std::io;

use foster::net::{TcpListener, TcpStream};
use foster::runtimes::Sim;
use foster::testing::{Explore, settle};
use futures::io::{AsyncReadExt, AsyncWriteExt};

use crate::{Version, finds_both_ways};

async fn refuse(version: Version, mut stream: TcpStream) -> io::Result<()> {
    stream.read_exact(&mut [0; 16]).await?;
    stream.write_all(b"413 too large").await?;
    if version == Version::Mended {
        // Ends the answer, and reads what the client still sends.
        stream.close().await?;
        futures::io::copy(&mut stream, &mut futures::io::sink()).await?;
    }
    Ok(())
}

async fn request() -> Vec<u8> {
    let mut stream = TcpStream::connect("server:80").await.unwrap();
    // A client reads the answer also where it could not send all.
    _ = stream.write_all(&[b'x'; 4096]).await;
    _ = stream.close().await;
    let mut answer = Vec::new();
    _ = stream.read_to_end(&mut answer).await;
    answer
}

async fn program(version: Version) {
    Sim::current().host("server").program(move || async move {
        let listener = TcpListener::bind("server:80").await.unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            _ = refuse(version, stream).await;
        }
    });
    settle().await;
    assert_eq!(request().await, b"413 too large", "the answer is lost");
}

#[test]
fn an_answer_before_the_end_of_the_request_is_lost_to_a_reset() {
    let found = finds_both_ways(200, program);
    assert!(found.message().contains("the answer is lost"), "{found}");
    assert!(found.trace().to_string().contains("server → localhost: reset"), "{found}");
    assert!(Explore::new().all(100_000).run(|| program(Version::Mended)).is_ok());
}
