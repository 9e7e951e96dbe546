//! Whether a worker is so late that it must do less: a part of its new requests is then answered at once, before all of them wait.
//!
//! How late it is, a timer of its own says: it runs behind everything else that is ready to run, as each request does. A worker that was
//! late once was stopped, or had one long step; one that is late again and again has more to do than it can. The part that is
//! shed grows as long as it is late, and shrinks half as fast once it is back within half of the bound.
//!
//! Invariant: sans-io but for [`watch`]. Requests from outside are shed first; those of the inside only once nearly all of the outside are
//! and the worker is still late. Never all: somebody must show that it is over. A worker that is not late pays one look at a number.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use config::exposure::Exposure;
use tokio::time::Instant;

use crate::stats::plane;
use crate::worker::Worker;

/// Time between two looks.
const EVERY: Duration = Duration::from_millis(100);
/// All requests of one side.
pub(crate) const ALL: u32 = 1_000_000;
/// Most of them that are shed.
const MOST: u32 = 950_000;
/// What the part grows by in a millisecond: to all in two seconds.
const GROWS: u64 = 500;
/// What it shrinks by.
const SHRINKS: u64 = 250;
/// One look counts for so much time at most, in milliseconds.
const LONGEST_MS: u64 = 1_000;

/// Which part of its new requests a worker sheds.
#[derive(Debug, Default)]
pub(crate) struct Shedding {
    /// 0 to [`ALL`] for the outside, and from there to twice that for the inside as well.
    level: Cell<u32>,
    /// It was late when it was last looked at.
    late: Cell<bool>,
    /// Parts of requests that are still to be shed.
    owed: [Cell<u32>; 2],
}

impl Shedding {
    /// The worker was `lag_ms` late, and was last looked at `elapsed_ms` ago. `bound_ms` is how late it may be; 0: as it likes. Says whether
    /// it begins to shed, or ends.
    pub(crate) fn judge(&self, lag_ms: u64, elapsed_ms: u64, bound_ms: u64) -> Option<bool> {
        let before = self.level.get();
        let by = |each: u64| (each * elapsed_ms.min(LONGEST_MS)) as u32;
        let late = bound_ms > 0 && lag_ms > bound_ms;
        let level = if bound_ms == 0 {
            0
        } else if late && self.late.get() {
            (before + by(GROWS)).min(2 * ALL)
        } else if lag_ms <= bound_ms / 2 {
            before.min(ALL).saturating_sub(by(SHRINKS))
        } else {
            before
        };
        self.late.set(late);
        self.level.set(level);
        ((before == 0) != (level == 0)).then_some(level > 0)
    }

    /// The part of a side's requests that is shed, of [`ALL`].
    pub(crate) fn part(&self, exposure: Exposure) -> u32 {
        let level = self.level.get();
        match exposure {
            Exposure::External => level.min(MOST),
            Exposure::Internal => level.saturating_sub(ALL).min(MOST),
        }
    }

    /// Whether a new request is shed. Evenly: of ten with a part of a tenth, each tenth.
    pub(crate) fn sheds(&self, exposure: Exposure) -> bool {
        self.level.get() > 0 && self.owes(exposure)
    }

    #[cold]
    fn owes(&self, exposure: Exposure) -> bool {
        let owed = &self.owed[plane(exposure)];
        let all = owed.get() + self.part(exposure);
        owed.set(all % ALL);
        all >= ALL
    }
}

/// Looks how late the worker is, as long as it runs.
pub(crate) async fn watch(worker: Rc<Worker>) {
    let mut last = Instant::now();
    let mut peak_us = 0;
    loop {
        let due = Instant::now() + EVERY;
        tokio::time::sleep_until(due).await;
        let now = Instant::now();
        let (lag, elapsed) = (now - due, now - last);
        last = now;
        // The latest of the last seconds.
        peak_us = (lag.as_micros() as u64).max(peak_us - peak_us / 64);
        let counts = worker.counts.worker();
        let told = worker.shedding.judge(lag.as_millis() as u64, elapsed.as_millis() as u64, worker.limits.shed_lag_ms);
        counts.lag_us.set(peak_us);
        counts.shed_part.set(u64::from(worker.shedding.part(Exposure::External)));
        match told {
            Some(true) => tracing::warn!(worker = worker.id, lag_ms = lag.as_millis() as u64, "too late: a part of new requests is shed"),
            Some(false) => tracing::warn!(worker = worker.id, "back in time: no request is shed"),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};

    use super::Exposure::{External, Internal};
    use super::*;

    #[test]
    fn late_once_is_nothing_and_late_again_is() {
        let shedding = Shedding::default();
        assert_eq!(shedding.judge(9_000, 9_100, 500), None, "it was stopped");
        assert_eq!(shedding.judge(0, 100, 500), None);
        assert_eq!(shedding.judge(501, 600, 500), None);
        assert!(!shedding.sheds(External));
        assert_eq!(shedding.judge(501, 600, 500), Some(true));
        assert_eq!((shedding.part(External), shedding.part(Internal)), (300_000, 0));
        assert_eq!((0..10).filter(|_| shedding.sheds(External)).count(), 3, "and which ones is no chance");
        assert!(!shedding.sheds(Internal));
    }

    #[test]
    fn the_outside_goes_first_and_nobody_loses_all() {
        let shedding = Shedding::default();
        let late = |times: usize| (0..times).for_each(|_| _ = shedding.judge(900, 1_000, 500));
        late(3);
        assert_eq!((shedding.part(External), shedding.part(Internal)), (MOST, 0));
        late(1);
        assert_eq!((shedding.part(External), shedding.part(Internal)), (MOST, 500_000));
        late(10);
        assert_eq!((shedding.part(External), shedding.part(Internal)), (MOST, MOST));
        assert!((0..100).filter(|_| !shedding.sheds(External)).count() == 5);
        assert_eq!(shedding.judge(400, 1_000, 500), None, "neither late nor well: all stays");
        assert_eq!(shedding.part(Internal), MOST);
        assert_eq!(shedding.judge(250, 100, 500), None);
        assert_eq!((shedding.part(External), shedding.part(Internal)), (MOST, 0), "the inside is the first to be served again");
    }

    #[test]
    fn it_ends_by_itself_and_when_it_is_switched_off() {
        let shedding = Shedding::default();
        (0..3).for_each(|_| _ = shedding.judge(900, 1_000, 500));
        let steps = (0..100).position(|_| shedding.judge(0, 100, 500) == Some(false));
        assert_eq!(steps, Some(39), "four seconds");
        (0..3).for_each(|_| _ = shedding.judge(900, 1_000, 500));
        assert_eq!(shedding.judge(900, 1_000, 0), Some(false));
        assert_eq!((shedding.judge(900, 1_000, 0), shedding.part(External)), (None, 0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn as_many_are_shed_as_the_part_says(looks in proptest::collection::vec((0u64..2_000, 0u64..3_000), 0..30), bound_ms in 1u64..1_000, internal in any::<bool>()) {
            let (shedding, side) = (Shedding::default(), if internal { Internal } else { External });
            for (lag_ms, elapsed_ms) in looks {
                shedding.judge(lag_ms, elapsed_ms, bound_ms);
            }
            let part = f64::from(shedding.part(side)) / f64::from(ALL);
            let shed = (0..1_000).filter(|_| shedding.sheds(side)).count();
            prop_assert!((shed as f64 - part * 1_000.0).abs() <= 1.0, "{shed} of a thousand, and the part is {part}");
            prop_assert!(part <= 0.95 && shedding.part(Internal) <= shedding.part(External));
        }
    }
}
