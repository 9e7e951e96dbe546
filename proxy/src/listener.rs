//! Binds listening sockets, and says clearly why one cannot be bound.
//!
//! Invariant: a socket that shares its port (SO_REUSEPORT) is made only after a probe without sharing, so that a stranger on the port is
//! found. An internal listener binds inside `internalCidrs` or not at all.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use config::exposure::Exposure;
use config::object::Protocol;
use config::problem::{Problem, Reason};
use ipnet::IpNet;
use registry::event::ListenerState;
use registry::snapshot::Socket;
use socket2::{Domain, Protocol as IpProtocol, SockRef, Socket as RawSocket, Type};

/// Connections that the kernel keeps for us to accept.
const BACKLOG: i32 = 4096;
/// Bytes of datagrams that the kernel keeps for us.
const UDP_BUFFER: usize = 1 << 20;

/// What speaks on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/1.1, routed by host and path.
    Http,
    /// The same in TLS.
    Https,
    /// Opaque TCP of one Service.
    Tcp,
    /// Datagrams of one Service.
    Udp,
}

/// A listener's name and what may come in by it.
#[derive(Debug)]
pub struct Listener {
    /// `http`, `https`, `internal-http`, or `vip NAMESPACE/NAME:PORT`, `node-port ...`, `load-balancer ...`.
    pub name: Arc<str>,
    /// The plane that it can reach.
    pub exposure: Exposure,
    /// What it speaks.
    pub speaks: Speaks,
    /// Where it is bound.
    pub address: SocketAddr,
}

impl Speaks {
    /// The word for it in `get listeners`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Speaks::Http => "HTTP",
            Speaks::Https => "HTTPS",
            Speaks::Tcp => "TCP",
            Speaks::Udp => "UDP",
        }
    }
}

impl Listener {
    /// Bound, as `get listeners` shows it.
    pub fn state(&self) -> ListenerState {
        ListenerState::bound(self.name.clone(), self.exposure, self.speaks.as_str(), self.address)
    }

    /// What is bound.
    pub fn socket(&self) -> Socket {
        Socket::new(if self.speaks == Speaks::Udp { Protocol::Udp } else { Protocol::Tcp }, self.address)
    }

    /// Whether this peer may connect: an internal listener takes only peers inside `internal`.
    pub fn admits(&self, peer: IpAddr, internal: &[IpNet]) -> bool {
        self.exposure == Exposure::External || contains(internal, peer)
    }
}

/// Whether one of the networks holds the address; an IPv4 address in IPv6 clothes is meant by its IPv4 self.
pub fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

/// Whether an internal listener may bind here.
///
/// # Errors
/// A [`Problem`] that says what to bind instead.
pub fn check_internal(name: &str, address: SocketAddr, internal: &[IpNet]) -> Result<(), Problem> {
    if contains(internal, address.ip()) {
        return Ok(());
    }
    let cidrs: Vec<String> = internal.iter().map(IpNet::to_string).collect();
    Err(Problem::error(Reason::BindFailed, format!("the internal listener {name} asks for {address}"))
        .expected(format!("an address inside internalCidrs ({})", cidrs.join(", ")))
        .fix("bind a loopback address, or add the network to internalCidrs"))
}

/// Binds `count` sockets that share one address; a port of 0 is chosen once.
///
/// # Errors
/// What the system says, also when anybody else holds the port.
pub fn bind_shared(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    let probe = bind(address, false)?;
    let address = probe.local_addr()?;
    drop(probe);
    (0..count).map(|_| bind(address, true)).collect()
}

/// Binds a Service's TCP socket. `beside` is true when a listener of our own has the same port on a wildcard, or this is the wildcard: then
/// the two share the port, and the kernel prefers whoever names the address. Else nobody may have it; others of ours may come later.
///
/// # Errors
/// What the system says.
pub fn bind_tcp(address: SocketAddr, beside: bool) -> io::Result<TcpListener> {
    let socket = bind(address, beside)?;
    SockRef::from(&socket).set_reuse_port(true)?;
    Ok(socket)
}

