//! What programs hold: an interface to the network, connections and listeners.
//!
//! They hold the simulation weakly, since only handles keep it alive.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::super::world::{State, World};
use super::datagram::SimDatagrams;
use super::faults::Planned;
use super::link::Flow;
use super::packet::{Content, EndId};
use super::state::{HostId, Network, Presence};
use crate::panic::wake_all;
use crate::runtime::network::{
    self as runtime, Acceptor, Address, Connection, DatagramSocket, ListenOptions, Listener, NetworkFuture, Socket,
    SocketOption,
};
use crate::trace::tree;

/// The error of everything once the simulation is gone.
pub(super) fn is_over() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the simulation has ended")
}

/// The error of what a host had before it crashed.
pub(super) fn has_crashed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the host has crashed")
}

impl World {
    /// Changes the network, and wakes who must hear of it, without the lock.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut State, &mut Vec<Waker>) -> R) -> R {
        let mut wakers = Vec::new();
        let result = change(&mut self.lock(), &mut wakers);
        wake_all(wakers);
        result
    }
}

/// Tries something, and if it must wait, tries once more with a waker to leave there.
///
/// The waker is cloned between the two, because its clone is code of others and must not run under
/// the lock. What it replaces is dropped after the second try, for the same reason.
pub(super) fn poll<R>(
    world: &Weak<World>,
    cx: &mut Context<'_>,
    mut attempt: impl FnMut(&World, &mut Option<Waker>) -> Poll<io::Result<R>>,
) -> Poll<io::Result<R>> {
    let Some(world) = world.upgrade() else { return Poll::Ready(Err(is_over())) };
    let mut waker = None;
    let first = attempt(&world, &mut waker);
    // Who cannot be woken tries once, and leaves the place to whoever waits there.
    if first.is_ready() || is_nobody(cx.waker()) {
        return first;
    }
    waker = Some(cx.waker().clone());
    attempt(&world, &mut waker)
}

/// Whether this is the waker of nobody. `will_wake` compares the addresses of the tables of
/// functions, of which a compiler may make several copies.
fn is_nobody(waker: &Waker) -> bool {
    let nobody = Waker::noop();
    waker.data() == nobody.data() && waker.vtable() == nobody.vtable()
}

/// Leaves a waker in `place`, if there is one.
pub(super) fn wait<R>(place: &mut Option<Waker>, waker: &mut Option<Waker>) -> Poll<R> {
    if waker.is_some() {
        std::mem::swap(place, waker);
    }
    Poll::Pending
}

/// The network, as one host sees it.
#[derive(Clone)]
pub(in super::super) struct Interface {
    world: Weak<World>,
    host: HostId,
}

impl Interface {
    pub(in super::super) fn new(world: Weak<World>, host: HostId) -> Self {
        Interface { world, host }
    }
}

impl runtime::Network for Interface {
    fn connect(&self, address: &Address) -> NetworkFuture<Socket> {
        match address.tcp() {
            Some(to) => Box::pin(Connecting { interface: self.clone(), to, begun: None }),
            None => Box::pin(std::future::ready(Err(no_unix_sockets()))),
        }
    }

    fn listen(&self, address: &Address, options: &ListenOptions) -> io::Result<Listener> {
        let world = self.world.upgrade().ok_or_else(is_over)?;
        let address = address.tcp().ok_or_else(no_unix_sockets)?;
        let network = &mut world.lock().network;
        network.admit_socket(self.host)?;
        let backlog = usize::try_from(options.backlog()).unwrap_or(usize::MAX);
        let number = network.listen(self.host, address, backlog)?;
        Ok(Listener::boxed(SimListener { world: self.world.clone(), number }))
    }

    fn bind(&self, address: SocketAddr) -> io::Result<DatagramSocket> {
        let world = self.world.upgrade().ok_or_else(is_over)?;
        let network = &mut world.lock().network;
        network.admit_socket(self.host)?;
        let socket = network.bind(self.host, address)?;
        Ok(DatagramSocket::boxed(SimDatagrams { world: self.world.clone(), socket }))
    }

