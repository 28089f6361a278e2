//! How packets travel: they are sent, they arrive, and what they do there.

use std::io::ErrorKind;
use std::task::Waker;
use std::time::Duration;

use super::super::due::{Chore, Due};
use super::super::faults::Fault;
use super::super::world::State;
use super::link::Flow;
use super::packet::{Content, EndId, Fate, Packet, Seen};
use super::state::{ConnectionEnd, HostId, Presence};

/// After how long a packet is sent again that was lost.
pub(super) const RESEND: Duration = Duration::from_millis(200);

impl State {
    /// Sends a packet to `to`, `late` after now.
    ///
    /// The wakers of those who must hear of it go to `wakers`, to be woken without the lock.
    pub(super) fn send(&mut self, to: EndId, content: Content, late: Duration, wakers: &mut Vec<Waker>) {
        let packet = Packet { to, content };
        let Some((from_host, to_host)) = self.way_of(packet) else { return };
        if self.park(packet, from_host, to_host) {
            return;
        }
        let (now, network) = (self.elapsed, &mut self.network);
        let arrival = network.arrival(from_host, to_host, content.bytes(), now).saturating_add(late);
        let Some(end) = network.end(to) else { return };
        let arrival = arrival.max(end.last_arrival);
        end.last_arrival = arrival;
        if arrival <= now {
            self.arrive(packet, wakers);
        } else {
            self.schedule_due(arrival, Due::Packet(packet));
        }
    }

    /// Returns from where to where a packet goes, unless its connection is forgotten.
    fn way_of(&mut self, packet: Packet) -> Option<(HostId, HostId)> {
        let ends = self.network.connections.get(&packet.to.connection)?;
        Some((ends[1 - packet.to.end].host, ends[packet.to.end].host))
    }

    /// Keeps a packet back if its link does not transport it, or if its host is down.
    fn park(&mut self, packet: Packet, from: HostId, to: HostId) -> bool {
        let fate = match self.network.flow(from, to) {
            Flow::Clogged => Fate::Held,
            Flow::Cut => Fate::Lost,
            Flow::Open => return false,
        };
        self.network.wire(from, to).parked.push(packet);
        self.note_packet(from, to, packet.content, fate);
        true
    }

    pub(super) fn note_packet(&mut self, from: HostId, to: HostId, content: Content, fate: Fate) {
        let name = |host: HostId| self.network.hosts[host].name.clone();
        self.trace.packet(Seen { from: name(from), to: name(to), content, fate });
    }

    /// Lets a packet arrive that was under way.
    pub(in super::super) fn arrive(&mut self, packet: Packet, wakers: &mut Vec<Waker>) {
        let Some((from, to)) = self.way_of(packet) else { return };
        if self.park(packet, from, to) {
            return;
        }
        if !self.network.hosts[to].is_up {
            self.network.hosts[to].parked.push(packet);
            return self.note_packet(from, to, packet.content, Fate::Lost);
        }
        let matters = matches!(packet.content, Content::Refused | Content::Reset);
        if from != to || matters {
            self.note_packet(from, to, packet.content, Fate::Arrived);
        }
        match packet.content {
            Content::Connect => self.ask(packet.to, wakers),
            Content::Connected => self.connected(packet.to, wakers),
            Content::Refused => self.fail(packet.to, ErrorKind::ConnectionRefused, wakers),
            Content::Reset => self.fail(packet.to, ErrorKind::ConnectionReset, wakers),
            Content::Bytes(_) | Content::End => self.take_in(packet, wakers),
        }
    }

    /// Puts a connection before a listener, or refuses it.
    fn ask(&mut self, at: EndId, wakers: &mut Vec<Waker>) {
        let Some(end) = self.network.end(at) else { return };
        let (host, address) = (end.host, end.address);
        let Some(listening) = self.network.listener_at(host, address) else {
            if let Some(end) = self.network.end(at) {
                end.presence = Presence::Closed;
            }
            self.send(at.peer(), Content::Refused, Duration::ZERO, wakers);
            return self.network.forget_if_over(at.connection);
        };
        listening.queue.push_back(at.connection);
        let answered = listening.queue.len() <= listening.backlog;
        wakers.extend(listening.waker.take());
        if answered {
            self.answer(at.connection, wakers);
        }
    }

