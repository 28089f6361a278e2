//! The network of a simulation: hosts, and the links between them.
//!
//! [`foster::net`](crate::net) uses it like that of any other runtime. What programs do there
//! happens in virtual time, and chance comes from the seed. A packet under way is an entry among
//! the timers of the simulation.

mod datagram;
mod faults;
mod host;
mod link;
mod links;
mod packet;
mod socket;
mod state;
mod traffic;

pub(super) use datagram::Datagram;
pub(super) use faults::NetworkFaults;
pub use host::Host;
pub use link::Link;
pub use links::Links;
pub(super) use packet::{Packet, Seen};
pub(super) use socket::Interface;
pub(super) use state::Network;
