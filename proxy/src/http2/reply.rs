//! One stream of a client's connection: its request goes on its way, and the answer down the stream, piece by piece.
//!
//! Invariant: what a client has broken off ends at once, here and at the replica. A piece is asked for only once the one before has
//! found room, so that a slow client slows its replica; one that takes nothing at all for `limits.idleTimeoutMs` is given up. However slow
//! it is, its answer ends with the time of its route and of a replica that has left.

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
use crate::deadline::Deadline;
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
    let worker = &open.client.caller.worker;
    let mut early = None;
    loop {
        let frame = match early.take() {
            Some(end) => Some(end),
            None => poll_fn(|context| poll_next(answer, &mut to, context)).await?,
        };
        open.ended.set(answer.over());
        let sent = match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(bytes))) => {
                let last = answer.is_end_stream();
                early = give(worker, &mut to, bytes, (last, Wait::With(answer))).await?;
                Ok(last && early.is_none())
            }
            Some(Ok(Err(frame))) => match frame.into_trailers() {
                Ok(trailers) => to.send_trailers(trailers).map(|()| true),
                Err(_) => Ok(false),
            },
            Some(Err(Cut)) => {
                // A reset takes back what its connection had no turn to write yet, and the head may be among that.
                tokio::task::yield_now().await;
                to.send_reset(Reason::INTERNAL_ERROR);
                return Ok(());
            }
            None => to.send_data(Bytes::new(), true).map(|()| true),
        };
        if sent.map_err(|_| BrokenOff)? {
            return Ok(());
        }
    }
}

/// A piece of an answer, or that its replica broke it off.
type Piece = Result<Frame<Bytes>, Cut>;

/// The answer's next piece; `None` is the end. Errs when the client broke off.
fn poll_next(answer: &mut Answer, to: &mut SendStream<Bytes>, context: &mut Context<'_>) -> Poll<Result<Option<Piece>, BrokenOff>> {
    match Pin::new(answer).poll_frame(context) {
        Poll::Ready(piece) => Poll::Ready(Ok(piece)),
        Poll::Pending => to.poll_reset(context).map(|_| Err(BrokenOff)),
    }
}

/// How long a client that takes nothing is waited for.
pub(super) enum Wait<'a> {
    /// As long as any, and as this answer may last.
    With(&'a mut Answer),
    /// So many milliseconds.
    For(u64),
}

impl Wait<'_> {
    /// What ends the answer meanwhile.
    fn poll_end(&mut self, leaves: &Deadline, context: &mut Context<'_>) -> Poll<Piece> {
        match self {
            Wait::With(answer) => answer.poll_end(leaves, context),
            Wait::For(_) => Poll::Pending,
        }
    }
}

/// Sends content as the stream takes it, and no more of it, so that a client that takes little is told from one that takes nothing. Says
/// what is to come instead of the rest of it when the answer ends first.
pub(super) async fn give(
    worker: &Worker,
    to: &mut SendStream<Bytes>,
    mut content: Bytes,
    (last, mut wait): (bool, Wait<'_>),
) -> Result<Option<Piece>, BrokenOff> {
    loop {
        let room = match content.len() {
            0 => 0,
            wanted => match room(worker, to, wanted, &mut wait).await? {
                Ok(room) => room,
                Err(end) => return Ok(Some(end)),
            },
        };
        let piece = content.split_to(room.min(content.len()));
        let done = content.is_empty();
        to.send_data(piece, last && done).map_err(|_| BrokenOff)?;
        if done {
            return Ok(None);
        }
    }
}

/// Waits until the stream takes more, and says how much, in bytes; or what ends the answer before.
async fn room(worker: &Worker, to: &mut SendStream<Bytes>, wanted: usize, wait: &mut Wait<'_>) -> Result<Result<usize, Piece>, BrokenOff> {
    to.reserve_capacity(wanted.min(FRAME)); // no more of what all streams share than the next frame needs
    if to.capacity() > 0 {
        return Ok(Ok(to.capacity()));
    }
    let patience = worker.deadlines.register();
    match wait {
        Wait::With(answer) => {
            patience.set(worker.limits.idle_timeout_ms);
            patience.follow(answer.replica());
        }
        Wait::For(ms) => patience.set(*ms),
    }
    let room = poll_fn(|context| {
        // First: `patience` knows of a cut, and whoever waits next does not.
        if let Poll::Ready(end) = wait.poll_end(&patience, context) {
            return Poll::Ready(Ok(Err(end)));
        }
        while to.capacity() == 0 {
            match ready!(to.poll_capacity(context)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(BrokenOff)),
            }
        }
        Poll::Ready(Ok(Ok(to.capacity())))
    });
    if let Ok(room) = patience.guard(room).await {
        if let Wait::With(answer) = wait {
            answer.taken();
        }
        return room;
    }
    to.send_reset(Reason::CANCEL);
    Err(BrokenOff)
}
