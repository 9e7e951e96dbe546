//! One request: route, pick, send, relay the answer.
//!
//! Invariant: the picture is held from the pick until the request is sent. When it may be sent again: `tried.rs`.

use std::sync::Arc;

use config::filter::RetryOn;
use registry::route::Route;

use super::asked;
use super::attempt::{Attempt, NoChoice, Trail};
use super::body::BodyReader;
use super::desk::{Desk, Message};
use super::head::RequestHead;
use super::hops;
use super::lift;
use super::relay::{self, Again, Failure, Relayed};
use super::respond;
use super::serve::Connection;
use super::tried::Tried;
use super::tunnel::Tunnel;
use super::write::{Forward, write_request};
use crate::clock::now_us;
use crate::deadline::Expired;
use crate::filter::{self, Answer, Up};
use crate::http2::connect::{Agreed, WEBSOCKET};
use crate::http2::link::Link;
use crate::pressure::rates::charge;
use crate::reason::Reason;
use crate::stream::Stream;

mod sending;

use sending::{Sent, Unsent};

/// What becomes of the client's connection.
pub(super) enum Turn {
    /// The next request may come.
    Next,
    /// It is no longer one of HTTP.
    Switch(Box<Tunnel>),
    /// It ends in good order.
    End,
    /// It ends, but the client may still be sending.
    Linger,
    /// The answer could not be finished: the client must see that.
    Cut,
}

/// A request on its way, and what the log will say of it.
pub(super) struct Exchange {
    pub(super) trail: Trail,
    /// Bytes of the head in the connection's input.
    pub(super) head_length: usize,
    /// Where the rest of the body stands.
    pub(super) body: BodyReader,
    /// Bytes of the input after the head that are in the desk's `out`: the request as it is sent, head and what was here of the body.
    body_in_out: usize,
    /// `out` is the whole request: it can be sent again.
    all_here: bool,
    /// Its `Host` is the name of an outside service.
    renamed: bool,
    /// The mark that the client is told with the answer, where a cookie is to name its endpoint.
    pub(super) mark: Option<u64>,
    /// What the answer has made of the two connections.
    tunnel: Option<Box<Tunnel>>,
}

/// What came of trying.
enum Tries {
    Ended(Turn),
    /// The replica speaks something else than plain HTTP/1.
    Otherwise,
    /// The filters of this route come first.
    Filtered(Arc<Route>),
}

/// Serves the request whose head is the first `head_length` bytes of the input.
pub(super) async fn run(connection: &mut Connection, desk: &mut Desk, head_length: usize) -> Turn {
    let mut exchange = Exchange {
        trail: Trail::begin(&connection.caller.worker),
        head_length,
        body: BodyReader::new(desk.request.head.framing()),
        body_in_out: 0,
        all_here: false,
        renamed: false,
        mark: None,
        tunnel: None,
    };
    match exchange.compose(connection, &mut desk.request) {
        Ok(()) if desk.request.head.hops() == Some(0) => {
            let answer = hops::answer(desk.request.head.method());
            exchange.answer_ourselves(connection, desk, &answer).await
        }
        Ok(()) if connection.caller.sheds() => exchange.refuse(connection, desk, Reason::Overload, None).await,
        Ok(()) => exchange.go(connection, desk).await,
        Err(()) => {
            respond::refuse(connection, desk, &exchange, Reason::BadRequest, None, false).await;
            Turn::Linger
        }
    }
}

impl Exchange {
    /// Writes the request as it will be sent. Errs when the part of the body that is here is not one.
    fn compose(&mut self, connection: &Connection, request: &mut Message<RequestHead>) -> Result<(), ()> {
        self.body_in_out = self.body.advance(&request.input.filled()[self.head_length..]).map_err(|_| ())?;
        self.all_here = self.body.done();
        self.write(connection, request, None);
        Ok(())
    }

