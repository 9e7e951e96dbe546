//! The admin server: health, readiness, metrics, and what the registry knows, as JSON.
//!
//! Runs on the control thread, never on a worker. Read only. Invariant: nothing secret is served, and a web page that tricks a browser
//! into asking (DNS rebinding) gets a refusal, since its Host is a name. It binds where the operator says and is reached by nobody else.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::Json;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use config::host;
use config::problem::Problem;
use registry::actor::Ask;
use registry::event::ListenerState;
use registry::snapshot::Snapshot;
use registry::view::{EndpointView, Topic};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use crate::dns;
use crate::explain::{Outcome, Question, explain, unready};
use crate::metrics;
use crate::stats::WorkerCounts;
use crate::traffic::traffic;

/// What the admin server looks at.
#[derive(Clone, Debug)]
pub struct AdminState {
    /// To the registry.
    pub asks: mpsc::Sender<Ask>,
    /// The newest picture.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// What each worker counted.
    pub workers: Vec<Arc<WorkerCounts>>,
    /// The version that each worker acknowledged.
    pub acks: Arc<[AtomicU64]>,
    /// Whether the process is leaving.
    pub draining: watch::Receiver<bool>,
    /// When the process started.
    pub started: Instant,
    /// The external listener, when it could not be bound: the rest serves, but the process is not ready.
    pub unbound: Arc<[Arc<str>]>,
    /// What was asked by DNS, where it is on.
    pub dns: Option<Arc<dns::Counts>>,
}

/// The state, and when the newest picture came.
#[derive(Clone)]
struct Seen {
    state: AdminState,
    published: Arc<Mutex<Instant>>,
}

/// Everything, for the admin listener. To be called inside a runtime.
pub fn router(state: AdminState) -> axum::Router {
    let seen = observe(state);
    health()
        .route("/api/v1/{topic}", get(view))
        .route("/api/v1/explain", get(explained))
        .layer(from_fn(only_by_address))
        .layer(from_fn(only_reading))
        .with_state(seen)
}

/// Health and metrics alone, for a kubelet or Prometheus, who may know this place by a name. To be called inside a runtime.
pub fn metrics_router(state: AdminState) -> axum::Router {
    health().layer(from_fn(only_reading)).with_state(observe(state))
}

fn health() -> axum::Router<Seen> {
    axum::Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .fallback(async || (StatusCode::NOT_FOUND, "no such page; there are /healthz, /readyz, /metrics and (admin only) /api/v1/\n"))
}

