//! What the marks of endpoints are keyed by: the values of cookies that name one.
//!
//! Invariant: whoever does not know the seed learns neither name nor address from a mark. Every Tidegate that reads the same Service from
//! Kubernetes has the same seed, without being told one: the Service's uid, which is random and known inside alone. A Service without a
//! uid has the seed of the state directory, else one of the process. Never printed.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::{hmac, rand};
use config::object::Name;

/// Bytes of a seed that is made.
const MADE: usize = 32;

/// What the marks of cookies are keyed by.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Seed(Arc<[u8]>);

impl Seed {
    /// A new one. Without randomness there is none, and marks are what anybody can compute.
    pub fn random() -> Seed {
        let mut bytes = [0; MADE];
        let _ = rand::fill(&mut bytes); // rustls has refused to start before this could fail
        Seed(Arc::new(bytes))
    }

    /// That of an object with this uid.
    pub fn of_uid(uid: &Name) -> Seed {
        Seed(uid.clone().into())
    }

    /// One that was kept; `None` when it cannot be one.
    pub(crate) fn kept(bytes: &[u8]) -> Option<Seed> {
        (bytes.len() == MADE).then(|| Seed(bytes.into()))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Marks names with it (HMAC-SHA-256, of which 64 bits are kept).
    pub fn marker(&self) -> impl Fn(&[u8]) -> u64 {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        move |name| {
            let tag = hmac::sign(&key, name);
            tag.as_ref().iter().take(8).fold(0, |mark, &byte| (mark << 8) | u64::from(byte))
        }
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_of_name_and_seed() {
        let uid = Seed::of_uid(&"6fd3a9c0-5b5e-4d0e-9a52-6a8b1f6f6d11".into());
        let (mark, same) =
            (uid.marker()(b"shop/web-0"), Seed::of_uid(&"6fd3a9c0-5b5e-4d0e-9a52-6a8b1f6f6d11".into()).marker()(b"shop/web-0"));
        assert_eq!(mark, same, "in every process");
        assert_ne!(mark, uid.marker()(b"shop/web-1"));
        let made = Seed::random();
        assert_ne!(made.marker()(b"shop/web-0"), Seed::random().marker()(b"shop/web-0"));
        assert_eq!(Seed::kept(made.bytes()), Some(made.clone()));
        assert_eq!(Seed::kept(b"short"), None);
        assert_eq!(format!("{made:?}"), "[redacted]");
    }
}
