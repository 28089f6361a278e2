//! Connects to the first of several addresses that answers.
//!
//! This is "happy eyeballs", RFC 8305: the families of addresses take turns, and each attempt has a
//! short time before the next one begins beside it. An attempt that fails lets the next one begin
//! at once.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{error, on_network};
use crate::runtime::network::{Address, NetworkFuture, Socket};
use crate::time::{Sleep, sleep};

/// How long an attempt is alone before the next one begins: what RFC 8305 recommends.
const HEAD_START: Duration = Duration::from_millis(250);

/// Waits until something may begin here. In a cancelled region that is never.
pub(super) async fn begin() {
    poll_fn(|_| if super::is_tripped() { Poll::Pending } else { Poll::Ready(()) }).await;
}

/// Connects to the first of `addresses` that answers. Each attempt may take `limit`.
pub(super) async fn first_of(addresses: Vec<SocketAddr>, limit: Option<Duration>) -> io::Result<(Socket, SocketAddr)> {
    let mut attempts =
        Attempts { next: in_turn(addresses), limit, running: Vec::new(), head_start: None, errors: Vec::new() };
    poll_fn(|cx| attempts.poll(cx)).await
}

/// Opens one connection on the network in force.
pub(super) fn open(address: &Address) -> NetworkFuture<Socket> {
    on_network(|network| Ok(network.connect(address))).unwrap_or_else(|error| Box::pin(std::future::ready(Err(error))))
}

/// Puts addresses of the two families in turn, each in its order. The family of the first begins.
fn in_turn(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_family = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut ours, mut others): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_family);
    let mut order = VecDeque::new();
    while let Some(address) = ours.pop_front() {
        order.push_back(address);
        order.extend(others.pop_front());
    }
    order.extend(others);
    order
}

/// An attempt to connect to one address.
struct Attempt {
    /// How many began before.
    number: usize,
    address: SocketAddr,
    future: NetworkFuture<Socket>,
    limit: Option<Pin<Box<Sleep>>>,
}

impl Attempt {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Socket>> {
        if let Poll::Ready(done) = self.future.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        match &mut self.limit {
            Some(limit) => limit.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
            None => Poll::Pending,
        }
    }
}

/// The attempts that run, and those that are to come.
struct Attempts {
    next: VecDeque<SocketAddr>,
    limit: Option<Duration>,
    running: Vec<Attempt>,
    /// How long the newest attempt is alone. `None` if the next one begins now.
    head_start: Option<Pin<Box<Sleep>>>,
    /// Why attempts have failed, and their numbers.
    errors: Vec<(usize, io::Error)>,
}

impl Attempts {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Socket, SocketAddr)>> {
        loop {
            if let Poll::Ready(winner) = self.poll_running(cx) {
                return Poll::Ready(Ok(winner));
            }
            if self.next.is_empty() && self.running.is_empty() {
                return Poll::Ready(Err(self.failure()));
            }
            if self.next.is_empty() {
                return Poll::Pending;
            }
            if let Some(head_start) = &mut self.head_start {
                if head_start.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
            }
            self.begin_next();
        }
    }

    /// Polls what runs. An attempt that fails ends the head start.
    fn poll_running(&mut self, cx: &mut Context<'_>) -> Poll<(Socket, SocketAddr)> {
        let mut at = 0;
        while let Some(attempt) = self.running.get_mut(at) {
            match attempt.poll(cx) {
                Poll::Ready(Ok(socket)) => return Poll::Ready((socket, attempt.address)),
                Poll::Ready(Err(failed)) => {
                    self.errors.push((attempt.number, error::at(failed, "connect to", attempt.address)));
                    self.running.remove(at);
                    self.head_start = None;
                }
                Poll::Pending => at += 1,
            }
        }
        Poll::Pending
    }

    fn begin_next(&mut self) {
        let Some(address) = self.next.pop_front() else { return };
        let limit = self.limit.map(|limit| Box::pin(sleep(limit)));
        let number = self.running.len() + self.errors.len();
        self.running.push(Attempt { number, address, future: open(&address.into()), limit });
        self.head_start = (!self.next.is_empty()).then(|| Box::pin(sleep(HEAD_START)));
    }

    /// Returns the errors of all attempts as one, in the order in which the attempts began.
    fn failure(&mut self) -> io::Error {
        let mut errors = std::mem::take(&mut self.errors);
        errors.sort_by_key(|(number, _)| *number);
        error::all(errors.into_iter().map(|(_, error)| error).collect())
    }
}
