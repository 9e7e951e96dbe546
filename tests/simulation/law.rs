//! What must hold after every step, and faults that break it, so that it is known to be looked at.

/// Something that a world does wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Workers say that they run a picture as soon as they have it, while a request still looks at an older one.
    AcknowledgesEarly,
    /// Connections are kept by address.
    PoolsByAddress,
    /// What was sent is sent again whatever its method.
    RepeatsAll,
    /// Nobody waits.
    NeverWaits,
    /// One that fails is asked again at once.
    AvoidsNobody,
    /// The outside sees the inside's plane.
    ShowsTheInside,
    /// Nobody is told to stop waiting.
    QueuesWithoutEnd,
}

impl Fault {
    pub(super) const ALL: [Fault; 7] = [
        Fault::AcknowledgesEarly,
        Fault::PoolsByAddress,
        Fault::RepeatsAll,
        Fault::NeverWaits,
        Fault::AvoidsNobody,
        Fault::ShowsTheInside,
        Fault::QueuesWithoutEnd,
    ];

    /// A word of the law that it breaks.
    pub(super) const fn breaks(self) -> &'static str {
        match self {
            Fault::AcknowledgesEarly => "gone",
            Fault::PoolsByAddress => "another replica",
            Fault::RepeatsAll => "twice",
            Fault::NeverWaits => "failed",
            Fault::AvoidsNobody => "again",
            Fault::ShowsTheInside => "outside",
            Fault::QueuesWithoutEnd => "wait",
        }
    }
}
