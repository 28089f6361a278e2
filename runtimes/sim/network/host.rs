//! Hosts: where tasks run, and what ends with them.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_task::{FutureObj, Spawn, SpawnError};
use futures_util::task::SpawnExt;

use super::super::due::{Chore, Due};
use super::super::task::SimTask;
use super::super::world::{State, World};
use super::packet::{EndId, Packet};
use super::socket::Interface;
use super::state::{HostId, Network, Presence};
use crate::panic::catch;
use crate::runtime::{Blocking, Clock, Handle, Instant, Job, RunError, Runtime, Timer, network};
use crate::trace::tree;

/// A host of a simulated network: a runtime of its own, with an address.
///
/// It dereferences to a [`Handle`], so children are spawned on it by
/// [`spawn_on`](crate::Scope::spawn_on), and [`run`](Handle::run) runs a root future there. Such
/// code, and what it spawns, sees the address of the host as its own. All hosts share the clock and
/// the schedule of the simulation. [`Sim::host`](super::super::Sim::host) makes hosts.
///
/// Other hosts find it by its name. A host also has the names and addresses of `localhost`, which
/// lead back to itself.
///
/// ```
/// use foster::net::{TcpListener, TcpStream};
/// use foster::runtimes::Sim;
/// use foster::scope;
/// use futures::io::{AsyncReadExt, AsyncWriteExt};
///
/// let sim = Sim::new(7);
/// let (client, server) = (sim.host("client"), sim.host("server"));
/// let greeting = client.run(scope(async |s| {
///     s.spawn_on(
///         async {
///             let listener = TcpListener::bind("server:80").await.unwrap();
///             let (mut stream, _) = listener.accept().await.unwrap();
///             stream.write_all(b"hello").await.unwrap();
///         },
///         &server,
///     );
///     foster::testing::settle().await; // until the server listens
///     let mut stream = TcpStream::connect("server:80").await.unwrap();
///     let mut greeting = String::new();
///     stream.read_to_string(&mut greeting).await.unwrap();
///     greeting
/// }));
/// assert_eq!(greeting, "hello");
/// assert!(!sim.elapsed().is_zero(), "packets take time");
/// ```
#[derive(Clone)]
pub struct Host(Handle, Arc<World>, HostId);

stands_for_handle!(Host);

impl Host {
    /// Returns the host of this name, which is made if there is none.
    pub(in super::super) fn named(world: &Arc<World>, first: &Handle, name: &str) -> Self {
        let mut state = world.lock();
        let id = state.network.host_named(name).unwrap_or_else(|| {
            let adapter = HostAdapter::new(world, state.network.hosts.len());
            state.network.add_host(name, Some(Handle::new(adapter)))
        });
        let handle = state.network.hosts[id].handle.clone().unwrap_or_else(|| first.clone());
        Host(handle, world.clone(), id)
    }

    /// Returns the name of the host.
    pub fn name(&self) -> String {
        self.1.lock().network.hosts[self.2].name.to_string()
    }

    /// Returns the address at which other hosts find this one.
    pub fn address(&self) -> IpAddr {
        self.1.lock().network.hosts[self.2].ip
    }

    /// Returns whether the host is up, which it is except between a crash and the restart.
    pub fn is_up(&self) -> bool {
        self.1.lock().network.hosts[self.2].is_up
    }

    /// Runs a program on the host, now and after each restart.
    ///
    /// A program usually serves for ever. It is dropped when the host crashes, and when a
    /// [strict](super::super::Builder::strict) run ends. To wait for it, or to cancel it, spawn it
    /// in a scope by [`spawn_on`](crate::Scope::spawn_on) instead.
    ///
    /// # Panics
    ///
    /// If the program panics, so does the run of the simulation.
    pub fn program<F, Fut>(&self, program: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let world = Arc::downgrade(&self.1);
        let start = move |host: &Handle| {
            let running = HostProgram { program: Box::pin(host.enter(program())), world: world.clone() };
            tree::spawning(Some("program".into()), || {
                // A program that a fault refuses does not run, as any other task.
                drop(host.spawn(running));
            });
        };
        let start: super::state::Program = Arc::new(start);
        let before = self.1.lock().network.hosts[self.2].program.replace(start.clone());
        drop(before);
        if self.is_up() {
            start(&self.0);
        }
    }

