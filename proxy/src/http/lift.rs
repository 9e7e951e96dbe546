//! A request of HTTP/1 for a replica that speaks HTTP/2 or TLS: it goes by the way of HTTP/2's requests, and its answer is written as
//! HTTP/1 again.
//!
//! Invariant: the same strict readers judge it, and a byte of its body goes up only after it was judged. An answer that stops in its
//! middle cuts the client's connection.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use hyper::body::{Body, Bytes, Frame};
use hyper::header::{CONTENT_LENGTH, DATE, HeaderName, HeaderValue};
use hyper::http::response::Parts;
use hyper::{Request, StatusCode, Uri};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::attempt::Attempt;
use super::body::BodyReader;
use super::desk::{Desk, Message};
use super::exchange::Turn;
use super::head::{Field, FieldKind, Framing, Method, RequestHead};
use super::relay::{Failure, gone};
use super::respond;
use super::serve::Connection;
use super::tunnel::Tunnel;
use super::write::line;
use crate::buffer::Buffer;
use crate::deadline::Deadline;
use crate::digits;
use crate::http2::answer::Answer;
use crate::http2::ask::{Ask, Broken, Piece};
use crate::http2::connect::{Handover, Switch};
use crate::http2::{exchange, fields};
use crate::pressure::rates::Charged;
use crate::reason::Reason;
use crate::stream::{ReadSide, WriteSide};

/// How the answer is written.
#[derive(Clone, Copy)]
struct Form {
    method: Method,
    client_11: bool,
    keep: bool,
}

/// Serves the request whose head is the first `head_length` bytes of the input, and which was `charged` so.
pub(super) async fn run(connection: &mut Connection, desk: &mut Desk, head_length: usize, charged: Charged) -> Turn {
    let Desk { request: Message { input, head, .. }, answer: Message { out, .. }, .. } = desk;
    let form =
        Form { method: head.method(), client_11: head.version_11(), keep: head.keep_alive() && !connection.caller.worker.draining.get() };
    let invites = head.expect_continue();
    let (pieces, ask) = pieces(head.framing());
    let Some(request) = lifted(head, &input.filled()[..head_length], ask) else {
        respond::refuse_head(connection, out, Reason::BadRequest, None).await;
        return Turn::Linger;
    };
    let framing = head.framing();
    let upgrade = head.upgrade(input.filled()).map(|protocol| HeaderValue::from_bytes(protocol.of(input.filled())));
    let handover = Handover::default();
    let switch = upgrade.and_then(Result::ok).map(|protocol| Switch::upgrade(protocol, handover.clone()));
    input.consume(head_length);
    let caller = Rc::new(connection.caller.clone());
    let idle_ms = caller.worker.limits.idle_timeout_ms;
    let (uploading, begun, written) = (Cell::new(pieces.is_some()), &connection.begun, Cell::new(0));
    let (mut client_read, client_write) = connection.stream.split();
    let mut to = Writer { to: client_write, patience: &connection.writing, idle_ms, written: &written };
    let up = async {
        if let Some(pieces) = pieces {
            if let Err(failure) =
                Box::pin(upload(&mut client_read, BodyReader::new(framing), input, &pieces, &connection.reading, idle_ms)).await
            {
                return failure;
            }
            drop(pieces);
            uploading.set(false);
        }
        gone(&mut client_read, &connection.reading, &written).await;
        Failure::ClientGone
    };
    let down = async {
        if invites {
            to.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let (head, mut answer) = exchange::run(caller, request, switch, Some(charged)).await.into_parts();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            write_switch(&head, out);
            return to.write(out).await.map(|()| false);
        }
        let chunked = write_head(&head, &answer, form, uploading.get(), out);
        begun.set(true);
        to.write(out).await?;
        body(&mut answer, chunked, out, &mut to).await
    };
    let ended = either(up, down, &uploading).await;
    connection.reading.clear();
    if let (Ok(_), Some((agreed, attempt))) = (&ended, handover.take()) {
        let Attempt { flight, counts, .. } = attempt;
        return Turn::Switch(Box::new(Tunnel::new(agreed, (flight, counts), input.filled())));
    }
    match ended {
        Ok(delimited) => {
            connection.begun.set(false);
            if form.keep && delimited && !uploading.get() { Turn::Next } else { Turn::Linger }
        }
        Err(Failure::BadBody | Failure::SlowBody) if !connection.begun.get() => {
            let reason = if ended == Err(Failure::SlowBody) { Reason::TimeoutDownstream } else { Reason::BadRequest };
            respond::refuse_head(connection, out, reason, None).await;
            Turn::Linger
        }
        Err(_) => Turn::Cut,
    }
}

