//! The verdict: each request is judged by what became of it, by how long the pods lived, and by what the replicas say reached them.
//!
//! The rule, in the order in which it is asked:
//! - An answer of another Service's pod is wrong. It fails when the request was sent after the proxy had said that nothing of it asks the
//!   pod that had that address; before that it is counted.
//! - A whole answer of the right Service is good.
//! - An answer, stream or conversation that had begun may break off when its replica is gone, and then within [`IN_TIME`], in the words of
//!   its protocol ([`said`]). Whatever breaks off while its replica lives fails.
//! - What had not begun and may be repeated fails. What may come only once is lost, and does not fail, if it had reached a replica that is
//!   gone, or was under way in the moment in which one of its Service's went; and then its client must know within [`IN_TIME`].
//! - Whatever may come only once and reached replicas twice fails, however it ended.
//!
//! Invariant: no I/O and no clock; the same facts give the same verdict. Nothing is left out: each record has exactly one ruling.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::journal::Journal;
use crate::ledger::{Ask, By, End, Kind, Life, Nature, Record, SHOP};
use crate::wire::Cut;

#[cfg(test)]
mod tests;

/// Within this time after its replica is gone, a client must know.
pub(crate) const IN_TIME: Duration = Duration::from_secs(1);
/// Status UNAVAILABLE of gRPC.
const UNAVAILABLE: u32 = 14;

/// What is thought of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ruling {
    Good,
    Failed(String),
    /// It may come only once and went down with a replica; its client knew after so long.
    Lost(Duration),
    /// It had begun and broke off as it should, after so long.
    Cut(Duration),
    /// It had begun and did not break off as it should.
    BadCut(String),
    /// Answered by another Service's pod, which had the address for so long, before the proxy said that it had let go of the old pod.
    WrongEarly(Duration),
    /// The same after that.
    WrongLate(String),
}

/// Numbers of one kind of request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) requests: usize,
    pub(crate) good: usize,
    pub(crate) messages: u64,
    pub(crate) failed: usize,
    pub(crate) duplicated: usize,
    pub(crate) lost: usize,
    pub(crate) cut: usize,
    pub(crate) badly_cut: usize,
    pub(crate) slowest_cut: Duration,
    pub(crate) wrong_early: usize,
    pub(crate) wrong_late: usize,
    /// Requests right after one that was cut, and how many of them did not work.
    pub(crate) next: usize,
    pub(crate) next_failed: usize,
}

impl Tally {
    /// Requests that speak against the proxy; each is counted once.
    pub(crate) fn against(&self) -> usize {
        self.failed + self.duplicated + self.badly_cut + self.wrong_late
    }

    /// Whether anything was answered at all; a conversation that breaks off was, until then.
    fn is_proof(&self) -> bool {
        self.good + self.cut > 0
    }
}

/// A request that speaks against the proxy.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    pub(crate) ask: Ask,
    pub(crate) what: String,
    /// Since the beginning of the scene.
    pub(crate) sent: Duration,
    /// What the last death before its end was, for whoever looks for the cause.
    pub(crate) after: String,
}

/// Durations of one sort.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delays(pub(crate) Vec<Duration>);

impl Delays {
    /// The least of which a share of `part` is not above.
    pub(crate) fn at(&self, part: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort();
        let last = sorted.len().saturating_sub(1);
        sorted.get((last as f64 * part).round() as usize).copied().unwrap_or_default()
    }

    /// How many are not above `limit`.
    pub(crate) fn within(&self, limit: Duration) -> usize {
        self.0.iter().filter(|&&delay| delay <= limit).count()
    }
}

/// What is thought of one scene.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) rows: BTreeMap<(Kind, Ask), Tally>,
    pub(crate) findings: Vec<Finding>,
    /// From the end of a pod of the shop to the other Service's pod listening on its address.
    pub(crate) handed_on: Delays,
    /// From the manifest without an endpoint to the proxy's word that nothing of it asks that any more.
    pub(crate) let_go: Delays,
    /// Removals that the proxy never said so of.
    pub(crate) held: usize,
    /// Answers of another Service's pod before that word: how long after the end of the right one they were sent.
    pub(crate) wrong_early: Delays,
    /// The longest time from the end of a pod to that word: all wrong answers must be sent within it.
    pub(crate) bound: Duration,
    /// Pods that were told to end.
    pub(crate) replaced: usize,
}

impl Verdict {
    pub(crate) fn is_good(&self) -> bool {
        self.doubts().is_empty() && self.rows.values().all(|tally| tally.against() == 0)
    }

    /// Why it is no proof, whatever became of the requests.
    pub(crate) fn doubts(&self) -> Vec<String> {
        let unanswered = self.rows.iter().filter(|(_, tally)| !tally.is_proof());
        let mut doubts: Vec<String> =
            unanswered.map(|((kind, ask), _)| format!("no {} {} was answered by whom it was for", kind.word(), ask.word())).collect();
        if self.rows.is_empty() {
            doubts.push("nothing was asked".to_owned());
        }
        if self.replaced == 0 {
            doubts.push("no pod was replaced".to_owned());
        }
        if self.held > 0 {
            doubts.push(format!("{} removed endpoints were never let go of", self.held));
        }
        doubts
    }

