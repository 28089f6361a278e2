//! Row 27: an echo over TCP and over UDP, on foster's sockets and on tokio's own.

use std::net::SocketAddr;

use foster::net as neutral;
use futures::io as futures_io;
use tokio::runtime::Builder;
use tokio::{io as tokio_io, net as tokio_net};

use super::handle_of;
use crate::measure::Role::{Foster, Peer};
use crate::measure::{Contender, Cost, Lap, Role};
use crate::report::{Goal, Row, Unit};

/// Messages of one run.
const MESSAGES: usize = 1_000;

pub(crate) fn rows() -> Vec<Row> {
    [("27", "echo of 64 bytes (tokio)", 64), ("27-large", "echo of 64 KiB (tokio)", 64 << 10)]
        .into_iter()
        .map(|(id, work, size)| Row {
            id,
            work,
            unit: Unit::Nanos,
            contenders: vec![
                on_tokio(Peer, "tokio's TcpStream", move || theirs(size)),
                on_tokio(Foster, "net::TcpStream", move || ours(size)),
            ],
            goals: vec![Goal::Times(1.03, "tokio's TcpStream"), Goal::Allocations(0.01)],
        })
        .chain([datagrams()])
        .collect()
}

fn datagrams() -> Row {
    Row {
        id: "27-udp",
        work: "echo of a datagram of 64 bytes (tokio)",
        unit: Unit::Nanos,
        contenders: vec![
            on_tokio(Peer, "tokio's UdpSocket", their_datagrams),
            on_tokio(Foster, "net::UdpSocket", our_datagrams),
        ],
        goals: vec![Goal::Times(1.03, "tokio's UdpSocket"), Goal::Allocations(0.01)],
    }
}

/// A contender that measures itself on tokio's current thread, where its server runs, too.
fn on_tokio<F: Future<Output = Cost>>(role: Role, name: &'static str, work: impl Fn() -> F + 'static) -> Contender {
    Contender::new(role, name, MESSAGES, move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("tokio starts");
        let handle = handle_of(&runtime);
        runtime.block_on(handle.enter(work()))
    })
}

const ANY: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

async fn theirs(size: usize) -> Cost {
    use tokio_io::{AsyncReadExt, AsyncWriteExt};

    let listener = tokio_net::TcpListener::bind(SocketAddr::from(ANY)).await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let server = tokio::spawn(async move {
        let mut stream = listener.accept().await.expect("a client comes").0;
        stream.set_nodelay(true).expect("it is open");
        let mut buffer = vec![0; size];
        while stream.read_exact(&mut buffer).await.is_ok() {
            stream.write_all(&buffer).await.expect("the client reads");
        }
    });
    let mut stream = tokio_net::TcpStream::connect(address).await.expect("the server accepts");
    stream.set_nodelay(true).expect("it is open");
    let mut buffer = vec![7; size];
    let lap = Lap::start();
    for _ in 0..MESSAGES {
        stream.write_all(&buffer).await.expect("the server reads");
        stream.read_exact(&mut buffer).await.expect("the server answers");
    }
    let cost = lap.stop();
    drop(stream);
    server.await.expect("it does not panic");
    cost
}

async fn ours(size: usize) -> Cost {
    use futures_io::{AsyncReadExt, AsyncWriteExt};

    let listener = neutral::TcpOptions::new().nodelay(true).bind(SocketAddr::from(ANY)).await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let server = tokio::spawn(async move {
        let mut stream = listener.accept().await.expect("a client comes").0;
        let mut buffer = vec![0; size];
        while stream.read_exact(&mut buffer).await.is_ok() {
            stream.write_all(&buffer).await.expect("the client reads");
        }
    });
    let connect = neutral::TcpOptions::new().nodelay(true).connect(address);
    let mut stream = connect.await.expect("the server accepts");
    let mut buffer = vec![7; size];
    let lap = Lap::start();
    for _ in 0..MESSAGES {
        stream.write_all(&buffer).await.expect("the server reads");
        stream.read_exact(&mut buffer).await.expect("the server answers");
    }
    let cost = lap.stop();
    drop(stream);
    server.await.expect("it does not panic");
    cost
}

/// Makes a program of an echo of datagrams. Both sockets have the same methods.
macro_rules! echo_datagrams {
    ($name:ident, $UdpSocket:ty) => {
        async fn $name() -> Cost {
            let bind = async || <$UdpSocket>::bind(SocketAddr::from(ANY)).await.expect("a port is free");
            let (client, server) = (bind().await, bind().await);
            let to = server.local_addr().expect("it is bound");
            let echo = tokio::spawn(async move {
                let mut buffer = [0; 1500];
                loop {
                    let (length, from) = server.recv_from(&mut buffer).await.expect("a client asks");
                    server.send_to(&buffer[..length], from).await.expect("the client is there");
                }
            });
            let mut buffer = [0; 1500];
            let lap = Lap::start();
            for _ in 0..MESSAGES {
                client.send_to(&[7; 64], to).await.expect("the server is there");
                client.recv_from(&mut buffer).await.expect("the server answers");
            }
            let cost = lap.stop();
            echo.abort();
            cost
        }
    };
}
echo_datagrams!(their_datagrams, tokio_net::UdpSocket);
echo_datagrams!(our_datagrams, neutral::UdpSocket);