    /// The same, by what filters make of it.
    fn write(&self, connection: &Connection, request: &mut Message<RequestHead>, up: Option<&Up<'_>>) {
        let Message { input, head, out } = request;
        let (bytes, rest) = input.filled().split_at(self.head_length);
        let forward = Forward {
            client: &connection.caller.peer,
            https: connection.caller.https(),
            host: head.authority().map_or(&[][..], |span| span.of(bytes)),
            trusted: connection.caller.trusted,
            request_id: &self.trail.request_id,
            shown: connection.caller.shown(),
            up,
        };
        out.clear();
        write_request(head, bytes, &forward, out);
        out.extend_from_slice(&rest[..self.body_in_out]);
    }

    /// Goes on to an answer.
    async fn go(&mut self, connection: &mut Connection, desk: &mut Desk) -> Turn {
        let mut tried = Tried::begin_plain(!(self.all_here && desk.request.head.method().idempotent()));
        match self.tries(connection, desk, &mut tried).await {
            Tries::Ended(turn) => turn,
            Tries::Otherwise => self.lift(connection, desk).await,
            Tries::Filtered(route) => Box::pin(self.go_through(connection, desk, tried, route)).await,
        }
    }

    /// Goes on by the way of replicas that speak something else.
    async fn lift(&self, connection: &mut Connection, desk: &mut Desk) -> Turn {
        Box::pin(lift::run(connection, desk, self.head_length, self.trail.charged.clone())).await
    }

    /// The same where routes have filters. In a box: it is more than most requests need.
    async fn go_through(&mut self, connection: &mut Connection, desk: &mut Desk, mut tried: Tried, mut route: Arc<Route>) -> Turn {
        let deadline = connection.caller.worker.deadlines.register();
        loop {
            if let Err(answer) = self.pass(connection, &mut desk.request, &route).await {
                return self.answer_ourselves(connection, desk, &answer).await;
            }
            let timeout = route.filters.as_ref().and_then(|filters| filters.timeouts.request_ms);
            tried.pass(route);
            let tries = match timeout {
                None => self.tries(connection, desk, &mut tried).await,
                Some(ms) => {
                    deadline.set(ms.saturating_sub(now_us().saturating_sub(self.trail.began_us) / 1000));
                    match deadline.guard(self.tries(connection, desk, &mut tried)).await {
                        Ok(tries) => tries,
                        Err(Expired) => {
                            // A client that sends or takes its bytes slowly is nobody else's failure.
                            if self.all_here && !connection.begun.get() {
                                self.trail.overdue(&connection.caller.worker);
                            }
                            return self.out_of_time(connection, desk).await;
                        }
                    }
                }
            };
            match tries {
                Tries::Ended(turn) => return turn,
                Tries::Otherwise => return self.lift(connection, desk).await,
                Tries::Filtered(other) => route = other, // the picture has changed between two tries
            }
        }
    }

    /// Asks the filters of a route, and writes the request by them.
    async fn pass(&mut self, connection: &Connection, request: &mut Message<RequestHead>, route: &Arc<Route>) -> Result<(), Answer> {
        let fields = asked::HeadFields::of(request);
        let asked = asked::of(connection, request, &fields);
        let charge = || charge(&connection.caller, route, asked.client, &self.trail.charged);
        filter::admit(&connection.caller.worker.proven, route, &asked, charge).await?;
        let up = route.filters.as_ref().map(|filters| Up::of(route, filters, &asked));
        let most = route.filters.as_ref().and_then(|filters| filters.body_bytes).unwrap_or(u64::MAX);
        self.body.limit(most).map_err(|_| Answer::new(Reason::BodyTooLarge))?;
        self.write(connection, request, up.as_ref());
        Ok(())
    }

    /// The time that the route has for all of it is over.
    async fn out_of_time(&mut self, connection: &mut Connection, desk: &mut Desk) -> Turn {
        connection.reading.clear();
        connection.writing.clear();
        self.give_up(connection, desk, Failure::SlowUpstream).await
    }

