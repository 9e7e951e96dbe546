//! Why Tidegate answered by itself: one word for log, metric and docs/reasons.md.
//!
//! Invariant: every response that no replica gave carries exactly one of these; the words are a contract with scripts.

/// Why a request got an answer of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The bytes are not a request that we accept.
    BadRequest,
    /// No route for this host and path on this listener's plane.
    NoRoute,
    /// The route takes only clients that showed a certificate in a TLS handshake, and this one did not come through TLS.
    ClientCertificate,
    /// The client did not finish its head, or its body stopped moving.
    TimeoutDownstream,
    /// The host has another certificate, or asks its clients for another, than the connection was opened with.
    Misdirected,
    /// The head is larger than the limits.
    HeadTooLarge,
    /// No replica could be connected to.
    UpstreamConnect,
    /// A replica closed, reset or broke the protocol before its answer was whole.
    UpstreamReset,
    /// The route stands, but no endpoint is ready.
    NoEndpoint,
    /// The client's address may not ask.
    Denied,
    /// No name and password that may come in.
    Unauthorized,
    /// The content is more than the route takes.
    BodyTooLarge,
    /// The client is sent elsewhere.
    Redirected,
    /// A browser's question before the question.
    Preflight,
    /// The request may go through no proxy more.
    MaxForwards,
    /// The replica, or the whole exchange, took longer than the route waits.
    TimeoutRequest,
    /// More is asked of us than we take on at once.
    Overload,
    /// The client, or all of them, ask for more than the route lets them.
    RateLimited,
}

impl Reason {
    /// All of them, in the order of [`Reason::index`].
    pub const ALL: [Reason; 18] = [
        Reason::BadRequest,
        Reason::NoRoute,
        Reason::ClientCertificate,
        Reason::TimeoutDownstream,
        Reason::Misdirected,
        Reason::HeadTooLarge,
        Reason::UpstreamConnect,
        Reason::UpstreamReset,
        Reason::NoEndpoint,
        Reason::Denied,
        Reason::Unauthorized,
        Reason::BodyTooLarge,
        Reason::Redirected,
        Reason::Preflight,
        Reason::MaxForwards,
        Reason::TimeoutRequest,
        Reason::Overload,
        Reason::RateLimited,
    ];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::BadRequest => "bad-request",
            Reason::NoRoute => "no-route",
            Reason::ClientCertificate => "client-certificate",
            Reason::TimeoutDownstream => "timeout-downstream",
            Reason::Misdirected => "misdirected",
            Reason::HeadTooLarge => "head-too-large",
            Reason::UpstreamConnect => "upstream-connect",
            Reason::UpstreamReset => "upstream-reset",
            Reason::NoEndpoint => "no-endpoint",
            Reason::Denied => "denied",
            Reason::Unauthorized => "unauthorized",
            Reason::BodyTooLarge => "body-too-large",
            Reason::Redirected => "redirected",
            Reason::Preflight => "preflight",
            Reason::MaxForwards => "max-forwards",
            Reason::TimeoutRequest => "timeout-request",
            Reason::Overload => "overload",
            Reason::RateLimited => "rate-limited",
        }
    }

    /// The status that goes with it; a redirect, and `max-forwards`, may have another one.
    pub const fn status(self) -> u16 {
        match self {
            Reason::BadRequest => 400,
            Reason::NoRoute => 404,
            Reason::ClientCertificate => 403,
            Reason::TimeoutDownstream => 408,
            Reason::Misdirected => 421,
            Reason::HeadTooLarge => 431,
            Reason::UpstreamConnect | Reason::UpstreamReset => 502,
            Reason::NoEndpoint | Reason::Overload => 503,
            Reason::RateLimited => 429,
            Reason::Denied => 403,
            Reason::Unauthorized => 401,
            Reason::BodyTooLarge => 413,
            Reason::Redirected => 308,
            Reason::Preflight | Reason::MaxForwards => 204,
            Reason::TimeoutRequest => 504,
        }
    }

    /// Its place in [`Reason::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_reasons_has_every_word_with_its_status() {
        let page = include_str!("../../docs/reasons.md");
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index);
            let row = format!("| `{}` | {} |", reason.as_str(), reason.status());
            assert!(page.contains(&row), "docs/reasons.md has no row `{row}`");
        }
        assert_eq!(page.lines().filter(|line| line.starts_with("| `")).count(), Reason::ALL.len(), "a row without a reason");
    }
}
