//! Connections in memory.

use std::io::{ErrorKind, IoSlice};

use foster::net::duplex;
use foster::testing::{cancel_at_every_await, explore_all};
use foster::{gather, local, scope, yield_now};
use futures::io::{AsyncReadExt, AsyncWriteExt};

use super::by_hand::ByHand;
use super::cancelled::in_a_cancelled_region;

matrix! {
    async fn bytes_cross_a_small_connection_in_order() {
        let bytes: Vec<u8> = (0..10_000_u32).map(|i| i as u8).collect();
        for capacity in [1, 7, 100_000] {
            let (mut client, mut server) = duplex(capacity);
            let mut received = Vec::new();
            let send = async {
                client.write_all(&bytes).await.unwrap();
                client.close().await.unwrap();
            };
            gather((send, async { server.read_to_end(&mut received).await.unwrap(); })).await;
            assert!(received == bytes);
        }
    }

    async fn both_ends_work_on_other_tasks() {
        let (mut client, server) = duplex(3);
        scope(async |s| {
            s.spawn_parallel(async move {
                let (mut read, mut write) = server.into_split();
                futures::io::copy(&mut read, &mut write).await.unwrap();
            });
            client.write_all(b"hi").await.unwrap();
            client.close().await.unwrap();
            let mut echo = String::new();
            client.read_to_string(&mut echo).await.unwrap();
            assert_eq!(echo, "hi");
        })
        .await;
    }

    async fn nobody_in_a_cancelled_region_takes_the_place_of_who_waits() {
        let (client, server) = duplex(2);
        scope(async |s| {
            let (client, server) = (&client, &server);
            let reader = s.spawn(async move { (&*server).read(&mut [0; 2]).await.unwrap() });
            let writer = s.spawn(async move { (&*server).write_all(b"1234").await.unwrap() });
            yield_now().await;
            assert!(!in_a_cancelled_region(async { drop((&*server).read(&mut [0; 2]).await) }).await);
            assert!(!in_a_cancelled_region(async { drop((&*server).write(b"5").await) }).await);
            (&*client).write_all(b"a").await.unwrap();
            assert_eq!(reader.await, 1);
            let mut buffer = [0; 4];
            (&*client).read_exact(&mut buffer).await.unwrap();
            assert_eq!(&buffer, b"1234");
            writer.await;
        })
        .await;
    }

    async fn a_cancelled_region_takes_what_is_there_and_begins_no_wait() {
        let (mut client, mut server) = duplex(4);
        client.write_all(b"abc").await.unwrap();
        assert!(in_a_cancelled_region(async {
            let mut buffer = [0; 2];
            server.read_exact(&mut buffer).await.unwrap();
            assert_eq!(&buffer, b"ab");
        }).await);
        assert!(in_a_cancelled_region(async { client.write_all(b"def").await.unwrap() }).await);
        assert!(!in_a_cancelled_region(async { client.write_all(b"g").await.unwrap() }).await, "it is full");
        let mut buffer = [0; 4];
        server.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"cdef");
        let mut more = [0; 1];
        assert!(!in_a_cancelled_region(async { server.read_exact(&mut more).await.unwrap() }).await, "it is empty");
    }
}

#[test]
fn a_reader_is_woken_by_bytes_and_by_the_end() {
    let (mut client, mut server) = duplex(4);
    let mut buffer = [0; 4];
    let mut read = ByHand::waiting(server.read(&mut buffer));
    assert_eq!(ByHand::new(client.write(b"12")).poll().unwrap().unwrap(), 2);
    assert_eq!((read.wakes(), read.poll().unwrap().unwrap()), (1, 2));
    drop(read);
    let mut read = ByHand::waiting(server.read(&mut buffer));
    drop(client);
    assert_eq!((read.wakes(), read.poll().unwrap().unwrap()), (1, 0));
}

#[test]
fn a_writer_is_woken_by_room_and_by_the_other_end() {
    let (mut client, mut server) = duplex(2);
    assert_eq!(ByHand::new(client.write(b"12345")).poll().unwrap().unwrap(), 2);
    let mut write = ByHand::waiting(client.write(b"345"));
    assert_eq!(ByHand::new(server.read(&mut [0; 1])).poll().unwrap().unwrap(), 1);
    assert_eq!((write.wakes(), write.poll().unwrap().unwrap()), (1, 1));
    drop(write);
    let mut write = ByHand::waiting(client.write(b"45"));
    drop(server);
    assert_eq!(write.wakes(), 1);
    assert_eq!(write.poll().unwrap().unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn what_was_sent_before_a_drop_is_read_after_it() {
    let (mut client, mut server) = duplex(8);
    ByHand::new(client.write_all(b"last")).poll().unwrap().unwrap();
    drop(client);
    let mut text = String::new();
    ByHand::new(server.read_to_string(&mut text)).poll().unwrap().unwrap();
    assert_eq!(text, "last");
    assert_eq!(ByHand::new(server.write(b"x")).poll().unwrap().unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn a_closed_direction_leaves_the_other_open() {
    let (mut client, mut server) = duplex(8);
    ByHand::new(client.close()).poll().unwrap().unwrap();
    let closed = ByHand::new(client.write(b"x")).poll().unwrap().unwrap_err();
    assert_eq!((closed.kind(), closed.to_string().as_str()), (ErrorKind::BrokenPipe, "this direction was closed"));
    assert_eq!(ByHand::new(server.read(&mut [0; 1])).poll().unwrap().unwrap(), 0);
    let buffers = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cdefghijk")];
    assert_eq!(ByHand::new(server.write_vectored(&buffers)).poll().unwrap().unwrap(), 8);
    let mut buffer = [0; 8];
    ByHand::new(client.read_exact(&mut buffer)).poll().unwrap().unwrap();
    assert_eq!(&buffer, b"abcdefgh");
}

#[test]
fn a_half_that_is_closed_ends_its_direction() {
    let (client, mut server) = duplex(8);
    let (mut read, mut write) = client.into_split();
    ByHand::new(write.close()).poll().unwrap().unwrap();
    assert_eq!(ByHand::new(server.read(&mut [0; 1])).poll().unwrap().unwrap(), 0);
    ByHand::new(server.write_all(b"on")).poll().unwrap().unwrap();
    ByHand::new(read.read_exact(&mut [0; 2])).poll().unwrap().unwrap();
}

#[test]
fn nothing_to_read_or_to_write_needs_no_wait() {
    let (mut client, mut server) = duplex(1);
    assert_eq!(ByHand::new(server.read(&mut [])).poll().unwrap().unwrap(), 0);
    ByHand::new(client.write_all(b"1")).poll().unwrap().unwrap();
    assert_eq!(ByHand::new(client.write(b"")).poll().unwrap().unwrap(), 0);
}

#[test]
#[should_panic(expected = "room for at least one byte")]
fn a_connection_needs_room() {
    drop(duplex(0));
}

async fn exchange() {
    let (mut client, mut server) = duplex(1);
    local::scope(async |s| {
        s.spawn(async move {
            let mut buffer = [0; 2];
            server.read_exact(&mut buffer).await.unwrap();
            server.write_all(&buffer).await.unwrap();
        });
        client.write_all(b"ab").await.unwrap();
        let mut echo = String::new();
        client.read_to_string(&mut echo).await.unwrap();
        assert_eq!(echo, "ab");
    })
    .await;
}

#[test]
fn an_exchange_ends_in_every_schedule() {
    explore_all(exchange);
}

#[test]
fn an_exchange_may_be_cancelled_at_every_await() {
    cancel_at_every_await(exchange, || {});
}
