//! What to connect to, or to listen at.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Where to connect to, or to listen at: addresses, or the name of a host with a port.
///
/// It is made from a [`SocketAddr`], a list of them, `"host:port"`, or a pair of a host and a port.
/// A name is looked up when it is used. The counterpart of std's `ToSocketAddrs`, which blocks.
///
/// ```
/// use foster::net::Endpoint;
/// use std::net::Ipv4Addr;
///
/// let pairs = [(Ipv4Addr::LOCALHOST, 80).into(), ("127.0.0.1", 80).into()];
/// for same in pairs.into_iter().chain([Endpoint::from("127.0.0.1:80")]) {
///     assert_eq!(same.to_string(), "127.0.0.1:80");
/// }
/// assert_eq!(Endpoint::from("example.org:443").to_string(), "example.org:443");
/// ```
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub(super) kind: EndpointKind,
}

#[derive(Clone, Debug)]
pub(super) enum EndpointKind {
    One(SocketAddr),
    Many(Vec<SocketAddr>),
    Named(String, u16),
    /// A text that has no port at its end.
    Malformed(String),
}

impl Endpoint {
    /// An address needs no lookup, with brackets around one of IPv6 or without.
    fn of(host: &str, port: u16) -> EndpointKind {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        match bare.parse::<IpAddr>() {
            Ok(address) => EndpointKind::One(SocketAddr::new(address, port)),
            Err(_) => EndpointKind::Named(host.to_string(), port),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            EndpointKind::One(address) => address.fmt(f),
            EndpointKind::Many(addresses) if addresses.is_empty() => f.write_str("an empty list"),
            EndpointKind::Many(addresses) => {
                let texts: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
                f.write_str(&texts.join(", "))
            }
            EndpointKind::Named(host, port) => write!(f, "{host}:{port}"),
            EndpointKind::Malformed(text) => write!(f, "{text:?}"),
        }
    }
}

impl From<&str> for Endpoint {
    fn from(text: &str) -> Self {
        if let Ok(address) = text.parse() {
            return Endpoint { kind: EndpointKind::One(address) };
        }
        let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let kind = match parts {
            Some((host, port)) if !host.is_empty() => Endpoint::of(host, port),
            _ => EndpointKind::Malformed(text.to_string()),
        };
        Endpoint { kind }
    }
}

impl From<String> for Endpoint {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<&String> for Endpoint {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<(&str, u16)> for Endpoint {
    fn from((host, port): (&str, u16)) -> Self {
        Endpoint { kind: Endpoint::of(host, port) }
    }
}

impl From<(String, u16)> for Endpoint {
    fn from((host, port): (String, u16)) -> Self {
        (host.as_str(), port).into()
    }
}

impl From<Vec<SocketAddr>> for Endpoint {
    fn from(addresses: Vec<SocketAddr>) -> Self {
        Endpoint { kind: EndpointKind::Many(addresses) }
    }
}

impl From<&[SocketAddr]> for Endpoint {
    fn from(addresses: &[SocketAddr]) -> Self {
        addresses.to_vec().into()
    }
}

impl<const N: usize> From<[SocketAddr; N]> for Endpoint {
    fn from(addresses: [SocketAddr; N]) -> Self {
        addresses.to_vec().into()
    }
}

macro_rules! from_addresses {
    ($($address:ty),*) => {$(
        impl From<$address> for Endpoint {
            fn from(address: $address) -> Self {
                Endpoint { kind: EndpointKind::One(address.into()) }
            }
        }
    )*};
}

from_addresses!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));
