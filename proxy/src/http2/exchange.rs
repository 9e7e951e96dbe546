//! One request of HTTP/2: judge, route, pick, send, answer.
//!
//! Invariant: as for HTTP/1: the picture is held from the pick until the request's head is sent, and `http/tried.rs` says when it may be
//! sent again. Each request is balanced by itself; nothing ties the requests of a connection to one replica.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{HOST, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;
use hyper::{HeaderMap, Request, Response, StatusCode};
use registry::route::Route;
use registry::snapshot::EndpointId;
use registry::speech::Speech;
use tokio::time::Instant;

use super::answer::{Answer, Content, Ending};
use super::ask::{Ask, Progress};
use super::connect::Switch;
use super::fields::Fields;
use super::link::Link;
use super::way::{self, Need, Way};
use super::{fields, form, grpc, signs};
use crate::clock::now_us;
use crate::filter::{self, Asked, Down, Up};
use crate::http::asked;
use crate::http::attempt::{Chosen, Full, NoChoice};
use crate::http::caller::Caller;
use crate::http::head::{self, Framing};
use crate::http::hops;
use crate::http::relay::Failure;
use crate::http::tried::{Tried, Unreached};
use crate::http::write::Forward;
use crate::pressure::rates::{Charged, charge};
use crate::reason::Reason;
use crate::waiting::Key;

mod sending;

/// A request on its way.
struct Exchange {
    ending: Ending,
    /// Its head, as it came.
    head: Parts,
    /// How the body goes to a replica that speaks HTTP/1.
    framing: Framing,
    /// The body, until a sending takes it.
    ask: Option<Ask>,
    /// Most bytes of it that the route takes.
    most: u64,
    progress: Rc<Progress>,
    /// What filters have made of the head.
    made: Option<Box<Made>>,
    /// What its stream is to go on with.
    switch: Option<Switch>,
    /// The mark that the client is told with the answer, where a cookie is to name its endpoint.
    mark: Option<u64>,
}

/// A head as the replica sees it, where filters want it otherwise than the client.
struct Made {
    fields: HeaderMap,
    target: Option<PathAndQuery>,
    host: Option<Bytes>,
}

/// What a replica said, as far as it is here.
struct Got {
    status: StatusCode,
    fields: HeaderMap,
    content: Content,
    /// How long the replica may say nothing between two pieces of it.
    silence: Option<Duration>,
}

/// Why there is no answer of a replica.
enum Refusal {
    Because(Reason, Option<Arc<str>>),
    /// A filter answers.
    Filter(filter::Answer),
    /// Nobody is there to be answered.
    ClientGone,
}

/// Why one try failed.
enum Failed {
    Refused(Refusal),
    /// The filters of this route come first.
    Filtered(Arc<Route>),
    /// No connection stood.
    NoConnection(Unreached),
    /// The connection went, or was full, before anything of the request left.
    Unsent,
    /// It broke before a byte of an answer; true when it was a reused one.
    Broken(EndpointId, bool),
    /// The service has no endpoint, or none that could be reached.
    Nobody(Key),
    /// The service carries as much as it may.
    Full(Full),
    /// The replica said nothing in time.
    Slow(EndpointId),
    /// The route wants it to be sent again after such an answer, and it may be.
    Unwanted(EndpointId),
}

/// The time that a route has for all of it is over.
const OUT_OF_TIME: Refusal = Refusal::Because(Reason::TimeoutRequest, None);

/// How long a replica may say nothing, by the route.
fn read_timeout(tried: &Tried) -> Option<Duration> {
    tried.passed().and_then(|(_, filters)| filters.timeouts.read_ms).map(Duration::from_millis)
}

