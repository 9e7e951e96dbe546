//! One sequence of bytes, two readers: Tidegate's HTTP/1 codec and hyper's server, and every way in which their verdicts may differ.
//!
//! Invariant: where both accept, they agree on method, target, host, framing and content; where they do not agree, a row of
//! [`DIFFERENCES`] says why, and its predicate looks for the evidence in the bytes, so that a wrong verdict of ours is not excused by
//! its own name. Both readers get all bytes and then the end of the connection: a message that is not whole counts as refused.

use std::fmt;

mod by_hyper;
mod by_us;
mod messages;
mod table;

pub use messages::MESSAGES;
pub use table::{DIFFERENCES, Difference};

/// Most bytes that are compared: within the head limits of both readers.
pub const MOST: usize = 60 * 1024;

/// What a reader makes of the first message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The head was refused, or never whole. Holds why.
    Refused(String),
    /// The head was accepted.
    Accepted(Message),
}

/// What an accepted message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Host and port that it is for, as written; empty when it names none.
    pub host: String,
    /// Length of its body; `None` when it is chunked.
    pub length: Option<u64>,
    /// Its content, or why there is none.
    pub body: Result<Vec<u8>, String>,
}

/// Two verdicts on the same bytes.
pub struct Case<'b> {
    /// The bytes.
    pub bytes: &'b [u8],
    /// Tidegate's verdict.
    pub ours: Verdict,
    /// hyper's verdict.
    pub hyper: Verdict,
}

impl<'b> Case<'b> {
    /// Asks both.
    pub fn of(bytes: &'b [u8]) -> Case<'b> {
        Case { bytes, ours: by_us::judge(bytes), hyper: by_hyper::judge(bytes) }
    }

    /// Whether both say the same. Why something is refused is a matter of taste.
    pub fn agree(&self) -> bool {
        match (&self.ours, &self.hyper) {
            (Verdict::Refused(_), Verdict::Refused(_)) => true,
            (Verdict::Accepted(ours), Verdict::Accepted(hyper)) => {
                let bodies = match (&ours.body, &hyper.body) {
                    (Ok(ours), Ok(hyper)) => ours == hyper,
                    (Err(_), Err(_)) => true,
                    _ => false,
                };
                bodies
                    && ours.method == hyper.method
                    && ours.target == hyper.target
                    && ours.host == hyper.host
                    && ours.length == hyper.length
            }
            _ => false,
        }
    }

    /// The rows that explain the difference.
    pub fn explained(&self) -> impl Iterator<Item = &'static Difference> + '_ {
        DIFFERENCES.iter().filter(|difference| (difference.explains)(self))
    }
}

impl fmt::Debug for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  ours:  {:?}\n  hyper: {:?}", self.bytes.escape_ascii(), self.ours, self.hyper)
    }
}

/// Compares both readers on `bytes`.
///
/// # Errors
/// The case, when they differ and no row of [`DIFFERENCES`] says why.
pub fn compare(bytes: &[u8]) -> Result<(), Case<'_>> {
    if bytes.len() > MOST {
        return Ok(());
    }
    let case = Case::of(bytes);
    if case.agree() || case.explained().next().is_some() { Ok(()) } else { Err(case) }
}
