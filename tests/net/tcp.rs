//! TCP between two ends that behave, and between two that do not.

use std::error::Error;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::task::Poll;
use std::time::Duration;

use foster::net::{self, TcpListener, TcpOptions, TcpStream};
use foster::testing::poll_once;
use foster::{FutureExt, gather, scope};
use futures::io::{AsyncReadExt, AsyncWriteExt};
use futures::{StreamExt, TryStreamExt};

use super::cancelled::in_a_cancelled_region;
use super::{listen, pair, sockets};

/// Sends back what comes until the peer ends.
async fn echo(stream: TcpStream) -> io::Result<u64> {
    let sent = futures::io::copy(&stream, &mut &stream).await?;
    (&stream).close().await?;
    Ok(sent)
}

/// A port that is taken, and where nobody listens.
fn refusing() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

async fn all_of(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    bytes
}

sockets! {
    async fn what_is_written_is_read() {
        let (mut client, mut server) = pair().await;
        let mut buffer = [0; 16];
        for message in [&b"one"[..], b"two and more", b"3"] {
            client.write_all(message).await.unwrap();
            let read = &mut buffer[..message.len()];
            server.read_exact(read).await.unwrap();
            assert_eq!(read, message);
        }
        assert_eq!(client.peer_addr().unwrap(), server.local_addr().unwrap());
        assert_eq!(server.peer_addr().unwrap(), client.local_addr().unwrap());
    }

    async fn many_bytes_go_both_ways_at_once() {
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|i| i as u8).collect();
        scope(async |s| {
            let listener = listen().await;
            let address = listener.local_addr().unwrap();
            s.spawn(async move { echo(listener.accept().await.unwrap().0).await.unwrap() });
            let client = TcpStream::connect(address).await.unwrap();
            let write = async {
                (&client).write_all(&bytes).await.unwrap();
                (&client).close().await.unwrap();
            };
            let ((), back) = gather((write, all_of(&client))).await;
            assert!(back == bytes, "{} bytes of {} came back", back.len(), bytes.len());
        })
        .await;
    }

    async fn sixty_four_clients_are_served_at_once() {
        let listener = listen().await;
        let address = listener.local_addr().unwrap();
        let client = |i: u8| async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let message = [i; 100];
            stream.write_all(&message).await.unwrap();
            stream.close().await.unwrap();
            assert_eq!(all_of(&stream).await, message);
        };
        scope(async |s| {
            s.spawn(async move {
                let served = listener.incoming().take(64).try_for_each_concurrent(None, |stream| async {
                    echo(stream).await?;
                    Ok(())
                });
                served.await.unwrap();
            });
            gather((0..64).map(client)).await;
        })
        .await;
    }

    async fn children_on_the_runtime_use_sockets_made_elsewhere() {
        let (mut client, server) = pair().await;
        scope(async |s| {
            let sent = s.spawn_parallel(echo(server));
            client.write_all(b"over there").await.unwrap();
            client.close().await.unwrap();
            assert_eq!(all_of(&client).await, b"over there");
            assert_eq!(sent.await.unwrap(), 10);
        })
        .await;
    }

    async fn one_direction_ends_and_the_other_goes_on() {
        let (mut client, mut server) = pair().await;
        client.write_all(b"question").await.unwrap();
        client.close().await.unwrap();
        client.close().await.unwrap();
        assert_eq!(all_of(&server).await, b"question");
        server.write_all(b"answer").await.unwrap();
        drop(server);
        assert_eq!(all_of(&client).await, b"answer");
        assert!(client.write(b"late").await.is_err());
    }

    async fn a_shutdown_wakes_who_reads() {
        let (client, _server) = pair().await;
        scope(async |s| {
            let reader = s.spawn(all_of(&client));
            foster::yield_now().await;
            client.shutdown(Shutdown::Read).unwrap();
            assert_eq!(reader.await, b"");
        })
        .await;
    }

    async fn several_buffers_are_written_in_order() {
        let (mut client, server) = pair().await;
        let written = client.write_vectored(&[IoSlice::new(b"a"), IoSlice::new(b""), IoSlice::new(b"bc")]).await.unwrap();
        assert_eq!(written, 3, "one call took all buffers");
        client.close().await.unwrap();
        assert_eq!(all_of(&server).await, b"abc");
    }

    // Sockets of the system waited for bytes, or for room.
    async fn an_empty_buffer_needs_no_wait() {
        let (client, _server) = pair().await;
        assert!(matches!(poll_once(&mut (&client).read(&mut [])).await, Poll::Ready(Ok(0))));
        let block = vec![0; 1 << 16];
        while poll_once(&mut (&client).write(&block)).await.is_ready() {}
        assert!(matches!(poll_once(&mut (&client).write(b"")).await, Poll::Ready(Ok(0))));
        let empty = [IoSlice::new(b""), IoSlice::new(b"")];
        for buffers in [&empty[..], &[]] {
            assert!(matches!(poll_once(&mut (&client).write_vectored(buffers)).await, Poll::Ready(Ok(0))));
        }
    }

    async fn halves_go_their_own_ways_and_meet_again() {
        let (client, server) = pair().await;
        let (other, _) = pair().await;
        let (read, mut write) = client.into_split();
        let buffers = [IoSlice::new(b"ha"), IoSlice::new(b"lf")];
        assert_eq!(write.write_vectored(&buffers).await.unwrap(), 4, "one call took both buffers");
        let (other_read, other_write) = other.into_split();
        let (read, other_write) = read.reunite(other_write).unwrap_err().into_halves();
        other_read.reunite(other_write).unwrap();
        let (read, write) = read.reunite(write).unwrap().into_split();
        assert_eq!(read.get_ref().peer_addr().unwrap(), server.local_addr().unwrap());
        drop(write);
        assert_eq!(all_of(&server).await, b"half", "the end of the half that writes ends the direction");
        drop(server);
        assert_eq!(all_of(read.get_ref()).await, b"");
    }

    async fn a_port_that_nobody_listens_at_refuses() {
        let (_bound, address) = refusing();
        let refused = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert!(refused.to_string().starts_with(&format!("cannot connect to {address}: ")), "{refused}");
        let source = refused.source().unwrap().downcast_ref::<io::Error>().unwrap();
        assert!(source.raw_os_error().is_some(), "the error of the system is kept: {source:?}");
    }

    async fn several_addresses_that_refuse_are_all_named() {
        let ((_first, first), (_second, second)) = (refusing(), refusing());
        let addresses = [first, second];
        let refused = TcpStream::connect(addresses).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert!(addresses.iter().all(|address| refused.to_string().contains(&address.to_string())), "{refused}");
    }

    async fn the_next_address_is_tried_when_one_refuses() {
        let ((_bound, gone), listener) = (refusing(), listen().await);
        let here = listener.local_addr().unwrap();
        let client = TcpStream::connect([gone, here]).await.unwrap();
        assert_eq!(client.peer_addr().unwrap(), here);
    }

    async fn a_reset_is_an_error_that_names_the_peer() {
        let (mut client, server) = pair().await;
        server.set_linger(Some(Duration::ZERO)).unwrap();
        let address = server.local_addr().unwrap();
        drop(server);
        let reset = client.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
        assert!(reset.to_string().starts_with(&format!("cannot read from {address}: ")), "{reset}");
        assert_eq!(client.peer_addr().unwrap(), address, "it is known when the system has forgotten it");
    }

    async fn a_port_is_not_taken_twice() {
        let listener = listen().await;
        let address = listener.local_addr().unwrap();
        let taken = TcpListener::bind(address).await.unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        assert!(taken.to_string().starts_with(&format!("cannot listen at {address}: ")), "{taken}");
        drop(listener);
        TcpListener::bind(address).await.unwrap();
    }

    async fn names_are_looked_up() {
        let listener = listen().await;
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(("localhost", port)).await.unwrap();
        assert_eq!(client.peer_addr().unwrap(), SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let addresses = foster::net::lookup(format!("localhost:{port}")).await.unwrap();
        assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == port));
    }

    async fn names_that_are_none_are_said() {
        let unknown = TcpStream::connect("no such host.invalid:80").await.unwrap_err();
        assert!(unknown.to_string().starts_with("cannot look up no such host.invalid:80: "), "{unknown}");
        for text in ["localhost", "", ":80", "localhost:http", "localhost:65536"] {
            let malformed = TcpListener::bind(text).await.unwrap_err();
            assert_eq!(malformed.kind(), ErrorKind::InvalidInput, "{text}");
            let message = malformed.to_string();
            assert!(message.starts_with(&format!("cannot look up {text:?}: it is not of the form host:port")), "{message}");
        }
        assert_eq!(foster::net::lookup(Vec::new()).await.unwrap_err().kind(), ErrorKind::NotFound);
        let nowhere = TcpStream::connect(Vec::new()).await.unwrap_err().to_string();
        assert_eq!(nowhere, "cannot look up an empty list: there is no address");
    }

    async fn a_dropped_accept_loses_no_connection() {
        let listener = listen().await;
        assert!(poll_once(&mut Box::pin(listener.accept())).await.is_pending());
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, peer) = listener.accept().await.unwrap();
        assert_eq!((peer, server.local_addr().unwrap()), (client.local_addr().unwrap(), client.peer_addr().unwrap()));
    }

    async fn acceptors_take_turns() {
        let listener = listen().await;
        let address = listener.local_addr().unwrap();
        let (mut first, mut second) = (Box::pin(listener.accept()), Box::pin(listener.accept()));
        assert!(poll_once(&mut first).await.is_pending() && poll_once(&mut second).await.is_pending());
        let client = TcpStream::connect(address).await.unwrap();
        assert_eq!(first.await.unwrap().1, client.local_addr().unwrap());
        let client = TcpStream::connect(address).await.unwrap();
        assert_eq!(second.await.unwrap().1, client.local_addr().unwrap());
        let mut incoming = listener.incoming();
        assert!(poll_once(&mut incoming.next()).await.is_pending());
        let mut third = Box::pin(listener.accept());
        assert!(poll_once(&mut third).await.is_pending());
        drop(incoming);
        let client = TcpStream::connect(address).await.unwrap();
        assert_eq!(third.await.unwrap().1, client.local_addr().unwrap());
    }

    async fn who_accepts_first_is_served_first() {
        let listener = &listen().await;
        let address = listener.local_addr().unwrap();
        scope(async |s| {
            let streams = s.spawn(async move {
                let mut incoming = listener.incoming();
                [incoming.next().await.unwrap().unwrap(), incoming.next().await.unwrap().unwrap()]
            });
            let third = s.spawn(async move { listener.accept().await.unwrap().1 });
            let fourth = s.spawn(async move { listener.accept().await.unwrap().1 });
            foster::yield_now().await;
            let mut clients = Vec::new();
            for _ in 0..4 {
                let client = TcpStream::connect(address).await.unwrap();
                clients.push(client.local_addr().unwrap());
            }
            let [first, second] = streams.await.map(|stream| stream.peer_addr().unwrap());
            assert_eq!([first, second, third.await, fourth.await], clients[..]);
        })
        .await;
    }

    async fn a_dropped_read_loses_no_bytes() {
        let (mut client, mut server) = pair().await;
        assert!(poll_once(&mut server.read(&mut [0; 4])).await.is_pending());
        client.write_all(b"kept").await.unwrap();
        let mut buffer = [0; 4];
        server.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"kept");
    }

    async fn a_dropped_write_all_has_written_a_part() {
        let (mut client, mut server) = pair().await;
        let bytes = vec![7; 30_000_000];
        let written = client.write_all(&bytes).timeout(super::harness::T).await;
        assert!(written.is_err(), "nobody reads, so it waits");
        client.close().await.unwrap();
        let mut read = Vec::new();
        server.read_to_end(&mut read).await.unwrap();
        assert!(!read.is_empty() && read.len() < bytes.len(), "{} bytes", read.len());
    }

    async fn a_cancelled_region_takes_what_is_there_and_begins_no_wait() {
        let (mut client, mut server) = pair().await;
        let mut byte = [0; 1];
        assert!(!in_a_cancelled_region(async { server.read_exact(&mut byte).await.unwrap() }).await);
        client.write_all(b"abc").await.unwrap();
        server.read_exact(&mut byte).await.unwrap();
        assert!(in_a_cancelled_region(async { server.read_exact(&mut byte).await.unwrap() }).await);
        assert_eq!(&byte, b"b");
        assert!(in_a_cancelled_region(async { client.write_all(b"d").await.unwrap() }).await);
        server.read_exact(&mut byte).await.unwrap();
        assert!(!in_a_cancelled_region(async { client.write_all(&vec![0; 30_000_000]).await.unwrap() }).await);
        let listener = listen().await;
        assert!(!in_a_cancelled_region(async { drop(listener.accept().await) }).await);
        let address = listener.local_addr().unwrap();
        assert!(!in_a_cancelled_region(async { drop(TcpStream::connect(address).await) }).await);
        assert!(!in_a_cancelled_region(async { drop(TcpListener::bind("127.0.0.1:0").await) }).await);
        let (_client, accepted) = gather((TcpStream::connect(address), listener.accept())).await;
        assert_eq!(accepted.unwrap().0.local_addr().unwrap(), address);
    }

    // It had the turn, and kept it as long as the region was not dropped.
    async fn who_does_not_wait_in_a_cancelled_region_keeps_nobody_from_accepting() {
        let listener = listen().await;
        let (mut accepts, mut incoming) = (Box::pin(listener.accept()), listener.incoming());
        assert!(in_a_cancelled_region(async {
            assert!(poll_once(accepts.as_mut()).await.is_pending());
            assert!(poll_once(incoming.next()).await.is_pending());
        })
        .await);
        let (client, accepted) = gather((TcpStream::connect(listener.local_addr().unwrap()), listener.accept())).await;
        assert_eq!(accepted.unwrap().1, client.unwrap().local_addr().unwrap());
    }

    async fn nobody_in_a_cancelled_region_takes_the_place_of_who_waits() {
        let (client, server) = pair().await;
        scope(async |s| {
            let (client, server) = (&client, &server);
            let reader = s.spawn(async move { (&*server).read(&mut [0; 8]).await.unwrap() });
            let writer = s.spawn(async move {
                (&*server).write_all(&vec![0; 30_000_000]).await.unwrap();
                server.shutdown(Shutdown::Write).unwrap();
            });
            foster::yield_now().await;
            let bytes = [0; 1 << 16];
            assert!(!in_a_cancelled_region(async { drop((&*server).read(&mut [0; 8]).await) }).await);
            assert!(!in_a_cancelled_region(async { while (&*server).write(&bytes).await.is_ok() {} }).await);
            let buffers = [IoSlice::new(&bytes)];
            assert!(!in_a_cancelled_region(async { while (&*server).write_vectored(&buffers).await.is_ok() {} }).await);
            assert!(!writer.is_finished());
            (&*client).write_all(b"abc").await.unwrap();
            assert_eq!(reader.await, 3);
            assert!(all_of(client).await.len() >= 30_000_000);
            writer.await;
        })
        .await;
    }

    async fn the_number_of_an_error_is_that_of_the_operating_system() {
        let address = listen().await.local_addr().unwrap();
        let own = TcpStream::connect(address).await.unwrap_err();
        let std = std::net::TcpStream::connect(address).unwrap_err();
        assert_eq!((net::raw_os_error(&own), own.kind()), (std.raw_os_error(), std.kind()));
        let of_all = TcpStream::connect([address, address]).await.unwrap_err();
        assert_eq!(net::raw_os_error(&of_all), std.raw_os_error());
        assert_eq!(of_all.to_string(), format!("{own}; {own}"));
        assert_eq!(net::raw_os_error(&std), std.raw_os_error());
        assert_eq!(net::raw_os_error(&io::Error::new(std.kind(), io::Error::from_raw_os_error(7))), Some(7));
        assert_eq!(net::raw_os_error(&io::Error::other("of a program")), None);
    }

    async fn settings_are_made_on_both_ends() {
        let options = TcpOptions::new().nodelay(true).keep_alive(Duration::from_secs(30)).linger(Duration::ZERO);
        let listener = options.backlog(4).reuse_address(true).bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let client = options_of(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
        assert_eq!(client, (false, None));
        assert_eq!(options_of(listener.accept().await.unwrap().0), (true, Some(Duration::ZERO)));
    }

    // Systems take whole seconds, and what was less became zero, which resets the connection.
    async fn a_linger_of_less_than_a_second_loses_nothing() {
        let listener = listen().await;
        let options = TcpOptions::new().linger(Duration::from_nanos(1));
        let mut client = options.connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        client.write_all(b"hello").await.unwrap();
        drop(client);
        assert_eq!(all_of(&server).await, b"hello");
        for (linger, kept) in [(1_001, 2), (1 << 45, 32_767)] {
            let (stream, _peer) = pair().await;
            stream.set_linger(Some(Duration::from_millis(linger))).unwrap();
            assert_eq!(options_of(stream).1, Some(Duration::from_secs(kept)));
        }
    }

    // The system refused it for each connection, so that a server dropped all of them.
    async fn any_silence_before_a_probe_can_be_had() {
        for after in [Duration::ZERO, Duration::from_millis(500), Duration::from_secs(12 * 3600), Duration::MAX] {
            let listener = TcpOptions::new().keep_alive(after).bind("127.0.0.1:0").await.unwrap();
            let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (server, _) = listener.accept().await.unwrap();
            let std = server.into_std().unwrap();
            assert!(socket2::SockRef::from(&std).keepalive().unwrap());
        }
    }

    async fn sockets_of_std_come_and_go() {
        let std = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listener = TcpListener::from_std(std).unwrap();
        let std = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut client = TcpStream::from_std(std).unwrap();
        let mut server = listener.accept().await.unwrap().0;
        client.write_all(b"std").await.unwrap();
        let mut buffer = [0; 3];
        server.read_exact(&mut buffer).await.unwrap();
        assert!(client.as_fd().is_some() && listener.as_fd().is_some());
        let (std, mut listener) = (client.into_std().unwrap(), listener.into_std().unwrap());
        assert_eq!(std.local_addr().unwrap(), server.peer_addr().unwrap());
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "it stays non-blocking");
        listener = TcpListener::from_std(listener).unwrap().into_std().unwrap();
        drop(listener);
    }
}

fn options_of(stream: TcpStream) -> (bool, Option<Duration>) {
    let std = stream.into_std().unwrap();
    let socket = socket2::SockRef::from(&std);
    (std.nodelay().unwrap(), socket.linger().unwrap())
}
