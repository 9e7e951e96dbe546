//! The answer to a question, from the picture and the rules: records in, no socket, no clock, nothing random.
//!
//! Invariant: it never panics, whatever the labels are, and what is ours is answered by the table alone. A name that is there without records of
//! the type asked for is an empty answer, one that is not there is NXDOMAIN, both with the SOA that says for how long (RFC 2308).

use std::net::IpAddr;

use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};

pub use super::found::Book;
use super::found::{Found, Place};

/// An alias that leads to an alias so often leads nowhere.
const ALIASES: usize = 8;
/// What is told once may be asked again after this many seconds by whoever copies the zone, which nobody may.
const REFRESH_S: i32 = 7200;
const RETRY_S: i32 = 1800;
const EXPIRE_S: i32 = 86_400;

/// What becomes of a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It is answered.
    Told(Told),
    /// It is not ours: whoever resolves names may know.
    Foreign,
    /// Nobody is answered that.
    Refused,
}

/// What is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Whether the name is there.
    pub code: ResponseCode,
    /// The answer section.
    pub answers: Vec<Record>,
    /// The authority section: the SOA of an answer that is empty.
    pub authority: Vec<Record>,
    /// Addresses of hosts that the answer names.
    pub additionals: Vec<Record>,
    /// The last answer is an alias for this foreign name, whose records belong to the answer too.
    pub then: Option<Name>,
}

/// Answers a question. `turn` says which of several addresses comes first, so that not all clients take the same.
pub fn answer(book: &Book<'_>, name: &Name, kind: RecordType, turn: usize) -> Answer {
    if matches!(kind, RecordType::AXFR | RecordType::IXFR) {
        return Answer::Refused;
    }
    let mut told = Told { code: ResponseCode::NoError, answers: Vec::new(), authority: Vec::new(), additionals: Vec::new(), then: None };
    let mut at = name.clone();
    for _ in 0..ALIASES {
        let found = book.find(&at);
        let Found::Alias(target) = found else {
            return match found {
                Found::Foreign if told.answers.is_empty() => Answer::Foreign,
                Found::Foreign => Answer::Told(Told { then: Some(at), ..told }),
                found => {
                    told.add(book, &at, kind, found, turn);
                    Answer::Told(told)
                }
            };
        };
        told.answers.push(book.record(&at, RData::CNAME(CNAME(target.clone()))));
        if matches!(kind, RecordType::CNAME | RecordType::ANY) {
            return Answer::Told(told);
        }
        at = target;
    }
    Answer::Told(Told { code: ResponseCode::ServFail, ..told })
}

impl Told {
    /// Adds what was found of `name`, with the SOA when there is none of this type.
    fn add(&mut self, book: &Book<'_>, name: &Name, kind: RecordType, found: Found, turn: usize) {
        let before = self.answers.len();
        let wanted = |of: RecordType| kind == of || kind == RecordType::ANY;
        let apex = matches!(found, Found::Zone);
        match found {
            Found::Nothing => self.code = ResponseCode::NXDomain,
            Found::Zone => {
                self.answers.extend(wanted(RecordType::SOA).then(|| book.soa(name)));
                if wanted(RecordType::NS) {
                    self.name_server(book, name);
                }
            }
            Found::Addresses(ips) => self.answers.extend(book.addresses(name, &turned(of_kind(ips, kind), turn))),
            Found::Places(places) if wanted(RecordType::SRV) => self.places(book, name, turned(places, turn)),
            Found::Names(names) if wanted(RecordType::PTR) => {
                self.answers.extend(names.into_iter().map(|other| book.record(name, RData::PTR(PTR(other)))));
            }
            Found::Text(text) if wanted(RecordType::TXT) => {
                self.answers.push(book.record(name, RData::TXT(TXT::new(vec![text.to_owned()]))));
            }
            Found::Places(_) | Found::Names(_) | Found::Text(_) | Found::Empty | Found::Foreign | Found::Alias(_) => {}
        }
        if self.answers.len() == before {
            let owner = if apex { name.clone() } else { book.authority(name) };
            self.authority.push(book.soa(&owner));
        }
    }

    fn name_server(&mut self, book: &Book<'_>, zone: &Name) {
        let Some(server) = book.own(&["ns", "dns"]) else { return };
        self.answers.push(book.record(zone, RData::NS(NS(server.clone()))));
        self.additionals.extend(book.addresses(&server, &book.rules.own));
    }

    fn places(&mut self, book: &Book<'_>, name: &Name, places: Vec<Place>) {
        for Place { host, port, ip } in places {
            self.additionals.extend(ip.iter().flat_map(|ip| book.addresses(&host, std::slice::from_ref(ip))));
            self.answers.push(book.record(name, RData::SRV(SRV::new(0, 1, port, host))));
        }
    }
}

impl Book<'_> {
    /// Whether nobody else may say anything of this name.
    pub fn is_ours(&self, name: &Name) -> bool {
        self.find(name) != Found::Foreign
    }

    fn record(&self, name: &Name, data: RData) -> Record {
        Record::from_rdata(name.clone(), self.rules.ttl_s, data)
    }

    fn addresses(&self, name: &Name, ips: &[IpAddr]) -> Vec<Record> {
        let data = |ip: &IpAddr| match ip {
            IpAddr::V4(ip) => RData::A(A(*ip)),
            IpAddr::V6(ip) => RData::AAAA(AAAA(*ip)),
        };
        ips.iter().map(|ip| self.record(name, data(ip))).collect()
    }

    /// Where the names that a name of ours is among begin: its SOA is of there.
    fn authority(&self, name: &Name) -> Name {
        if self.rules.zone.zone_of(name) {
            return self.rules.zone.clone();
        }
        let lower = name.to_lowercase();
        let reverse = lower.iter().next_back() == Some(b"arpa");
        // A private network is two labels below, or further up; what is short is a domain by itself.
        lower.trim_to(if reverse { lower.iter().count().min(4) } else { 1 })
    }

    fn soa(&self, owner: &Name) -> Record {
        let server = self.own(&["ns", "dns"]).unwrap_or_default();
        let person = self.own(&["hostmaster"]).unwrap_or_default();
        let serial = self.version as u32; // it wraps, as serials do
        self.record(owner, RData::SOA(SOA::new(server, person, serial, REFRESH_S, RETRY_S, EXPIRE_S, self.rules.ttl_s)))
    }
}

fn of_kind(mut ips: Vec<IpAddr>, kind: RecordType) -> Vec<IpAddr> {
    ips.retain(|ip| match kind {
        RecordType::A => ip.is_ipv4(),
        RecordType::AAAA => ip.is_ipv6(),
        RecordType::ANY => true,
        _ => false,
    });
    ips
}

fn turned<T>(mut all: Vec<T>, turn: usize) -> Vec<T> {
    if let Some(by) = turn.checked_rem(all.len()) {
        all.rotate_left(by);
    }
    all
}

#[cfg(test)]
mod tests;
