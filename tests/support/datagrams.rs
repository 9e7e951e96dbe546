//! A fake of a replica over UDP: answers each datagram by a rule, and says how many came. And the little of DNS that a test needs.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use crate::Net;

/// A running fake. Dropped, its port is closed: who sends there is told so by ICMP.
#[derive(Debug)]
pub struct Datagrams {
    address: SocketAddr,
    received: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Datagrams {
    /// Starts one on the net's next address and its port.
    pub fn start(net: &Net, answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> Datagrams {
        Datagrams::at(SocketAddr::new(net.replica_ip(), net.port()), answer)
    }

    /// One that answers with its name, a space, and what it was sent.
    pub fn named(net: &Net, name: &'static str) -> Datagrams {
        Datagrams::start(net, move |datagram| [name.as_bytes(), b" ", datagram].concat())
    }

    /// Starts one at an address.
    ///
    /// # Panics
    /// When it cannot be bound.
    pub fn at(address: SocketAddr, answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> Datagrams {
        let socket = UdpSocket::bind(address).expect("the address is free");
        let address = socket.local_addr().expect("a bound socket has an address");
        let (received, ended) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (count, end) = (received.clone(), ended.clone());
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 65_535];
            while let Ok((length, client)) = socket.recv_from(&mut buffer) {
                if end.load(Ordering::Acquire) {
                    return;
                }
                count.fetch_add(1, Ordering::Relaxed);
                // A client that is gone is no concern of a replica.
                let _ = socket.send_to(&answer(&buffer[..length]), client);
            }
        });
        Datagrams { address, received, ended, thread: Some(thread) }
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its IP address.
    pub fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    /// How many datagrams came.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        let waker = UdpSocket::bind((if self.address.is_ipv4() { "0.0.0.0" } else { "::" }, 0));
        let woken = waker.and_then(|waker| waker.send_to(b"end", self.address));
        if let (Ok(_), Some(thread)) = (woken, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

/// Answers a DNS query (RFC 1035 section 4) with the addresses that `look` has for its name and type (1 is A, 28 is AAAA). `None`: there
/// is no such name.
///
/// # Panics
/// When it is no query.
pub fn dns(query: &[u8], ttl_s: u32, look: impl Fn(&str, u16) -> Option<Vec<IpAddr>>) -> Vec<u8> {
    let (mut at, mut name) = (12, Vec::new());
    while query[at] != 0 {
        let length = usize::from(query[at]);
        name.push(String::from_utf8_lossy(&query[at + 1..at + 1 + length]).to_lowercase());
        at += 1 + length;
    }
    let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
    let found = look(&name.join("."), kind);
    let code = if found.is_some() { 0x80 } else { 0x83 };
    let found = found.unwrap_or_default();
    let count = u16::try_from(found.len()).expect("few addresses").to_be_bytes();
    let mut answer = [&query[..2], &[0x85, code, 0, 1], &count, &[0, 0, 0, 0], &query[12..at + 5]].concat();
    for address in found {
        answer.extend([0xc0, 12]);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1]);
        answer.extend(ttl_s.to_be_bytes());
        match address {
            IpAddr::V4(ip) => answer.extend([&[0, 4], &ip.octets()[..]].concat()),
            IpAddr::V6(ip) => answer.extend([&[0, 16], &ip.octets()[..]].concat()),
        }
    }
    answer
}
