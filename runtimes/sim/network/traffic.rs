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
    /// Sends a packet to `to`.
    ///
    /// The wakers of those who must hear of it go to `wakers`, to be woken without the lock.
    pub(super) fn send(&mut self, to: EndId, content: Content, wakers: &mut Vec<Waker>) {
        if let Some(packet) = self.next_packet(to, content) {
            self.send_packet(packet, Duration::ZERO, wakers);
        }
    }

    /// Returns the next packet to an end, unless its connection is forgotten.
    fn next_packet(&mut self, to: EndId, content: Content) -> Option<Packet> {
        let end = self.network.end(to)?;
        end.sent += 1;
        Some(Packet { to, content, number: end.sent - 1 })
    }

    /// Sends a packet, `late` after now.
    fn send_packet(&mut self, packet: Packet, late: Duration, wakers: &mut Vec<Waker>) {
        let Some((from_host, to_host)) = self.way_to(packet.to) else { return };
        if self.park(packet, from_host, to_host) {
            return;
        }
        let (now, network) = (self.elapsed, &mut self.network);
        let arrival = network.arrival(from_host, to_host, packet.content.bytes(), now).saturating_add(late);
        let Some(end) = network.end(packet.to) else { return };
        let arrival = arrival.max(end.last_arrival);
        end.last_arrival = arrival;
        if arrival <= now {
            self.arrive(packet, wakers);
        } else {
            self.schedule_due(arrival, Due::Packet(packet));
        }
    }

    /// Returns from where to where a packet to an end goes, unless its connection is forgotten.
    fn way_to(&self, to: EndId) -> Option<(HostId, HostId)> {
        let ends = self.network.connections.get(&to.connection)?;
        Some((ends[1 - to.end].host, ends[to.end].host))
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

    /// Lets a packet arrive that was under way. What was sent before it has its turn first.
    pub(in super::super) fn arrive(&mut self, packet: Packet, wakers: &mut Vec<Waker>) {
        let Some((from, to)) = self.way_to(packet.to) else { return };
        if self.park(packet, from, to) {
            return;
        }
        if !self.network.hosts[to].is_up {
            self.network.hosts[to].parked.push(packet);
            self.note_packet(from, to, packet.content, Fate::Lost);
            if packet.content == Content::Connected {
                // Nobody says to the server any more that it may accept this one.
                self.leave_queue(packet.to.peer(), wakers);
            }
            return;
        }
        let matters = matches!(packet.content, Content::Refused | Content::Reset);
        if from != to || matters {
            self.note_packet(from, to, packet.content, Fate::Arrived);
        }
        if packet.content == Content::Reset && self.has_crashed(packet.to.peer()) {
            // A host that has restarted knows of no order, and what went before may be lost.
            return self.take_in(packet, wakers);
        }
        let mut next = self.network.end(packet.to).and_then(|end| end.in_turn(packet));
        while let Some(packet) = next {
            self.take_in(packet, wakers);
            next = self.network.end(packet.to).and_then(ConnectionEnd::next_early);
        }
    }

    fn has_crashed(&mut self, at: EndId) -> bool {
        self.network.end(at).is_some_and(|end| end.presence == Presence::Crashed)
    }

    /// Does what a packet says.
    fn take_in(&mut self, packet: Packet, wakers: &mut Vec<Waker>) {
        match packet.content {
            Content::Connect => self.ask(packet.to, wakers),
            Content::Connected => self.connected(packet.to, wakers),
            Content::Refused => self.fail(packet.to, ErrorKind::ConnectionRefused, wakers),
            Content::Reset => self.fail(packet.to, ErrorKind::ConnectionReset, wakers),
            Content::Bytes(_) | Content::End => self.extend(packet, wakers),
        }
    }

    /// Puts a connection before a listener, or refuses it.
    fn ask(&mut self, at: EndId, wakers: &mut Vec<Waker>) {
        let network = &mut self.network;
        let Some(address) = network.end(at).map(|end| (end.host, end.address)) else { return };
        let (presence, answer) = match network.listener_at(address) {
            None => (Presence::Closed, Some(Content::Refused)),
            Some(listening) => {
                listening.queue.push_back(at.connection);
                let is_answered = listening.queue.len() <= listening.backlog;
                (Presence::Here, is_answered.then_some(Content::Connected))
            }
        };
        if let Some(end) = network.end(at) {
            end.presence = presence;
        }
        if let Some(answer) = answer {
            self.send(at.peer(), answer, wakers);
        }
    }

    /// Connects an end. The client says so to the server's end, which can be accepted from then on.
    fn connected(&mut self, at: EndId, wakers: &mut Vec<Waker>) {
        let network = &mut self.network;
        let Some(end) = network.end(at) else { return };
        if end.presence != Presence::Here {
            return self.send(at.peer(), Content::Reset, wakers);
        }
        end.is_connected = true;
        end.take_wakers(wakers);
        let address = (end.host, end.address);
        if at.end == 0 {
            self.send(at.peer(), Content::Connected, wakers);
        } else if let Some(listening) = network.listener_at(address) {
            wakers.extend(listening.waker.take());
        }
    }

    /// Takes a connection out of the queue that its client has given up.
    fn give_up(&mut self, at: EndId, wakers: &mut Vec<Waker>) {
        let Some(end) = self.network.end(at) else { return };
        end.presence = Presence::Closed;
        self.leave_queue(at, wakers);
        self.network.forget_if_over(at.connection);
    }

    /// Takes a connection out of the queue, if it is there, and answers the one that moves up.
    fn leave_queue(&mut self, at: EndId, wakers: &mut Vec<Waker>) {
        let Some(address) = self.network.end(at).map(|end| (end.host, end.address)) else { return };
        let next = self.network.listener_at(address).and_then(|listening| {
            let place = listening.queue.iter().position(|&connection| connection == at.connection)?;
            listening.take_out(place)
        });
        if let Some(next) = next {
            self.send(next, Content::Connected, wakers);
        }
    }

    /// Breaks one end of a connection. What it has not read yet may be lost.
    fn fail(&mut self, at: EndId, error: ErrorKind, wakers: &mut Vec<Waker>) {
        let Some(end) = self.network.end(at).filter(|end| !end.is_reset) else { return };
        if at.end == 1 && end.presence == Presence::Here && !end.is_connected {
            return self.give_up(at, wakers);
        }
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
    fn extend(&mut self, packet: Packet, wakers: &mut Vec<Waker>) {
        let Some(end) = self.network.end(packet.to) else { return };
        if end.is_reset || end.presence != Presence::Here {
            // Whoever ends a stream expects no answer.
            if packet.content != Content::End {
                self.send(packet.to.peer(), Content::Reset, wakers);
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
                self.send(at.peer(), content, wakers);
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

    /// Asks for room, as who waits for it does now and then. A host that has restarted does not
    /// know the connection, and resets it.
    pub(super) fn probe(&mut self, from: EndId, wakers: &mut Vec<Waker>) {
        let Some((_, there)) = self.way_to(from.peer()) else { return };
        let waits = self.network.end(from).is_some_and(|end| end.is_connected && end.writer.is_some());
        if waits && self.has_crashed(from.peer()) && self.network.hosts[there].is_up {
            self.send(from, Content::Reset, wakers);
        }
    }

    /// Makes a link transport nothing. A cut loses the datagrams that wait at it.
    pub(super) fn stop_link(&mut self, from: HostId, to: HostId, flow: Flow) {
        let wire = self.network.wire(from, to);
        wire.flow = flow;
        wire.changes += 1;
        let lost = if flow == Flow::Cut { std::mem::take(&mut wire.held) } else { Vec::new() };
        self.note_link(from, to, if flow == Flow::Cut { "is cut" } else { "is clogged" });
        for datagram in lost {
            self.note_packet(from, to, datagram.content(), Fate::Lost);
        }
    }

    fn note_link(&mut self, from: HostId, to: HostId, what: &'static str) {
        let name = |host: HostId| &*self.network.hosts[host].name;
        let link = format!("{} → {}", name(from), name(to)).into();
        self.trace.network(link, what);
    }

    /// Repairs a link that has been cut for a while, unless it was stopped or repaired since.
    pub(in super::super) fn end_cut(&mut self, from: HostId, to: HostId, changes: u64, wakers: &mut Vec<Waker>) {
        if self.network.wire(from, to).changes == changes {
            self.repair(from, to, wakers);
        }
    }

    /// Lets what waits at a link go on.
    pub(super) fn repair(&mut self, from: HostId, to: HostId, wakers: &mut Vec<Waker>) {
        let wire = self.network.wire(from, to);
        wire.changes += 1;
        let before = std::mem::replace(&mut wire.flow, Flow::Open);
        let (parked, held) = (std::mem::take(&mut wire.parked), std::mem::take(&mut wire.held));
        if before != Flow::Open {
            self.note_link(from, to, "is repaired");
        }
        for packet in parked {
            match before {
                Flow::Cut => self.send_later(packet),
                _ => self.send_packet(packet, Duration::ZERO, wakers),
            }
        }
        for datagram in held {
            self.let_go(datagram, Duration::ZERO, wakers);
        }
    }

    /// Sends a packet that is lost again, after a while.
    pub(super) fn send_later(&mut self, packet: Packet) {
        let at = self.elapsed.saturating_add(RESEND);
        self.schedule_due(at, Due::Resend(packet));
    }

    /// Sends a packet again, unless its sender has crashed since.
    pub(in super::super) fn send_again(&mut self, packet: Packet, wakers: &mut Vec<Waker>) {
        let Some((from, _)) = self.way_to(packet.to) else { return };
        let packet = match packet.content {
            _ if !self.has_crashed(packet.to.peer()) => Some(packet),
            // What a host does not know since its restart, it resets again.
            Content::Reset if self.network.hosts[from].is_up => Some(packet),
            // A client that has heard of no answer asks again.
            Content::Connected if packet.to.end == 0 => self.network.ask_again(packet.to.connection),
            // A server that has heard of no answer gives up.
            Content::Connected => return self.fail(packet.to, ErrorKind::ConnectionReset, wakers),
            _ => None,
        };
        if let Some(packet) = packet {
            self.send_packet(packet, Duration::ZERO, wakers);
        }
    }

    /// Sends bytes that lie in the buffer of the connection already, with what goes wrong.
    pub(super) fn send_bytes(&mut self, to: EndId, bytes: usize, fault: Option<Fault>, wakers: &mut Vec<Waker>) {
        let content = Content::Bytes(bytes);
        let Some((from_host, to_host)) = self.way_to(to) else { return };
        if let Some(Fault::Reset) = fault {
            return self.send_part(to, bytes, wakers);
        }
        let Some(packet) = self.next_packet(to, content) else { return };
        let mut late = Duration::ZERO;
        match fault {
            Some(Fault::Delay(by)) => late = by,
            Some(Fault::Lose) => {
                self.note_packet(from_host, to_host, content, Fate::Lost);
                return self.send_later(packet);
            }
            Some(Fault::Cut(time)) => self.cut_for(from_host, to_host, time),
            Some(Fault::Crash(time)) => self.chores.push_back(Chore::Crash(to_host, time)),
            _ => {}
        }
        self.send_packet(packet, late, wakers);
    }

    /// Cuts the link between two hosts, as far as it is open, and repairs it after this time.
    pub(super) fn cut_for(&mut self, one: HostId, other: HostId, time: Duration) {
        let at = self.elapsed.saturating_add(time);
        for (from, to) in [(one, other), (other, one)] {
            if self.network.flow(from, to) == Flow::Open {
                self.stop_link(from, to, Flow::Cut);
                let changes = self.network.wire(from, to).changes;
                self.schedule_due(at, Due::Repair(from, to, changes));
            }
        }
    }

    /// Sends the first of so many bytes, and resets the connection.
    fn send_part(&mut self, to: EndId, bytes: usize, wakers: &mut Vec<Waker>) {
        let part = self.network.random.as_mut().map_or(0, |random| random.below(bytes + 1));
        if let Some(end) = self.network.end(to) {
            let kept = end.stream.len() - (bytes - part);
            end.stream.truncate(kept);
        }
        if part > 0 {
            self.send(to, Content::Bytes(part), wakers);
        }
        self.send(to, Content::Reset, wakers);
        self.send(to.peer(), Content::Reset, wakers);
    }

    /// Resets all connections between two hosts.
    pub(super) fn reset_between(&mut self, a: HostId, b: HostId, wakers: &mut Vec<Waker>) {
        let between = |ends: &[ConnectionEnd; 2]| [[a, b], [b, a]].contains(&[ends[0].host, ends[1].host]);
        let all = self.network.connections.iter().filter(|(_, ends)| between(ends));
        let all: Vec<u64> = all.map(|(&connection, _)| connection).collect();
        for connection in all {
            for end in [0, 1] {
                self.send(EndId { connection, end }, Content::Reset, wakers);
            }
        }
    }
}
