//! What was asked, what came of it, and how long each pod lived: facts, before anybody judges them.
//!
//! Invariant: each request has an id of its own and exactly one entry, whatever became of it.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::wire::Cut;

/// The Service that is rolled out, and asked in every way.
pub(crate) const SHOP: &str = "shop";
/// The Service whose pods get the addresses that the other's leave.
pub(crate) const TAKER: &str = "taker";

/// A kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// HTTP/1.1, connections that are kept alive.
    H1,
    /// HTTP/1.1, a connection for each request.
    Close,
    /// HTTP/2 by prior knowledge, several requests at a time on one connection.
    H2,
    /// gRPC.
    Grpc,
    /// WebSocket over HTTP/1.1.
    Ws,
    /// Opaque TCP through a virtual IP (or what stands for it).
    Tcp,
}

impl Kind {
    pub(crate) const ALL: [Kind; 6] = [Kind::H1, Kind::Close, Kind::H2, Kind::Grpc, Kind::Ws, Kind::Tcp];

    /// As it is named by `--kinds` and in the table.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::H1 => "h1",
            Kind::Close => "close",
            Kind::H2 => "h2",
            Kind::Grpc => "grpc",
            Kind::Ws => "ws",
            Kind::Tcp => "tcp",
        }
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ask {
    /// A GET whose answer comes at once, or after a little thought.
    Get,
    /// A GET whose answer begins at once and takes its time.
    Slow,
    /// A POST.
    Post,
    /// A unary call.
    Call,
    /// A call that is answered by a row of messages.
    Stream,
    /// A conversation of some seconds, each message answered by the next.
    Talk,
    /// A connection for one line there and back.
    Line,
}

impl Ask {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Ask::Get => "GET",
            Ask::Slow => "GET, slow answer",
            Ask::Post => "POST",
            Ask::Call => "unary",
            Ask::Stream => "server stream",
            Ask::Talk => "conversation",
            Ask::Line => "one line",
        }
    }
}

/// What may be done with a request that is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    /// It may be sent again as long as no byte of an answer came: idempotent (RFC 9110 section 9.2.2).
    Repeatable,
    /// It may be sent again only where nobody has got it.
    Once,
}

/// Who answered, as it says itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct By {
    pub(crate) service: String,
    pub(crate) pod: String,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Whole, and the answer belongs to the request.
    Whole,
    /// By an answer with this status that is no replica's.
    Refused(u16),
    /// Before the answer was whole.
    Cut(Cut),
    /// By the client, which had waited long enough.
    Silent,
    /// Before the answer was whole, and as if it were.
    Short,
    /// By something that is no answer to it.
    Wrong(String),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Whole => write!(f, "whole"),
            End::Refused(status) => write!(f, "{status} of the proxy's own"),
            End::Cut(cut) => cut.fmt(f),
            End::Silent => write!(f, "nothing was heard any more"),
            End::Short => write!(f, "it ended as if it were whole"),
            End::Wrong(what) => write!(f, "a wrong answer: {what}"),
        }
    }
}

/// One request, connection or conversation.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    pub(crate) ask: Ask,
    /// The Service that it was for.
    pub(crate) service: &'static str,
    /// It follows one that was cut.
    pub(crate) next: bool,
    pub(crate) sent: Instant,
    pub(crate) ended: Instant,
    /// Who began to answer, if anybody did.
    pub(crate) by: Option<By>,
    /// Messages that went there and back.
    pub(crate) messages: u32,
    /// Times that it was sent again, since HTTP/2 said that it had not been processed.
    pub(crate) again: u32,
    pub(crate) end: End,
}

impl Record {
    pub(crate) fn nature(&self) -> Nature {
        match (self.kind, self.ask) {
            (Kind::Grpc | Kind::Tcp, _) | (_, Ask::Post) => Nature::Once,
            _ => Nature::Repeatable,
        }
    }
}

/// One pod's life.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) service: &'static str,
    pub(crate) pod: String,
    pub(crate) ip: Ipv4Addr,
    /// It listens.
    pub(crate) born: Instant,
    /// SIGTERM.
    pub(crate) told: Option<Instant>,
    /// Its process is gone.
    pub(crate) ended: Option<Instant>,
    /// The endpoints were written without it.
    pub(crate) removed: Option<Instant>,
    /// The proxy says that nothing of it asks this pod any more.
    pub(crate) let_go: Option<Instant>,
}

/// All entries of one scene.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    records: Mutex<Vec<Record>>,
    last: AtomicU64,
}

impl Ledger {
    /// The entry of a request that is sent now. It counts once it is [closed](Ledger::close).
    pub(crate) fn open(&self, (kind, ask): (Kind, Ask), service: &'static str, next: bool) -> Record {
        let now = Instant::now();
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        Record { id, kind, ask, service, next, sent: now, ended: now, by: None, messages: 0, again: 0, end: End::Silent }
    }

    /// It ended so, now.
    pub(crate) fn close(&self, mut record: Record, end: End) {
        record.ended = Instant::now();
        record.end = end;
        self.records.lock().expect("no holder of this lock panics").push(record);
    }

    /// All of it, taken out.
    pub(crate) fn take(&self) -> Vec<Record> {
        std::mem::take(&mut *self.records.lock().expect("no holder of this lock panics"))
    }

    /// Requests that were opened so far.
    pub(crate) fn opened(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }
}