    /// One kind of traffic, all that is asked in it.
    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Tally> {
        self.rows.iter().filter(move |((of, _), _)| *of == kind).map(|(_, tally)| tally)
    }
}

/// Judges a scene that began at `start`.
pub(crate) fn judge(records: &[Record], lives: &[Life], journal: &Journal, start: Instant) -> Verdict {
    let court = Court::of(lives, journal);
    let mut verdict = court.about_pods();
    for record in records {
        let ruling = court.rule(record);
        let doubled = record.nature() == Nature::Once && journal.of(record.id).len() > 1;
        let tally = verdict.rows.entry((record.kind, record.ask)).or_default();
        enter(tally, record, &ruling, doubled);
        if let Ruling::WrongEarly(age) = ruling {
            verdict.wrong_early.0.push(age);
        }
        let against = match ruling {
            _ if doubled => Some(format!("it reached {}", journal.of(record.id).join(" and "))),
            Ruling::Failed(what) | Ruling::BadCut(what) | Ruling::WrongLate(what) => Some(what),
            _ => None,
        };
        if let Some(mut what) = against {
            if record.again > 0 {
                what.push_str("; the proxy had said that it was not processed");
            }
            let after = court.last_death(record);
            let sent = record.sent.saturating_duration_since(start);
            verdict.findings.push(Finding { id: record.id, kind: record.kind, ask: record.ask, what, sent, after });
        }
    }
    verdict
}

fn enter(tally: &mut Tally, record: &Record, ruling: &Ruling, doubled: bool) {
    tally.requests += 1;
    tally.messages += u64::from(record.messages);
    match ruling {
        _ if doubled => tally.duplicated += 1,
        Ruling::Good => tally.good += 1,
        Ruling::Failed(_) => tally.failed += 1,
        Ruling::Lost(_) => tally.lost += 1,
        Ruling::Cut(took) => {
            tally.cut += 1;
            tally.slowest_cut = tally.slowest_cut.max(*took);
        }
        Ruling::BadCut(_) => tally.badly_cut += 1,
        Ruling::WrongEarly(_) => tally.wrong_early += 1,
        Ruling::WrongLate(_) => tally.wrong_late += 1,
    }
    if record.next {
        tally.next += 1;
        tally.next_failed += usize::from(matches!(ruling, Ruling::Failed(_)));
    }
}

/// The facts, in the order in which they are asked for.
struct Court<'a> {
    lives: &'a [Life],
    journal: &'a Journal,
    by_pod: HashMap<&'a str, &'a Life>,
    by_ip: HashMap<Ipv4Addr, Vec<&'a Life>>,
}

