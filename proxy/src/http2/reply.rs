//! One stream of a client's connection: its request goes on its way, and the answer down the stream, piece by piece.
//!
//! Invariant: what a client has broken off ends at once, here and at the replica. A piece is asked for only once the one before has
//! found room, so that a slow client slows its replica; one that takes nothing at all for `limits.idleTimeoutMs` is given up.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use hyper::body::{Body, Bytes, Frame};
use hyper::header::EXPECT;
use hyper::http::response::Parts;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};

use super::answer::{Answer, Cut};
use super::ask::{Ask, Kept};
use super::connect::{self, Handover, Switch};
use super::exchange;
use super::serve::OpenStream;
use crate::http::attempt::Attempt;
use crate::worker::Worker;

/// Most bytes of content in one frame, as long as nobody asks for larger ones (RFC 9113 section 4.2).
const FRAME: usize = 16 * 1024;

/// Nobody waits for an answer any more.
pub(super) struct BrokenOff;

/// Answers the request of one stream.
pub(super) async fn run(open: OpenStream, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let (head, incoming) = request.into_parts();
    let caller = open.client.caller.clone();
    let handover = Handover::default();
    // What comes behind a CONNECT is no content.
    let (ask, mut carried) = if head.method == Method::CONNECT { (Ask::Nothing, Some(incoming)) } else { (Ask::of(incoming), None) };
    let switch = carried.as_ref().and_then(|_| Switch::connect(&head, &handover, caller.worker.rng.borrow_mut().u128(..)));
    let kept = ask.kept();
    let invites = kept.clone().filter(|_| expects(&head.headers));
    let response = {
        let answering = pin!(exchange::run(caller.clone(), Request::from_parts(head, ask), switch, None));
        answered(answering, invites, &mut respond).await
    };
    let Ok(response) = response else { return };
    let (head, mut answer) = response.into_parts();
    answer.keep(kept);
    open.ended.set(answer.over());
    if let (Some((agreed, attempt)), Some(from)) = (handover.take(), &mut carried) {
        let Attempt { counts, flight, .. } = attempt;
        let replica = flight.replica().id;
        if let Ok(mut to) = respond.send_response(Response::from_parts(head, ()), false) {
            Box::pin(connect::carry(&caller.worker, from, &mut to, (agreed, replica), &counts.upgraded)).await;
        }
        return;
    }
    if let Some(to) = begin(&mut respond, head, answer.is_end_stream())
        && send(&open, &mut answer, to).await.is_err()
    {
        tracing::debug!(peer = %caller.client, "a stream was broken off");
    }
}

/// Whether the client sends its content only once it is invited to (RFC 9110 section 10.1.1).
fn expects(fields: &HeaderMap) -> bool {
    fields.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Waits for the answer, unless its client breaks the stream off. It is invited to send its content once somebody wants that.
async fn answered(
    mut answering: Pin<&mut impl Future<Output = Response<Answer>>>,
    mut invites: Option<Kept>,
    respond: &mut SendResponse<Bytes>,
) -> Result<Response<Answer>, BrokenOff> {
    poll_fn(|context| {
        if let Poll::Ready(response) = answering.as_mut().poll(context) {
            return Poll::Ready(Ok(response));
        }
        if invites.take_if(|kept| kept.borrow().wanted()).is_some() {
            let mut invitation = Response::new(());
            *invitation.status_mut() = StatusCode::CONTINUE;
            let _ = respond.send_informational(invitation); // whoever broke it off needs none
        }
        respond.poll_reset(context).map(|_| Err(BrokenOff))
    })
    .await
}

/// Sends the head.
fn begin(respond: &mut SendResponse<Bytes>, head: Parts, whole: bool) -> Option<SendStream<Bytes>> {
    match respond.send_response(Response::from_parts(head, ()), whole) {
        Ok(to) => Some(to).filter(|_| !whole),
        Err(error) => {
            tracing::debug!(%error, "an answer could not be sent");
            respond.send_reset(Reason::INTERNAL_ERROR);
            None
        }
    }
}

/// Sends the content.
async fn send(open: &OpenStream, answer: &mut Answer, mut to: SendStream<Bytes>) -> Result<(), BrokenOff> {
    loop {
        let frame = poll_fn(|context| poll_next(answer, &mut to, context)).await;
        open.ended.set(answer.over());
        let sent = match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(bytes))) => {
                let last = answer.is_end_stream();
                give(&open.client.caller.worker, &mut to, bytes, last).await?;
                Ok(last)
            }
            Some(Ok(Err(frame))) => match frame.into_trailers() {
                Ok(trailers) => to.send_trailers(trailers).map(|()| true),
                Err(_) => Ok(false),
            },
            Some(Err(Stopped::Cut)) => {
                // A reset takes back what its connection had no turn to write yet, and the head may be among that.
                tokio::task::yield_now().await;
                to.send_reset(Reason::INTERNAL_ERROR);
                return Ok(());
            }
            Some(Err(Stopped::BrokenOff)) => return Err(BrokenOff),
            None => to.send_data(Bytes::new(), true).map(|()| true),
        };
        if sent.map_err(|_| BrokenOff)? {
            return Ok(());
        }
    }
}

/// Why there is no next piece.
enum Stopped {
    /// The replica broke off.
    Cut,
    /// The client did.
    BrokenOff,
}

/// The answer's next piece.
fn poll_next(answer: &mut Answer, to: &mut SendStream<Bytes>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Stopped>>> {
    match Pin::new(answer).poll_frame(context) {
        Poll::Ready(frame) => Poll::Ready(frame.map(|frame| frame.map_err(|Cut| Stopped::Cut))),
        Poll::Pending => to.poll_reset(context).map(|_| Some(Err(Stopped::BrokenOff))),
    }
}

/// Sends content as the stream takes it, and no more of it, so that a client that takes little is told from one that takes nothing.
pub(super) async fn give(worker: &Worker, to: &mut SendStream<Bytes>, mut content: Bytes, last: bool) -> Result<(), BrokenOff> {
    loop {
        let room = if content.is_empty() { 0 } else { room(worker, to, content.len()).await? };
        let piece = content.split_to(room.min(content.len()));
        let done = content.is_empty();
        to.send_data(piece, last && done).map_err(|_| BrokenOff)?;
        if done {
            return Ok(());
        }
    }
}

/// Waits until the stream takes more, and says how much, in bytes.
async fn room(worker: &Worker, to: &mut SendStream<Bytes>, wanted: usize) -> Result<usize, BrokenOff> {
    to.reserve_capacity(wanted.min(FRAME)); // no more of what all streams share than the next frame needs
    if to.capacity() > 0 {
        return Ok(to.capacity());
    }
    let patience = worker.deadlines.register();
    patience.set(worker.limits.idle_timeout_ms);
    let room = poll_fn(|context| {
        while to.capacity() == 0 {
            match ready!(to.poll_capacity(context)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(BrokenOff)),
            }
        }
        Poll::Ready(Ok(to.capacity()))
    });
    if let Ok(room) = patience.guard(room).await {
        return room;
    }
    to.send_reset(Reason::CANCEL);
    Err(BrokenOff)
}
