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
    /// Pods that do not say whether they are ready are taken to be.
    AsksNobody,
    /// Each is asked once, and never again.
    AsksOnce,
    /// A verdict counts for whoever has the name now.
    JudgesByName,
    /// More are left out than the settings allow.
    EjectsTooMany,
    /// Whoever is left out stays out, however few are left.
    NeverPanics,
    /// Whoever is left out is picked like the others.
    PicksTheEjected,
    /// The right to try an endpoint is given back before anybody knows what came of it.
    GivesTrialsBack,
    /// No ejection ever ends.
    ForgetsTime,
    /// What is under way at a replica that left is never cut.
    NeverCuts,
    /// It is cut at once.
    CutsAtOnce,
}

impl Fault {
    pub(super) const ALL: [Fault; 17] = [
        Fault::AcknowledgesEarly,
        Fault::PoolsByAddress,
        Fault::RepeatsAll,
        Fault::NeverWaits,
        Fault::AvoidsNobody,
        Fault::ShowsTheInside,
        Fault::QueuesWithoutEnd,
        Fault::AsksNobody,
        Fault::AsksOnce,
        Fault::JudgesByName,
        Fault::EjectsTooMany,
        Fault::NeverPanics,
        Fault::PicksTheEjected,
        Fault::GivesTrialsBack,
        Fault::ForgetsTime,
        Fault::NeverCuts,
        Fault::CutsAtOnce,
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
            Fault::AsksNobody => "found ready",
            Fault::AsksOnce => "converged",
            Fault::JudgesByName => "former",
            Fault::EjectsTooMany => "most",
            Fault::NeverPanics => "too few",
            Fault::PicksTheEjected => "although that is left out",
            Fault::GivesTrialsBack => "on trial",
            Fault::ForgetsTime => "left out of",
            Fault::NeverCuts => "outlives",
            Fault::CutsAtOnce => "early",
        }
    }
}
