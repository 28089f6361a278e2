//! Unix sockets.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};

use foster::net::{UnixListener, UnixStream};
use foster::testing::poll_once;
use futures::StreamExt;
use futures::io::{AsyncReadExt, AsyncWriteExt};

use super::sockets;

/// A path for a socket, which is removed in the end.
pub(crate) struct Place(pub(crate) PathBuf);

impl Place {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("foster-net-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Place(std::env::temp_dir().join(name))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        _ = std::fs::remove_file(&self.0);
    }
}

sockets! {
    async fn a_listener_and_its_clients_talk() {
        let place = Place::new();
        let listener = UnixListener::bind(&place.0).unwrap();
        assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(&*place.0));
        assert!(poll_once(&mut Box::pin(listener.accept())).await.is_pending());
        let mut client = UnixStream::connect(&place.0).await.unwrap();
        let (mut server, peer) = listener.accept().await.unwrap();
        assert!(peer.is_unnamed() && client.local_addr().unwrap().is_unnamed());
        assert_eq!(client.peer_addr().unwrap().as_pathname(), Some(&*place.0));
        client.write_all(b"hello").await.unwrap();
        client.close().await.unwrap();
        let mut text = String::new();
        server.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hello");
        server.write_all(b"bye").await.unwrap();
        drop(server);
        client.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hellobye");
        let client = UnixStream::connect(&place.0).await.unwrap();
        let server = listener.incoming().next().await.unwrap().unwrap();
        let (read, write) = server.into_split();
        drop((write, client));
        drop(read.reunite(UnixStream::pair().unwrap().0.into_split().1).unwrap_err());
    }

    async fn errors_name_the_path() {
        let place = Place::new();
        let path = place.0.display();
        let none = UnixStream::connect(&place.0).await.unwrap_err();
        assert_eq!(none.kind(), ErrorKind::NotFound);
        assert!(none.to_string().starts_with(&format!("cannot connect to {path}: ")), "{none}");
        drop(UnixListener::bind(&place.0).unwrap());
        let refused = UnixStream::connect(&place.0).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let taken = UnixListener::bind(&place.0).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        assert!(taken.to_string().starts_with(&format!("cannot listen at {path}: ")), "{taken}");
    }

    // It was an error, and another one on each runtime.
    #[cfg(target_os = "linux")]
    async fn who_connects_to_a_listener_without_room_waits() {
        use socket2::{Domain, SockAddr, Socket, Type};

        let place = Place::new();
        let at = SockAddr::unix(&place.0).unwrap();
        let std = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        std.bind(&at).unwrap();
        std.listen(1).unwrap();
        let listener = UnixListener::from_std(OwnedFd::from(std).into()).unwrap();
        let mut waiting = Vec::new();
        let full = loop {
            let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            client.set_nonblocking(true).unwrap();
            match client.connect(&at) {
                Ok(()) => waiting.push(client),
                Err(full) => break full,
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        let mut connect = pin!(UnixStream::connect(&place.0));
        assert!(poll_once(&mut connect).await.is_pending());
        listener.accept().await.unwrap();
        assert_eq!(connect.await.unwrap().peer_addr().unwrap().as_pathname(), Some(&*place.0));
    }

    // They were lost: what had one said that it had no name.
    #[cfg(target_os = "linux")]
    async fn abstract_names_are_names() {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::SocketAddr;

        let place = Place::new();
        let name = place.0.file_name().unwrap().to_str().unwrap();
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let refused = UnixStream::connect_addr(&address).await.unwrap_err();
        assert!(refused.to_string().starts_with(&format!("cannot connect to @{name}: ")), "{refused}");
        let listener = UnixListener::bind_addr(&address).unwrap();
        let taken = UnixListener::bind_addr(&address).unwrap_err();
        assert!(taken.to_string().starts_with(&format!("cannot listen at @{name}: ")), "{taken}");
        let client = UnixStream::connect_addr(&address).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        for address in [listener.local_addr(), server.local_addr(), client.peer_addr()] {
            assert_eq!(address.unwrap().as_abstract_name(), Some(name.as_bytes()));
        }
    }

    async fn sockets_of_std_come_and_go() {
        let (std, other) = std::os::unix::net::UnixStream::pair().unwrap();
        let (mut one, mut other) = (UnixStream::from_std(std).unwrap(), UnixStream::from_std(other).unwrap());
        one.write_all(b"std").await.unwrap();
        let mut buffer = [0; 3];
        other.read_exact(&mut buffer).await.unwrap();
        assert!(one.as_fd().is_some());
        other.shutdown(std::net::Shutdown::Both).unwrap();
        let mut std = one.into_std().unwrap();
        assert_eq!(std::io::Read::read(&mut std, &mut buffer).unwrap(), 0);
        let place = Place::new();
        let std = std::os::unix::net::UnixListener::bind(&place.0).unwrap();
        let listener = UnixListener::from_std(std).unwrap();
        UnixStream::connect(&place.0).await.unwrap();
        assert!(listener.as_fd().is_some());
        listener.into_std().unwrap().accept().unwrap();
    }
}
