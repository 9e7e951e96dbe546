//! Where questions come in: who may ask, who knows, and the answer on the wire.
//!
//! Invariant: whoever is outside `internalCidrs` is refused before the question is looked at. Of what servers say, nothing about a name of ours
//! is believed. A picture is not held while a server is asked.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{Edns, Header, HeaderCounts, Metadata, OpCode, ResponseCode};
use hickory_server::proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use registry::snapshot::Snapshot;
use tokio::sync::watch;

use super::answer::{Answer, Book, Told, answer};
use super::counts::{Counts, Outcome};
use super::forward::{Forwarder, Outside};
use super::rules::Rules;
use crate::listener::contains;

/// Datagrams are answered with as much as passes everywhere (DNS flag day 2020), and less where the client takes less.
const PAYLOAD: u16 = 1232;

/// Answers questions.
#[derive(Clone)]
pub(super) struct Desk {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    rules: watch::Receiver<Arc<Rules>>,
    forwarder: Arc<Forwarder>,
    counts: Arc<Counts>,
}

/// An answer on its way.
struct Reply {
    told: Told,
    authoritative: bool,
    outcome: Outcome,
}

impl Reply {
    fn only(code: ResponseCode, outcome: Outcome) -> Reply {
        let told = Told { code, answers: Vec::new(), authority: Vec::new(), additionals: Vec::new(), then: None };
        Reply { told, authoritative: false, outcome }
    }

    fn refused() -> Reply {
        Reply::only(ResponseCode::Refused, Outcome::Refused)
    }

    fn inside(told: Told) -> Reply {
        let outcome = match told.code {
            ResponseCode::NXDomain => Outcome::NxDomain,
            ResponseCode::ServFail => Outcome::Failed,
            _ => Outcome::Internal,
        };
        Reply { told, authoritative: true, outcome }
    }
}

impl Desk {
    pub(super) fn new(
        snapshots: watch::Receiver<Arc<Snapshot>>,
        rules: watch::Receiver<Arc<Rules>>,
        servers: &[SocketAddr],
        counts: Arc<Counts>,
    ) -> Desk {
        Desk { snapshots, rules, forwarder: Arc::new(Forwarder::new(servers)), counts }
    }

    /// Whether this peer may ask.
    pub(super) fn admits(&self, peer: IpAddr) -> bool {
        contains(&self.rules.borrow().internal, peer)
    }

    async fn reply(&self, request: &Request, rules: &Rules) -> Reply {
        if !contains(&rules.internal, request.src().ip()) {
            return Reply::refused();
        }
        if request.version() > 0 {
            return Reply::only(ResponseCode::BADVERS, Outcome::Failed);
        }
        if request.metadata.op_code != OpCode::Query {
            return Reply::only(ResponseCode::NotImp, Outcome::Failed);
        }
        let Ok(info) = request.request_info() else { return Reply::only(ResponseCode::FormErr, Outcome::Failed) };
        if info.query.query_class() != DNSClass::IN {
            return Reply::refused();
        }
        let (name, kind) = (info.query.original().name(), info.query.query_type());
        // Who does not want us to ask others does not want what they say (RFC 1034, section 4.3.1).
        let asks = rules.forward && info.metadata.recursion_desired;
        match self.look_up(rules, name, kind) {
            Answer::Refused => Reply::refused(),
            Answer::Foreign if !asks => Reply::refused(),
            Answer::Foreign => {
                let nothing = Reply::only(ResponseCode::NoError, Outcome::Forwarded).told;
                self.forwarded(rules, nothing, name, kind).await
            }
            Answer::Told(mut told) => match told.then.take().filter(|_| asks) {
                Some(target) => self.forwarded(rules, told, &target, kind).await,
                None => Reply::inside(told),
            },
        }
    }

    fn look_up(&self, rules: &Rules, name: &Name, kind: RecordType) -> Answer {
        self.with_book(rules, |book| answer(book, name, kind, fastrand::usize(..)))
    }

    fn with_book<T>(&self, rules: &Rules, look: impl FnOnce(&Book<'_>) -> T) -> T {
        let snapshot = self.snapshots.borrow().clone();
        look(&Book { names: &snapshot.internal.names, version: snapshot.version, rules })
    }

    /// Adds what servers say of a foreign name to what is told already.
    async fn forwarded(&self, rules: &Rules, mut told: Told, name: &Name, kind: RecordType) -> Reply {
        let Outside { code, answers, authority } = self.forwarder.ask(name, kind).await;
        let (said, inside) = self.with_book(rules, |book| believed(book, answers, kind));
        told.answers.extend(said);
        (told.code, told.authority) = (code, authority);
        if let Some(inside) = inside {
            told.answers.extend(inside.answers);
            (told.code, told.authority) = (inside.code, inside.authority);
        }
        let outcome = if told.code == ResponseCode::ServFail { Outcome::Failed } else { Outcome::Forwarded };
        Reply { told, authoritative: false, outcome }
    }
}

/// What is foreign of an answer; and what we say ourselves, where it ends in an alias for a name of ours.
fn believed(book: &Book<'_>, mut answers: Vec<Record>, kind: RecordType) -> (Vec<Record>, Option<Told>) {
    answers.retain(|record| !book.is_ours(&record.name));
    let last = answers.last().and_then(|record| if let RData::CNAME(target) = &record.data { Some(target.0.clone()) } else { None });
    let ours = last.filter(|target| book.is_ours(target)).and_then(|target| match answer(book, &target, kind, 0) {
        Answer::Told(told) => Some(told),
        Answer::Foreign | Answer::Refused => None,
    });
    (answers, ours)
}

#[async_trait::async_trait]
impl RequestHandler for Desk {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut response_handle: R) -> ResponseInfo {
        let rules = self.rules.borrow().clone();
        let Reply { told, authoritative, outcome } = self.reply(request, &rules).await;
        self.counts.add(outcome);
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = told.code;
        metadata.authoritative = authoritative;
        metadata.recursion_available = rules.forward;
        let edns = request.edns.as_ref().map(edns);
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if let Some(edns) = &edns {
            builder.edns(edns);
        }
        let response = builder.build(metadata, &told.answers, &told.authority, std::iter::empty(), &told.additionals);
        match response_handle.send_response(response).await {
            Ok(sent) => sent,
            Err(error) => {
                tracing::debug!(%error, "an answer of DNS could not be sent");
                Header { metadata, counts: HeaderCounts::default() }.into()
            }
        }
    }
}

/// What we say of EDNS (RFC 6891), and with it how long a datagram may be.
fn edns(asked: &Edns) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(asked.max_payload().clamp(512, PAYLOAD)).set_dnssec_ok(asked.flags().dnssec_ok);
    edns
}
