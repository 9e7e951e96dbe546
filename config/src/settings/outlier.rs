//! `outlier`: when an endpoint is left out for what its requests come to, and for how long.

/// Rules of ejection; times in milliseconds, shares in percent of a service port's Ready endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlier {
    /// So many failures in a row eject; 0: none do. Default 5.
    pub consecutive_failures: u32,
    /// Between two looks at all success rates. Default 10,000 ms.
    pub interval_ms: u64,
    /// How long the first ejection lasts; the next in a row lasts once more as long. Default 30,000 ms.
    pub base_ejection_ms: u64,
    /// How long an ejection lasts at most; never less than the first. Default 300,000 ms.
    pub max_ejection_ms: u64,
    /// At most this share is ejected at once, and never the last one; 0: nobody is. Default 50 %.
    pub max_ejected_percent: u32,
    /// When less than this share is left, all are used. When nobody is, always. Default 34 %.
    pub panic_percent: u32,
    /// So many thousandths of a standard deviation below the mean success rate eject; 0: none do. Default 1,900.
    pub success_rate_factor: u32,
    /// Success rates are compared where so many endpoints have enough requests. Default 5.
    pub success_rate_endpoints: u32,
    /// So many requests in an interval are enough. Default 100.
    pub success_rate_requests: u32,
}

impl Default for Outlier {
    fn default() -> Self {
        Outlier {
            consecutive_failures: 5,
            interval_ms: 10_000,
            base_ejection_ms: 30_000,
            max_ejection_ms: 300_000,
            max_ejected_percent: 50,
            panic_percent: 34,
            success_rate_factor: 1_900,
            success_rate_endpoints: 5,
            success_rate_requests: 100,
        }
    }
}

impl Outlier {
    /// Whether anybody can be ejected at all.
    pub fn is_on(&self) -> bool {
        self.max_ejected_percent > 0 && (self.consecutive_failures > 0 || self.success_rate_factor > 0)
    }
}