/// Runs both until the answer is written or one of them fails; the way up goes first while there is one.
async fn either(
    up: impl Future<Output = Failure>,
    down: impl Future<Output = Result<bool, Failure>>,
    uploading: &Cell<bool>,
) -> Result<bool, Failure> {
    let (mut up, mut down) = (pin!(up), pin!(down));
    poll_fn(|context| {
        let first = uploading.get();
        if first && let Poll::Ready(failure) = up.as_mut().poll(context) {
            return Poll::Ready(Err(failure));
        }
        match down.as_mut().poll(context) {
            Poll::Pending if !first => up.as_mut().poll(context).map(Err),
            polled => polled,
        }
    })
    .await
}

/// Where the pieces of a body go in and come out.
fn pieces(framing: Framing) -> (Option<mpsc::Sender<Piece>>, Ask) {
    if matches!(framing, Framing::None | Framing::Length(0)) {
        return (None, Ask::Nothing);
    }
    let (sender, receiver) = mpsc::channel(1);
    (Some(sender), Ask::One(receiver))
}

/// The request as one of HTTP/2's kind. `None` when its target or a field cannot be one.
fn lifted(head: &RequestHead, bytes: &[u8], ask: Ask) -> Option<Request<Ask>> {
    let mut request = Request::new(ask);
    *request.method_mut() = hyper::Method::from_bytes(head.method_span().of(bytes)).ok()?;
    let target = head.target().of(bytes);
    let slash: &[u8] = if target.first() == Some(&b'/') { b"" } else { b"/" };
    *request.uri_mut() = Uri::from_maybe_shared(Bytes::from([slash, target].concat())).ok()?;
    let fields = request.headers_mut();
    let goes = |field: &&Field| !field.hop && !field.kind.hop_by_hop() && !matches!(field.kind, FieldKind::Host | FieldKind::ContentLength);
    for field in head.fields().iter().filter(goes) {
        let name = HeaderName::from_bytes(field.name.of(bytes)).ok()?;
        fields.append(name, HeaderValue::from_bytes(field.value.of(bytes)).ok()?);
    }
    if head.takes_trailers() {
        fields.insert(hyper::header::TE, HeaderValue::from_static("trailers"));
    }
    if let Framing::Length(length) = head.framing() {
        fields.insert(CONTENT_LENGTH, length.into());
    }
    if let Some(authority) = head.authority() {
        fields.insert(hyper::header::HOST, HeaderValue::from_bytes(authority.of(bytes)).ok()?);
    }
    Some(request)
}

/// Reads the body and hands it on, piece by piece. What follows it stays in `input`.
async fn upload(
    from: &mut ReadSide<'_>,
    mut body: BodyReader,
    input: &mut Buffer,
    pieces: &mpsc::Sender<Piece>,
    patience: &Deadline,
    idle_ms: u64,
) -> Result<(), Failure> {
    let mut trailers = Vec::new();
    loop {
        let mut piece = Vec::new();
        let Ok(count) = body.advance_parted(input.filled(), &mut piece, &mut trailers) else {
            let _ = pieces.send(Err(Broken::Off)).await; // whoever took the pieces may be gone
            return Err(Failure::BadBody);
        };
        input.consume(count);
        let done = body.done();
        let content = (!piece.is_empty()).then(|| Frame::data(Bytes::from(piece)));
        let last = if done { fields::trailers_from_one(&trailers).map(Frame::trailers) } else { None };
        for frame in content.into_iter().chain(last) {
            if pieces.send(Ok(frame)).await.is_err() {
                // The replica takes no more; it may still answer.
                return std::future::pending().await;
            }
        }
        if done {
            return Ok(());
        }
        patience.set(idle_ms);
        match patience.guard(input.read(from)).await {
            Err(_) => return Err(Failure::SlowBody),
            Ok(Ok(0) | Err(_)) => return Err(Failure::ClientGone),
            Ok(Ok(_)) => patience.clear(),
        }
    }
}

