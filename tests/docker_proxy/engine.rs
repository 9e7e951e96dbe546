//! A fake of the Docker engine: real answers over a Unix socket, a stream of events that the test feeds, and a note of each question.
//!
//! Invariant: it takes anything, so that what does not reach it was kept from it. Dropped, it is killed: its connections break.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tidegate_tests::await_until;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};

/// What it answers of a container that runs.
pub(crate) const INSPECT: &str = include_str!("answers/inspect.json");
/// Its list of containers.
pub(crate) const LIST: &str = include_str!("answers/list.json");
/// Events, one in each line; those of `exec` are among them.
pub(crate) const EVENTS: &str = include_str!("answers/events.jsonl");
const VERSION: &str = include_str!("answers/version.json");

/// The running fake.
pub(crate) struct Engine {
    path: PathBuf,
    seen: Arc<Seen>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    asked: Mutex<Vec<String>>,
    streams: Mutex<Vec<mpsc::Sender<Bytes>>>,
    /// Answers that are under way: streams of events, and those that never come.
    open: Arc<AtomicUsize>,
}

/// An answer that is under way.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(count: &Arc<AtomicUsize>) -> Open {
        count.fetch_add(1, Ordering::SeqCst);
        Open(count.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Engine {
    /// Listens at `path`, whatever is there.
    pub(crate) fn start(path: &Path) -> Engine {
        let _ = std::fs::remove_file(path);
        let listener = std::os::unix::net::UnixListener::bind(path).expect("the temporary folder can be written");
        listener.set_nonblocking(true).expect("a socket can be set so");
        let (stop, stopped) = oneshot::channel();
        let seen = Arc::new(Seen::default());
        let shared = seen.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                tokio::spawn(serve(UnixListener::from_std(listener).expect("a runtime"), shared));
                let _ = stopped.await;
            });
        });
        Engine { path: path.to_owned(), seen, stop: Some(stop), thread: Some(thread) }
    }

    /// What it was asked so far: each head as it came, and how many bytes of body.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.seen.asked.lock().expect("nobody panicked").clone()
    }

    /// Methods and targets of that.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.asked().iter().map(|asked| asked.lines().next().unwrap_or_default().to_owned()).collect()
    }

    /// Waits until so many answers are under way.
    pub(crate) fn await_open(&self, count: usize) {
        await_until(&format!("{count} answers to be under way"), || self.seen.open.load(Ordering::SeqCst) == count);
    }

    /// Sends bytes on each stream of events; waits while somebody does not read. Gives the number of streams.
    pub(crate) async fn send(&self, bytes: impl Into<Bytes>) -> usize {
        let (bytes, streams) = (bytes.into(), self.seen.streams.lock().expect("nobody panicked").clone());
        let mut count = 0;
        for stream in streams {
            count += usize::from(stream.send(bytes.clone()).await.is_ok());
        }
        count
    }

    /// Ends each stream of events as an engine does whose `until` has come.
    pub(crate) fn end_streams(&self) {
        self.seen.streams.lock().expect("nobody panicked").clear();
    }

    /// Is killed; its socket stays as a file that nobody answers.
    pub(crate) fn kill(mut self) -> PathBuf {
        self.end();
        self.path.clone()
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
    }
}

async fn serve(listener: UnixListener, seen: Arc<Seen>) {
    while let Ok((stream, _)) = listener.accept().await {
        let seen = seen.clone();
        let service = service_fn(move |request| answer(request, seen.clone()));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(request: Request<Incoming>, seen: Arc<Seen>) -> Result<Response<Answer>, Infallible> {
    let (head, body) = request.into_parts();
    let fields: String = head.headers.iter().map(|(name, value)| format!("{name}: {}\n", value.as_bytes().escape_ascii())).collect();
    let body = body.collect().await.map(|body| body.to_bytes().len()).unwrap_or_default();
    seen.asked.lock().expect("nobody panicked").push(format!("{} {}\n{fields}{body} bytes", head.method, head.uri));
    // Who asks it straight says a version.
    let path = head.uri.path();
    let (status, body) = match path.strip_prefix("/v1.53").unwrap_or(path) {
        "/_ping" => (200, "OK".to_owned()),
        "/version" => (200, VERSION.to_owned()),
        "/containers/json" => (200, LIST.to_owned()),
        "/containers/shop-web-1/json" => (200, INSPECT.to_owned()),
        "/containers/newer/json" => (200, INSPECT.replace(r#""CgroupnsMode": "host""#, r#""CgroupnsMode": "newer""#)),
        "/containers/large/json" => (200, serde_json::json!({"Id": "large", "Config": {"Labels": {"a": "b".repeat(8 << 20)}}}).to_string()),
        "/containers/list/json" => (200, "[]".to_owned()),
        "/containers/broken/json" => (500, format!("{{\"message\": \"{}\"}}", super::SECRET)),
        "/containers/held/json" => {
            let _open = Open::new(&seen.open);
            std::future::pending().await
        }
        "/events" => return Ok(Response::new(events(&seen))),
        _ => (404, format!("{{\"message\": \"No such container, {}\"}}", super::SECRET)),
    };
    let response = Response::builder().status(status).header("Api-Version", "1.41").header("Server", super::SECRET);
    Ok(response.body(Answer::Whole(Full::new(body.into()))).expect("a response"))
}

fn events(seen: &Seen) -> Answer {
    let (send, receive) = mpsc::channel(1);
    seen.streams.lock().expect("nobody panicked").push(send);
    Answer::Events(receive, Open::new(&seen.open))
}

enum Answer {
    Whole(Full<Bytes>),
    Events(mpsc::Receiver<Bytes>, #[allow(dead_code, reason = "held, never read")] Open),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Answer::Whole(whole) => Pin::new(whole).poll_frame(context),
            Answer::Events(events, _) => events.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }
}