    fn lookup(&self, host: &str) -> Option<NetworkFuture<Vec<IpAddr>>> {
        let found = self.world.upgrade().ok_or_else(is_over).and_then(|world| world.lock().network.addresses_of(host));
        Some(Box::pin(std::future::ready(found)))
    }
}

fn no_unix_sockets() -> io::Error {
    runtime::unsupported("the network of a simulation has no Unix sockets")
}

/// An attempt to connect.
struct Connecting {
    interface: Interface,
    to: SocketAddr,
    begun: Option<EndId>,
}

impl Connecting {
    fn begin(&mut self, world: &World) -> io::Result<EndId> {
        let (from, to) = (self.interface.host, self.to);
        let refused = world.refuses(from, to);
        let mut wakers = Vec::new();
        let mut state = world.lock();
        let network = &mut state.network;
        network.admit_socket(from)?;
        let host = network.host_at(to.ip(), from).ok_or(io::ErrorKind::HostUnreachable)?;
        let here = SocketAddr::new(network.ip_towards(from, to), network.free_port(from)?);
        let connection = network.connect((from, here), (host, to));
        let (client, server) = (EndId { connection, end: 0 }, EndId { connection, end: 1 });
        if refused {
            state.send(client, Content::Refused, &mut wakers);
        } else {
            state.send(server, Content::Connect, &mut wakers);
        }
        drop(state);
        wake_all(wakers);
        self.begun = Some(client);
        Ok(client)
    }
}

impl Future for Connecting {
    type Output = io::Result<Socket>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Socket>> {
        let Some(world) = self.interface.world.upgrade() else { return Poll::Ready(Err(is_over())) };
        let id = match self.begun {
            Some(id) => id,
            None => match self.begin(&world) {
                Ok(id) => id,
                Err(error) => return Poll::Ready(Err(error)),
            },
        };
        let polled = poll(&self.interface.world, cx, |world, waker| {
            let mut state = world.lock();
            let Some(end) = state.network.end(id) else { return Poll::Ready(Err(has_crashed())) };
            if end.presence == Presence::Crashed {
                return Poll::Ready(Err(has_crashed()));
            }
            // A connection that was reset since is one, as its first read tells.
            if end.is_connected {
                return Poll::Ready(Ok(()));
            }
            match end.error.take() {
                Some(error) => Poll::Ready(Err(error.into())),
                None => wait(&mut end.writer, waker),
            }
        });
        match polled {
            Poll::Ready(Ok(())) => {
                self.begun = None;
                let world = self.interface.world.clone();
                Poll::Ready(Ok(Socket::boxed(SimConnection { world, id })))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                tree::waiting(|| waits_for("answer", &world, id));
                Poll::Pending
            }
        }
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        if let Some(id) = self.begun {
            close(&self.interface.world, id);
        }
    }
}

fn close(world: &Weak<World>, id: EndId) {
    if let Some(world) = world.upgrade() {
        world.change(|state, wakers| state.close(id, wakers));
    }
}

/// Says what is waited for, of whom, and whether the link between them is broken.
fn waits_for(what: &str, world: &World, id: EndId) -> String {
    let state = world.lock();
    let network = &state.network;
    let Some(ends) = network.connections.get(&id.connection) else { return what.to_string() };
    let (here, there) = (&ends[id.end], &ends[1 - id.end]);
    let (name, there_name) = (&network.hosts[here.host].name, &network.hosts[there.host].name);
    let mut text = format!("{what} of {there_name}, at {name}");
    if there.presence == Presence::Crashed && network.hosts[there.host].is_up {
        text.push_str(", which has crashed");
    }
    add_troubles(&mut text, network, here.host, there.host);
    text
}

/// Says whether a host is down, and whether the link to it is broken.
pub(super) fn add_troubles(text: &mut String, network: &Network, here: HostId, there: HostId) {
    if !network.hosts[there].is_up {
        text.push_str(", which has crashed");
    }
    for (way, from, to) in [("from", there, here), ("to", here, there)] {
        match network.flow(from, to) {
            Flow::Open => {}
            Flow::Clogged => text.push_str(&format!("; the link {way} it is clogged")),
            Flow::Cut => text.push_str(&format!("; the link {way} it is cut")),
        }
    }
}

