//! Which endpoint a client keeps (`sessionAffinity: ClientIP`): a hash that everybody computes alike, and what workers remember together.
//!
//! A client that nobody remembers goes to the endpoint that ranks highest for its address (rendezvous hashing): the same one in every
//! worker, after a restart and in another Tidegate. When an endpoint goes, its own clients move and no others; when one comes, whoever is
//! remembered stays where they are until the time-out has passed since their last use.
//!
//! Invariant: what is picked is in the given service and was not tried for this request. A memory is one word, read and written whole, so
//! that workers share no lock; two clients that share a word, or a word that is lost to another client, cost the hash's answer at worst.
//! Sans-io: time is an argument. A pick for a client that is not remembered looks at all endpoints, unlike any other pick.

use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use registry::hash::{mix, of_ip};
use registry::snapshot::{Endpoint, EndpointId, Service};

use super::hash::favourite;

/// How long a client keeps its endpoint where only a route asks for it, in seconds: the default of `sessionAffinity: ClientIP`.
pub const KEEP_S: u32 = 10_800;

/// Sets of words. With [`WAYS`]: 131,072 clients of a service port, in 1 MiB.
const SETS: usize = 1 << 14;
/// Words in a set, which is a cache line.
const WAYS: usize = 8;

/// Bits of an endpoint's id in a word.
const ID_BITS: u32 = 20;
/// Bits of a second: twelve days, of which affinity lasts one at most. What is older may look young again, and then counts as kept.
const SECOND_BITS: u32 = 20;
/// Bits in front of these, of the client's hash: one new client in two million is taken for another of its set.
const BEFORE_TAG: u32 = ID_BITS + SECOND_BITS;
/// A use that lies so little ahead, in seconds, was another worker's, whose clock was read a moment later.
const AHEAD_S: u64 = 60;

/// What all workers remember of clients. Takes no memory until a Service with affinity is first asked for.
#[derive(Debug, Default)]
pub struct Clients {
    sets: OnceLock<Box<[Set]>>,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Set([AtomicU64; WAYS]);

impl Clients {
    /// The endpoint that `client` keeps for `keep_s` seconds after this use; `None` when all were tried.
    pub fn pick<'s>(&self, service: &'s Service, keep_s: u32, client: IpAddr, avoid: &[EndpointId], now_us: u64) -> Option<&'s Endpoint> {
        let client = of_ip(client);
        let key = mix(client ^ u64::from(service.slot));
        let second = now_us / 1_000_000;
        // The first call takes a lock, against the law: never again after it, and most processes never make it.
        let sets = self.sets.get_or_init(|| (0..SETS).map(|_| Set::default()).collect());
        let set = &sets[key as usize % SETS];
        let word = set.of(key, second);
        let known = Word(word.load(Relaxed));
        let may = |endpoint: &&Endpoint| known.names(endpoint.id) && !avoid.contains(&endpoint.id);
        let kept = if known.is_of(key) && known.age(second) <= u64::from(keep_s) { service.endpoints.iter().find(may) } else { None };
        let picked = kept.or_else(|| favourite(service, client, avoid))?;
        let next = Word::new(key, picked.id, second);
        if next != known {
            word.store(next.0, Relaxed); // once a second for each client, however much it asks
        }
        Some(picked)
    }
}

impl Set {
    /// The word of this client, else the one that was not used for the longest time; of several such, whichever its hash says.
    fn of(&self, key: u64, second: u64) -> &AtomicU64 {
        let first = key as usize / SETS;
        let ways = (0..WAYS).map(|step| &self.0[first.wrapping_add(step) % WAYS]);
        let rank = |word: &&AtomicU64| {
            let known = Word(word.load(Relaxed));
            (known.is_of(key), known.age(second))
        };
        ways.max_by_key(rank).unwrap_or(&self.0[0])
    }
}

/// Where a client went last: a part of its hash, of its endpoint's id, and of the second. 0 is nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word(u64);

impl Word {
    fn new(key: u64, endpoint: EndpointId, second: u64) -> Word {
        Word((key >> BEFORE_TAG << BEFORE_TAG) | (low(endpoint.0.get(), ID_BITS) << SECOND_BITS) | low(second, SECOND_BITS))
    }

    fn is_of(self, key: u64) -> bool {
        self.0 != 0 && (self.0 ^ key) >> BEFORE_TAG == 0
    }

    fn names(self, endpoint: EndpointId) -> bool {
        low(self.0 >> SECOND_BITS, ID_BITS) == low(endpoint.0.get(), ID_BITS)
    }

    /// Seconds since its use.
    fn age(self, second: u64) -> u64 {
        let age = low(second.wrapping_sub(self.0), SECOND_BITS);
        match self.0 {
            0 => u64::MAX,
            _ if age + AHEAD_S >= 1 << SECOND_BITS => 0,
            _ => age,
        }
    }
}

const fn low(number: u64, bits: u32) -> u64 {
    number & ((1 << bits) - 1)
}

#[cfg(test)]
mod tests;
