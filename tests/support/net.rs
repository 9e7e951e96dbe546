//! Loopback addresses that one test has for itself, also among test processes that run at once.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use socket2::{Domain, Socket, Type};

/// 127.(100..150).x.0/24 for virtual addresses, and the /24 fifty above it for replicas.
const NETS: u16 = 50 * 256;

/// One test's addresses. They are free again when it is dropped, and everything that was started on them.
#[derive(Debug)]
pub struct Net {
    number: u16,
    next: AtomicU8,
    lease: Lease,
}

/// Keeps a net's addresses from other tests for as long as somebody holds it.
#[derive(Clone, Debug)]
pub struct Lease(#[allow(dead_code, reason = "held, never read")] Arc<File>);

impl Net {
    /// Takes addresses that nobody else has.
    ///
    /// # Panics
    /// When there are none, or the temporary folder cannot be written.
    pub fn take() -> Net {
        let folder = std::env::temp_dir().join("tidegate-test-nets");
        fs::create_dir_all(&folder).expect("the temporary folder can be written");
        let start = (std::process::id().wrapping_mul(97) % u32::from(NETS)) as u16;
        for step in 0..NETS {
            let number = (start + step) % NETS;
            let lock = File::options().create(true).append(true).open(folder.join(number.to_string()));
            let lock = lock.expect("the temporary folder can be written");
            if lock.try_lock().is_ok() {
                let net = Net { number, next: AtomicU8::new(1), lease: Lease(Arc::new(lock)) };
                if net.is_free() {
                    return net;
                }
            }
        }
        panic!("all {NETS} nets are taken");
    }

    /// Whether no stranger listens on its ports, on every address for instance. The probe itself does not listen: a process that another
    /// test starts just now would keep a copy of it for a moment.
    fn is_free(&self) -> bool {
        let free = |port: u16| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.set_reuse_address(true)?;
            socket.bind(&SocketAddr::new(self.pod_ip(1), port).into())
        };
        [self.port(), self.port() + 1].into_iter().all(|port| free(port).is_ok())
    }

    /// For what listens on the net's addresses.
    pub fn lease(&self) -> Lease {
        self.lease.clone()
    }

    /// What `--service-cidr` gets.
    pub fn service_cidr(&self) -> String {
        format!("{}/24", self.vip(0))
    }

    /// An address for a `clusterIP`.
    pub fn vip(&self, last: u8) -> Ipv4Addr {
        let [high, low] = self.number.to_be_bytes();
        Ipv4Addr::new(127, 100 + high, low, last)
    }

    /// The next address for a replica.
    pub fn replica_ip(&self) -> IpAddr {
        self.pod_ip(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// The replica address that ends in `last`.
    pub fn pod_ip(&self, last: u8) -> IpAddr {
        let [high, low] = self.number.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(127, 150 + high, low, last))
    }

    /// An address of this machine, and one of a machine beside it, in a network that is theirs alone: of 198.18.0.0/15, which is set apart
    /// for tests (RFC 2544).
    pub(crate) fn beside(&self) -> [Ipv4Addr; 2] {
        let first = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + u32::from(self.number) * 4;
        [first + 1, first + 2].map(Ipv4Addr::from)
    }

    /// What no other test calls something of this net.
    pub fn label(&self) -> String {
        format!("tg{}", self.number)
    }

    /// A port that replicas and virtual addresses of this net may use on their own addresses: below the ephemeral range. So they may the
    /// one above it.
    pub fn port(&self) -> u16 {
        12_000 + self.number
    }

    /// `vip(last)` with [`Net::port`].
    pub fn vip_address(&self, last: u8) -> SocketAddr {
        SocketAddr::from((self.vip(last), self.port()))
    }
}
