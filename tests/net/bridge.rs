//! The bridges to the traits of tokio.

use foster::net::duplex;
use foster::net::tokio_io::{ForTokio, FromTokio};
use futures::io::AsyncReadExt;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt};

use super::{pair, sockets};

sockets! {
    async fn a_stream_of_any_runtime_is_given_to_a_library_for_tokio() {
        let (client, server) = pair().await;
        let (mut client, mut server) = (ForTokio::new(client), ForTokio::new(server));
        assert!(client.is_write_vectored());
        client.write_all(b"to tokio").await.unwrap();
        client.flush().await.unwrap();
        client.shutdown().await.unwrap();
        let mut text = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut server, &mut text).await.unwrap();
        assert_eq!(text, "to tokio");
        let mut buffer = Vec::with_capacity(64);
        server.write_all(b"and back").await.unwrap();
        assert_eq!(client.read_buf(&mut buffer).await.unwrap(), 8);
        assert_eq!(buffer, b"and back");
        assert_eq!(client.get_ref().peer_addr().unwrap(), server.into_inner().local_addr().unwrap());
    }

    async fn a_stream_of_tokio_is_given_to_a_library_for_futures() {
        let (here, there) = tokio::io::duplex(4);
        let (mut here, mut there) = (FromTokio::new(here), FromTokio::new(there));
        let send = async {
            futures::io::AsyncWriteExt::write_all(&mut here, b"longer than four").await.unwrap();
            futures::io::AsyncWriteExt::close(&mut here).await.unwrap();
        };
        let mut text = String::new();
        foster::gather((send, async { there.read_to_string(&mut text).await.map(drop).unwrap() })).await;
        assert_eq!(text, "longer than four");
    }

    async fn bytes_cross_two_bridges() {
        let (one, other) = duplex(3);
        let mut one = FromTokio::new(ForTokio::new(one));
        let mut other = ForTokio::new(other);
        let send = async {
            other.write_all(b"there and back").await.unwrap();
            other.shutdown().await.unwrap();
        };
        let mut text = String::new();
        foster::gather((send, async { one.read_to_string(&mut text).await.map(drop).unwrap() })).await;
        assert_eq!(text, "there and back");
    }
}