/// How a body is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    Plain,
    Chunked,
    /// Up to the end of the connection.
    UntilClose,
}

fn write_head(head: &Parts, answer: &Answer, form: Form, uploading: bool, out: &mut Vec<u8>) -> Written {
    out.clear();
    out.extend_from_slice(b"HTTP/1.1 ");
    digits::number(out, u64::from(head.status.as_u16()));
    out.push(b' ');
    out.extend_from_slice(head.status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in &head.headers {
        let kind = FieldKind::of(name.as_str().as_bytes());
        if !kind.hop_by_hop() && kind != FieldKind::ContentLength {
            line(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    let bodiless = form.method == Method::Head || matches!(head.status.as_u16(), 204 | 304);
    let length = head.headers.get(CONTENT_LENGTH).map(HeaderValue::as_bytes);
    let own = answer.size_hint().exact().filter(|_| !bodiless);
    let written = match (length, own) {
        (Some(length), _) if head.status.as_u16() != 204 => {
            line(out, b"content-length", length);
            Written::Plain
        }
        (_, Some(length)) => {
            out.extend_from_slice(b"content-length: ");
            digits::number(out, length);
            out.extend_from_slice(b"\r\n");
            Written::Plain
        }
        _ if bodiless => Written::Plain,
        _ if form.client_11 => {
            line(out, b"transfer-encoding", b"chunked");
            Written::Chunked
        }
        _ => Written::UntilClose,
    };
    if !form.keep || uploading || written == Written::UntilClose {
        line(out, b"connection", b"close");
    } else if !form.client_11 {
        line(out, b"connection", b"keep-alive");
    }
    out.extend_from_slice(b"\r\n");
    written
}

fn write_switch(head: &Parts, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
    for (name, value) in head.headers.iter().filter(|(name, _)| **name != DATE) {
        line(out, name.as_str().as_bytes(), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the body. True when its end was told, so that another answer may follow.
async fn body(answer: &mut Answer, written: Written, out: &mut Vec<u8>, to: &mut Writer<'_>) -> Result<bool, Failure> {
    let mut trailers = None;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut *answer).poll_frame(context)).await {
        let frame: Frame<Bytes> = frame.map_err(|_| Failure::CutUpstream)?;
        match frame.into_data() {
            Ok(bytes) if written == Written::Chunked && !bytes.is_empty() => {
                out.clear();
                digits::chunk(out, &bytes);
                to.give(out, answer).await?;
            }
            Ok(bytes) => to.give(&bytes, answer).await?,
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    if written == Written::Chunked {
        out.clear();
        out.extend_from_slice(b"0\r\n");
        if let Some(trailers) = &trailers {
            fields::write_trailers(trailers, out);
        }
        out.extend_from_slice(b"\r\n");
        to.write(out).await?;
    }
    Ok(written != Written::UntilClose)
}

/// The way to the client; one that takes nothing for too long is given up.
struct Writer<'c> {
    to: WriteSide<'c>,
    patience: &'c Deadline,
    idle_ms: u64,
    /// Bytes that it took.
    written: &'c Cell<u64>,
}

impl Writer<'_> {
    /// Writes content of an answer, unless that ends first.
    async fn give(&mut self, bytes: &[u8], answer: &mut Answer) -> Result<(), Failure> {
        let leaves = self.patience;
        leaves.follow(answer.replica());
        let given = {
            let mut writing = pin!(self.write(bytes));
            // The end first: whoever waits next does not know of a cut.
            poll_fn(|context| match answer.poll_end(leaves, context) {
                Poll::Ready(_) => Poll::Ready(Err(Failure::CutUpstream)),
                Poll::Pending => writing.as_mut().poll(context),
            })
            .await
        };
        leaves.follow(None);
        answer.taken();
        given
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let mut left = bytes;
        while !left.is_empty() {
            self.patience.set(self.idle_ms);
            match self.patience.guard(self.to.write(left)).await {
                Ok(Ok(count)) if count > 0 => {
                    self.written.set(self.written.get() + count as u64);
                    left = &left[count..];
                }
                _ => return Err(Failure::ClientGone),
            }
        }
        let flushed = self.patience.guard(self.to.flush()).await;
        self.patience.clear();
        if matches!(flushed, Ok(Ok(()))) { Ok(()) } else { Err(Failure::ClientGone) }
    }
}
