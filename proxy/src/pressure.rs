//! What keeps load within bounds before it breaks something: rates of clients and routes, connections of a client, and a worker that is
//! late. What a Service and its endpoints carry at once is bounded where endpoints are picked (`balance/bounded.rs`); `line` is for those who
//! may wait then.
//!
//! Invariant: what is remembered of clients takes a fixed amount of memory, shared by workers without a lock. Where there is no room left
//! for another client, it is let in and not counted: a bound that nobody can hold is no reason to keep somebody out.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

pub(crate) mod connections;
pub(crate) mod gcra;
pub(crate) mod line;
pub(crate) mod meters;
pub(crate) mod rates;
pub(crate) mod seats;
pub(crate) mod shed;

use meters::Meters;
use seats::Seats;

/// Sets of [`meters`] for clients: 131,072 of them in 1 MiB.
const CLIENT_SETS: usize = 1 << 14;
/// The same for routes, which no client can fill: 4,096 in 32 KiB.
const ROUTE_SETS: usize = 1 << 9;

/// What all workers know of clients and routes with bounds. Takes no memory until somebody has any.
#[derive(Debug)]
pub struct Pressure {
    /// Of this process alone, so that nobody can choose addresses that share a place.
    seed: RandomState,
    clients: Meters,
    routes: Meters,
    seats: Arc<Seats>,
}

impl Default for Pressure {
    fn default() -> Pressure {
        Pressure { seed: RandomState::new(), clients: Meters::new(CLIENT_SETS), routes: Meters::new(ROUTE_SETS), seats: Arc::default() }
    }
}

impl Pressure {
    /// Forgets a part of what nobody needs any more; to be called by one worker, now and then.
    pub(crate) fn sweep(&self, now_us: u64) {
        self.clients.sweep(now_us);
        self.routes.sweep(now_us);
    }

    /// A connection of this client, unless it has `most` already.
    pub(crate) fn connect(&self, client: IpAddr, most: u32) -> seats::Taken {
        self.seats.take(self.seed.hash_one(("connection", of(client))), most)
    }
}

/// A client: an IPv4 address, or the /64 of an IPv6 address, which is what one of them has.
fn of(client: IpAddr) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_client_is_its_64() {
        let same = |one: &str, other: &str| of(one.parse().unwrap()) == of(other.parse().unwrap());
        assert!(same("2001:db8::1", "2001:db8::ffff:1"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same("192.0.2.1", "::ffff:192.0.2.1") && !same("192.0.2.1", "192.0.2.2"));
    }
}