/// Answers one request, which may want to `switch` to another protocol. `charged`: it came over HTTP/1, and was looked at there.
pub(crate) async fn run(caller: Rc<Caller>, request: Request<Ask>, switch: Option<Switch>, charged: Option<Charged>) -> Response<Answer> {
    let (mut head, ask) = request.into_parts();
    let mut ending = Ending::new(caller, &head);
    let fresh = charged.is_none();
    ending.trail.charged = charged.unwrap_or_default();
    let framing = match form::judge(&mut ending, &head, &ask, switch.is_some()) {
        Ok(judged) => judged,
        Err(reason) => return ending.refuse(reason, None),
    };
    match form::count_hops(&mut head) {
        Ok(false) => {}
        Ok(true) => return ending.answer(&hops::answer(form::method(&head)), None),
        Err(_) => return ending.refuse(Reason::BadRequest, None),
    }
    if fresh && ending.caller.sheds() {
        return ending.refuse(Reason::Overload, None);
    }
    let mut limit = if ending.grpc() { grpc::timeout(&head.headers) } else { None };
    let mut exchange = Exchange {
        ending,
        head,
        framing,
        ask: (framing != Framing::None).then_some(ask),
        most: u64::MAX,
        progress: Rc::default(),
        made: None,
        switch,
        mark: None,
    };
    let got = {
        let least = limit;
        let going = pin!(exchange.go(&mut limit));
        match least {
            None => going.await,
            Some(least) => tokio::time::timeout(least, going).await.unwrap_or(Err(OUT_OF_TIME)),
        }
    };
    match got {
        Ok(Got { status, fields, content, silence }) => Answer::new(status, fields, (content, limit, silence), exchange.ending),
        Err(Refusal::Because(reason, note)) => exchange.ending.refuse(reason, note),
        Err(Refusal::Filter(answer)) => exchange.ending.answer(&answer, None),
        Err(Refusal::ClientGone) => exchange.ending.left(),
    }
}

/// What comes of it by then.
async fn by<T>(deadline: Option<Instant>, going: impl Future<Output = T>) -> Result<T, Refusal> {
    match deadline {
        None => Ok(going.await),
        Some(until) => tokio::time::timeout_at(until, going).await.map_err(|_| OUT_OF_TIME),
    }
}

impl Exchange {
    /// Tries until there is an answer or a reason why not. `limit` is how long all of it may take, and gets shorter where the route says so.
    async fn go(&mut self, limit: &mut Option<Duration>) -> Result<Got, Refusal> {
        if let (Framing::Length(0), Some(ask)) = (self.framing, &mut self.ask) {
            let patience = Duration::from_millis(self.ending.caller.worker.limits.idle_timeout_ms);
            // Rare, and large: in a box, so that the state of every request is smaller.
            let ended = Box::pin(form::ends_here(ask, patience)).await;
            ended.map_err(|failure| self.refusal(failure))?;
        }
        let mut tried = Tried::begin(self.framing != Framing::None || !self.method().idempotent());
        let mut deadline = None;
        loop {
            let sent = by(deadline, pin!(self.send(&tried))).await;
            let sent = sent.unwrap_or_else(|_| Err(self.overdue()));
            match sent {
                Ok(mut got) => {
                    got.silence = read_timeout(&tried);
                    if let Some((route, filters)) = tried.passed() {
                        let seen = fields::Seen(&self.head.headers);
                        let asked = self.asked(&seen);
                        fields::edit(&mut got.fields, &Down::of(filters, &asked).marked(route, filters, &asked, self.mark).fields);
                    }
                    return Ok(got);
                }
                Err(Failed::Filtered(route)) => {
                    Box::pin(self.pass(&route)).await.map_err(Refusal::Filter)?;
                    if let Some(ms) = route.filters.as_ref().and_then(|filters| filters.timeouts.request_ms) {
                        let all = Duration::from_millis(ms);
                        *limit = Some(limit.map_or(all, |limit| limit.min(all)));
                        let spent = Duration::from_micros(now_us().saturating_sub(self.ending.trail.began_us));
                        deadline = Some(Instant::now() + all.saturating_sub(spent));
                    }
                    tried.pass(route);
                }
                Err(Failed::Refused(refusal)) => return Err(refusal),
                Err(Failed::NoConnection(unreached)) => tried.no_connection(unreached),
                Err(Failed::Nobody(service)) => {
                    let caller = self.ending.caller.clone();
                    // Rare, and large.
                    let waiting = Box::pin(caller.wait(service, &mut tried));
                    if !by(deadline, waiting).await? {
                        return Err(Refusal::Because(tried.reason(), None));
                    }
                }
                Err(Failed::Full(full)) => {
                    let caller = self.ending.caller.clone();
                    if !by(deadline, Box::pin(caller.wait_for_room(full, &mut tried, &mut self.ending.trail))).await? {
                        return Err(Refusal::Because(Reason::Overload, None));
                    }
                }
                Err(Failed::Unsent) if tried.not_sent() => {}
                Err(Failed::Unsent) => return Err(Refusal::Because(Reason::UpstreamConnect, None)),
                Err(Failed::Broken(endpoint, reused)) => {
                    // Closing an idle connection is a replica's right, and no trouble that more requests would add to.
                    if !(self.may_repeat(&tried) && (reused || self.may_cost_more())) {
                        return Err(Refusal::Because(Reason::UpstreamReset, None));
                    }
                    tried.broke(endpoint, reused);
                }
                Err(Failed::Slow(endpoint)) => {
                    self.ending.broke(false);
                    if !(tried.retry_on().timeout() && self.may_repeat(&tried) && self.may_cost_more()) {
                        return Err(OUT_OF_TIME);
                    }
                    tried.broke(endpoint, false);
                }
                Err(Failed::Unwanted(endpoint)) => tried.broke(endpoint, false),
            }
        }
    }