/// Binds a Service's UDP socket; `beside` as in [`bind_tcp`]. SO_REUSEADDR is not set: over UDP it lets anybody take what is ours.
///
/// # Errors
/// What the system says.
pub fn bind_udp(address: SocketAddr, beside: bool) -> io::Result<UdpSocket> {
    let socket = RawSocket::new(Domain::for_address(address), Type::DGRAM.cloexec().nonblocking(), Some(IpProtocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(beside)?;
    socket.bind(&address.into())?;
    socket.set_reuse_port(true)?;
    // A burst waits there; the system may give less.
    let _ = socket.set_recv_buffer_size(UDP_BUFFER);
    Ok(socket.into())
}

fn bind(address: SocketAddr, share: bool) -> io::Result<TcpListener> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM.cloexec().nonblocking(), Some(IpProtocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share)?;
    socket.set_tcp_nodelay(true)?; // what is accepted inherits it
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Says why `address` could not be bound and what to do; `then` says what follows the mending.
pub fn bind_problem(name: &str, address: SocketAddr, error: &io::Error, then: &str) -> Problem {
    let problem = Problem::error(Reason::BindFailed, format!("cannot bind {address}: {error}")).of(format!("listener {name}"));
    match error.kind() {
        io::ErrorKind::AddrInUse => problem
            .expected("a free address and port")
            .fix(format!("find who listens with `ss -lntup sport = :{}` and stop it, or choose another port; {then}", address.port())),
        io::ErrorKind::PermissionDenied => problem.expected("a port that this user may bind").fix(format!(
            "choose a port above 1023, or run `setcap cap_net_bind_service=+ep PATH-OF-TIDEGATE`, or `sysctl net.ipv4.ip_unprivileged_port_start={}`; {then}",
            address.port()
        )),
        io::ErrorKind::AddrNotAvailable => problem
            .expected("an address of this machine")
            .fix(format!("add it with `ip address add {}/32 dev lo`, or choose a serviceCidr inside 127.0.0.0/8; {then}", address.ip())),
        _ => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_on_the_port_is_found_although_we_share() {
        let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = stranger.local_addr().unwrap();
        assert_eq!(bind_shared(address, 2).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let problem = bind_problem("http", address, &io::ErrorKind::AddrInUse.into(), "start again").to_string();
        assert!(problem.contains(&address.to_string()) && problem.contains("fix:"), "{problem}");
    }

    #[test]
    fn what_is_accepted_sends_at_once() {
        let socket = bind_tcp("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let _client = std::net::TcpStream::connect(socket.local_addr().unwrap()).unwrap();
        assert!(socket.accept().unwrap().0.nodelay().unwrap());
    }

    #[test]
    fn ours_may_stand_beside_each_other_and_a_stranger_may_not() {
        let first = bind_tcp("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let address = first.local_addr().unwrap();
        let wild = SocketAddr::from(([0, 0, 0, 0], address.port()));
        assert!(bind_tcp(wild, false).is_err(), "who does not know of the other one finds it");
        let beside = bind_tcp(wild, true).unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        first.set_nonblocking(false).unwrap();
        assert_eq!(first.accept().unwrap().1, client.local_addr().unwrap(), "who names the address is preferred");
        drop((first, beside));

        let first = bind_udp("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let address = first.local_addr().unwrap();
        assert!(bind_udp(address, false).is_err() && UdpSocket::bind(("0.0.0.0", address.port())).is_err());
        assert!(bind_udp(SocketAddr::from(([0, 0, 0, 0], address.port())), true).is_ok());
    }

    #[test]
    fn shared_sockets_have_one_port() {
        let sockets = bind_shared("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let first = sockets[0].local_addr().unwrap();
        assert!(first.port() != 0 && sockets.iter().all(|socket| socket.local_addr().unwrap() == first));
        assert!(bind_shared(first, 1).is_err(), "a second set is a stranger to the first");
    }

    #[test]
    fn internal_listeners_bind_inside_and_admit_insiders() {
        let internal: Vec<IpNet> = vec!["127.0.0.0/8".parse().unwrap()];
        assert!(check_internal("internal-http", "127.0.0.1:80".parse().unwrap(), &internal).is_ok());
        for outside in ["0.0.0.0:80", "192.0.2.1:80", "[::]:80"] {
            assert!(check_internal("internal-http", outside.parse().unwrap(), &internal).is_err(), "{outside}");
        }
        let mapped: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        assert!(contains(&internal, mapped));
    }
}
