//! Peers that never pause.

use std::cell::Cell;

use foster::net::{TcpStream, UdpSocket, duplex};
use foster::{local, yield_now};
use futures::StreamExt;
use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, IoSlice};

use super::{listen, pair, sockets};

/// More than twice what may be done in one poll: a sibling may have its turn at the beginning of
/// one pass and at the end of the next.
const MANY: usize = 300;

/// How often `operation`, which never has to wait, completes before a sibling has its turn.
async fn in_a_row(mut operation: impl AsyncFnMut()) -> usize {
    let made = Cell::new(0);
    local::scope(async |s| {
        s.spawn(async {
            for _ in 0..MANY {
                operation().await;
                made.set(made.get() + 1);
            }
        });
        let sibling = s.spawn(async {
            while made.get() == 0 {
                yield_now().await;
            }
            made.get()
        });
        sibling.await
    })
    .await
}

/// Writes one byte after the other, by two ways, and reads them one by one.
async fn write_and_read(mut writer: impl AsyncWrite + Unpin, mut reader: impl AsyncRead + Unpin) {
    let written = in_a_row(async || assert_eq!(writer.write(b"a").await.unwrap(), 1)).await;
    let buffers = [IoSlice::new(b"b")];
    let gathered = in_a_row(async || assert_eq!(writer.write_vectored(&buffers).await.unwrap(), 1)).await;
    let read = in_a_row(async || reader.read_exact(&mut [0; 1]).await.unwrap()).await;
    assert!(written < MANY && gathered < MANY && read < MANY, "{written} {gathered} {read}");
}

sockets! {
    // A connection that always had bytes kept a server from serving others and from being stopped.
    async fn who_always_finds_bytes_or_room_leaves_siblings_their_turn() {
        let (client, server) = pair().await;
        write_and_read(&client, &server).await;
    }

    async fn who_always_finds_a_connection_leaves_siblings_their_turn() {
        let listener = listen().await;
        let address = listener.local_addr().unwrap();
        for _ in 0..2 * MANY {
            drop(TcpStream::connect(address).await.unwrap());
        }
        let accepted = in_a_row(async || drop(listener.accept().await)).await;
        let mut incoming = listener.incoming();
        let streamed = in_a_row(async || drop(incoming.next().await)).await;
        assert!(accepted < MANY && streamed < MANY, "{accepted} {streamed}");
    }

    async fn who_always_finds_a_datagram_or_room_leaves_siblings_their_turn() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let sent = in_a_row(async || assert_eq!(socket.send_to(b"a", address).await.unwrap(), 1)).await;
        let mut buffer = [0; 8];
        let seen = in_a_row(async || assert_eq!(socket.peek_from(&mut buffer).await.unwrap().0, 1)).await;
        let exchanged = in_a_row(async || {
            socket.send_to(b"a", address).await.unwrap();
            socket.recv(&mut buffer).await.unwrap();
        });
        let exchanged = exchanged.await;
        let waited = in_a_row(async || socket.writable().await.unwrap()).await;
        assert!(sent < MANY && seen < MANY && exchanged < MANY && waited < MANY, "{sent} {seen} {exchanged} {waited}");
    }
}

matrix! {
    async fn who_always_finds_bytes_or_room_in_memory_leaves_siblings_their_turn() {
        let (client, server) = duplex(2 * MANY);
        write_and_read(&client, &server).await;
    }
}
