//! Options of sockets for datagrams, most of which concern multicast groups.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::UdpSocket;

/// # Options
///
/// The operating system keeps them. A network without its sockets, such as that of a simulation,
/// returns an error of the kind `Unsupported`.
impl UdpSocket {
    /// Sets whether datagrams may be sent to broadcast addresses.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.socket.system()?.set_broadcast(broadcast)
    }

    /// Returns whether datagrams may be sent to broadcast addresses.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn broadcast(&self) -> io::Result<bool> {
        self.socket.system()?.broadcast()
    }

    /// Sets over how many routers a datagram may go (IPv4).
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.socket.system()?.set_ttl_v4(ttl)
    }

    /// Returns over how many routers a datagram may go (IPv4).
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn ttl(&self) -> io::Result<u32> {
        self.socket.system()?.ttl_v4()
    }

    /// Joins a group, on the interface with this address. `Ipv4Addr::UNSPECIFIED` leaves the
    /// interface to the system.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.socket.system()?.join_multicast_v4(&group, &interface)
    }

    /// Leaves a group that it has joined on this interface.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.socket.system()?.leave_multicast_v4(&group, &interface)
    }

    /// Joins a group of IPv6, on the interface with this index. 0 leaves the interface to the
    /// system.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn join_multicast_v6(&self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        self.socket.system()?.join_multicast_v6(&group, interface)
    }

    /// Leaves a group of IPv6 that it has joined on this interface.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn leave_multicast_v6(&self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        self.socket.system()?.leave_multicast_v6(&group, interface)
    }

    /// Sets whether what is sent to a group also comes to members on this machine (IPv4).
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn set_multicast_loop_v4(&self, loops: bool) -> io::Result<()> {
        self.socket.system()?.set_multicast_loop_v4(loops)
    }

    /// Returns whether what is sent to a group also comes to members on this machine (IPv4).
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.socket.system()?.multicast_loop_v4()
    }

    /// Sets whether what is sent to a group also comes to members on this machine (IPv6).
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn set_multicast_loop_v6(&self, loops: bool) -> io::Result<()> {
        self.socket.system()?.set_multicast_loop_v6(loops)
    }

    /// Returns whether what is sent to a group also comes to members on this machine (IPv6).
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.socket.system()?.multicast_loop_v6()
    }

    /// Sets over how many routers what is sent to a group may go (IPv4). The default is 1.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        self.socket.system()?.set_multicast_ttl_v4(ttl)
    }

    /// Returns over how many routers what is sent to a group may go (IPv4).
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.socket.system()?.multicast_ttl_v4()
    }
}