    /// Tries until there is an answer or a reason why not.
    async fn tries(&mut self, connection: &mut Connection, desk: &mut Desk, tried: &mut Tried) -> Tries {
        Tries::Ended(loop {
            let (endpoint, reused) = match self.send(connection, &mut desk.request, tried).await {
                Ok(sent) => {
                    let place = (sent.attempt.endpoint, sent.attempt.reused);
                    match self.answer(connection, desk, sent, tried).await {
                        Ok(relayed) => break self.finish(connection, desk, relayed),
                        Err(Failure::Again) => place,
                        Err(failure) => break self.give_up(connection, desk, failure).await,
                    }
                }
                Err(Unsent::Broken(place)) => place,
                Err(Unsent::Lost) => break self.refuse(connection, desk, Reason::UpstreamReset, None).await,
                Err(Unsent::NoConnection(unreached)) => {
                    tried.no_connection(unreached);
                    continue;
                }
                Err(Unsent::Not(NoChoice::Nobody(service))) => {
                    let wait = connection.caller.wait(service, tried);
                    // Rare, and large.
                    match Box::pin(unless_reset(&mut connection.stream, wait)).await {
                        Ok(true) => continue,
                        Ok(false) => break self.refuse(connection, desk, tried.reason(), None).await,
                        Err(gone) => break self.give_up(connection, desk, gone).await,
                    }
                }
                Err(Unsent::Not(NoChoice::Full(full))) => {
                    let wait = connection.caller.wait_for_room(full, tried, &mut self.trail);
                    match Box::pin(unless_reset(&mut connection.stream, wait)).await {
                        Ok(true) => continue,
                        Ok(false) => break self.refuse(connection, desk, Reason::Overload, None).await,
                        Err(gone) => break self.give_up(connection, desk, gone).await,
                    }
                }
                Err(Unsent::Not(NoChoice::Refused(reason, note))) => break self.refuse(connection, desk, reason, note).await,
                Err(Unsent::Not(NoChoice::Filtered(route))) => return Tries::Filtered(route),
                Err(Unsent::Not(NoChoice::Otherwise)) => return Tries::Otherwise,
            };
            tried.broke(endpoint, reused);
        })
    }

    fn may_repeat(&self, head: &RequestHead, tried: &Tried) -> bool {
        tried.may_repeat(head.method().idempotent(), self.all_here)
    }

    /// Reads the answer and gives it to the client, while the rest of the request's body, if any, goes up.
    async fn answer(&mut self, connection: &mut Connection, desk: &mut Desk, sent: Sent, tried: &Tried) -> Result<Relayed, Failure> {
        let Sent { mut upstream, attempt, others } = sent;
        let may_repeat = self.may_repeat(&desk.request.head, tried);
        let percent = connection.caller.worker.limits.retry_budget_percent;
        let again = Again {
            statuses: if may_repeat && others { tried.retry_on() } else { RetryOn::default() },
            within_ms: tried.try_ms().filter(|_| self.all_here),
            budget: &|| attempt.may_cost_more(percent),
        };
        let answered = |status, head_us| attempt.answered(status, head_us);
        let relayed = relay::relay(connection, desk, self, &mut upstream, tried.passed(), (again, &answered)).await;
        connection.reading.follow(None);
        let now = now_us();
        if let Err(failure @ (Failure::NoAnswer | Failure::Vanished | Failure::BadAnswer | Failure::CutUpstream | Failure::SlowUpstream)) =
            &relayed
        {
            attempt.broke(*failure == Failure::NoAnswer, now);
        }
        attempt.over();
        let relayed = match relayed {
            Err(Failure::Unwanted) => return Err(Failure::Again),
            // Closing an idle connection is a replica's right, and no trouble that more requests would add to.
            Err(Failure::NoAnswer | Failure::Vanished) if may_repeat && (attempt.reused || attempt.may_cost_more(percent)) => {
                return Err(Failure::Again);
            }
            Err(Failure::SlowUpstream) if may_repeat && others && !connection.begun.get() && tried.retry_on().timeout() => {
                return Err(if attempt.may_cost_more(percent) { Failure::Again } else { Failure::SlowUpstream });
            }
            relayed => relayed,
        };
        if let Ok(done) = &relayed {
            let Attempt { flight, counts, .. } = attempt;
            let worker = &connection.caller.worker;
            counts.answered(done.status, now.saturating_sub(self.trail.began_us));
            if done.switched() {
                let input = desk.request.input.filled();
                let websocket = desk.request.head.upgrade(input).is_some_and(|asked| asked.of(input).eq_ignore_ascii_case(WEBSOCKET));
                let agreed = Agreed { link: Link::Plain(upstream), early: desk.answer.input.filled().into(), websocket };
                let early = input.get(self.head_length + self.body_in_out..).unwrap_or_default();
                self.tunnel = Some(Box::new(Tunnel::new(agreed, (flight, counts), early)));
            } else if done.reusable && worker.keeps(flight.replica().id) {
                worker.pool.borrow_mut().checkin(flight.replica().id, upstream, now / 1000);
            }
        }
        relayed
    }

