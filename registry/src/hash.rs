//! The hash by which endpoints are ranked for a key.
//!
//! Invariant: it has no seed and never changes: every worker, a process after its restart, and another Tidegate on another machine rank
//! alike. So whoever chooses keys can choose an endpoint by them, as they could by trying.

use std::net::{IpAddr, SocketAddr};

/// Spreads a number over all 64 bits (the step of SplitMix64).
pub const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Of bytes, eight at a time; their number counts, so that a zero more is another text.
pub fn of_bytes(bytes: &[u8]) -> u64 {
    let word = |hash: u64, chunk: &[u8]| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        mix(hash ^ u64::from_le_bytes(word))
    };
    bytes.chunks(8).fold(mix(bytes.len() as u64), word)
}

/// Of an address; an IPv4 address in IPv6 clothes is its IPv4 self.
pub fn of_ip(ip: IpAddr) -> u64 {
    let bits = match ip.to_canonical() {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    };
    mix(mix((bits >> 64) as u64) ^ bits as u64)
}

/// Of an address with its port.
pub fn of_address(address: SocketAddr) -> u64 {
    mix(of_ip(address.ip()) ^ u64::from(address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change of these moves every client everywhere.
    #[test]
    fn it_stays_what_it_is() {
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(of_ip("::ffff:10.0.0.1".parse().unwrap()), of_ip("10.0.0.1".parse().unwrap()));
        let texts: [&[u8]; 7] = [b"", b"\0", b"a", b"a\0", b"12345678", b"12345678\0", b"123456789"];
        let mut hashes = texts.map(of_bytes).to_vec();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), texts.len(), "no two are the same");
    }

    #[test]
    fn texts_that_differ_little_are_spread_evenly() {
        let mut counts = [0_u32; 64];
        for number in 0..64_000 {
            counts[(of_bytes(format!("user-{number}").as_bytes()) % 64) as usize] += 1;
        }
        // Sixty-three degrees of freedom: mean 63, standard deviation 11.
        let chi: f64 = counts.iter().map(|&count| (f64::from(count) - 1_000.0).powi(2) / 1_000.0).sum();
        assert!(chi < 130.0, "chi-square {chi}");
    }
}
