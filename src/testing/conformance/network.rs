//! Sockets, on the network of a runtime that has one.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::pin::{Pin, pin};

use futures_io::{AsyncRead, AsyncWrite};

use crate::future::gather;
use crate::net::{TcpListener, TcpStream};
use crate::runtime::Handle;
use crate::scope::scope;
use crate::testing::{CountingWaker, poll_once};
use crate::time::yield_now;

table! {
    Network bytes_arrive_in_order_and_then_the_end:
        "Network: the bytes of a stream arrive in order, and then its end",
    Network both_directions_work_at_once:
        "Network: a stream reads and writes at the same time, from two tasks",
    Network a_closed_direction_leaves_the_other_open:
        "Network: closing ends the direction that writes, and reading goes on",
    Network a_writer_waits_for_its_reader:
        "Network: a stream holds a bounded number of bytes, and wakes who waits for room",
    Network a_reader_is_woken_by_the_end_of_its_peer:
        "Network: who waits for bytes is woken when the peer goes away",
    Network a_shutdown_wakes_the_reader:
        "Network: who waits for bytes is woken by a shutdown of this end",
    Network a_dropped_read_loses_no_byte:
        "Network: a read that is dropped while it waits takes no byte",
    Network a_dropped_accept_loses_no_connection:
        "Network: an accept that is dropped while it waits takes no connection",
    Network the_task_that_polled_last_is_woken:
        "S12: who reads is woken by the waker of its latest poll",
    Network sockets_work_in_other_tasks:
        "Network: sockets are used by tasks that did not make them",
    Network many_connections_are_open_at_once:
        "Network: connections do not disturb each other",
    Network addresses_agree:
        "Network: each end knows its own address and that of its peer",
    Network nobody_listens_at_a_port_that_was_given_back:
        "Network: a connection is refused where nobody listens, and the port can be taken again",
    Network a_port_is_taken_once:
        "Network: a second listener at the same address is refused with `AddrInUse`",
}

/// A listener on a free port, and where it is.
async fn listen() -> (TcpListener, SocketAddr) {
    let listener = good("listening", TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await);
    let address = good("the address of a listener", listener.local_addr());
    (listener, address)
}

/// The two ends of a connection.
async fn pair() -> (TcpStream, TcpStream) {
    let (listener, address) = listen().await;
    let (client, server) = gather((TcpStream::connect(address), listener.accept())).await;
    (good("connecting", client), good("accepting", server).0)
}

#[track_caller]
pub(super) fn good<T>(what: &str, result: io::Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{what} gave an error: {error}"))
}

async fn read(mut stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, buffer)).await
}

async fn read_to_end(stream: &TcpStream) -> Vec<u8> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match good("reading", read(stream, &mut buffer).await) {
            0 => return bytes,
            read => bytes.extend(&buffer[..read]),
        }
    }
}

async fn write_all(mut stream: &TcpStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let written = good("writing", poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, bytes)).await);
        assert_ne!(written, 0, "a write of {} bytes took none", bytes.len());
        bytes = &bytes[written..];
    }
    good("flushing", poll_fn(|cx| Pin::new(&mut stream).poll_flush(cx)).await);
}

async fn close(mut stream: &TcpStream) {
    good("closing", poll_fn(|cx| Pin::new(&mut stream).poll_close(cx)).await);
}

/// Sends back what comes until the peer ends.
async fn echo(stream: TcpStream) {
    let mut buffer = [0; 1000];
    loop {
        match good("reading", read(&stream, &mut buffer).await) {
            0 => return close(&stream).await,
            read => write_all(&stream, &buffer[..read]).await,
        }
    }
}

fn numbers(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i % 251) as u8).collect()
}

fn bytes_arrive_in_order_and_then_the_end(handle: &Handle) {
    handle.run(async {
        let (client, server) = pair().await;
        let bytes = numbers(100_000);
        let send = async {
            for piece in bytes.chunks(777) {
                write_all(&client, piece).await;
            }
            close(&client).await;
        };
        let ((), received) = gather((send, read_to_end(&server))).await;
        assert!(received == bytes, "{} bytes were sent, and {} others arrived", bytes.len(), received.len());
        assert_eq!(good("reading at the end", read(&server, &mut [0; 8]).await), 0, "bytes after the end");
    });
}

fn both_directions_work_at_once(handle: &Handle) {
    handle.run(async {
        let (client, server) = pair().await;
        let bytes = numbers(1_000_000);
        scope(async |s| {
            s.spawn(echo(server));
            let send = async {
                write_all(&client, &bytes).await;
                close(&client).await;
            };
            let ((), back) = gather((send, read_to_end(&client))).await;
            assert!(back == bytes, "{} bytes were sent, and {} others came back", bytes.len(), back.len());
        })
        .await;
    });
}

fn a_closed_direction_leaves_the_other_open(handle: &Handle) {
    handle.run(async {
        let (client, server) = pair().await;
        close(&client).await;
        close(&client).await;
        assert_eq!(read_to_end(&server).await, b"");
        write_all(&server, b"still open").await;
        drop(server);
        assert_eq!(read_to_end(&client).await, b"still open");
    });
}

