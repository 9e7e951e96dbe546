//! The clients' side: takes connections, lets each request be judged, and writes answers.
//!
//! Invariant: what is not bounded by the client's patience is bounded here: connections, the size of a head, how long it takes to come,
//! how long an answer may lie unread. A request that is refused ends its connection. The future of an answer is dropped when its client
//! goes, and the question at the engine with it.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::answer;
use super::engine::{Engine, Fault, Reply};
use super::events::{Cut, Events};
use super::patience::Patient;
use super::question::{self, Question, Refusal};
use super::refused::Refused;

/// Connections at once.
const MOST_CONNECTIONS: usize = 64;
/// Largest head, in bytes, and most fields of one.
const LARGEST_HEAD: usize = 16 << 10;
const MOST_FIELDS: usize = 64;
/// How long a head may take to come; a connection without a question ends after the same time.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// How long answers that are under way may take at the end.
const FAREWELL: Duration = Duration::from_secs(2);
/// After a connection could not be accepted (no file descriptor is left, say).
const PAUSE: Duration = Duration::from_millis(100);
/// Longest part of a request that is logged, in characters.
const LONGEST_LOGGED: usize = 200;

type Answer = Response<UnsyncBoxBody<Bytes, Cut>>;

/// What all connections share.
struct Shared {
    engine: Engine,
    refused: Mutex<Refused>,
    /// Whether the process is leaving.
    leaving: watch::Receiver<bool>,
}

/// Serves until `stop` is over.
pub(super) async fn serve(listener: UnixListener, engine: Engine, stop: impl Future<Output = ()>) {
    let (leave, leaving) = watch::channel(false);
    let shared = Arc::new(Shared { engine, refused: Mutex::default(), leaving });
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            // Who has gone is no longer counted when the next one comes.
            biased;
            () = &mut stop => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) if connections.len() < MOST_CONNECTIONS => _ = connections.spawn(connection(stream, shared.clone())),
            Ok((stream, _)) => turn_away(stream).await,
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    leave.send_replace(true);
    // Who is not done then is cut as the set is dropped.
    let _ = timeout(FAREWELL, async { while connections.join_next().await.is_some() {} }).await;
}

/// One more than there may be is told so. A new socket has room for these bytes.
async fn turn_away(mut stream: UnixStream) {
    tracing::debug!(connections = MOST_CONNECTIONS, "a connection is turned away: there are as many as there may be");
    let text =
        json!({"message": format!("tidegate docker-proxy: {MOST_CONNECTIONS} connections are open, and no more may be")}).to_string();
    let head = format!("HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {}\r\n", text.len());
    let _ = stream.write_all(format!("{head}Connection: close\r\n\r\n{text}").as_bytes()).await;
}

