//! The relay: reads a request's head, forwards it on a kept-alive connection, and relays an answer of known length.
//!
//! Invariant: what happens to a request is one source for all models; they differ in who accepts, where a connection lives, and whose
//! pool it takes from. It refuses to be a proxy: no routes, no limits, no request bodies, no retries.

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use proxy::listener::bind_shared;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::process::until_let_go;

/// Bytes of a connection's buffer; a head or an answer's first part fits.
pub(crate) const BUFFER: usize = 16 * 1024;

/// Who accepts, and where connections live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    /// A runtime, a pool and a socket for each worker.
    SocketEach,
    /// One work-stealing runtime, one socket, one pool.
    Stealing,
    /// A runtime and a pool for each worker; one of them accepts, and hands each connection to the worker with the fewest.
    HandedOver,
}

impl Model {
    /// In the order of their turns.
    pub(crate) const ALL: [Model; 3] = [Model::SocketEach, Model::Stealing, Model::HandedOver];

    /// Its name in the tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Model::SocketEach => "A1",
            Model::Stealing => "B",
            Model::HandedOver => "A2",
        }
    }
}

/// Says its address and relays until it is let go.
pub(crate) fn run(model: Model, workers: usize, origin: SocketAddr) -> io::Result<()> {
    let count = if model == Model::SocketEach { workers } else { 1 };
    let sockets = bind_shared((Ipv4Addr::LOCALHOST, 0).into(), count)?;
    let address = sockets[0].local_addr()?;
    match model {
        Model::Stealing => together(sockets, workers, origin, address),
        Model::SocketEach | Model::HandedOver => {
            apart(sockets, workers, origin)?;
            println!("{address}");
            until_let_go()
        }
    }
}

/// Idle connections to the origin; the newest is used first.
trait Pool: Clone {
    fn take(&self) -> Option<TcpStream>;
    fn give(&self, stream: TcpStream);
}

/// A worker's own pool.
#[derive(Clone, Default)]
struct Own(Rc<RefCell<Vec<TcpStream>>>);

impl Pool for Own {
    fn take(&self) -> Option<TcpStream> {
        self.0.borrow_mut().pop()
    }

    fn give(&self, stream: TcpStream) {
        self.0.borrow_mut().push(stream);
    }
}

/// A pool of all threads. Each has a shard where it looks first, on cache lines of its own.
#[derive(Clone)]
struct Shared(Arc<[Shard]>);

#[derive(Default)]
#[repr(align(128))]
struct Shard(Mutex<Vec<TcpStream>>);

impl Shared {
    fn new(shards: usize) -> Shared {
        Shared((0..shards).map(|_| Shard::default()).collect())
    }

    fn first(&self) -> usize {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static THREAD: usize = THREADS.fetch_add(1, Relaxed));
        THREAD.with(|thread| thread % self.0.len())
    }
}

impl Pool for Shared {
    fn take(&self) -> Option<TcpStream> {
        let (before, from) = self.0.split_at(self.first());
        from.iter().chain(before).find_map(|shard| shard.0.lock().unwrap_or_else(PoisonError::into_inner).pop())
    }

    fn give(&self, stream: TcpStream) {
        self.0[self.first()].0.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
    }
}

/// Model B.
fn together(sockets: Vec<StdListener>, workers: usize, origin: SocketAddr, address: SocketAddr) -> io::Result<()> {
    let runtime = Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    let pool = Shared::new(workers);
    let _inside = runtime.enter();
    for socket in sockets {
        let (socket, pool) = (TcpListener::from_std(socket)?, pool.clone());
        runtime.spawn(async move {
            loop {
                match socket.accept().await {
                    Ok((stream, _)) => drop(tokio::spawn(carry(stream, pool.clone(), origin))),
                    Err(error) => fail(&error),
                }
            }
        });
    }
    println!("{address}");
    until_let_go()
}

/// What workers that share nothing know of each other.
struct Siblings {
    open: Box<[AtomicUsize]>,
    orders: Box<[UnboundedSender<StdStream>]>,
}