    /// Tells who asked for a connection that there is one.
    pub(super) fn answer(&mut self, connection: u64, wakers: &mut Vec<Waker>) {
        let client = EndId { connection, end: 0 };
        if let Some(end) = self.network.end(client.peer()) {
            end.is_connected = true;
        }
        self.send(client, Content::Connected, Duration::ZERO, wakers);
    }

    fn connected(&mut self, at: EndId, wakers: &mut Vec<Waker>) {
        let Some(end) = self.network.end(at) else { return };
        if end.presence != Presence::Here {
            return self.send(at.peer(), Content::Reset, Duration::ZERO, wakers);
        }
        end.is_connected = true;
        end.take_wakers(wakers);
    }

    /// Breaks one end of a connection. What it has not read yet may be lost.
    fn fail(&mut self, at: EndId, error: ErrorKind, wakers: &mut Vec<Waker>) {
        let forgets = self.network.random.as_mut().is_none_or(|random| random.below(2) == 0);
        let Some(end) = self.network.end(at) else { return };
        if forgets {
            end.arrived = 0;
        }
        // What is under way never arrives.
        end.stream.truncate(end.arrived);
        end.is_reset = true;
        end.error = Some(if end.is_connected { error } else { ErrorKind::ConnectionRefused });
        end.take_wakers(wakers);
    }

    /// Takes in bytes, or the end of the stream.
    fn take_in(&mut self, packet: Packet, wakers: &mut Vec<Waker>) {
        let Some(end) = self.network.end(packet.to) else { return };
        if end.is_reset || end.presence != Presence::Here {
            // Whoever ends a stream expects no answer.
            if packet.content != Content::End {
                self.send(packet.to.peer(), Content::Reset, Duration::ZERO, wakers);
            }
            return;
        }
        match packet.content {
            Content::Bytes(bytes) if end.reads_no_more => {
                let arrived = end.arrived;
                end.stream.drain(arrived..(arrived + bytes).min(end.stream.len()));
                if let Some(peer) = self.network.end(packet.to.peer()) {
                    wakers.extend(peer.writer.take());
                }
                return;
            }
            Content::Bytes(bytes) => end.arrived = (end.arrived + bytes).min(end.stream.len()),
            _ => end.has_ended = true,
        }
        wakers.extend(end.reader.take());
    }

    /// Closes an end that was dropped.
    pub(super) fn close(&mut self, at: EndId, wakers: &mut Vec<Waker>) {
        let Some(end) = self.network.end(at) else { return };
        if end.presence == Presence::Here {
            end.presence = Presence::Closed;
            let unread = end.arrived > 0 && !end.reads_no_more;
            let content = match () {
                () if end.is_reset => None,
                () if end.resets_on_drop || unread || !end.is_connected => Some(Content::Reset),
                () => (!end.writes_no_more).then_some(Content::End),
            };
            if let Some(content) = content {
                self.send(at.peer(), content, Duration::ZERO, wakers);
            }
        }
        self.network.forget_if_over(at.connection);
    }

    /// Ends the listening. Connections that nobody has accepted are reset.
    pub(super) fn stop_listening(&mut self, listener: u64, wakers: &mut Vec<Waker>) {
        let Some(listening) = self.network.listeners.remove(&listener) else { return };
        wakers.extend(listening.waker);
        for connection in listening.queue {
            let at = EndId { connection, end: 1 };
            if let Some(end) = self.network.end(at) {
                end.resets_on_drop = true;
            }
            self.close(at, wakers);
        }
    }

    /// Makes a link transport nothing.
    pub(super) fn stop_link(&mut self, from: HostId, to: HostId, flow: Flow) {
        self.network.wire(from, to).flow = flow;
        self.note_link(from, to, if flow == Flow::Cut { "is cut" } else { "is clogged" });
    }

