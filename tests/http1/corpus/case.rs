//! One case of the corpus: exact bytes in, and the one thing that must happen.
//!
//! Invariant: what must happen is said in bytes wherever bytes go further. Only the order of fields with different names, which means
//! nothing (RFC 9110 section 5.3), and the fields that Tidegate adds to every message are left to the runner.

/// One case.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    /// Its name, unique in the corpus.
    pub(super) id: &'static str,
    /// Document and section that decide it.
    pub(super) rfc: &'static str,
    /// Why, in one line.
    pub(super) why: &'static str,
    /// What the client sends.
    pub(super) sent: &'static [u8],
    /// What the replica does with it.
    pub(super) replica: Answers,
    /// What must happen.
    pub(super) must: Must,
    /// What must become of the client's connection.
    pub(super) then: Then,
}

/// What the replica answers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answers {
    /// The bytes that it received.
    Echo,
    /// These bytes.
    Says(&'static [u8]),
    /// These bytes, then the end of the connection.
    SaysAndCloses(&'static [u8]),
}

/// What must happen.
#[derive(Clone, Copy, Debug)]
pub(super) enum Must {
    /// Tidegate answers with this status; nothing whole reaches a replica, and nothing behind it is read as a request.
    Refuse(u16),
    /// These messages reach the replica, and no others; Tidegate's own fields apart.
    Forward(&'static [&'static [u8]]),
    /// What was sent reaches the replica as it is, Tidegate's own fields apart.
    AsSent,
    /// The first of them does so, the rest is refused with this status.
    ForwardThenRefuse(&'static [u8], u16),
    /// The client sees exactly these answers; `Date` may be Tidegate's.
    Answer(&'static [&'static [u8]]),
    /// The same of an answer that is Tidegate's own; nothing reaches a replica.
    Own(&'static [u8]),
    /// What the replica said is no answer: 502.
    BadGateway,
    /// The client sees an answer begin and break off; it never looks whole.
    Cut,
    /// The client ends after it, hears nothing, and nothing whole reaches a replica.
    Silence,
}

/// What must become of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It serves the next request.
    Kept,
    /// It ends.
    Closed,
}

const fn echoed(id: &'static str, rfc: &'static str, why: &'static str, sent: &'static [u8], must: Must, then: Then) -> Case {
    Case { id, rfc, why, sent, replica: Answers::Echo, must, then }
}

/// A request that is refused with 400.
pub(super) const fn refused(id: &'static str, rfc: &'static str, why: &'static str, sent: &'static [u8]) -> Case {
    refused_with(400, id, rfc, why, sent)
}

/// A request that is refused with this status.
pub(super) const fn refused_with(status: u16, id: &'static str, rfc: &'static str, why: &'static str, sent: &'static [u8]) -> Case {
    echoed(id, rfc, why, sent, Must::Refuse(status), Then::Closed)
}

/// One request that reaches the replica as it was sent.
pub(super) const fn as_sent(id: &'static str, rfc: &'static str, why: &'static str, sent: &'static [u8]) -> Case {
    echoed(id, rfc, why, sent, Must::AsSent, Then::Kept)
}

/// Requests that reach the replica like this.
pub(super) const fn forwarded(
    id: &'static str,
    rfc: &'static str,
    why: &'static str,
    sent: &'static [u8],
    up: &'static [&'static [u8]],
) -> Case {
    echoed(id, rfc, why, sent, Must::Forward(up), Then::Kept)
}

/// A request that Tidegate answers by itself like this.
pub(super) const fn answered_here(
    id: &'static str,
    rfc: &'static str,
    why: &'static str,
    sent: &'static [u8],
    seen: &'static [u8],
) -> Case {
    echoed(id, rfc, why, sent, Must::Own(seen), Then::Kept)
}

/// One good request, and one that is refused behind it.
pub(super) const fn then_refused(id: &'static str, rfc: &'static str, why: &'static str, sent: &'static [u8], up: &'static [u8]) -> Case {
    echoed(id, rfc, why, sent, Must::ForwardThenRefuse(up, 400), Then::Closed)
}

/// Something that never becomes a request.
pub(super) const fn silent(id: &'static str, rfc: &'static str, why: &'static str, sent: &'static [u8]) -> Case {
    echoed(id, rfc, why, sent, Must::Silence, Then::Closed)
}

/// The request of most cases that are about answers.
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A replica's answer to a GET, and what the client sees of it.
pub(super) const fn answered(
    id: &'static str,
    rfc: &'static str,
    why: &'static str,
    said: &'static [u8],
    seen: &'static [&'static [u8]],
) -> Case {
    Case { id, rfc, why, sent: GET, replica: Answers::Says(said), must: Must::Answer(seen), then: Then::Kept }
}

/// A replica's answer that is none.
pub(super) const fn bad_answer(id: &'static str, rfc: &'static str, why: &'static str, said: &'static [u8]) -> Case {
    Case { id, rfc, why, sent: GET, replica: Answers::SaysAndCloses(said), must: Must::BadGateway, then: Then::Closed }
}

/// A replica's answer that breaks off, or breaks its framing, once the client has seen a part of it.
pub(super) const fn cut(id: &'static str, rfc: &'static str, why: &'static str, said: &'static [u8]) -> Case {
    Case { id, rfc, why, sent: GET, replica: Answers::SaysAndCloses(said), must: Must::Cut, then: Then::Closed }
}

impl Case {
    /// The client's connection ends after it.
    pub(super) const fn closes(self) -> Case {
        Case { then: Then::Closed, ..self }
    }

    /// The client asks like this.
    pub(super) const fn to(self, sent: &'static [u8]) -> Case {
        Case { sent, ..self }
    }

    /// The replica's connection ends after its answer.
    pub(super) const fn then_ends(self) -> Case {
        let Answers::Says(said) = self.replica else { panic!("it says nothing of its own") };
        Case { replica: Answers::SaysAndCloses(said), ..self }
    }
}

/// `pattern` as often as it takes to fill `N` bytes between the two others.
pub(super) const fn filled<const N: usize>(before: &[u8], pattern: &[u8], after: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    let mut at = 0;
    while at < N {
        bytes[at] = if at < before.len() {
            before[at]
        } else if at >= N - after.len() {
            after[at + after.len() - N]
        } else {
            pattern[(at - before.len()) % pattern.len()]
        };
        at += 1;
    }
    bytes
}
