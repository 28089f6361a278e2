//! The network of a simulation: hosts, links, and what goes wrong on them.
//!
//! Everything is in virtual time, and each test runs under several seeds.

mod connections;
mod crashes;
mod datagrams;
mod failures;
mod faults;
mod handshake;
#[cfg(feature = "hyper")]
mod hyper;
mod order;
mod retransmission;
mod speed;

use std::io;

use foster::net::{TcpListener, TcpStream};
use foster::runtimes::Sim;
use foster::testing::conformance::Conformance;
use futures::io::{AsyncReadExt, AsyncWriteExt};

/// Runs a test under many seeds.
fn for_seeds(mut test: impl FnMut(Sim)) {
    for seed in 0..50 {
        test(Sim::builder().seed(seed).strict().build());
    }
}

/// Sends back what comes, to one client after the other.
async fn echo(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        _ = echo_to(stream).await;
    }
}

async fn echo_to(stream: TcpStream) -> io::Result<()> {
    futures::io::copy(&stream, &mut &stream).await?;
    (&stream).close().await
}

async fn all_of(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    bytes
}

#[test]
fn the_network_keeps_what_foster_relies_on() {
    for seed in 0..3 {
        Conformance::of(move || Sim::new(seed)).isolated().with_network().run();
    }
}