    fn note_link(&mut self, from: HostId, to: HostId, what: &'static str) {
        let name = |host: HostId| &*self.network.hosts[host].name;
        let link = format!("{} → {}", name(from), name(to)).into();
        self.trace.network(link, what);
    }

    /// Lets what waits at the link between two hosts go on, in both directions.
    pub(in super::super) fn repair_both(&mut self, one: HostId, other: HostId, wakers: &mut Vec<Waker>) {
        self.repair(one, other, wakers);
        self.repair(other, one, wakers);
    }

    /// Lets what waits at a link go on.
    pub(super) fn repair(&mut self, from: HostId, to: HostId, wakers: &mut Vec<Waker>) {
        let wire = self.network.wire(from, to);
        let late = if wire.flow == Flow::Cut { RESEND } else { Duration::ZERO };
        let before = std::mem::replace(&mut wire.flow, Flow::Open);
        let (parked, held) = (std::mem::take(&mut wire.parked), std::mem::take(&mut wire.held));
        if before != Flow::Open {
            self.note_link(from, to, "is repaired");
        }
        for packet in parked {
            self.send_again(packet, late, wakers);
        }
        for datagram in held {
            self.let_go(datagram, Duration::ZERO, wakers);
        }
    }

    /// Sends a packet again that was kept back.
    pub(super) fn send_again(&mut self, packet: Packet, late: Duration, wakers: &mut Vec<Waker>) {
        self.send(packet.to, packet.content, late, wakers);
    }

    /// Sends bytes that lie in the buffer of the connection already, with what goes wrong.
    pub(super) fn send_bytes(&mut self, to: EndId, bytes: usize, fault: Option<Fault>, wakers: &mut Vec<Waker>) {
        let content = Content::Bytes(bytes);
        let Some((from_host, to_host)) = self.way_of(Packet { to, content }) else { return };
        let mut late = Duration::ZERO;
        match fault {
            Some(Fault::Delay(by)) => late = by,
            Some(Fault::Lose) => {
                self.note_packet(from_host, to_host, content, Fate::Lost);
                late = RESEND;
            }
            Some(Fault::Cut(time)) => self.cut_for(from_host, to_host, time),
            Some(Fault::Crash(time)) => self.chores.push_back(Chore::Crash(to_host, time)),
            Some(Fault::Reset) => return self.send_part(to, bytes, wakers),
            _ => {}
        }
        self.send(to, content, late, wakers);
    }

    /// Cuts the link between two hosts, and repairs it after this time.
    pub(super) fn cut_for(&mut self, one: HostId, other: HostId, time: Duration) {
        self.stop_link(one, other, Flow::Cut);
        self.stop_link(other, one, Flow::Cut);
        let at = self.elapsed.saturating_add(time);
        self.schedule_due(at, Due::Repair(one, other));
    }

    /// Sends the first of so many bytes, and resets the connection.
    fn send_part(&mut self, to: EndId, bytes: usize, wakers: &mut Vec<Waker>) {
        let part = self.network.random.as_mut().map_or(0, |random| random.below(bytes + 1));
        if let Some(end) = self.network.end(to) {
            let kept = end.stream.len() - (bytes - part);
            end.stream.truncate(kept);
        }
        if part > 0 {
            self.send(to, Content::Bytes(part), Duration::ZERO, wakers);
        }
        self.send(to, Content::Reset, Duration::ZERO, wakers);
        self.send(to.peer(), Content::Reset, Duration::ZERO, wakers);
    }

    /// Resets all connections between two hosts.
    pub(super) fn reset_between(&mut self, a: HostId, b: HostId, wakers: &mut Vec<Waker>) {
        let between = |ends: &[ConnectionEnd; 2]| [[a, b], [b, a]].contains(&[ends[0].host, ends[1].host]);
        let all = self.network.connections.iter().filter(|(_, ends)| between(ends));
        let all: Vec<u64> = all.map(|(&connection, _)| connection).collect();
        for connection in all {
            for end in [0, 1] {
                self.send(EndId { connection, end }, Content::Reset, Duration::ZERO, wakers);
            }
        }
    }
}
