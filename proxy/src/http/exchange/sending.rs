//! One sending of a request: decide, pick, connect, write.
//!
//! Invariant: the picture is held until the request is written, and let go then.

use std::io;
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
        self.trail.asked = None; // whoever was asked before has been judged
        let caller = &connection.caller;
        let held = caller.worker.pictures.hold();
        // The reader let only visible ASCII pass.
        let path = std::str::from_utf8(request.head.path().of(request.input.filled())).unwrap_or("/");
        let signs = client::Head { caller, request };
        let chosen = caller.choose(held.snapshot(), (request.head.host(), path), tried, self.trail.now_us(), &signs);
        let chosen = chosen.map_err(Unsent::Not)?;
        let Chosen { service, endpoint, mark, .. } = chosen;
        self.mark = mark;
        self.rename(service, request);
        connection.reading.follow(Some(endpoint.replica.id));
        let reached = caller.reach(chosen, tried, &mut self.trail).await;
        let (attempt, mut upstream) = reached.map_err(Unsent::NoConnection)?;
        if connection.reading.is_cut() {
            self.trail.no_connection("the replica left while it was connected to");
            return Err(Unsent::NoConnection(Unreached { endpoint: attempt.endpoint, for_now: true })); // it left while it was connected to
        }
        let patience = Duration::from_millis(caller.worker.limits.connect_timeout_ms);
        if let Err((written, error)) = write_within(&mut upstream, &request.out, patience).await {
            if written == 0 && !attempt.reused {
                return Err(Unsent::NoConnection(attempt.unreachable(service, &error, &mut self.trail)));
            }
            attempt.broke(true, now_us());
            let percent = caller.worker.limits.retry_budget_percent;
            let again = if written == 0 {
                tried.may_repeat(true, true) // nobody got a byte of it
            } else {
                self.may_repeat(&request.head, tried) && (attempt.reused || attempt.may_cost_more(percent))
            };
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
/// Errs with how many were written: where none was, as on a connection that was reset already, nobody can have processed them.
async fn write_within(upstream: &mut TcpStream, bytes: &[u8], patience: Duration) -> Result<(), (usize, io::Error)> {
    let mut written = match upstream.try_write(bytes) {
        Ok(count) if count == bytes.len() => return Ok(()),
        Ok(count) => count,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        Err(error) => return Err((0, error)),
    };
    let rest = async {
        while written < bytes.len() {
            match upstream.write(&bytes[written..]).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => written += count,
            }
        }
        Ok(())
    };
    // Rare, and large.
    match Box::pin(tokio::time::timeout(patience, rest)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err((written, error)),
        Err(late) => Err((written, late.into())),
    }
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;

    use super::*;
    use crate::pool::tests::pair;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn what_was_reset_before_took_nothing() {
        let (mut near, far) = pair().await;
        SockRef::from(&far).set_linger(Some(Duration::ZERO)).unwrap();
        drop(far);
        near.readable().await.unwrap();
        let (written, error) = write_within(&mut near, b"POST / HTTP/1.1\r\n\r\n", PATIENCE).await.unwrap_err();
        assert_eq!((written, error.kind()), (0, io::ErrorKind::ConnectionReset));
        let (written, error) = write_within(&mut near, b"POST / HTTP/1.1\r\n\r\n", PATIENCE).await.unwrap_err();
        assert_eq!((written, error.kind()), (0, io::ErrorKind::BrokenPipe), "it was told once");
    }

    #[tokio::test]
    async fn what_took_a_part_is_told_of() {
        let (mut near, _far) = pair().await;
        let bytes = vec![0; 64 << 20]; // more than sockets hold
        let (written, error) = write_within(&mut near, &bytes, Duration::from_millis(50)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(written > 0 && written < bytes.len(), "{written}");
    }
}