fn a_writer_waits_for_its_reader(handle: &Handle) {
    handle.run(async {
        let (client, server) = pair().await;
        // More than any network should hold.
        let bytes = numbers(30_000_000);
        let mut write = pin!(write_all(&client, &bytes));
        // What is on its way may make room for a while.
        for _ in 0..100 {
            assert!(poll_once(&mut write).await.is_pending(), "30 MB were taken, and nobody reads");
            yield_now().await;
        }
        let receive = async {
            let (mut received, mut buffer) = (0, vec![0; 1 << 16]);
            while received < bytes.len() {
                received += good("reading", read(&server, &mut buffer).await);
            }
        };
        gather((write, receive)).await;
    });
}

fn a_reader_is_woken_by_the_end_of_its_peer(handle: &Handle) {
    handle.run(async {
        let (client, server) = pair().await;
        read_to_wait(&server, 0, async { drop(client) }).await;
    });
}

fn a_shutdown_wakes_the_reader(handle: &Handle) {
    handle.run(async {
        let (client, _server) = pair().await;
        read_to_wait(&client, 0, async { good("shutting down", client.shutdown(Shutdown::Both)) }).await;
    });
}

/// Reads in a child, which is polled again only when it is woken: by what `wake` does. So many
/// bytes are read.
async fn read_to_wait(stream: &TcpStream, bytes: usize, wake: impl Future<Output = ()>) {
    scope(async |s| {
        let reader = s.spawn(async { good("reading", read(stream, &mut [0; 8]).await) });
        yield_now().await;
        wake.await;
        assert_eq!(reader.await, bytes, "bytes that were read");
    })
    .await;
}

fn a_dropped_read_loses_no_byte(handle: &Handle) {
    handle.run(async {
        let (client, server) = pair().await;
        for byte in 0..20 {
            assert!(poll_once(&mut pin!(read(&server, &mut [0; 8]))).await.is_pending());
            write_all(&client, &[byte]).await;
            let mut buffer = [0; 8];
            assert_eq!(good("reading", read(&server, &mut buffer).await), 1);
            assert_eq!(buffer[0], byte);
        }
    });
}

fn a_dropped_accept_loses_no_connection(handle: &Handle) {
    handle.run(async {
        let (listener, address) = listen().await;
        for _ in 0..5 {
            assert!(poll_once(&mut pin!(listener.accept())).await.is_pending());
            let client = good("connecting", TcpStream::connect(address).await);
            let (_, peer) = good("accepting", listener.accept().await);
            assert_eq!(peer, good("the address of a client", client.local_addr()));
        }
    });
}

fn the_task_that_polled_last_is_woken(handle: &Handle) {
    handle.run(async {
        let (client, server) = pair().await;
        let first = CountingWaker::new();
        {
            let mut buffer = [0; 8];
            assert!(first.poll(pin!(read(&server, &mut buffer))).is_pending());
        }
        read_to_wait(&server, 1, write_all(&client, b"!")).await;
    });
}

fn sockets_work_in_other_tasks(handle: &Handle) {
    handle.run(scope(async |s| {
        let (client, server) = pair().await;
        s.spawn_parallel(echo(server));
        let there = s.spawn_parallel(async move {
            write_all(&client, b"from a task").await;
            close(&client).await;
            read_to_end(&client).await
        });
        assert_eq!(there.await, b"from a task");
    }));
}

fn many_connections_are_open_at_once(handle: &Handle) {
    handle.run(scope(async |s| {
        let (listener, address) = listen().await;
        let clients: Vec<_> = (0..32_u8)
            .map(|i| {
                s.spawn_parallel(async move {
                    let stream = good("connecting", TcpStream::connect(address).await);
                    write_all(&stream, &[i; 50]).await;
                    close(&stream).await;
                    read_to_end(&stream).await
                })
            })
            .collect();
        let streams = gather((0..32).map(|_| listener.accept())).await;
        for stream in streams {
            s.spawn_parallel(echo(good("accepting", stream).0));
        }
        for (i, client) in (0..).zip(clients) {
            assert_eq!(client.await, [i; 50]);
        }
    }));
}

fn addresses_agree(handle: &Handle) {
    handle.run(async {
        let (client, server) = pair().await;
        for (one, other) in [(&client, &server), (&server, &client)] {
            let (own, peer) = (good("a local address", one.local_addr()), good("a peer's address", other.peer_addr()));
            assert_eq!(own, peer);
            assert_ne!(own.port(), 0);
        }
    });
}

fn nobody_listens_at_a_port_that_was_given_back(handle: &Handle) {
    handle.run(async {
        let (listener, address) = listen().await;
        drop(listener);
        let refused = match TcpStream::connect(address).await {
            Ok(_) => panic!("somebody answers at {address}, where nobody listens"),
            Err(refused) => refused,
        };
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{refused}");
        assert!(refused.to_string().contains(&address.to_string()), "{refused} does not name {address}");
        good("listening again", TcpListener::bind(address).await);
    });
}

fn a_port_is_taken_once(handle: &Handle) {
    handle.run(async {
        let (_listener, address) = listen().await;
        let taken = TcpListener::bind(address).await.map(drop).map_err(|taken| taken.kind());
        assert_eq!(taken, Err(ErrorKind::AddrInUse), "two listeners at {address}");
    });
}
