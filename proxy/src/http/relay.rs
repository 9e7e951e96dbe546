//! The answer's way back: head, body, trailers, while the rest of a request's body goes up.
//!
//! Invariant: a side is read only after what it sent before was written to the other, so that a slow reader never grows memory. An
//! answer that stops in its middle cuts the client's connection; it is never made to look whole.

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use config::filter::RetryOn;
use registry::filter::Filters;
use registry::route::Route;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::WriteHalf;

use super::asked;
use super::body::{BodyError, BodyReader};
use super::desk::Desk;
use super::exchange::Exchange;
use super::serve::Connection;
use crate::buffer::Buffer;
use crate::deadline::Deadline;
use crate::splice::{Pipe, WORTH};
use crate::stream::ReadSide;
use crate::upstream;
use crate::worker::Worker;

mod down;

use down::Down;

/// How long a client that has closed its side may take nothing before it is taken for gone.
const HALF_CLOSED_MS: u64 = 1_000;

/// An answer that the client got whole.
pub(super) struct Relayed {
    /// Its status.
    pub(super) status: u16,
    /// Bytes written to the client.
    pub(super) bytes: u64,
    /// The replica's connection can serve again.
    pub(super) reusable: bool,
    /// The client's connection can.
    pub(super) keep: bool,
    /// All of the request was sent up.
    pub(super) uploaded: bool,
    /// What was read after a streamed request body, instead of the connection's input.
    pub(super) rest: Option<Buffer>,
}

impl Relayed {
    /// Another protocol is spoken from here on: what is left in the answer's input belongs to it.
    pub(super) fn switched(&self) -> bool {
        self.status == 101
    }
}

/// Why a client did not get a whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The replica closed or reset before a byte of an answer.
    NoAnswer,
    /// Its machine acknowledged nothing more, before a byte of an answer.
    Vanished,
    /// What it sent is no response, and the client has seen nothing of it.
    BadAnswer,
    /// It stopped in the middle.
    CutUpstream,
    /// It said nothing for longer than the route waits.
    SlowUpstream,
    /// The request's body is not framed as it says; the client has seen nothing yet.
    BadBody,
    /// The request's body is larger than the route takes; the client has seen nothing yet.
    LargeBody,
    /// The request's body stopped moving; the client has seen nothing yet.
    SlowBody,
    /// The client closed, or stopped reading, or spoiled its body in the middle of the answer.
    ClientGone,
    /// It has a status after which the route wants the request to be sent again; the client has seen nothing of it.
    Unwanted,
    /// The request is to be sent again; the client has seen nothing.
    Again,
}

impl Failure {
    /// A connection broke so before a byte of an answer.
    pub(crate) fn unanswered(error: &io::Error) -> Failure {
        if upstream::is_vanished(error) { Failure::Vanished } else { Failure::NoAnswer }
    }
}

/// When the answer is not the client's, since the request can be sent again.
pub(super) struct Again<'a> {
    /// After answers of these statuses.
    pub(super) statuses: RetryOn,
    /// The answer's head may take so many milliseconds.
    pub(super) within_ms: Option<u64>,
    /// Takes one repetition out of the service's budget.
    pub(super) budget: &'a dyn Fn() -> bool,
}

/// Is told the status of the answer and when its head was here, in microseconds since the start of the process: at once, since the rest may
/// take for ever, or never come.
pub(super) type Heard<'a> = &'a dyn Fn(u16, u64);

/// What ended an upload.
enum Upload {
    Done,
    /// The replica takes no more; it may still answer.
    UpstreamClosed,
    Failed(Failure),
}

