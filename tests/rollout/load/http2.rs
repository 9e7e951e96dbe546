//! A client of HTTP/2 and of gRPC, on a connection that several share.

use std::net::SocketAddr;
use std::time::Duration;

use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use hyper::body::Bytes;
use hyper::http::request::Builder;
use hyper::{HeaderMap, Request};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::talk::{Line, converse};
use super::{Client, belongs, by, host, patient};
use crate::frame::{Messages, message};
use crate::ledger::{Ask, End, Record};
use crate::replica::PIECES;
use crate::wire::Cut;

/// Times that a request is sent again when HTTP/2 says that it was not processed.
const AGAIN: u32 = 3;

/// A connection that is made anew when it is needed.
#[derive(Debug)]
pub(super) struct Lane {
    at: SocketAddr,
    sender: Mutex<Option<SendRequest<Bytes>>>,
}

impl Lane {
    pub(super) fn to(at: SocketAddr) -> Lane {
        Lane { at, sender: Mutex::default() }
    }

    async fn ready(&self) -> Result<SendRequest<Bytes>, Failed> {
        let mut sender = self.sender.lock().await;
        if let Some(have) = &*sender
            && let Ok(ready) = have.clone().ready().await
        {
            return Ok(ready);
        }
        *sender = None;
        let stream = TcpStream::connect(self.at).await.map_err(Cut::from)?;
        stream.set_nodelay(true).map_err(Cut::from)?;
        let (made, connection) = h2::client::handshake(stream).await?;
        drop(tokio::task::spawn_local(connection)); // its end shows on each of its streams
        let ready = made.ready().await?;
        *sender = Some(ready.clone());
        Ok(ready)
    }
}

/// Why there is no whole answer.
enum Failed {
    Ended(End),
    By(h2::Error),
}

impl From<h2::Error> for Failed {
    fn from(error: h2::Error) -> Failed {
        Failed::By(error)
    }
}

impl From<Cut> for Failed {
    fn from(cut: Cut) -> Failed {
        Failed::Ended(End::Cut(cut))
    }
}

impl From<End> for Failed {
    fn from(end: End) -> Failed {
        Failed::Ended(end)
    }
}

impl Failed {
    /// The proxy says that it did nothing with it.
    fn unprocessed(&self) -> bool {
        let Failed::By(error) = self else { return false };
        let left = error.is_go_away() && error.reason() == Some(Reason::NO_ERROR);
        error.is_remote() && (left || error.reason() == Some(Reason::REFUSED_STREAM))
    }

    fn end(self) -> End {
        match self {
            Failed::Ended(end) => end,
            Failed::By(error) if error.is_reset() => End::Cut(Cut::Stream(error.reason().map_or(0, u32::from))),
            Failed::By(_) => End::Cut(Cut::Gone),
        }
    }
}

/// One request of HTTP/2.
pub(super) async fn ask(lane: &Lane, record: &mut Record, think: Duration) -> Result<(), End> {
    loop {
        match ask_once(lane, record, think).await {
            Ok(()) => return Ok(()),
            Err(failed) if failed.unprocessed() && record.again < AGAIN => record.again += 1,
            Err(failed) => return Err(failed.end()),
        }
    }
}

async fn ask_once(lane: &Lane, record: &mut Record, think: Duration) -> Result<(), Failed> {
    let mut sender = lane.ready().await?;
    let (method, path) = match record.ask {
        Ask::Post => ("POST", "post"),
        Ask::Slow => ("GET", "slow"),
        _ => ("GET", "get"),
    };
    let head = about(record, think).method(method).uri(format!("http://{}/{path}/{}", host(record.service), record.id));
    let answer = if record.ask == Ask::Post {
        let content = format!("order {}: {}", record.id, "x".repeat(60));
        let (answer, mut out) = sender.send_request(whole(head.header("content-length", content.len())), false)?;
        out.send_data(content.into(), true)?;
        answer
    } else {
        sender.send_request(whole(head), true)?.0
    };
    let mut content = begun(answer, record).await?;
    let mut got = Vec::new();
    while let Some(piece) = content.data().await {
        let piece = piece?;
        content.flow_control().release_capacity(piece.len())?;
        got.extend_from_slice(&piece);
    }
    Ok(belongs(record, &got)?)
}

/// What each request says of itself.
fn about(record: &Record, think: Duration) -> Builder {
    Request::builder().header("x-id", record.id).header("x-think", think.as_millis() as u64)
}

fn whole(head: Builder) -> Request<()> {
    head.body(()).expect("these are a request")
}

