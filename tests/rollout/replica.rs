//! The replica: a process of its own that serves on one address, and is gone the moment it gets SIGTERM, as apps do that handle no signals.
//!
//! It is started before it has an address (`NAME replica JOURNAL`), reads the line `SERVICE POD IP PORT` from its standard input, listens
//! at PORT for HTTP/1.1, WebSocket, HTTP/2 and gRPC and at the port above for TCP, and says `listening`. When its input ends, so does it.
//!
//! Invariant: every answer names its pod and Service, and every request that must not come twice is in the journal before it is answered.

use std::io::{self, BufRead, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::journal::Writer;
use crate::wire::{Cut, Wire};

mod http1;
mod http2;

/// Pieces of an answer that takes its time.
pub(crate) const PIECES: u32 = 10;
/// Between two of them.
const PIECE: Duration = Duration::from_millis(15);

/// Who it is.
#[derive(Debug)]
struct Me {
    service: String,
    pod: String,
    journal: Writer,
}

/// Lives as long as it is let.
pub(crate) fn run(journal: &Path) -> io::Result<()> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let [service, pod, ip, port] = words[..] else {
        return if line.is_empty() { Ok(()) } else { Err(io::Error::other(format!("found {line:?}, expected SERVICE POD IP PORT"))) };
    };
    let ip: Ipv4Addr = ip.parse().map_err(io::Error::other)?;
    let port: u16 = port.parse().map_err(io::Error::other)?;
    let me = Arc::new(Me { service: service.to_owned(), pod: pod.to_owned(), journal: Writer::open(journal, pod)? });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (http, tcp) = (listen((ip, port).into())?, listen((ip, port + 1).into())?);
        println!("listening");
        io::stdout().flush()?;
        std::thread::spawn(|| {
            let _ = io::stdin().lock().read_to_end(&mut Vec::new()); // whatever it says, nobody needs this process any more
            std::process::exit(0);
        });
        tokio::join!(accept(http, me.clone(), serve), accept(tcp, me, echo));
        Ok(())
    })
}

/// The address has just been another's, whose connections may not be forgotten yet.
fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    socket.listen(1024)
}

async fn accept<F: Future<Output = Result<(), Cut>> + Send + 'static>(
    listener: TcpListener,
    me: Arc<Me>,
    serve: impl Fn(TcpStream, Arc<Me>) -> F,
) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            // Its end is the other side's business, which keeps the account.
            drop(tokio::spawn(serve(stream, me.clone())));
        }
    }
}

/// HTTP/1.1, or HTTP/2 when it begins so.
async fn serve(stream: TcpStream, me: Arc<Me>) -> Result<(), Cut> {
    let mut first = [0; 3];
    loop {
        match stream.peek(&mut first).await? {
            0 => return Ok(()),
            3 => break,
            _ => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
    if first == *b"PRI" { http2::serve(stream, me).await } else { http1::serve(Wire::over(stream), &me).await }
}

/// TCP: says who it is, then each line again.
async fn echo(stream: TcpStream, me: Arc<Me>) -> Result<(), Cut> {
    let mut wire = Wire::over(stream);
    wire.send(format!("{} {}\n", me.service, me.pod)).await?;
    loop {
        let line = wire.through(b"\n").await?;
        wire.send(line).await?;
    }
}

/// The id in a request's `x-id`, and how long it wants to be thought about (`x-think`, in milliseconds).
fn asked<'a>(field: impl Fn(&str) -> Option<&'a str>) -> (u64, Duration) {
    let number = |name| field(name).and_then(|value| value.parse().ok()).unwrap_or(0);
    (number("x-id"), Duration::from_millis(number("x-think")))
}