/// Relays one answer, by the route that let its request through and its filters.
pub(super) async fn relay(
    connection: &mut Connection,
    desk: &mut Desk,
    exchange: &mut Exchange,
    upstream: &mut TcpStream,
    by: Option<(&Arc<Route>, &Filters)>,
    (again, answered): (Again<'_>, Heard<'_>),
) -> Result<Relayed, Failure> {
    let edits = by.map(|(route, filters)| asked::down(connection, &desk.request, (route, filters), exchange.mark));
    let read_ms = by.and_then(|(_, filters)| filters.timeouts.read_ms);
    let patience = read_ms.map(|ms| (connection.caller.worker.deadlines.register(), ms));
    let Desk { request, answer, .. } = desk;
    let asked = &request.head;
    let uploads = exchange.uploads();
    // A request that is still coming up can end well, so it does not keep the connection from going on by itself.
    let may_go_on = asked.keep_alive() && !connection.caller.worker.draining.get();
    let worker = connection.caller.worker.clone();
    let down = Down {
        worker: &worker,
        writing: &connection.writing,
        method: asked.method(),
        client_11: asked.version_11(),
        may_go_on,
        upgrade: asked.upgrade(request.input.filled()).map(|protocol| protocol.of(request.input.filled())),
        uploading: Cell::new(uploads),
        heard: Cell::new(false),
        written: Cell::new(0),
        begun: &connection.begun,
        edits: edits.as_ref(),
        patience: patience.as_ref().map(|(deadline, ms)| (deadline, *ms)),
        again,
        answered,
    };
    let (mut client_read, client_write) = connection.stream.split();
    let (upstream_read, upstream_write) = upstream.split();
    let (reading, begun) = (&connection.reading, &connection.begun);
    let mut rest = uploads.then(|| worker.buffers.take());
    let client = async {
        if let Some(rest) = &mut rest {
            match Box::pin(upload(&worker, &mut client_read, upstream_write, &mut exchange.body, rest, reading)).await {
                Upload::Done => down.uploading.set(false),
                // What was not written stays unwritten: neither connection can go on after the answer.
                Upload::UpstreamClosed => {}
                Upload::Failed(failure) => return failure,
            }
        }
        gone(&mut client_read, reading, &down.written).await;
        Failure::ClientGone
    };
    let relayed = {
        // Pinned where they are: moving them costs more than the rest of this function.
        let (mut client, mut answer) = (pin!(client), pin!(down.run(answer, upstream_read, client_write)));
        let both = poll_fn(|context| {
            // The way up goes first as long as there is one, so that an answer knows whether all of the request was sent.
            let first = down.uploading.get();
            if first && let Poll::Ready(failure) = client.as_mut().poll(context) {
                return Poll::Ready(Err(failure));
            }
            let polled = match answer.as_mut().poll(context) {
                Poll::Pending if !first => client.as_mut().poll(context).map(Err),
                polled => polled,
            };
            if polled.is_ready() {
                return polled;
            }
            // The replica has left, and the time for what was under way is over.
            reading.poll_cut(context).map(|()| Err(if begun.get() { Failure::CutUpstream } else { Failure::NoAnswer }))
        });
        both.await
    };
    connection.reading.clear();
    match relayed {
        Err(Failure::BadBody | Failure::LargeBody | Failure::SlowBody) if connection.begun.get() => Err(Failure::ClientGone),
        relayed => relayed.map(|relayed| Relayed { rest, ..relayed }),
    }
}

/// Ends when the client has: at once when it resets; when it closed its side, once it took nothing for [`HALF_CLOSED_MS`], since it may
/// still be reading. Never when it has sent more.
pub(super) async fn gone(from: &mut ReadSide<'_>, patience: &Deadline, written: &Cell<u64>) {
    match from.more().await {
        Ok(false) => {}
        Ok(true) => pending().await,
        Err(_) => return,
    }
    loop {
        let before = written.get();
        patience.set(HALF_CLOSED_MS);
        let _ = patience.guard(pending::<()>()).await;
        if written.get() == before {
            return;
        }
    }
}

/// Carries the rest of a request's body up. What was read after it stays in `buffer`.
async fn upload(
    worker: &Worker,
    from: &mut ReadSide<'_>,
    mut to: WriteHalf<'_>,
    body: &mut BodyReader,
    buffer: &mut Buffer,
    reading: &Deadline,
) -> Upload {
    while !body.done() {
        if let Some(socket) = from.plain()
            && let Some((mut pipe, left)) = pipe_for(worker, body)
        {
            reading.set(worker.limits.idle_timeout_ms);
            match reading.guard(pipe.fill(socket, left)).await {
                Err(_) => return Upload::Failed(Failure::SlowBody),
                Ok(Ok(0) | Err(_)) => return Upload::Failed(Failure::ClientGone),
                Ok(Ok(count)) => body.passed(count as u64),
            }
            reading.clear(); // while the replica is slow, the client is not to blame
            while pipe.held() > 0 {
                if pipe.drain(to.as_ref()).await.is_err() {
                    return Upload::UpstreamClosed;
                }
            }
            continue;
        }
        reading.set(worker.limits.idle_timeout_ms);
        match reading.guard(buffer.read(from)).await {
            Err(_) => return Upload::Failed(Failure::SlowBody),
            Ok(Ok(0) | Err(_)) => return Upload::Failed(Failure::ClientGone),
            Ok(Ok(_)) => {}
        }
        reading.clear();
        let count = match body.advance(buffer.filled()) {
            Ok(count) => count,
            Err(BodyError::TooLarge) => return Upload::Failed(Failure::LargeBody),
            Err(_) => return Upload::Failed(Failure::BadBody),
        };
        if to.write_all(&buffer.filled()[..count]).await.is_err() {
            return Upload::UpstreamClosed;
        }
        buffer.consume(count);
    }
    Upload::Done
}

/// A pipe for a body of which so much is to come that it is worth one.
fn pipe_for<'w>(worker: &'w Worker, body: &BodyReader) -> Option<(Pipe<'w>, u64)> {
    let left = body.plain().filter(|&left| left >= WORTH as u64)?;
    Some((worker.pipes.lend()?, left))
}