impl<'a> Court<'a> {
    fn of(lives: &'a [Life], journal: &'a Journal) -> Court<'a> {
        let by_pod = lives.iter().map(|life| (life.pod.as_str(), life)).collect();
        let mut by_ip: HashMap<_, Vec<_>> = HashMap::new();
        lives.iter().for_each(|life| by_ip.entry(life.ip).or_default().push(life));
        Court { lives, journal, by_pod, by_ip }
    }

    /// What the pods' lives say by themselves.
    fn about_pods(&self) -> Verdict {
        let mut verdict = Verdict::default();
        for life in self.lives {
            let Some(ended) = life.ended else { continue };
            verdict.replaced += 1;
            if life.service == SHOP {
                let next = self.by_ip[&life.ip].iter().map(|other| other.born).filter(|&born| born > ended).min();
                verdict.handed_on.0.extend(next.map(|born| born - ended));
            }
            match life.removed.zip(life.let_go) {
                Some((removed, let_go)) => {
                    verdict.let_go.0.push(let_go - removed);
                    verdict.bound = verdict.bound.max(let_go - ended);
                }
                None => verdict.held += 1,
            }
        }
        verdict
    }

    fn rule(&self, record: &Record) -> Ruling {
        match &record.by {
            Some(by) if by.service != record.service => self.wrong(record, by),
            Some(by) => match &record.end {
                End::Whole => Ruling::Good,
                End::Wrong(_) => Ruling::Failed(record.end.to_string()),
                End::Refused(_) | End::Cut(_) | End::Silent | End::Short => self.cut(record, by),
            },
            None => self.not_begun(record),
        }
    }

    /// Answered by a pod of another Service.
    fn wrong(&self, record: &Record, by: &By) -> Ruling {
        let stranger = format!("answered by {}, a pod of {}", by.pod, by.service);
        let Some(at) = self.by_pod.get(by.pod.as_str()) else { return Ruling::WrongLate(format!("{stranger} that never was")) };
        let before = self.by_ip[&at.ip].iter().filter(|life| life.service == record.service && life.born < at.born);
        let Some((before, ended)) = before.filter_map(|life| Some((life, life.ended?))).max_by_key(|(_, ended)| *ended) else {
            return Ruling::WrongLate(format!("{stranger}, on an address that {} never had", record.service));
        };
        match before.let_go {
            Some(let_go) if record.sent > let_go => {
                Ruling::WrongLate(format!("{stranger}, {:?} after {} was said to be let go", record.sent - let_go, before.pod))
            }
            _ => Ruling::WrongEarly(record.sent.saturating_duration_since(ended)),
        }
    }

    /// The answer had begun.
    fn cut(&self, record: &Record, by: &By) -> Ruling {
        let end = &record.end;
        let Some(life) = self.by_pod.get(by.pod.as_str()) else { return Ruling::BadCut(format!("{end}, of a pod that never was")) };
        let gone = life.told.zip(life.ended).filter(|(told, _)| *told <= record.ended);
        let Some((_, ended)) = gone else { return Ruling::BadCut(format!("{end}, while {} lived", by.pod)) };
        let took = record.ended.saturating_duration_since(ended);
        if took > IN_TIME {
            return Ruling::BadCut(format!("{end}, {took:?} after {} was gone", by.pod));
        }
        if said(record.kind, end) { Ruling::Cut(took) } else { Ruling::BadCut(format!("{end}, {took:?} after {} was gone", by.pod)) }
    }

    /// Nobody had begun to answer.
    fn not_begun(&self, record: &Record) -> Ruling {
        let end = &record.end;
        let reached = self.journal.of(record.id);
        if record.nature() == Nature::Repeatable {
            return Ruling::Failed(format!("{end}; it could have been sent again"));
        }
        let in_time = |life: &&Life| {
            let told = life.told.is_some_and(|told| told <= record.ended);
            told && life.ended.is_some_and(|ended| reached.contains(&life.pod) || ended >= record.sent)
        };
        let ours = self.lives.iter().filter(|life| life.service == record.service || reached.contains(&life.pod));
        let gone = ours.filter(in_time).filter_map(|life| Some((life.ended?, &life.pod))).max();
        let Some((ended, pod)) = gone else {
            let why = if reached.is_empty() { "it reached nobody" } else { "it had reached a replica that lives" };
            return Ruling::Failed(format!("{end}; {why}"));
        };
        let took = record.ended.saturating_duration_since(ended);
        if took > IN_TIME || *end == End::Silent || !told(record.kind, end) {
            return Ruling::Failed(format!("{end}, {took:?} after {pod} was gone"));
        }
        Ruling::Lost(took)
    }

    /// For whoever looks for the cause.
    fn last_death(&self, record: &Record) -> String {
        let dead = self.lives.iter().filter(|life| life.service == record.service && life.told.is_some_and(|told| told <= record.ended));
        let Some(last) = dead.max_by_key(|life| life.told) else { return "nobody had ended".to_owned() };
        let Some(ended) = last.ended else { return format!("{} was ending", last.pod) };
        let ms = |later: Option<Instant>| later.map_or("?".to_owned(), |later| signed_ms(later, ended));
        format!(
            "{} at {} ended; from then: sent {} ms, answered {} ms, endpoint removed {} ms, let go {} ms",
            last.pod,
            last.ip,
            signed_ms(record.sent, ended),
            signed_ms(record.ended, ended),
            ms(last.removed),
            ms(last.let_go)
        )
    }
}

/// Milliseconds from `from` to `to`, with their sign.
fn signed_ms(to: Instant, from: Instant) -> String {
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    if to >= from { format!("+{:.1}", ms(to - from)) } else { format!("-{:.1}", ms(from - to)) }
}

/// Whether this is how a protocol says that something which had begun breaks off.
fn said(kind: Kind, end: &End) -> bool {
    match (kind, end) {
        // A body that is not whole is known by its framing; a replica's reset may come through as one.
        (Kind::H1 | Kind::Close | Kind::Tcp, End::Cut(Cut::Fin | Cut::Reset)) => true,
        // The stream alone: the others on its connection go on.
        (Kind::H2, End::Cut(Cut::Stream(_))) => true,
        (Kind::Grpc, End::Cut(Cut::Status(UNAVAILABLE))) => true,
        (Kind::Ws, End::Cut(Cut::Close(_))) => true,
        _ => false,
    }
}

/// Whether this is how a client is told that nobody can say what became of its request.
fn told(kind: Kind, end: &End) -> bool {
    match (kind, end) {
        (Kind::H1 | Kind::Close | Kind::H2, End::Refused(500..=599)) => true,
        // To clients these are UNAVAILABLE (gRPC: "HTTP to gRPC status code mapping").
        (Kind::Grpc, End::Refused(502..=504)) => true,
        _ => said(kind, end),
    }
}
