//! A replica that speaks HTTP/2, by hyper: from the first byte, or inside the TLS of [`crate::TlsReplica`].
//!
//! It takes bodies only where its behaviour says so, gives no more room than it was told to, and says what reached it.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::rt::Executor;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, watch};

use crate::Net;
use crate::net::Lease;
use crate::replica::{Received, listen, lock};

/// What it does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// Takes all of it and answers with what it took, head and content, as text.
    Echo,
    /// The same once [`Http2Replica::release`] was called; until then it takes no content.
    Held,
    /// Answers with content that has no end.
    Pours,
    /// Answers with the beginning of its content, `begun`, and says no more.
    Begins,
    /// Resets the stream: INTERNAL_ERROR.
    Resets,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Serving,
    /// Says GOAWAY on the connections that it has, and finishes what is on them.
    Going,
    /// Closes the connections that it has, whatever is on them.
    HungUp,
    Ended,
}

#[derive(Debug)]
pub(crate) struct Shared {
    name: String,
    /// Requests that it takes at a time on each connection.
    most: u32,
    does: Mutex<Does>,
    received: Mutex<Vec<Received>>,
    pub(crate) connections: AtomicU64,
    ended: AtomicU64,
    requests: AtomicU64,
    poured: AtomicU64,
    released: Notify,
    life: watch::Sender<Life>,
}

/// A running one. Dropped, it closes its connections.
#[derive(Debug)]
pub struct Http2Replica {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    lease: Option<Lease>,
}

impl Http2Replica {
    /// Starts one on the net's next address and its port, which takes `most` requests at a time on each connection.
    ///
    /// # Panics
    /// When the address is taken.
    pub fn start(net: &Net, name: &str, does: Does, most: u32) -> Http2Replica {
        let mut replica = Http2Replica::at(SocketAddr::new(net.replica_ip(), net.port()), name, does, most);
        replica.lease = Some(net.lease());
        replica
    }

    /// Starts one there.
    ///
    /// # Panics
    /// When the address is taken.
    pub fn at(address: SocketAddr, name: &str, does: Does, most: u32) -> Http2Replica {
        let shared = Shared::new(name, does, most);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        let inside = runtime.enter();
        let listener = listen(address).unwrap_or_else(|error| panic!("{name} cannot listen on {address}: {error}"));
        drop(inside);
        let for_thread = shared.clone();
        let thread = std::thread::spawn(move || runtime.block_on(accept(listener, for_thread)));
        Http2Replica { address, shared, thread: Some(thread), lease: None }
    }

    /// Where it answers.
    pub fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Does so from the next request on.
    pub fn now(&self, does: Does) {
        *lock(&self.shared.does) = does;
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Connections that stand now.
    pub fn open(&self) -> u64 {
        self.connections() - self.shared.ended.load(Ordering::SeqCst)
    }

    /// Requests whose head was read so far.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Bytes of content without end that were taken off its hands.
    pub fn poured(&self) -> u64 {
        self.shared.poured.load(Ordering::SeqCst)
    }

    /// What arrived whole, in order.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received()
    }

    /// Lets one request of [`Does::Held`] go.
    pub fn release(&self) {
        self.shared.released.notify_one();
    }

    /// Closes each connection that it has, in the middle of what is on them. New ones are served.
    pub fn hang_up(&self) {
        self.shared.life.send_replace(Life::HungUp);
    }

    /// Says GOAWAY on each connection that it has. New ones are served.
    pub fn go_away(&self) {
        self.shared.life.send_replace(Life::Going);
    }
}

impl Drop for Http2Replica {
    fn drop(&mut self) {
        self.shared.end();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        drop(self.lease.take());
    }
}

impl Shared {
    pub(crate) fn new(name: &str, does: Does, most: u32) -> Arc<Shared> {
        Arc::new(Shared {
            name: name.to_owned(),
            most,
            does: Mutex::new(does),
            received: Mutex::default(),
            connections: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            poured: AtomicU64::new(0),
            released: Notify::new(),
            life: watch::Sender::new(Life::Serving),
        })
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        lock(&self.received).clone()
    }

    pub(crate) fn end(&self) {
        self.life.send_replace(Life::Ended);
    }
}

async fn accept(listener: tokio::net::TcpListener, shared: Arc<Shared>) {
    let mut life = shared.life.subscribe();
    loop {
        tokio::select! {
            biased;
            _ = life.wait_for(|life| *life == Life::Ended) => return,
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let _ = stream.set_nodelay(true);
                tokio::spawn(serve(stream, shared.clone()));
            }
        }
    }
}

/// Where hyper's tasks run.
#[derive(Clone, Copy, Debug)]
struct Here;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Here {
    fn execute(&self, task: F) {
        tokio::spawn(task);
    }
}

/// Serves one connection until it ends or the replica does.
pub(crate) async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, shared: Arc<Shared>) {
    shared.connections.fetch_add(1, Ordering::SeqCst);
    let mut life = shared.life.subscribe();
    let mut before = *life.borrow_and_update();
    let answering = shared.clone();
    let service = service_fn(move |request| {
        let shared = answering.clone();
        async move { answer(request, shared).await }
    });
    let mut builder = Builder::new(Here);
    builder.max_concurrent_streams(shared.most).max_send_buf_size(16 * 1024);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    loop {
        let now = tokio::select! {
            _ = connection.as_mut() => Life::Ended,
            changed = life.wait_for(|life| *life != before) => changed.map_or(Life::Ended, |life| *life),
        };
        if matches!(now, Life::HungUp | Life::Ended) {
            break;
        }
        before = now;
        connection.as_mut().graceful_shutdown();
    }
    shared.ended.fetch_add(1, Ordering::SeqCst);
}

/// An error is what the stream is reset with.
async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Said>, h2::Error> {
    shared.requests.fetch_add(1, Ordering::SeqCst);
    let (head, incoming) = request.into_parts();
    let mut text = format!("{} {} HTTP/2\r\n", head.method, head.uri);
    for (name, value) in &head.headers {
        text.push_str(&format!("{name}: {}\r\n", value.as_bytes().escape_ascii()));
    }
    text.push_str("\r\n");
    let does = *lock(&shared.does);
    if does == Does::Held {
        shared.released.notified().await;
    }
    match does {
        Does::Echo | Does::Held => {}
        Does::Pours => return Ok(Response::new(Said::Pours(shared))),
        Does::Begins => return Ok(Response::new(Said::Begins(Some(Bytes::from_static(b"begun"))))),
        Does::Resets => return Err(h2::Reason::INTERNAL_ERROR.into()),
    }
    let Ok(collected) = incoming.collect().await else {
        return Ok(Response::new(Said::All(None))); // nobody is there any more
    };
    let body = collected.to_bytes().to_vec();
    let said = [text.as_bytes(), &body].concat();
    lock(&shared.received).push(Received { head: text, body });
    let mut response = Response::new(Said::All(Some(said.into())));
    response.headers_mut().insert("x-replica", shared.name.parse().expect("a name is a field's value"));
    Ok(response)
}

/// Content of an answer.
enum Said {
    All(Option<Bytes>),
    Begins(Option<Bytes>),
    Pours(Arc<Shared>),
}

impl Body for Said {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match self.get_mut() {
            Said::All(all) => all.take(),
            Said::Begins(begun) => match begun.take() {
                None => return Poll::Pending,
                begun => begun,
            },
            Said::Pours(shared) => {
                const PIECE: &[u8] = &[b'x'; 8 * 1024];
                shared.poured.fetch_add(PIECE.len() as u64, Ordering::SeqCst);
                Some(Bytes::from_static(PIECE))
            }
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }
}