/// The head of an answer, and who says it.
async fn begun(answer: ResponseFuture, record: &mut Record) -> Result<RecvStream, Failed> {
    let (head, content) = answer.await?.into_parts();
    record.by = by(|name| head.headers.get(name)?.to_str().ok());
    if let Some(status) = status(&head.headers) {
        return Err(Cut::Status(status).into());
    }
    match (head.status.as_u16(), &record.by) {
        (200, Some(_)) => Ok(content),
        (status, None) => Err(End::Refused(status).into()),
        (status, Some(_)) => Err(End::Wrong(format!("status {status}")).into()),
    }
}

fn status(fields: &HeaderMap) -> Option<u32> {
    fields.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// A unary call, or one that is answered by a row of messages.
pub(super) async fn call(lane: &Lane, record: &mut Record, think: Duration) -> Result<(), End> {
    loop {
        match call_once(lane, record, think).await {
            Ok(()) => return Ok(()),
            Err(failed) if failed.unprocessed() && record.again < AGAIN => record.again += 1,
            Err(failed) => return Err(failed.end()),
        }
    }
}

async fn call_once(lane: &Lane, record: &mut Record, think: Duration) -> Result<(), Failed> {
    let (word, pieces) = if record.ask == Ask::Stream { ("Stream", PIECES) } else { ("Call", 1) };
    let id = record.id.to_string();
    let (answer, mut out) = start(lane, record, word, think).await?;
    out.send_data(message(&id), true)?;
    let mut conversation = Conversation { out, content: begun(answer, record).await?, messages: Messages::default() };
    for _ in 0..pieces {
        let text = conversation.next().await?;
        if text != id {
            return Err(End::Wrong(format!("{text:?} to call {id}")).into());
        }
        record.messages += 1;
    }
    conversation.finish().await
}

async fn start(lane: &Lane, record: &Record, word: &str, think: Duration) -> Result<(ResponseFuture, SendStream<Bytes>), Failed> {
    let head = about(record, think).method("POST").uri(format!("http://{}/tidegate.Rollout/{word}", host(record.service)));
    // The access log of the proxy names the call by this.
    let head = head.header("content-type", "application/grpc").header("te", "trailers").header("x-request-id", format!("id-{}", record.id));
    Ok(lane.ready().await?.send_request(whole(head), false)?)
}

/// A conversation by messages in both directions.
pub(super) async fn talk(client: &mut Client, record: &mut Record) -> Result<(), End> {
    let lane = client.lane.clone();
    let mut conversation = patient(async {
        let (answer, out) = start(&lane, record, "Talk", Duration::ZERO).await.map_err(Failed::end)?;
        let content = begun(answer, record).await.map_err(Failed::end)?;
        Ok(Conversation { out, content, messages: Messages::default() })
    })
    .await?;
    converse(&mut conversation, client, record).await?;
    conversation.out.send_data(Bytes::new(), true).map_err(|error| Failed::By(error).end())?;
    patient(async { conversation.finish().await.map_err(Failed::end) }).await
}

/// A call on its way.
struct Conversation {
    out: SendStream<Bytes>,
    content: RecvStream,
    messages: Messages,
}

impl Conversation {
    async fn next(&mut self) -> Result<String, Failed> {
        loop {
            if let Some(text) = self.messages.next() {
                return Ok(text);
            }
            match self.content.data().await {
                Some(piece) => {
                    let piece = piece?;
                    self.content.flow_control().release_capacity(piece.len())?;
                    self.messages.add(&piece);
                }
                None => return Err(self.ended().await),
            }
        }
    }

    /// How it ended after the last message.
    async fn ended(&mut self) -> Failed {
        match self.content.trailers().await {
            Ok(Some(trailers)) => match status(&trailers) {
                Some(0) => End::Wrong("too few messages, and status 0".to_owned()).into(),
                Some(status) => Cut::Status(status).into(),
                None => End::Wrong("trailers without grpc-status".to_owned()).into(),
            },
            Ok(None) => End::Short.into(),
            Err(error) => error.into(),
        }
    }

    /// Nothing more is due but a good status.
    async fn finish(&mut self) -> Result<(), Failed> {
        if let Some(piece) = self.content.data().await {
            return Err(End::Wrong(format!("{} bytes too many", piece?.len())).into());
        }
        match self.content.trailers().await?.as_ref().and_then(status) {
            Some(0) => Ok(()),
            Some(status) => Err(Cut::Status(status).into()),
            None => Err(End::Short.into()),
        }
    }
}

impl Line for Conversation {
    async fn say(&mut self, text: &str) -> Result<(), End> {
        self.out.send_data(message(text), false).map_err(|error| Failed::By(error).end())
    }

    async fn hear(&mut self) -> Result<String, End> {
        self.next().await.map_err(Failed::end)
    }
}