/// One end of a connection.
struct SimConnection {
    world: Weak<World>,
    id: EndId,
}

impl SimConnection {
    fn with<R>(&self, f: impl FnOnce(&mut State) -> io::Result<R>) -> io::Result<R> {
        let world = self.world.upgrade().ok_or_else(is_over)?;
        f(&mut world.lock())
    }

    fn note_wait<R>(&self, what: &'static str, polled: Poll<R>) -> Poll<R> {
        if polled.is_pending() {
            tree::waiting(|| self.world.upgrade().map_or_else(String::new, |world| waits_for(what, &world, self.id)));
        }
        polled
    }
}

impl Connection for SimConnection {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let polled = poll(&self.world, cx, |world, waker| {
            let mut state = world.lock();
            let (polled, writer) = state.read(self.id, buffer, waker);
            drop(state);
            writer.into_iter().for_each(Waker::wake);
            polled
        });
        self.note_wait("bytes", polled)
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = poll(&self.world, cx, |world, waker| {
            let planned = world.plan_write(self.id, bytes.len());
            world.change(|state, woken| state.write(self.id, bytes, planned, waker, woken))
        });
        self.note_wait("room", polled)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let world = self.world.upgrade().ok_or_else(is_over)?;
        world.change(|state, wakers| state.shut_down(self.id, how, wakers))
    }

    fn local_address(&self) -> io::Result<Address> {
        self.with(|state| Ok(state.network.end(self.id).ok_or_else(has_crashed)?.address.into()))
    }

    fn peer_address(&self) -> io::Result<Address> {
        self.with(|state| Ok(state.network.end(self.id.peer()).ok_or_else(has_crashed)?.address.into()))
    }

    fn set_option(&self, option: SocketOption) -> io::Result<()> {
        self.with(|state| {
            if let (SocketOption::Linger(linger), Some(end)) = (option, state.network.end(self.id)) {
                end.resets_on_drop = linger == Some(Duration::ZERO);
            }
            Ok(())
        })
    }
}

impl Drop for SimConnection {
    fn drop(&mut self) {
        close(&self.world, self.id);
    }
}

/// A listener.
struct SimListener {
    world: Weak<World>,
    number: u64,
}

impl Acceptor for SimListener {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Socket, Address)>> {
        let polled =
            poll(&self.world, cx, |world, waker| world.change(|state, woken| state.accept(self.number, waker, woken)));
        polled.map_ok(|(id, peer)| {
            let world = self.world.clone();
            (Socket::boxed(SimConnection { world, id }), Address::Tcp(peer))
        })
    }

    fn local_address(&self) -> io::Result<Address> {
        let world = self.world.upgrade().ok_or_else(is_over)?;
        let state = world.lock();
        Ok(state.network.listeners.get(&self.number).ok_or_else(has_crashed)?.address.into())
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        if let Some(world) = self.world.upgrade() {
            world.change(|state, wakers| state.stop_listening(self.number, wakers));
        }
    }
}

/// What the calls on sockets do, under the lock.
impl State {
    /// Reads what has arrived. Returns who waits for the room, too.
    fn read(
        &mut self,
        id: EndId,
        buffer: &mut [u8],
        waker: &mut Option<Waker>,
    ) -> (Poll<io::Result<usize>>, Option<Waker>) {
        let Some(ends) = self.network.connections.get(&id.connection) else {
            return (Poll::Ready(Err(has_crashed())), None);
        };
        let (from, to) = (ends[1 - id.end].host, ends[id.end].host);
        let there = ends[id.end].arrived.min(buffer.len());
        let part = self.network.part_of(there, from, to);
        let Some(end) = self.network.end(id) else { return (Poll::Pending, None) };
        if end.presence == Presence::Crashed {
            return (Poll::Ready(Err(has_crashed())), None);
        }
        if end.reads_no_more || buffer.is_empty() {
            return (Poll::Ready(Ok(0)), None);
        }
        if part == 0 {
            let polled = match end.error.take() {
                Some(error) => Poll::Ready(Err(error.into())),
                None if end.has_ended || end.is_reset => Poll::Ready(Ok(0)),
                None => wait(&mut end.reader, waker),
            };
            return (polled, None);
        }
        take_from(end, &mut buffer[..part]);
        let writer = self.network.end(id.peer()).and_then(|peer| peer.writer.take());
        (Poll::Ready(Ok(part)), writer)
    }

