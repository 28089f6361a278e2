//! What the ends of a connection are called, in errors above all.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use foster::net::{TcpListener, TcpStream, UdpSocket};
use foster::runtimes::Sim;
use futures::io::{AsyncReadExt, AsyncWriteExt};

use super::{pair, sockets};

/// A port that is taken.
fn taken() -> (std::net::UdpSocket, SocketAddr) {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

sockets! {
    // It was what had been dialled.
    async fn the_peer_of_who_connects_to_no_address_in_particular_is_the_one_that_was_reached() {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        assert_eq!(client.peer_addr().unwrap(), server.local_addr().unwrap());
    }

    // Only the last one was named.
    async fn each_of_several_addresses_for_datagrams_is_named() {
        let ((_first, first), (_second, second)) = (taken(), taken());
        let error = UdpSocket::bind([first, second]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let text = error.to_string();
        let names = [first, second].map(|address| text.find(&format!("cannot bind to {address}: ")).unwrap());
        assert!(names.is_sorted(), "{text}");
    }

    // The system does not know the peer any more, and that was an error.
    async fn a_connection_of_std_that_was_reset_can_be_taken_over() {
        let (client, mut server) = pair().await;
        let server = {
            client.set_linger(Some(Duration::ZERO)).unwrap();
            drop(client);
            server.read(&mut [0; 1]).await.unwrap_err();
            server.into_std().unwrap()
        };
        server.peer_addr().unwrap_err();
        let mut server = TcpStream::from_std(server).unwrap();
        assert_eq!(server.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
        let broken = server.write(b"x").await.unwrap_err().to_string();
        assert!(broken.starts_with("cannot write to an unknown address: "), "{broken}");
    }
}

// It was "a Unix socket without a path", which is what all clients are.
#[cfg(unix)]
sockets! {
    async fn the_client_of_a_unix_listener_is_called_after_it() {
        use foster::net::{UnixListener, UnixStream};

        let place = super::unix::Place::new();
        let listener = UnixListener::bind(&place.0).unwrap();
        let client = UnixStream::connect(&place.0).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        drop(client);
        let broken = server.write(b"x").await.unwrap_err().to_string();
        assert!(broken.starts_with(&format!("cannot write to a client of {}: ", place.0.display())), "{broken}");
        let (mut one, other) = UnixStream::pair().unwrap();
        drop(other);
        let broken = one.write(b"x").await.unwrap_err().to_string();
        assert!(broken.starts_with("cannot write to a Unix socket without a name: "), "{broken}");
    }
}

// They did not know it any more, and said "at an unknown address".
#[test]
fn sockets_of_a_host_that_crashed_are_called_by_their_addresses() {
    let host = Sim::new(1).host("a");
    host.run(async {
        let listener = TcpListener::bind("a:80").await.unwrap();
        let socket = UdpSocket::bind("a:81").await.unwrap();
        let (stream, datagrams) = (listener.local_addr().unwrap(), socket.local_addr().unwrap());
        host.crash();
        let accepted = listener.accept().await.unwrap_err().to_string();
        let received = socket.recv(&mut [0; 1]).await.unwrap_err().to_string();
        assert_eq!(accepted, format!("cannot accept at {stream}: the host has crashed"));
        assert_eq!(received, format!("cannot receive at {datagrams}: the host has crashed"));
    });
}