/// Models A1 and A2: as many sockets as workers, or one.
fn apart(sockets: Vec<StdListener>, workers: usize, origin: SocketAddr) -> io::Result<()> {
    let (orders, taken): (Vec<_>, Vec<_>) = (0..workers).map(|_| unbounded_channel()).unzip();
    let open = (0..workers).map(|_| AtomicUsize::new(0)).collect();
    let siblings = Arc::new(Siblings { open, orders: orders.into() });
    let hands_over = sockets.len() < workers;
    let mut sockets = sockets.into_iter();
    for (id, taken) in taken.into_iter().enumerate() {
        let worker = Worker { id, hands_over, siblings: siblings.clone(), origin };
        let socket = sockets.next();
        thread::Builder::new()
            .name(format!("worker-{id}"))
            .spawn(move || worker.run(socket, taken).unwrap_or_else(|error| fail(&error)))?;
    }
    Ok(())
}

struct Worker {
    id: usize,
    hands_over: bool,
    siblings: Arc<Siblings>,
    origin: SocketAddr,
}

impl Worker {
    fn run(self, socket: Option<StdListener>, mut taken: UnboundedReceiver<StdStream>) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        runtime.block_on(async {
            let (worker, pool) = (Rc::new(self), Own::default());
            if let Some(socket) = socket {
                tokio::task::spawn_local(worker.clone().accept(TcpListener::from_std(socket)?, pool.clone()));
            }
            while let Some(stream) = taken.recv().await {
                worker.serve(TcpStream::from_std(stream)?, &pool);
            }
            Ok(())
        })
    }

    async fn accept(self: Rc<Self>, socket: TcpListener, pool: Own) {
        loop {
            let admitted = socket.accept().await.and_then(|(stream, _)| self.admit(stream, &pool));
            admitted.unwrap_or_else(|error| fail(&error));
        }
    }

    /// A connection is counted by who hands it over, so that a burst is spread before the first of it is served.
    fn admit(&self, stream: TcpStream, pool: &Own) -> io::Result<()> {
        let open = |worker: usize| self.siblings.open[worker].load(Relaxed);
        let least = (0..self.siblings.open.len()).min_by_key(|&worker| (open(worker), worker != self.id)).unwrap_or(self.id);
        let chosen = if self.hands_over { least } else { self.id };
        self.siblings.open[chosen].fetch_add(1, Relaxed);
        if chosen == self.id {
            self.serve(stream, pool);
            return Ok(());
        }
        self.siblings.orders[chosen].send(stream.into_std()?).map_err(|_| io::Error::other("a sibling has ended"))
    }

    fn serve(&self, stream: TcpStream, pool: &Own) {
        let (id, siblings) = (self.id, self.siblings.clone());
        let carried = carry(stream, pool.clone(), self.origin);
        tokio::task::spawn_local(async move {
            carried.await;
            siblings.open[id].fetch_sub(1, Relaxed);
        });
    }
}

/// Carries a connection's requests until it ends. What breaks shows at the load, which compares every answer.
async fn carry<P: Pool>(mut client: TcpStream, pool: P, origin: SocketAddr) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(Some((_, filled))) = read_head(&mut client, &mut buffer).await {
        if exchange(&mut client, &pool, origin, &mut buffer, filled).await.is_err() {
            break;
        }
    }
}

/// Sends the request in `buffer[..filled]` and relays its answer.
async fn exchange<P: Pool>(client: &mut TcpStream, pool: &P, origin: SocketAddr, buffer: &mut [u8], filled: usize) -> io::Result<()> {
    let mut upstream = match pool.take() {
        Some(stream) => stream,
        None => connect(origin).await?,
    };
    upstream.write_all(&buffer[..filled]).await?;
    let (head, mut filled) = read_head(&mut upstream, buffer).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut left = head + length(&buffer[..head]).ok_or(io::ErrorKind::InvalidData)?;
    loop {
        left = left.checked_sub(filled).ok_or(io::ErrorKind::InvalidData)?;
        client.write_all(&buffer[..filled]).await?;
        if left == 0 {
            break;
        }
        filled = upstream.read(buffer).await?;
        if filled == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    pool.give(upstream);
    Ok(())
}

async fn connect(origin: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(origin).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads until a head is whole: its length, and how much there is; none when the stream ended before.
pub(crate) async fn read_head(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<Option<(usize, usize)>> {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return if filled == 0 { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        filled += read;
        if let Some(end) = buffer[..filled].windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            return Ok(Some((end + 4, filled)));
        }
    }
}

/// The value of `Content-Length`.
fn length(head: &[u8]) -> Option<usize> {
    let head = std::str::from_utf8(head).ok()?;
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length")).find_map(|(_, value)| value.parse().ok())
}

fn fail(error: &io::Error) -> ! {
    eprintln!("workers: relay: {error}");
    std::process::exit(1)
}
