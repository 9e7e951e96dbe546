//! Fakes of replicas that behave well or badly in exactly one stated way, and say what reached them.
//!
//! Each has its own loopback address and a thread of its own, so that its death takes all its sockets at once.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::Net;
use crate::net::Lease;

mod conversation;

use conversation::converse;

/// What a replica does.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// Answers 200 with its name, in the body and in `x-replica`.
    Named,
    /// The same after a while.
    After(Duration),
    /// Answers this status at once.
    Status(u16),
    /// Answers with the bytes that it received: head, then body as it was framed.
    Echo,
    /// Answers every request with exactly these bytes; does not invite a body that waits for 100.
    Raw(Vec<u8>),
    /// The same, then closes.
    RawThenClose(Vec<u8>),
    /// The same, then resets.
    RawThenReset(Vec<u8>),
    /// Answers with these bytes once it has a head, reads no body, then closes.
    Early(Vec<u8>),
    /// Answers with a body of so many bytes.
    Body(u64),
    /// Answers with these pieces; each after the first waits for [`Replica::release`].
    Pieces(Vec<Vec<u8>>),
    /// Answers with its name once [`Replica::release`] was called; ends when the caller does.
    Held,
    /// Answers the first request of a connection; closes at the second's first byte, without an answer.
    OnceThenClose,
    /// Reads the head, then never reads again.
    NeverRead,
    /// Resets each connection at once.
    ResetOnAccept,
    /// Sends back each byte; after the other side's end says `bye` and ends.
    TcpEcho,
    /// Answers the first request with these bytes, then does as [`Behaviour::TcpEcho`].
    Switch(Vec<u8>),
    /// Says these bytes first, then reads until the end.
    TcpGreet(Vec<u8>),
}

/// One request as it arrived.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// Request line and fields, with the empty line.
    pub head: String,
    /// Body as it was framed, chunks and trailers included.
    pub body: Vec<u8>,
}

impl Received {
    /// All values of a field, by its name in lower case.
    pub fn all(&self, name: &str) -> Vec<String> {
        let fields = crate::client::fields(&self.head);
        fields.into_iter().filter(|(have, _)| have == name).map(|(_, value)| value).collect()
    }

    /// The only value of a field; `None` when there is none.
    ///
    /// # Panics
    /// When there are several.
    pub fn field(&self, name: &str) -> Option<String> {
        let mut all = self.all(name);
        assert!(all.len() <= 1, "{name} came {} times:\n{}", all.len(), self.head);
        all.pop()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Serving,
    /// Accepts nothing more, serves the connections that it has.
    Deaf,
    /// Finishes what it has.
    Leaving,
    /// Resets what it has.
    Dying,
}

#[derive(Debug)]
struct Shared {
    name: String,
    behaviour: Mutex<Behaviour>,
    received: Mutex<Vec<Received>>,
    connections: AtomicU64,
    ended: AtomicU64,
    requests: AtomicU64,
    released: Notify,
    deaf: AtomicBool,
    life: watch::Sender<Life>,
}

/// A running fake. Dropped, it resets its connections.
#[derive(Debug)]
pub struct Replica {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    lease: Option<Lease>,
}

impl Replica {
    /// Starts one on the net's next address and its port.
    pub fn start(net: &Net, name: &str, behaviour: Behaviour) -> Replica {
        let mut replica = Replica::at(SocketAddr::new(net.replica_ip(), net.port()), name, behaviour);
        replica.lease = Some(net.lease());
        replica
    }

    /// Starts one there.
    ///
    /// # Panics
    /// When the address is taken.
    pub fn at(address: SocketAddr, name: &str, behaviour: Behaviour) -> Replica {
        let (life, alive) = watch::channel(Life::Serving);
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            behaviour: Mutex::new(behaviour),
            received: Mutex::default(),
            connections: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            released: Notify::new(),
            deaf: AtomicBool::new(false),
            life,
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        let inside = runtime.enter();
        let listener = listen(address).unwrap_or_else(|error| panic!("{name} cannot listen on {address}: {error}"));
        let address = listener.local_addr().expect("a bound listener has an address");
        drop(inside);
        let for_thread = shared.clone();
        let thread = std::thread::spawn(move || runtime.block_on(serve(listener, for_thread, alive)));
        Replica { address, shared, thread: Some(thread), lease: None }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its IP.
    pub fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    /// Behaves so from the next request on.
    pub fn now(&self, behaviour: Behaviour) {
        *lock(&self.shared.behaviour) = behaviour;
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

    /// What arrived whole, in order.
    pub fn received(&self) -> Vec<Received> {
        lock(&self.shared.received).clone()
    }

    /// The last request that arrived whole.
    ///
    /// # Panics
    /// When there was none.
    pub fn last(&self) -> Received {
        lock(&self.shared.received).last().cloned().expect("a request reached the replica")
    }

    /// Lets one [`Behaviour::Held`] answer go, or one piece of [`Behaviour::Pieces`].
    pub fn release(&self) {
        self.shared.released.notify_one();
    }

    /// Stops listening; returns when another may listen on its address. Its connections live on.
    pub fn stop_listening(&self) {
        let _ = self.shared.life.send(Life::Deaf);
        crate::await_until("the listener to be closed", || self.shared.deaf.load(Ordering::SeqCst));
    }

    /// Stops listening, answers what it has, closes idle connections; returns when all is closed.
    pub fn leave(&mut self) {
        self.end(Life::Leaving);
    }

    /// Stops listening and resets every connection; returns when it is done.
    pub fn die(&mut self) {
        self.end(Life::Dying);
    }

    fn end(&mut self, life: Life) {
        let _ = self.shared.life.send(life);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.die();
        drop(self.lease.take());
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("no holder of this lock panics")
}

pub(crate) fn listen(address: SocketAddr) -> std::io::Result<tokio::net::TcpListener> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(4096)
}

async fn serve(listener: tokio::net::TcpListener, shared: Arc<Shared>, alive: watch::Receiver<Life>) {
    let mut ends = alive.clone();
    let mut conversations = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            biased;
            _ = ends.wait_for(|life| *life != Life::Serving) => break,
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let (shared, alive) = (shared.clone(), alive.clone());
                conversations.spawn(converse(stream, shared, alive));
            }
            Some(_) = conversations.join_next() => {}
        }
    }
    // A process that another test starts just now has a copy of this socket until it executes: closing ours would not end it.
    let _ = socket2::SockRef::from(&listener).shutdown(std::net::Shutdown::Both);
    drop(listener);
    shared.deaf.store(true, Ordering::SeqCst);
    while conversations.join_next().await.is_some() {}
}
