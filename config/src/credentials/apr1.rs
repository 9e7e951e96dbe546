//! Apache's variant of the MD5-based password hash (`htpasswd -m`, `openssl passwd -apr1`). Old and weak, and what most files still hold.

use md5::{Digest, Md5};

/// What such a hash begins with.
pub(super) const PREFIX: &str = "$apr1$";
/// Longest salt.
const MAX_SALT: usize = 8;
const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Which bytes of the digest are written together, three in four characters.
const ORDER: [[usize; 3]; 5] = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];

/// The salt in a hash.
pub(super) fn salt(hash: &str) -> &str {
    hash.strip_prefix(PREFIX).and_then(|rest| rest.split('$').next()).unwrap_or_default()
}

/// The hash of a password; `None` when the salt is too long.
pub(super) fn hash(password: &[u8], salt: &str) -> Option<String> {
    if salt.len() > MAX_SALT {
        return None;
    }
    let between = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut first = Md5::new().chain_update(password).chain_update(PREFIX).chain_update(salt);
    for chunk in password.chunks(16) {
        first.update(&between[..chunk.len()]);
    }
    let mut bits = password.len();
    while bits > 0 {
        first.update(if bits & 1 == 1 { &[0][..] } else { &password[..1] });
        bits >>= 1;
    }
    let mut digest = first.finalize();
    for round in 0..1000 {
        let mut next = Md5::new();
        next.update(if round & 1 == 1 { password } else { &digest[..] });
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        next.update(if round & 1 == 1 { &digest[..] } else { password });
        digest = next.finalize();
    }
    Some(format!("{PREFIX}{salt}${}", encoded(&digest)))
}

fn encoded(digest: &[u8]) -> String {
    let mut out = String::with_capacity(22);
    let mut write = |mut bits: u32, characters: usize| {
        for _ in 0..characters {
            out.push(char::from(ALPHABET[bits as usize & 63]));
            bits >>= 6;
        }
    };
    for [high, middle, low] in ORDER {
        write(u32::from(digest[high]) << 16 | u32::from(digest[middle]) << 8 | u32::from(digest[low]), 4);
    }
    write(u32::from(digest[11]), 2);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_openssl() {
        // openssl passwd -apr1 -salt SALT PASSWORD
        for (password, made) in TABLE {
            assert_eq!(hash(password.as_bytes(), salt(made)).as_deref(), Some(made), "{password}");
        }
        assert_eq!(hash(b"x", "123456789"), None);
    }

    const TABLE: [(&str, &str); 4] = [
        ("", "$apr1$abcdefgh$L.PT565ESX4Tp2bqNs7Ie."),
        ("a", "$apr1$x$16j9.5e7KiXmuYFAYpPJM/"),
        ("0123456789abcdef", "$apr1$12345678$vc38ZupyU1KkWqFuFfTA/."),
        ("a long password with more than thirty-two characters", "$apr1$a./Z$5QhhPnsgl0qxFwMNR/5oW/"),
    ];
}
