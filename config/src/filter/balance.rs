//! How an endpoint is picked.

use crate::annotations::Key;

/// A way to pick. `sessionAffinity: ClientIP` of the Service wins over all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// The less busy of two at random, by requests in flight and latency: what happens without a word.
    LeastBusy,
    /// The same by requests in flight alone.
    LeastRequest,
    /// One after the other, on each worker.
    RoundRobin,
    /// At random.
    Random,
    /// A client keeps its endpoint, by its address.
    ClientIp,
}

impl Balance {
    const ALL: [Balance; 5] = [Balance::LeastBusy, Balance::LeastRequest, Balance::RoundRobin, Balance::Random, Balance::ClientIp];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Balance::LeastBusy => "least-busy",
            Balance::LeastRequest => "least-request",
            Balance::RoundRobin => "round-robin",
            Balance::Random => "random",
            Balance::ClientIp => "client-ip",
        }
    }
}

pub(super) const KEYS: &[Key] =
    &[Key::new("balance", "`least-busy`, `least-request`, `round-robin`, `random` or `client-ip`", |draft, text| {
        let known = Balance::ALL.into_iter().find(|balance| balance.as_str() == text);
        draft.filters.balance = Some(known.ok_or("no such way to pick")?);
        Ok(())
    })];