    /// Crashes the host: its tasks are dropped, and its sockets are gone.
    ///
    /// Nobody is told. A peer that waits for bytes goes on waiting, as after a power failure. What
    /// is sent to the host meanwhile is lost, and except for datagrams sent again after the
    /// [restart](Host::restart). What the host has sent and a link has lost is not sent again.
    ///
    /// A root future that [runs](Handle::run) on the host stays, but without its sockets. A task
    /// that is running when it crashes its own host is dropped after that poll.
    ///
    /// The tasks are thrown away, so a child among them is cancelled by
    /// [`Shutdown`](crate::Reason::Shutdown). What such a child had adopted, or had to clean up,
    /// passes to its scope, and finds the sockets of the host closed.
    pub fn crash(&self) {
        if self.is_up() {
            self.1.crash(self.2);
        }
    }

    /// Starts the host again, and its [program](Host::program). A host that is up crashes first.
    ///
    /// Connections from before are unknown to it, and peers that still write are reset, those that
    /// wait for room included. A peer that only reads hears nothing, as the network of a simulation
    /// ignores [`keep_alive`](crate::net::TcpOptions::keep_alive). A connect that the host has not
    /// answered is asked again.
    pub fn restart(&self) {
        self.crash();
        self.1.restart(self.2);
    }

    /// Sets how many sockets the host may have at a time, listeners among them.
    ///
    /// When there are as many, `connect`, `bind` and `accept` fail as a process does that has no
    /// file descriptor left (EMFILE). A connection that cannot be accepted stays in the queue.
    pub fn limit_sockets(&self, most: usize) {
        self.1.lock().network.hosts[self.2].most_sockets = most;
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("name", &self.name()).field("address", &self.address()).finish_non_exhaustive()
    }
}

impl Network {
    /// Returns the addresses of a host of this name.
    pub(super) fn addresses_of(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if name == "localhost" {
            return Ok(vec![std::net::Ipv4Addr::LOCALHOST.into()]);
        }
        match self.host_named(name) {
            Some(host) => Ok(vec![self.hosts[host].ip]),
            None => Err(io::Error::new(io::ErrorKind::NotFound, self.unknown(name))),
        }
    }

    /// Says that there is no such host, and which there are.
    pub(super) fn unknown(&self, name: &str) -> String {
        let names: Vec<&str> = self.hosts.iter().map(|host| &*host.name).collect();
        format!("the simulation has no host \"{name}\", but {}; `Sim::host` makes one", names.join(", "))
    }
}

impl State {
    /// Takes the sockets of a host away, without a word to anybody.
    fn take_sockets_of(&mut self, host: HostId, wakers: &mut Vec<Waker>) {
        let network = &mut self.network;
        let mut unanswered = Vec::new();
        network.listeners.retain(|_, listening| {
            if listening.host == host {
                wakers.extend(listening.waker.take());
                unanswered.extend(listening.queue.iter().skip(listening.backlog));
            }
            listening.host != host
        });
        network.bound.retain(|_, bound| {
            if bound.host == host {
                wakers.extend(bound.receiver.take());
            }
            bound.host != host
        });
        for end in network.connections.values_mut().flatten().filter(|end| end.host == host) {
            end.presence = Presence::Crashed;
            end.take_wakers(wakers);
        }
        let over: Vec<u64> = network.connections.keys().copied().collect();
        over.into_iter().for_each(|connection| network.forget_if_over(connection));
        // Their clients have heard nothing, and so ask again.
        let connects: Vec<Packet> = unanswered.into_iter().filter_map(|asked| network.ask_again(asked)).collect();
        network.hosts[host].parked.extend(connects);
    }

    /// Takes the tasks of a host out.
    fn take_tasks_of(&mut self, host: HostId) -> Vec<Arc<SimTask>> {
        let tasks = self.tasks.values().filter(|task| task.host == host);
        let gone: Vec<Arc<SimTask>> = tasks.cloned().collect();
        for task in &gone {
            self.tasks.remove(&task.number);
            self.schedule.forget(task.number);
        }
        // The root future has the number 0, and stays.
        let stays = |task: &Arc<SimTask>| task.host != host || task.number == 0;
        self.ready.retain(stays);
        self.late.retain(stays);
        gone
    }
}

impl World {
    pub(super) fn crash(&self, host: HostId) {
        self.change(|state, _| {
            let name = state.network.hosts[host].name.clone();
            state.trace.network(name, "crashes");
        });
        self.power_off(host);
    }

