//! The load: one thread in a closed loop on kept-alive connections, of which some are busy and some light.
//!
//! Invariant: every byte of every answer is compared, and anything else than the origin's answer ends the load with an error.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tidegate_benches::Spread;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::origin::ANSWER;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: bench.example.com\r\nUser-Agent: workers\r\nAccept: */*\r\n\r\n";
const WARM_UP: Duration = Duration::from_millis(400);
/// A light connection asks some twenty times a second.
const PAUSE: Duration = Duration::from_millis(50);

/// What to ask of whom.
pub(crate) struct Load {
    pub(crate) relay: SocketAddr,
    pub(crate) busy: usize,
    pub(crate) light: usize,
    /// Decides in which order busy and light connections are opened.
    pub(crate) seed: u64,
    pub(crate) window: Duration,
}

/// How long each answer took.
type Times = Rc<RefCell<Vec<Duration>>>;

/// Says `warm`, and after the window: requests, seconds, p50 and p99 of busy connections and p99 of light ones in milliseconds.
pub(crate) fn run(load: &Load) -> io::Result<()> {
    Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?.block_on(ask(load))
}

async fn ask(load: &Load) -> io::Result<()> {
    let (busy, light) = (Times::default(), Times::default());
    let mut rng = fastrand::Rng::with_seed(load.seed);
    let mut kinds = [vec![true; load.busy], vec![false; load.light]].concat();
    rng.shuffle(&mut kinds);
    let mut streams = Vec::new();
    for is_busy in kinds {
        let stream = TcpStream::connect(load.relay).await?;
        stream.set_nodelay(true)?;
        streams.push((stream, is_busy));
    }
    let mut asking = JoinSet::new();
    for (stream, is_busy) in streams {
        let (times, pause) = if is_busy { (&busy, None) } else { (&light, Some(PAUSE.mul_f64(rng.f64()))) };
        asking.spawn_local(ask_on(stream, pause, times.clone()));
    }
    all_well(&mut asking, WARM_UP).await?;
    println!("warm");
    busy.borrow_mut().clear();
    light.borrow_mut().clear();
    let began = Instant::now();
    all_well(&mut asking, load.window).await?;
    say(began.elapsed(), busy.take(), light.take())
}

/// Waits; a connection that ends meanwhile is an error.
async fn all_well(asking: &mut JoinSet<io::Result<Infallible>>, time: Duration) -> io::Result<()> {
    tokio::select! {
        ended = asking.join_next() => match ended {
            Some(Ok(Err(error))) => Err(error),
            _ => Err(io::Error::other("a connection's task has failed")),
        },
        () = sleep(time) => Ok(()),
    }
}

fn say(took: Duration, busy: Vec<Duration>, light: Vec<Duration>) -> io::Result<()> {
    if busy.is_empty() {
        return Err(io::Error::other("nothing was answered"));
    }
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let requests = busy.len() + light.len();
    let light = if light.is_empty() { f64::NAN } else { ms(Spread::of(light).p99) };
    let busy = Spread::of(busy);
    println!("{requests} {} {} {} {light}", took.as_secs_f64(), ms(busy.p50), ms(busy.p99));
    Ok(())
}

/// Asks over and over; with a pause (`first` before the first request) on a light connection.
async fn ask_on(mut stream: TcpStream, first: Option<Duration>, times: Times) -> io::Result<Infallible> {
    let mut answer = vec![0; ANSWER.len()];
    if let Some(first) = first {
        sleep(first).await;
    }
    loop {
        let began = Instant::now();
        stream.write_all(REQUEST).await?;
        stream.read_exact(&mut answer).await?;
        times.borrow_mut().push(began.elapsed());
        if answer != *ANSWER {
            return Err(io::Error::other("an answer is not the origin's"));
        }
        if first.is_some() {
            sleep(PAUSE).await;
        }
    }
}