/// Notes the time of each picture, for its age.
fn observe(state: AdminState) -> Seen {
    let published = Arc::new(Mutex::new(state.started));
    let (mut snapshots, at) = (state.snapshots.clone(), published.clone());
    tokio::spawn(async move {
        while snapshots.changed().await.is_ok() {
            *at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
    });
    Seen { state, published }
}

async fn ready(State(seen): State<Seen>) -> (StatusCode, String) {
    match seen.state.not_ready() {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
    }
}

impl AdminState {
    /// Why traffic should not be sent here; `None` when it may.
    fn not_ready(&self) -> Option<String> {
        if *self.draining.borrow() {
            Some("draining".to_owned())
        } else if let Some(name) = self.unbound.first() {
            Some(format!("listener {name} is not bound"))
        } else if self.snapshots.borrow().version == 0 {
            Some("some source has not been read as a whole yet".to_owned())
        } else if self.acks.iter().any(|version| version.load(Relaxed) == 0) {
            Some("some worker has not taken up the first picture yet".to_owned())
        } else {
            None
        }
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, Refusal> {
        let gone = || Refusal(StatusCode::SERVICE_UNAVAILABLE, "the registry does not answer: the process is ending".to_owned());
        let (send, answer) = oneshot::channel();
        self.asks.send(ask(send)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }

    async fn view(&self, topic: Topic) -> Result<Value, Refusal> {
        self.ask(|send| Ask::View(topic, send)).await
    }
}

async fn scrape(State(seen): State<Seen>) -> Result<Response, Refusal> {
    let state = &seen.state;
    let counts = state.ask(Ask::Counts).await?;
    let sources = serde_json::from_value(state.view(Topic::Sources).await?).map_err(Refusal::unreadable)?;
    let age = seen.published.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
    let snapshot = state.snapshots.borrow().clone();
    let acknowledged = state.acks.iter().map(|version| version.load(Relaxed)).collect();
    let dns = state.dns.as_deref();
    let scene = metrics::Scene { workers: &state.workers, acknowledged, snapshot: &snapshot, age, counts: &counts, sources, dns };
    let text = metrics::render(&scene).map_err(|error| Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response())
}

async fn view(State(seen): State<Seen>, Path(topic): Path<String>) -> Result<Json<Value>, Refusal> {
    let topic = match topic.as_str() {
        "services" => Topic::Services,
        "endpoints" => Topic::Endpoints,
        "routes" => Topic::Routes,
        "listeners" => Topic::Listeners,
        "workloads" => Topic::Workloads,
        "sources" => Topic::Sources,
        "problems" => Topic::Problems,
        "exposure" => Topic::Exposure,
        "traffic" => return Ok(Json(serde_json::to_value(traffic(&seen.state.workers)).unwrap_or_default())), // plain records
        _ => {
            let known = "services, endpoints, routes, listeners, workloads, sources, problems, exposure, traffic, explain";
            return Err(Refusal(StatusCode::NOT_FOUND, format!("no topic `{topic}`; there are {known}")));
        }
    };
    Ok(Json(seen.state.view(topic).await?))
}

/// The query of `/api/v1/explain`.
#[derive(Debug, Deserialize)]
struct Asked {
    url: String,
    from: Option<String>,
    method: Option<String>,
    /// `name: value` lines.
    headers: Option<String>,
}

async fn explained(State(seen): State<Seen>, Query(asked): Query<Asked>) -> Result<Response, Refusal> {
    let bad = |why: String| Refusal(StatusCode::BAD_REQUEST, why);
    let from = asked.from.as_deref().unwrap_or("external").parse().map_err(|error| bad(format!("from: {error}")))?;
    let headers: Vec<String> = asked.headers.iter().flat_map(|text| text.lines()).map(str::to_owned).collect();
    let method = asked.method.as_deref().unwrap_or("GET");
    let question = Question::new(&asked.url, from, method, &headers).map_err(|error| bad(error.to_string()))?;
    let listeners: Vec<ListenerState> = serde_json::from_value(seen.state.view(Topic::Listeners).await?).map_err(Refusal::unreadable)?;
    let snapshot = seen.state.snapshots.borrow().clone();
    let mut said = explain(&snapshot, &listeners, &question);
    if said.outcome == Outcome::Refuse {
        let endpoints: Vec<EndpointView> = serde_json::from_value(seen.state.view(Topic::Endpoints).await?).map_err(Refusal::unreadable)?;
        let problems: Vec<Problem> = serde_json::from_value(seen.state.view(Topic::Problems).await?).map_err(Refusal::unreadable)?;
        unready(&mut said, &endpoints, &problems);
    }
    Ok(Json(said).into_response())
}

/// An answer that is no success, as `{"error": ...}`.
struct Refusal(StatusCode, String);

impl Refusal {
    fn unreadable(error: serde_json::Error) -> Refusal {
        Refusal(StatusCode::INTERNAL_SERVER_ERROR, format!("the registry's answer is not as expected: {error}"))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(serde_json::json!({ "error": self.1 }))).into_response()
    }
}

async fn only_reading(request: Request, next: Next) -> Response {
    match *request.method() {
        Method::GET | Method::HEAD => next.run(request).await,
        _ => {
            let refusal = Refusal(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD: nothing can be changed here".to_owned());
            ([(header::ALLOW, "GET, HEAD")], refusal).into_response()
        }
    }
}

async fn only_by_address(request: Request, next: Next) -> Response {
    let in_target = request.uri().authority().is_none_or(|authority| is_address(authority.as_str().as_bytes()));
    if in_target && named_by_address(request.headers()) {
        return next.run(request).await;
    }
    let why = "ask by an IP address or `localhost`: other names in Host are refused, so that no web page can ask through a browser";
    Refusal(StatusCode::FORBIDDEN, why.to_owned()).into_response()
}

/// HTTP/1.0 may leave Host out; a browser never does.
fn named_by_address(headers: &HeaderMap) -> bool {
    headers.get_all(header::HOST).iter().all(|host| is_address(host.as_bytes()))
}

fn is_address(authority: &[u8]) -> bool {
    let mut buffer = [0; host::MAX_HOST];
    match host::normalise(authority, &mut buffer) {
        Ok(host) => host == "localhost" || host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok(),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests;