async fn connection(stream: UnixStream, shared: Arc<Shared>) {
    let asker = stream.peer_cred().ok().map(|peer| (peer.uid(), peer.pid()));
    let mut leaving = std::pin::pin!(shared.left());
    let service = service_fn(|request| answered(request, asker, shared.clone()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(LARGEST_HEAD)
        .max_headers(MOST_FIELDS)
        .serve_connection(TokioIo::new(Patient::new(stream)), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = &mut leaving => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // What hyper cannot read it answers 400 by itself.
        if error.is_parse() {
            shared.note(asker, format_args!("no request: {error}"), "what was sent is no HTTP/1.1 request");
        } else {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

async fn answered(request: Request<Incoming>, asker: Option<Asker>, shared: Arc<Shared>) -> Result<Answer, Infallible> {
    let question = match judged(&request) {
        Ok(question) => question,
        Err(refusal) => {
            shared.note(asker, format_args!("{}", logged(&request)), &refusal.to_string());
            return Ok(refused(refusal));
        }
    };
    tracing::debug!(asker.uid = asker.map(|asker| asker.0), question = %question.target(), "asked");
    let answer = match shared.engine.ask(&question).await {
        Ok(reply) => told(&question, reply, shared.left()).await,
        Err(fault) => Err(fault),
    };
    Ok(answer.unwrap_or_else(|fault| {
        tracing::warn!(%fault, question = %question.target(), "no answer");
        said(fault.status(), &fault.to_string())
    }))
}

/// User and process at the other end, where the system tells.
type Asker = (u32, Option<i32>);

impl Shared {
    /// Over when the process leaves.
    fn left(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut leaving = self.leaving.clone();
        async move { _ = leaving.wait_for(|&leaving| leaving).await }
    }

    fn note(&self, asker: Option<Asker>, asked: std::fmt::Arguments<'_>, why: &str) {
        let line = self.refused.lock().unwrap_or_else(PoisonError::into_inner).note(Instant::now());
        if let Some(line) = line {
            let (uid, pid) = (asker.map(|asker| asker.0), asker.and_then(|asker| asker.1));
            tracing::warn!(asked = %asked, why, uid, pid, refused = line.total, unlogged = line.silent, "refused");
        }
    }
}

/// Method and target as they may be logged: their beginning, and no byte that a terminal would obey.
fn logged(request: &Request<Incoming>) -> String {
    format!("{} {}", request.method(), request.uri()).chars().take(LONGEST_LOGGED).flat_map(char::escape_default).collect()
}

/// The question that this request asks.
fn judged(request: &Request<Incoming>) -> Result<Question, Refusal> {
    let uri = request.uri();
    let target = match uri.path_and_query() {
        Some(target) if uri.authority().is_none() => target.as_str(),
        _ => return Err(Refusal::Form),
    };
    let question = question::parse(request.method().as_str(), target)?;
    if request.headers().contains_key(UPGRADE) {
        return Err(Refusal::Upgrade);
    }
    if !request.body().is_end_stream() || request.headers().contains_key(TRANSFER_ENCODING) {
        return Err(Refusal::Body);
    }
    Ok(question)
}

/// What is told of the engine's reply.
async fn told(question: &Question, reply: Reply, leaving: impl Future<Output = ()> + Send + 'static) -> Result<Answer, Fault> {
    match (reply.status, question) {
        (StatusCode::OK, _) => {}
        (StatusCode::NOT_FOUND, Question::Inspect(name)) => {
            return Ok(said(StatusCode::NOT_FOUND, &format!("No such container: {}", name.as_str())));
        }
        (StatusCode::BAD_REQUEST, _) => {
            return Ok(said(StatusCode::BAD_REQUEST, "the Docker engine found a value in the question wrong"));
        }
        (status, _) => return Ok(said(StatusCode::BAD_GATEWAY, &format!("the Docker engine answered {}", status.as_u16()))),
    }
    if let Question::Events { .. } = question {
        return Ok(written(StatusCode::OK, None, Events::new(reply, leaving).boxed_unsync()));
    }
    let api = reply.api.clone();
    let whole = reply.whole().await?;
    let picked = match question {
        Question::Ping => return Ok(pong(api)),
        Question::Version => answer::version(&whole),
        Question::List { .. } => answer::containers(&whole),
        Question::Inspect(_) | Question::Events { .. } => answer::container(&whole),
    };
    let body = picked?.to_string();
    Ok(written(StatusCode::OK, api, full(body)))
}

/// The engine is there. Clients learn by this which version of its API to speak.
fn pong(api: Option<HeaderValue>) -> Answer {
    let mut answer = written(StatusCode::OK, api, full("OK".to_owned()));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

fn refused(refusal: Refusal) -> Answer {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::FORBIDDEN);
    let mut answer = said(status, &format!("tidegate docker-proxy: {refusal}"));
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// A message in the form of the engine's own.
fn said(status: StatusCode, message: &str) -> Answer {
    written(status, None, full(json!({"message": message}).to_string()))
}

fn full(text: String) -> UnsyncBoxBody<Bytes, Cut> {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync()
}

fn written(status: StatusCode, api: Option<HeaderValue>, body: UnsyncBoxBody<Bytes, Cut>) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(api) = api.filter(|api| api.as_bytes().iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')) {
        answer.headers_mut().insert("Api-Version", api);
    }
    answer
}
