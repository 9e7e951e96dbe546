//! How much a service port may carry at once, and how much it does.
//!
//! Invariant: what is under way is counted once for all pictures, planes and workers, and outlives a change of the bounds. Never more is
//! begun than the bounds let; what was begun before there were any is not counted. Who waits for room goes in the order of arrival.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicU32,
    Ordering::{AcqRel, Relaxed},
};

use config::object::Bounds;
use crossbeam_utils::CachePadded;

use super::line::{Line, Turn};

/// A service port with bounds.
#[derive(Clone, Debug)]
pub struct Bounded {
    /// What it may carry.
    pub most: Bounds,
    port: Arc<Port>,
}

/// A service port over all pictures.
#[derive(Debug, Default)]
struct Port {
    in_flight: CachePadded<AtomicU32>,
    line: Line,
}

/// One request or connection, under way at a service port with bounds until this is dropped.
#[derive(Debug)]
pub struct Carried(Arc<Port>);

/// There is room for one more at a service port: whoever waits first is told when this is dropped.
#[derive(Debug)]
pub struct Room(Arc<Port>);

/// One that waits until a service port may carry it, until this is dropped.
#[derive(Debug)]
pub struct Pending {
    port: Arc<Port>,
    turn: Turn,
}

impl Bounded {
    /// With these bounds, where there are any. `old` is what the same service port had before: what it counts goes on.
    pub fn renewed(most: Bounds, old: Option<&Arc<Bounded>>) -> Option<Arc<Bounded>> {
        match old {
            _ if most.is_default() => None,
            Some(old) if old.most == most => Some(old.clone()),
            Some(old) => Some(Arc::new(Bounded { most, port: old.port.clone() })),
            None => Some(Arc::new(Bounded { most, port: Arc::default() })),
        }
    }

    /// Whether two services have the same bounds and count together.
    pub fn same(one: Option<&Arc<Bounded>>, other: Option<&Arc<Bounded>>) -> bool {
        one.map(Arc::as_ptr) == other.map(Arc::as_ptr)
    }

    /// Counts one more; `None` when as many as may be are under way.
    pub fn carry(&self) -> Option<Carried> {
        within(&self.port.in_flight, self.most.in_flight).then(|| Carried(self.port.clone()))
    }

    /// The last place in the line; `None` when as many wait as may.
    pub fn queue(&self) -> Option<Pending> {
        let turn = self.port.line.join(self.most.pending?)?;
        Some(Pending { port: self.port.clone(), turn })
    }

    /// Somebody waits: whoever comes now is behind them.
    pub fn is_waited_for(&self) -> bool {
        !self.port.line.is_empty()
    }

    /// What is under way.
    pub fn in_flight(&self) -> u32 {
        self.port.in_flight.load(Relaxed)
    }
}

impl Carried {
    /// It is over. Nobody is told of the room before that is dropped.
    pub fn end(self) -> Room {
        Room(self.0.clone())
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, AcqRel);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.0.line.ring();
    }
}

impl Pending {
    /// Nobody has waited longer.
    pub fn is_first(&self) -> bool {
        self.port.line.is_first(&self.turn)
    }

    /// Waits for this service port, whatever its bounds are by now.
    pub fn is_at(&self, bounded: &Bounded) -> bool {
        Arc::ptr_eq(&self.port, &bounded.port)
    }

    /// Waits until there may be room for whoever is first.
    pub async fn rung(&self) {
        self.turn.rung().await;
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.port.line.leave(&self.turn);
    }
}

/// Adds one, unless there are `most` already. Nobody who is refused is ever counted, so that nobody is refused for that.
pub fn within(count: &AtomicU32, most: Option<u32>) -> bool {
    let most = most.unwrap_or(u32::MAX);
    count.fetch_update(Relaxed, Relaxed, |count| (count < most).then(|| count + 1)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(most: u32) -> Bounds {
        Bounds { in_flight: Some(most), ..Bounds::default() }
    }

    #[test]
    fn the_count_outlives_a_change_of_the_bounds() {
        let first = Bounded::renewed(bounds(2), None).unwrap();
        let carried = [first.carry().unwrap(), first.carry().unwrap()];
        assert!(first.carry().is_none());
        let same = Bounded::renewed(bounds(2), Some(&first));
        assert!(Bounded::same(same.as_ref(), Some(&first)));
        let wider = Bounded::renewed(bounds(3), Some(&first)).unwrap();
        assert!(!Bounded::same(Some(&wider), Some(&first)) && wider.in_flight() == 2);
        let third = wider.carry().unwrap();
        assert!(wider.carry().is_none() && first.in_flight() == 3);
        drop(carried);
        drop(third);
        assert_eq!(wider.in_flight(), 0);
        assert!(Bounded::renewed(Bounds::default(), Some(&wider)).is_none());
    }

    #[test]
    fn threads_never_begin_more_than_may_be() {
        let bounded = Bounded::renewed(bounds(3), None).unwrap();
        let most = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        let carried = bounded.carry();
                        most.fetch_max(bounded.in_flight(), Relaxed);
                        drop(carried);
                    }
                });
            }
        });
        assert!(most.into_inner() <= 3);
        assert_eq!(bounded.in_flight(), 0);
    }
}
