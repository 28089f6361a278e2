//! A small protocol over datagrams, which sends again what was not acknowledged.
//!
//! Each datagram is a number and a byte. The answer is the number.

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foster::net::UdpSocket;
use foster::runtimes::Sim;
use foster::testing::{Explore, Faults, settle};
use foster::timeout;

const SECOND: Duration = Duration::from_secs(1);
const BYTES: &[u8] = b"foster";

/// Takes bytes in their order, each once, and acknowledges them.
async fn receiver(taken: Arc<Mutex<Vec<u8>>>) -> io::Result<()> {
    let socket = UdpSocket::bind("receiver:7").await?;
    let mut datagram = [0; 2];
    loop {
        let (_, sender) = socket.recv_from(&mut datagram).await?;
        let [number, byte] = datagram;
        {
            let mut taken = taken.lock().unwrap();
            if usize::from(number) == taken.len() {
                taken.push(byte);
            }
        }
        socket.send_to(&[number], sender).await?;
    }
}

/// Waits for the answer with this number. One that was late, or comes again, is none.
async fn acknowledged(socket: &UdpSocket, number: u8) -> io::Result<()> {
    let mut answer = [0];
    loop {
        socket.recv(&mut answer).await?;
        if answer == [number] {
            return Ok(());
        }
    }
}

/// What a careless programmer writes, and what passes while nothing goes wrong.
async fn answered(socket: &UdpSocket, _: u8) -> io::Result<()> {
    socket.recv(&mut [0]).await.map(drop)
}

/// Sends all bytes, each until it is acknowledged.
async fn transmit(acknowledged: impl AsyncFn(&UdpSocket, u8) -> io::Result<()>) {
    let taken = Arc::<Mutex<Vec<u8>>>::default();
    let kept = taken.clone();
    Sim::current().host("receiver").program(move || {
        let taken = kept.clone();
        async move { receiver(taken).await.unwrap() }
    });
    settle().await;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
    socket.connect("receiver:7").await.unwrap();
    for (number, &byte) in (0..).zip(BYTES) {
        let attempt = async || {
            socket.send(&[number, byte]).await?;
            acknowledged(&socket, number).await
        };
        // An error says that the receiver was down.
        while !matches!(timeout(SECOND, attempt()).await, Ok(Ok(()))) {}
    }
    assert_eq!(*taken.lock().unwrap(), BYTES);
}

fn faults() -> Faults {
    Faults::none().lose_packets(0.1).duplicate_datagrams(0.1).cut_links(0.05, 3 * SECOND).crash_hosts(0.02, SECOND)
}

#[test]
fn it_transmits_whatever_goes_wrong() {
    Explore::new().seeds(0..300).faults(faults()).check(|| transmit(acknowledged));
}

#[test]
fn who_takes_any_answer_is_found_by_a_seed() {
    Explore::new().seeds(0..50).check(|| transmit(answered));
    let careless = Explore::new().seeds(0..300).faults(faults());
    let failure = careless.run(|| transmit(answered)).unwrap_err();
    assert!(failure.message().contains("left == right"), "{failure}");
    let again = Explore::new().seeds(failure.seed()..failure.seed() + 1).faults(faults());
    assert_eq!(again.run(|| transmit(answered)).unwrap_err().trace(), failure.trace());
}