    /// Crashes a host that is up, and restarts it after this time.
    pub(in super::super) fn crash_for(&self, host: HostId, down_for: Duration) {
        if self.lock().network.hosts[host].is_up {
            self.crash(host);
            let mut state = self.lock();
            let (at, changes) = (state.elapsed.saturating_add(down_for), state.network.hosts[host].changes);
            state.schedule_due(at, Due::Restart(host, changes));
        }
    }

    /// Starts a host that has been down for a while, unless it restarted since.
    pub(in super::super) fn end_crash(&self, host: HostId, changes: u64) {
        if self.lock().network.hosts[host].changes == changes {
            self.restart(host);
        }
    }

    fn power_off(&self, host: HostId) {
        let tasks = self.change(|state, wakers| {
            let here = &mut state.network.hosts[host];
            here.is_up = false;
            here.changes += 1;
            state.take_sockets_of(host, wakers);
            state.take_tasks_of(host)
        });
        for task in tasks {
            task.discard();
        }
    }

    /// Starts a host that is down.
    pub(super) fn restart(&self, host: HostId) {
        if self.lock().network.hosts[host].is_up {
            return;
        }
        let (handle, program) = self.change(|state, wakers| {
            let here = &mut state.network.hosts[host];
            here.is_up = true;
            here.changes += 1;
            let (handle, program) = (here.handle.clone(), here.program.clone());
            let parked = std::mem::take(&mut here.parked);
            let name = here.name.clone();
            state.trace.network(name, "restarts");
            for packet in parked {
                state.send_later(packet);
            }
            let connections: Vec<u64> = state.network.connections.keys().copied().collect();
            for connection in connections {
                [0, 1].into_iter().for_each(|end| state.probe(EndId { connection, end }, wakers));
            }
            (handle, program)
        });
        if let (Some(handle), Some(program)) = (handle, program) {
            program(&handle);
        }
    }

    /// Drops what runs on hosts that have a program.
    pub(in super::super) fn end_programs(&self) {
        let hosts: Vec<HostId> = {
            let state = self.lock();
            let hosts = state.network.hosts.iter().enumerate();
            hosts.filter(|(_, host)| host.program.is_some()).map(|(id, _)| id).collect()
        };
        for host in hosts {
            self.power_off(host);
            let mut state = self.lock();
            let ended = &mut state.network.hosts[host];
            ended.is_up = true;
            let program = ended.program.take();
            drop(state);
            drop(program);
        }
    }
}

/// A program that makes the run panic if it does.
struct HostProgram {
    program: Pin<Box<dyn Future<Output = ()> + Send>>,
    world: Weak<World>,
}

impl Future for HostProgram {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        catch(|| self.program.as_mut().poll(cx)).unwrap_or_else(|payload| {
            if let Some(world) = self.world.upgrade() {
                world.lock().chores.push_back(Chore::Panic(payload));
            }
            Poll::Ready(())
        })
    }
}

/// Makes a [`Runtime`] of a host. The simulation keeps it, so it keeps no simulation.
pub(in super::super) struct HostAdapter {
    world: Weak<World>,
    host: HostId,
    interface: Interface,
    start: Instant,
}

impl HostAdapter {
    fn new(world: &Arc<World>, host: HostId) -> Self {
        let weak = Arc::downgrade(world);
        HostAdapter { world: weak.clone(), host, interface: Interface::new(weak, host), start: world.start }
    }
}

impl Spawn for HostAdapter {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.world.upgrade().ok_or_else(SpawnError::shutdown)?.spawn(false, self.host, future)
    }
}

impl Clock for HostAdapter {
    fn now(&self) -> Instant {
        self.world.upgrade().map_or(self.start, |world| world.now())
    }

    fn timer(&self, at: Instant) -> Timer {
        self.world.upgrade().map_or_else(Timer::never, |world| world.timer(at))
    }
}

impl Blocking for HostAdapter {
    fn spawn_blocking(&self, job: Job) -> Result<(), SpawnError> {
        let world = self.world.upgrade().ok_or_else(SpawnError::shutdown)?;
        world.spawn(true, self.host, FutureObj::new(Box::new(async { job() })))
    }
}

impl Runtime for HostAdapter {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn block_on(&self, root: Pin<&mut dyn Future<Output = ()>>) -> Result<(), RunError> {
        let world = self.world.upgrade();
        world.ok_or_else(|| RunError::new("the simulation of this host has ended"))?.block_on(root)
    }

    fn network(&self) -> Option<&dyn network::Network> {
        Some(&self.interface)
    }
}
