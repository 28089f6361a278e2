//! Half a request, masalachai/epp-client#82: a request that a timeout drops leaves a part of its
//! frame on the connection, or its answer, and the next request of the same client goes wrong.

use std::io;
use std::time::Duration;

use foster::net::{TcpListener, TcpStream};
use foster::runtimes::Sim;
use foster::runtimes::sim::Link;
use foster::testing::{Explore, settle};
use foster::timeout;
use futures::io::{AsyncReadExt, AsyncWriteExt};

use crate::{Version, finds};

const MILLI: Duration = Duration::from_millis(1);

/// A length, and then so many bytes.
async fn write_frame(stream: &mut TcpStream, body: &[u8]) -> io::Result<()> {
    let mut frame = vec![body.len() as u8];
    frame.extend(body);
    stream.write_all(&frame).await
}

async fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0];
    stream.read_exact(&mut length).await?;
    let mut body = vec![0; length[0].into()];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

#[derive(Default)]
struct Client {
    connection: Option<TcpStream>,
}

impl Client {
    async fn request(&mut self, version: Version, body: &[u8]) -> io::Result<Vec<u8>> {
        if self.connection.is_none() {
            self.connection = Some(TcpStream::connect("server:80").await?);
        }
        if version == Version::Reported {
            let stream = self.connection.as_mut().unwrap();
            write_frame(stream, body).await?;
            return read_frame(stream).await;
        }
        // Who drops this request closes the connection with it.
        let mut stream = self.connection.take().unwrap();
        write_frame(&mut stream, body).await?;
        let answer = read_frame(&mut stream).await?;
        self.connection = Some(stream);
        Ok(answer)
    }
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    loop {
        let body = read_frame(&mut stream).await?;
        write_frame(&mut stream, &body).await?;
    }
}

async fn program(version: Version) {
    let sim = Sim::current();
    // A frame does not fit at once.
    sim.network().set_all(Link::new().jitter(3 * MILLI).buffer(4));
    sim.host("server").program(|| async {
        let listener = TcpListener::bind("server:80").await.unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            _ = answer(stream).await;
        }
    });
    settle().await;
    let mut client = Client::default();
    for number in 1..6 {
        let body = [number; 6];
        if let Ok(answer) = timeout(9 * MILLI, client.request(version, &body)).await {
            assert_eq!(answer.unwrap(), body, "the answer of another request");
        }
    }
}

#[test]
fn a_request_cut_short_by_a_timeout_spoils_the_next() {
    let found = finds(Explore::new(), 200, program);
    assert!(found.message().contains("the answer of another request"), "{found}");
}
