//! One sending of a request: decide, pick, connect, write.
//!
//! Invariant: the picture is held until the request is written, and let go then.

use std::time::Duration;

use registry::snapshot::{EndpointId, Service};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::Exchange;
use crate::clock::now_us;
use crate::http::attempt::{Attempt, Chosen, NoChoice};
use crate::http::client;
use crate::http::desk::Message;
use crate::http::head::RequestHead;
use crate::http::serve::Connection;
use crate::http::tried::{Tried, Unreached};
use crate::http::write::set_host;

/// A connection to the picked replica with the request sent on it.
pub(super) struct Sent {
    pub(super) upstream: TcpStream,
    pub(super) attempt: Attempt,
    /// Its service has another endpoint, which was not tried.
    pub(super) others: bool,
}

/// Why a request could not be sent.
pub(super) enum Unsent {
    Not(NoChoice),
    /// No connection stood.
    NoConnection(Unreached),
    /// The connection broke while it was written to, and the request may be sent again; true when it was a reused one.
    Broken((EndpointId, bool)),
    /// It broke, and the request may not.
    Lost,
}

impl Exchange {
    /// Decides, picks, connects and writes. Endpoints that were tried are avoided.
    pub(super) async fn send(
        &mut self,
        connection: &Connection,
        request: &mut Message<RequestHead>,
        tried: &Tried,
    ) -> Result<Sent, Unsent> {
        let caller = &connection.caller;
        let held = caller.worker.pictures.hold();
        // The reader let only visible ASCII pass.
        let path = std::str::from_utf8(request.head.path().of(request.input.filled())).unwrap_or("/");
        let signs = client::Head { caller, request };
        let chosen = caller.choose(held.snapshot(), (request.head.host(), path), tried, self.trail.now_us(), &signs);
        let chosen = chosen.map_err(Unsent::Not)?;
        let Chosen { service, mark, .. } = chosen;
        self.mark = mark;
        self.rename(service, request);
        let reached = caller.reach(chosen, tried, &mut self.trail).await;
        let (attempt, mut upstream) = reached.map_err(Unsent::NoConnection)?;
        if !write_within(&mut upstream, &request.out, Duration::from_millis(caller.worker.limits.connect_timeout_ms)).await {
            attempt.broke(true, now_us());
            let percent = caller.worker.limits.retry_budget_percent;
            let again = self.may_repeat(&request.head, tried) && (attempt.reused || attempt.may_cost_more(percent));
            return Err(if again { Unsent::Broken((attempt.endpoint, attempt.reused)) } else { Unsent::Lost });
        }
        caller.sent(service, tried);
        let others = service.endpoints.len() > 1 + tried.count();
        Ok(Sent { upstream, attempt, others })
    }

    /// An outside name is asked by its own name; should the route lead elsewhere meanwhile, by the client's again.
    fn rename(&mut self, service: &Service, request: &mut Message<RequestHead>) {
        if service.host.is_none() && !self.renamed {
            return;
        }
        let Message { input, head, out } = request;
        let asked = head.authority().map_or(&[][..], |span| span.of(input.filled()));
        set_host(out, service.host.as_ref().map_or(asked, |host| host.as_bytes()));
        self.renamed = service.host.is_some();
    }
}

/// Writes all of `bytes`, nearly always at once. A connection that takes nothing for `patience` is broken: the picture is held meanwhile.
async fn write_within(upstream: &mut TcpStream, bytes: &[u8], patience: Duration) -> bool {
    let written = match upstream.try_write(bytes) {
        Ok(count) if count == bytes.len() => return true,
        Ok(count) => count,
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => 0,
        Err(_) => return false,
    };
    let rest = Box::pin(tokio::time::timeout(patience, upstream.write_all(&bytes[written..])));
    matches!(rest.await, Ok(Ok(())))
}