    /// The request, as filters see it.
    fn asked<'a>(&'a self, seen: &'a fields::Seen<'a>) -> Asked<'a> {
        let caller = &self.ending.caller;
        Asked {
            method: self.method(),
            host: &self.ending.host,
            target: self.head.uri.path_and_query().map_or("/", PathAndQuery::as_str),
            client: caller.behind(fields::forwarded_for(seen.0)),
            https: caller.asks_by_https(seen),
            length: asked::length(self.framing),
            fields: seen,
        }
    }

    /// Asks the filters of a route, and makes the head by them.
    async fn pass(&mut self, route: &Arc<Route>) -> Result<(), filter::Answer> {
        let seen = fields::Seen(&self.head.headers);
        let asked = self.asked(&seen);
        let charge = || charge(&self.ending.caller, route, asked.client, &self.ending.trail.charged);
        filter::admit(&self.ending.caller.worker.proven, route, &asked, charge).await?;
        let Some(filters) = &route.filters else {
            (self.made, self.most) = (None, u64::MAX);
            return Ok(());
        };
        let Up { target, host, fields: edits } = Up::of(route, filters, &asked);
        let mut fields = self.fields(|fields| fields.map());
        fields::edit(&mut fields, &edits);
        let target = target.and_then(|target| PathAndQuery::from_maybe_shared(Bytes::from(target)).ok());
        let host = host.map(|host| Bytes::copy_from_slice(host.as_bytes()));
        self.made = Some(Box::new(Made { fields, target, host }));
        self.most = filters.body_bytes.unwrap_or(u64::MAX);
        Ok(())
    }

    /// Host and port, as received.
    fn authority(&self) -> &[u8] {
        let told = self.head.uri.authority().map(|authority| authority.as_str().as_bytes());
        told.or_else(|| self.head.headers.get(HOST).map(HeaderValue::as_bytes)).unwrap_or_default()
    }

    /// Hands the fields on as they are sent.
    fn fields<T>(&self, to: impl FnOnce(Fields<'_>) -> T) -> T {
        if let Some(made) = &self.made {
            return to(Fields::Made(&made.fields));
        }
        let caller = &self.ending.caller;
        let how = Forward {
            client: &caller.peer,
            https: caller.https(),
            host: self.authority(),
            trusted: caller.trusted,
            request_id: self.ending.request_id(),
            shown: caller.shown(),
            up: None,
        };
        to(Fields::Told(&self.head.headers, &how))
    }

    /// Path and query as they are sent.
    fn target(&self) -> Option<&PathAndQuery> {
        let made = self.made.as_ref().and_then(|made| made.target.as_ref());
        made.or(self.head.uri.path_and_query())
    }

    /// Decides, picks, connects, sends and reads the answer's head.
    async fn send(&mut self, tried: &Tried) -> Result<Got, Failed> {
        self.ending.attempt = None; // what went before is not under way any more
        let caller = self.ending.caller.clone();
        let held = caller.worker.pictures.hold();
        let asked = (&*self.ending.host, self.head.uri.path());
        let signs = signs::Head { caller: &caller, head: &self.head };
        let chosen = caller.choose(held.snapshot(), asked, tried, self.ending.trail.now_us(), &signs).map_err(|none| match none {
            NoChoice::Refused(reason, note) => Failed::Refused(Refusal::Because(reason, note)),
            NoChoice::Nobody(service) => Failed::Nobody(service),
            NoChoice::Full(full) => Failed::Full(full),
            NoChoice::Filtered(route) => Failed::Filtered(route),
            NoChoice::Otherwise => Failed::Unsent, // not here, where each way is spoken
        })?;
        let Chosen { service, endpoint, mark, .. } = chosen;
        self.mark = mark;
        let trail = &mut self.ending.trail;
        let (mut attempt, way) = if endpoint.replica.speaks == Speech::Http1 {
            let (attempt, stream) = caller.reach(chosen, tried, trail).await.map_err(Failed::NoConnection)?;
            (attempt, Way::One(Link::Plain(stream)))
        } else {
            let mut attempt = caller.begin(chosen, trail);
            let need = Need {
                patience: caller.worker.patience(tried),
                afresh: tried.died(),
                surely: tried.once(),
                upgrade: self.switch.is_some(),
            };
            let found = match way::at_once(&caller.worker, &endpoint.replica, need) {
                Some(way) => Ok((way, true)),
                // Rare, and large.
                None => Box::pin(way::open(&caller.worker, &endpoint.replica, need)).await,
            };
            match found {
                Ok((way, reused)) => {
                    attempt.reused = reused;
                    (attempt, way)
                }
                Err(error) => return Err(Failed::NoConnection(attempt.unreachable(service, &error, trail))),
            }
        };
        attempt.leaves(trail);
        caller.sent(service, tried);
        let (endpoint, others) = (endpoint.id, service.endpoints.len() > 1 + tried.count());
        self.ending.attempt = Some(attempt);
        // An outside name is asked by its own name.
        let host = service.host.as_ref().map(|host| Bytes::copy_from_slice(host.as_bytes()));
        let host = host.or_else(|| self.made.as_ref()?.host.clone());
        let first = tried.try_ms().map(Duration::from_millis);
        let silence = read_timeout(tried).map_or(first, |silence| Some(first.map_or(silence, |first| silence.min(first))));
        let (progress, comes) = (self.progress.clone(), self.framing != Framing::None);
        let sent = self.send_by(way, host, held);
        let got = match silence {
            None => sent.await,
            Some(silence) => {
                let too_long = async {
                    if comes {
                        progress.ended().await; // until then, the replica may wait as we do
                    }
                    tokio::time::sleep(silence).await;
                };
                tokio::select! {
                    biased;
                    sent = sent => sent,
                    () = too_long => Err(Failed::Slow(endpoint)),
                }
            }
        };
        match got {
            Ok(got) if others && tried.retry_on().status(got.status.as_u16()) && self.may_repeat(tried) && self.may_cost_more() => {
                Err(Failed::Unwanted(endpoint))
            }
            // The only replica keeps its word, and its silence.
            Err(Failed::Slow(_)) if !others => {
                self.ending.broke(false);
                Err(Failed::Refused(OUT_OF_TIME))
            }
            got => got,
        }
    }

    /// The time is over. That is the replica's failure, unless the request may have been on its way from the client until now.
    fn overdue(&self) -> Failed {
        if self.framing == Framing::None {
            self.ending.broke(false);
        }
        Failed::Refused(OUT_OF_TIME)
    }

    fn may_repeat(&self, tried: &Tried) -> bool {
        let whole = self.ask.is_some() || self.framing == Framing::None;
        tried.may_repeat(self.method().idempotent(), whole)
    }

    /// Whether its service's budget has room for sending it again.
    fn may_cost_more(&self) -> bool {
        let percent = self.ending.caller.worker.limits.retry_budget_percent;
        self.ending.attempt.as_ref().is_none_or(|attempt| attempt.may_cost_more(percent))
    }

    fn method(&self) -> head::Method {
        form::method(&self.head)
    }

    fn refusal(&self, failure: Failure) -> Refusal {
        let reason = match failure {
            Failure::NoAnswer | Failure::Vanished | Failure::BadAnswer | Failure::CutUpstream | Failure::Again | Failure::Unwanted => {
                self.ending.broke(false);
                Reason::UpstreamReset
            }
            Failure::BadBody => Reason::BadRequest,
            Failure::LargeBody => Reason::BodyTooLarge,
            Failure::SlowUpstream => Reason::TimeoutRequest,
            Failure::SlowBody => Reason::TimeoutDownstream,
            Failure::ClientGone => return Refusal::ClientGone,
        };
        Refusal::Because(reason, None)
    }
}
