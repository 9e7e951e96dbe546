//! Refusals, counted, and which of them are logged: so many in so long, so that nobody floods the log by asking.
//!
//! Pure: it takes `now`.

use std::time::{Duration, Instant};

/// So many lines ...
const MOST: u64 = 10;
/// ... in so long.
const WINDOW: Duration = Duration::from_secs(10);

/// What was refused so far.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// All of it.
    total: u64,
    /// Since when lines are counted, and how many there were.
    window: Option<(Instant, u64)>,
    /// What no line was written for since the last one.
    silent: u64,
}

/// What a line says beside the refusal itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// This one included.
    pub(super) total: u64,
    /// So many before it were not logged.
    pub(super) silent: u64,
}

impl Refused {
    /// Counts one; a line, if one may be written.
    pub(super) fn note(&mut self, now: Instant) -> Option<Line> {
        self.total += 1;
        let (since, lines) = self.window.filter(|(since, _)| now.duration_since(*since) < WINDOW).unwrap_or((now, 0));
        if lines == MOST {
            self.silent += 1;
            return None;
        }
        self.window = Some((since, lines + 1));
        Some(Line { total: self.total, silent: std::mem::take(&mut self.silent) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_logged_ten_times_in_ten_seconds() {
        let start = Instant::now();
        let mut refused = Refused::default();
        let lines: Vec<_> = (0..1000).filter_map(|_| refused.note(start)).collect();
        assert_eq!(lines.iter().map(|line| line.total).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
        assert_eq!(refused.note(start + WINDOW - Duration::from_millis(1)), None);
        assert_eq!(refused.note(start + WINDOW), Some(Line { total: 1002, silent: 991 }));
        assert_eq!(refused.note(start + WINDOW), Some(Line { total: 1003, silent: 0 }), "what was said is not said again");
    }
}