    /// Takes bytes to send.
    fn write(
        &mut self,
        id: EndId,
        bytes: &[u8],
        planned: Option<Planned>,
        waker: &mut Option<Waker>,
        woken: &mut Vec<Waker>,
    ) -> Poll<io::Result<usize>> {
        let Planned { bytes: part, fault } = planned.unwrap_or_else(|| self.unplanned(id, bytes.len()));
        let Some(end) = self.network.end(id) else { return Poll::Ready(Err(has_crashed())) };
        if end.presence == Presence::Crashed {
            return Poll::Ready(Err(has_crashed()));
        }
        if let Some(error) = end.error.take() {
            return Poll::Ready(Err(error.into()));
        }
        if end.writes_no_more || end.is_reset {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if part == 0 {
            let polled = wait(&mut end.writer, waker);
            self.probe(id, woken);
            return polled;
        }
        if let Some(peer) = self.network.end(id.peer()) {
            peer.stream.extend(&bytes[..part]);
        }
        self.send_bytes(id.peer(), part, fault, woken);
        Poll::Ready(Ok(part))
    }

    fn shut_down(&mut self, id: EndId, how: Shutdown, wakers: &mut Vec<Waker>) -> io::Result<()> {
        let Some(end) = self.network.end(id) else { return Ok(()) };
        end.take_wakers(wakers);
        if how != Shutdown::Write {
            end.reads_no_more = true;
            end.stream.drain(..end.arrived);
            end.arrived = 0;
            // There is room now.
            wakers.extend(self.network.end(id.peer()).and_then(|peer| peer.writer.take()));
        }
        let Some(end) = self.network.end(id) else { return Ok(()) };
        let ends_now = how != Shutdown::Read && !std::mem::replace(&mut end.writes_no_more, true);
        if how == Shutdown::Read {
            return Ok(());
        }
        if ends_now && !end.is_reset && end.presence == Presence::Here {
            self.send(id.peer(), Content::End, wakers);
        }
        Ok(())
    }

    fn accept(
        &mut self,
        listener: u64,
        waker: &mut Option<Waker>,
        woken: &mut Vec<Waker>,
    ) -> Poll<io::Result<(EndId, SocketAddr)>> {
        let Network { listeners, connections, .. } = &mut self.network;
        let Some(listening) = listeners.get_mut(&listener) else { return Poll::Ready(Err(has_crashed())) };
        let is_connected = |asked| connections.get(asked).is_some_and(|[_, server]| server.is_connected);
        let Some(place) = listening.queue.iter().position(is_connected) else {
            return wait(&mut listening.waker, waker);
        };
        let (connection, host) = (listening.queue[place], listening.host);
        self.network.admit_socket(host)?;
        let network = &mut self.network;
        let next = network.listeners.get_mut(&listener).and_then(|listening| listening.take_out(place));
        let Some([client, server]) = network.connections.get_mut(&connection) else { return Poll::Pending };
        server.is_held = true;
        let peer = client.address;
        if let Some(next) = next {
            self.send(next, Content::Connected, woken);
        }
        Poll::Ready(Ok((EndId { connection, end: 1 }, peer)))
    }
}

/// Takes bytes that have arrived at an end.
fn take_from(end: &mut super::state::ConnectionEnd, buffer: &mut [u8]) {
    let (first, second) = end.stream.as_slices();
    let split = first.len().min(buffer.len());
    buffer[..split].copy_from_slice(&first[..split]);
    let rest = buffer.len() - split;
    buffer[split..].copy_from_slice(&second[..rest]);
    end.stream.drain(..buffer.len());
    end.arrived -= buffer.len();
}
