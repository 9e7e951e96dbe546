//! Replicas: real servers on loopback that can finish what they have, or die at once.
//!
//! The sites speak HTTP/1.1. The database speaks lines, and answers HTTP too, so that a leak through any door would show the secret.
//! Invariant: a replica that finishes breaks no answer and leaves nobody in its accept queue; one that dies resets everything.

use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::SECRET;

/// What a replica speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    Lines,
}

/// How a replica ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Finish what is in flight, take nothing new.
    Finish,
    /// Reset every connection at once, as a crash does.
    Reset,
}

/// A request takes from this long to [`WORK_SPREAD`] longer, so that there is always something in flight to break.
const WORK: Duration = Duration::from_millis(1);
const WORK_SPREAD: Duration = Duration::from_millis(3);
/// A replica that finishes accepts until nobody has come for this long. No system closes a listener without losing whoever connects in
/// that very moment, so a server that breaks nobody waits until callers know better, as a `preStop` hook does.
const NOBODY_COMES: Duration = Duration::from_millis(100);
/// Whoever connected just before the replica was told to finish may still ask for one thing within this.
const FIRST_REQUEST: Duration = Duration::from_millis(100);
/// Largest request that an app of the demo reads.
const REQUEST_LIMIT: usize = 64 * 1024;

/// One running replica.
pub(super) struct Replica {
    /// Its pod's name.
    pub(super) name: String,
    /// Where it listens.
    pub(super) address: SocketAddrV4,
    /// Whose pod had this address before.
    pub(super) before: Option<&'static str>,
    orders: watch::Sender<Option<End>>,
    task: JoinHandle<usize>,
}

/// What its connections know.
#[derive(Clone)]
struct Me {
    name: String,
    app: &'static str,
    protocol: Protocol,
    orders: watch::Receiver<Option<End>>,
}

impl Replica {
    /// Serves on a bound socket.
    pub(super) fn start(name: String, app: &'static str, protocol: Protocol, listener: std::net::TcpListener) -> io::Result<Replica> {
        listener.set_nonblocking(true)?;
        let SocketAddr::V4(address) = listener.local_addr()? else { return Err(io::ErrorKind::AddrNotAvailable.into()) };
        let listener = TcpListener::from_std(listener)?;
        let (orders, told) = watch::channel(None);
        let me = Me { name: name.clone(), app, protocol, orders: told };
        Ok(Replica { name, address, before: None, orders, task: tokio::spawn(accept(listener, me)) })
    }

    /// Ends it; resolves when its last connection has ended, with how many there were when it was told.
    pub(super) async fn end(self, how: End) -> usize {
        self.orders.send_replace(Some(how));
        self.task.await.unwrap_or_default()
    }
}

async fn accept(listener: TcpListener, mut me: Me) -> usize {
    let mut connections = JoinSet::new();
    let end = loop {
        tokio::select! {
            biased;
            end = told(&mut me.orders) => break end,
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(serve(stream, me.clone()));
            },
            Some(_) = connections.join_next() => {}
        }
    };
    let open = connections.len();
    if end == End::Finish {
        while let Ok(Ok((stream, _))) = tokio::time::timeout(NOBODY_COMES, listener.accept()).await {
            connections.spawn(serve(stream, me.clone()));
        }
    }
    drop(listener);
    connections.join_all().await;
    open
}

/// Resolves when the replica is told to end. One whose owner is gone dies.
async fn told(orders: &mut watch::Receiver<Option<End>>) -> End {
    orders.wait_for(Option::is_some).await.ok().and_then(|order| *order).unwrap_or(End::Reset)
}

/// Resolves when a connection that asks for nothing should end.
async fn leaves(orders: &mut watch::Receiver<Option<End>>, patience: Duration) {
    told(orders).await;
    if !patience.is_zero() {
        tokio::time::sleep(patience).await;
    }
}

/// Resolves when the replica is told to die, or its owner is gone.
async fn dies(mut orders: watch::Receiver<Option<End>>) {
    let _ = orders.wait_for(|order| *order == Some(End::Reset)).await;
}

async fn serve(mut stream: TcpStream, me: Me) {
    let _ = stream.set_nodelay(true); // only slower without
    tokio::select! {
        biased;
        () = dies(me.orders.clone()) => {
            let _ = stream.set_zero_linger(); // the other end went first when this fails
        }
        // An error is the other end's going, which ends the connection all the same.
        _ = converse(&mut stream, me.clone()) => {}
    }
}

async fn converse(stream: &mut TcpStream, me: Me) -> io::Result<()> {
    match me.protocol {
        Protocol::Http => http(stream, me).await,
        Protocol::Lines => lines(stream, &me).await,
    }
}

async fn work() {
    tokio::time::sleep(WORK + WORK_SPREAD.mul_f64(fastrand::f64())).await;
}

async fn http(stream: &mut TcpStream, mut me: Me) -> io::Result<()> {
    let mut input = Vec::new();
    let mut patience = FIRST_REQUEST;
    loop {
        let request = loop {
            if let Some(request) = Request::read(&input) {
                break request;
            }
            let idle = input.is_empty();
            tokio::select! {
                biased;
                read = stream.read_buf(&mut input) => if read? == 0 || input.len() > REQUEST_LIMIT { return Ok(()) },
                () = leaves(&mut me.orders, patience), if idle => return Ok(()),
            }
        };
        patience = Duration::ZERO;
        work().await;
        let finishing = me.orders.borrow().is_some();
        let last = finishing || request.last;
        let body = format!("{} from {}\n", me.app, me.name);
        let close = if last { "Connection: close\r\n" } else { "" };
        let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{close}Content-Length: {}\r\n\r\n", body.len());
        if !request.head_only {
            answer.push_str(&body);
        }
        stream.write_all(answer.as_bytes()).await?;
        if last {
            return stream.shutdown().await;
        }
        input.drain(..request.length);
    }
}

/// A whole request in the input.
struct Request {
    length: usize,
    head_only: bool,
    last: bool,
}

impl Request {
    /// `None` while it is not whole. What cannot be read is answered like any other and is the last.
    fn read(input: &[u8]) -> Option<Request> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        let head = match request.parse(input) {
            Ok(httparse::Status::Complete(head)) => head,
            Ok(httparse::Status::Partial) => return None,
            Err(_) => return Some(Request { length: input.len(), head_only: false, last: true }),
        };
        let head_only = request.method == Some("HEAD");
        let value = |name: &str| request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value);
        if value("transfer-encoding").is_some() {
            let ended = input[head..].ends_with(b"\r\n\r\n");
            return ended.then_some(Request { length: input.len(), head_only, last: true });
        }
        let body: usize = value("content-length").and_then(|text| std::str::from_utf8(text).ok()?.parse().ok()).unwrap_or(0);
        let length = head + body;
        (input.len() >= length).then_some(Request { length, head_only, last: false })
    }
}

async fn lines(stream: &mut TcpStream, me: &Me) -> io::Result<()> {
    let mut input = Vec::new();
    loop {
        let Some(end) = memchr::memchr(b'\n', &input) else {
            if stream.read_buf(&mut input).await? == 0 || input.len() > REQUEST_LIMIT {
                return stream.shutdown().await;
            }
            continue;
        };
        work().await;
        let greeting = format!("hello from {}, {SECRET}\n", me.name);
        if memchr::memmem::find(&input[..end], b" HTTP/").is_some() {
            let answer = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{greeting}", greeting.len());
            stream.write_all(answer.as_bytes()).await?;
            return stream.shutdown().await;
        }
        stream.write_all(greeting.as_bytes()).await?;
        input.drain(..=end);
    }
}
