//! Sockets, on every runtime that has a network.
//!
//! Everything lies on the loopback interface. No test goes by real time: what must happen is waited
//! for, and the watchdog ends a test in which it does not.

#[macro_use]
#[path = "../support/harness.rs"]
mod harness;

mod attempts;
mod bridge;
mod busy;
#[allow(dead_code)]
#[path = "../sync/by_hand.rs"]
mod by_hand;
#[path = "../sync/cancelled.rs"]
mod cancelled;
mod duplex;
mod hyper;
mod names;
mod own;
mod serve;
mod tcp;
mod udp;
mod udp_seam;
#[cfg(unix)]
mod unix;

use foster::net::{TcpListener, TcpStream};

/// Tests for every runtime that has a network.
macro_rules! sockets {
    ($($(#[$meta:meta])* async fn $name:ident() $body:block)*) => {$(
        #[foster::test(runtimes(tokio, tokio_multi, smol, async_std, basic), timeout = "10s")]
        $(#[$meta])*
        async fn $name() $body
    )*};
}
use sockets;

/// A listener on a free port.
async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// The two ends of a connection.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = listen().await;
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}