    fn finish(&mut self, connection: &mut Connection, desk: &mut Desk, relayed: Relayed) -> Turn {
        respond::log_answer(connection, desk, self, &relayed);
        match relayed.rest {
            Some(rest) => {
                let used = std::mem::replace(&mut desk.request.input, rest);
                connection.caller.worker.buffers.give(used);
            }
            None => desk.request.input.consume(self.head_length + self.body_in_out),
        }
        connection.begun.set(false);
        if let Some(tunnel) = self.tunnel.take() {
            return Turn::Switch(tunnel);
        }
        match relayed.keep {
            true => Turn::Next,
            // It said that nothing more comes, and nothing more is due.
            false if relayed.uploaded && !desk.request.head.keep_alive() => Turn::End,
            false => Turn::Linger,
        }
    }

    /// Nothing can be sent again: says so to the client if that is still possible.
    async fn give_up(&mut self, connection: &mut Connection, desk: &mut Desk, failure: Failure) -> Turn {
        let reason = match failure {
            Failure::NoAnswer | Failure::Vanished | Failure::BadAnswer | Failure::Again | Failure::Unwanted => Reason::UpstreamReset,
            Failure::BadBody => Reason::BadRequest,
            Failure::LargeBody => Reason::BodyTooLarge,
            Failure::SlowBody => Reason::TimeoutDownstream,
            Failure::SlowUpstream if !connection.begun.get() => Reason::TimeoutRequest,
            Failure::SlowUpstream => {
                respond::log_cut(connection, desk, self, Reason::TimeoutRequest);
                return Turn::Cut;
            }
            Failure::CutUpstream => {
                respond::log_cut(connection, desk, self, Reason::UpstreamReset);
                return Turn::Cut;
            }
            Failure::ClientGone => {
                respond::log_gone(connection, desk, self);
                return Turn::Cut;
            }
        };
        respond::refuse(connection, desk, self, reason, None, false).await;
        Turn::Linger
    }

    /// Answers by ourselves. The connection stays when all of the request was here.
    async fn refuse(&mut self, connection: &mut Connection, desk: &mut Desk, reason: Reason, note: Option<Arc<str>>) -> Turn {
        let keep = self.may_keep(connection, desk);
        let kept = respond::refuse(connection, desk, self, reason, note, keep).await;
        self.answered(desk, kept)
    }

    /// The same, as a filter wants it.
    async fn answer_ourselves(&mut self, connection: &mut Connection, desk: &mut Desk, answer: &Answer) -> Turn {
        let keep = self.may_keep(connection, desk);
        let kept = respond::answer(connection, desk, self, answer, None, keep).await;
        self.answered(desk, kept)
    }

    /// Whether the connection can go on after an answer of our own: when nothing of the request is still to come.
    fn may_keep(&self, connection: &Connection, desk: &Desk) -> bool {
        desk.request.head.keep_alive() && self.all_here && !connection.caller.worker.draining.get()
    }

    fn answered(&self, desk: &mut Desk, kept: bool) -> Turn {
        if !kept {
            return Turn::Linger;
        }
        desk.request.input.consume(self.head_length + self.body_in_out);
        Turn::Next
    }

    /// Whether a body is still to come from the client.
    pub(super) fn uploads(&self) -> bool {
        !self.all_here
    }
}

/// What a wait comes to, unless the client resets its connection meanwhile: then there is nobody to send the request for.
async fn unless_reset<T>(client: &mut Stream, wait: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::select! {
        biased;
        () = client.is_reset() => Err(Failure::ClientGone),
        waited = wait => Ok(waited),
    }
}
