//! One connection of a fake replica.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::{Behaviour, Life, Received, Shared, lock};

/// How a connection ends.
enum End {
    Close,
    Reset,
}

/// Serves one connection until it ends or the replica does.
pub(super) async fn converse(mut stream: TcpStream, shared: Arc<Shared>, mut alive: watch::Receiver<Life>) {
    let _ = stream.set_nodelay(true);
    let mut dying = alive.clone();
    let end = tokio::select! {
        _ = dying.wait_for(|life| *life == Life::Dying) => Ok(End::Reset),
        end = talk(&mut stream, &shared, &mut alive) => end,
    };
    if matches!(end, Ok(End::Reset)) {
        let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    } else {
        linger(&mut stream).await;
    }
    drop(stream);
    shared.ended.fetch_add(1, Ordering::SeqCst);
}

/// Ends our side and reads what still comes, so that the last answer is not lost to a reset.
async fn linger(stream: &mut TcpStream) {
    if stream.shutdown().await.is_ok() {
        let mut rest = [0; 4096];
        let drained = async { while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {} };
        let _ = tokio::time::timeout(Duration::from_millis(200), drained).await;
    }
}

async fn talk(stream: &mut TcpStream, shared: &Shared, alive: &mut watch::Receiver<Life>) -> io::Result<End> {
    let behaviour = lock(&shared.behaviour).clone();
    match behaviour {
        Behaviour::ResetOnAccept => return Ok(End::Reset),
        Behaviour::TcpEcho => return echo(stream, Vec::new()).await,
        Behaviour::TcpGreet(greeting) => {
            stream.write_all(&greeting).await?;
            while stream.read(&mut [0; 4096]).await? > 0 {}
            return Ok(End::Close);
        }
        _ => {}
    }
    let mut read = Vec::new();
    let mut served = 0;
    loop {
        tokio::select! {
            biased;
            more = fill_if_empty(stream, &mut read) => if !more? { return Ok(End::Close) },
            _ = alive.wait_for(|life| *life == Life::Leaving) => return Ok(End::Close),
        }
        if served > 0 && matches!(*lock(&shared.behaviour), Behaviour::OnceThenClose) {
            return Ok(End::Close);
        }
        let head = through(stream, &mut read, b"\r\n\r\n").await?;
        shared.requests.fetch_add(1, Ordering::SeqCst);
        served += 1;
        if let Some(end) = answer(stream, shared, head, &mut read).await? {
            return Ok(end);
        }
    }
}

/// Sends back `early`, then each byte.
async fn echo(stream: &mut TcpStream, early: Vec<u8>) -> io::Result<End> {
    stream.write_all(&early).await?;
    let mut bytes = vec![0; 65_536];
    loop {
        let read = stream.read(&mut bytes).await?;
        if read == 0 {
            break;
        }
        stream.write_all(&bytes[..read]).await?;
    }
    stream.write_all(b"bye").await?;
    Ok(End::Close)
}

async fn answer(stream: &mut TcpStream, shared: &Shared, head: Vec<u8>, read: &mut Vec<u8>) -> io::Result<Option<End>> {
    let behaviour = lock(&shared.behaviour).clone();
    let text = String::from_utf8_lossy(&head).into_owned();
    if matches!(behaviour, Behaviour::NeverRead) {
        std::future::pending::<()>().await;
    }
    if let Behaviour::Early(bytes) = behaviour {
        stream.write_all(&bytes).await?;
        return Ok(Some(End::Close));
    }
    let waits = text.to_ascii_lowercase().contains("\r\nexpect: 100-continue\r\n");
    let scripted = matches!(behaviour, Behaviour::Raw(_) | Behaviour::RawThenClose(_) | Behaviour::RawThenReset(_));
    let mut body = Vec::new();
    if !(waits && scripted) {
        if waits {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        body = read_body(stream, read, &text).await?;
    }
    lock(&shared.received).push(Received { head: text, body: body.clone() });
    let end = match behaviour {
        Behaviour::After(delay) => {
            tokio::time::sleep(delay).await;
            stream.write_all(&named(shared, 200)).await?;
            None
        }
        Behaviour::Status(status) => {
            stream.write_all(&named(shared, status)).await?;
            None
        }
        Behaviour::Echo => {
            let bytes = [head, body].concat();
            let lines = format!("HTTP/1.1 200 OK\r\nx-replica: {}\r\nContent-Length: {}\r\n\r\n", shared.name, bytes.len());
            stream.write_all(&[lines.as_bytes(), &bytes].concat()).await?;
            None
        }
        Behaviour::Raw(bytes) => {
            stream.write_all(&bytes).await?;
            None
        }
        Behaviour::Switch(bytes) => {
            stream.write_all(&bytes).await?;
            Some(echo(stream, std::mem::take(read)).await?)
        }
        Behaviour::RawThenClose(bytes) => {
            stream.write_all(&bytes).await?;
            Some(End::Close)
        }
        Behaviour::RawThenReset(bytes) => {
            stream.write_all(&bytes).await?;
            tokio::time::sleep(Duration::from_millis(100)).await; // so that the bytes are read before the reset discards them
            Some(End::Reset)
        }
        Behaviour::Body(length) => {
            stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes()).await?;
            zeros(stream, length).await?;
            None
        }
        Behaviour::Pieces(pieces) => {
            for (at, piece) in pieces.iter().enumerate() {
                if at > 0 {
                    shared.released.notified().await;
                }
                stream.write_all(piece).await?;
            }
            None
        }
        Behaviour::Held => {
            let mut more = [0];
            let left = tokio::select! {
                biased;
                () = shared.released.notified() => false,
                read = stream.read(&mut more) => read? == 0,
            };
            if !left {
                stream.write_all(&named(shared, 200)).await?;
            }
            left.then_some(End::Close)
        }
        _ => {
            stream.write_all(&named(shared, 200)).await?;
            None
        }
    };
    Ok(end)
}

fn named(shared: &Shared, status: u16) -> Vec<u8> {
    let name = &shared.name;
    format!("HTTP/1.1 {status} Status\r\nx-replica: {name}\r\nContent-Length: {}\r\n\r\n{name}", name.len()).into_bytes()
}

async fn zeros(stream: &mut TcpStream, mut left: u64) -> io::Result<()> {
    let block = vec![0; 65_536];
    while left > 0 {
        let now = left.min(block.len() as u64);
        stream.write_all(&block[..now as usize]).await?;
        left -= now;
    }
    Ok(())
}

async fn read_body(stream: &mut TcpStream, read: &mut Vec<u8>, head: &str) -> io::Result<Vec<u8>> {
    let fields = crate::client::fields(head);
    let value = |name: &str| fields.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str());
    if value("transfer-encoding").is_some() {
        return read_chunks(stream, read).await;
    }
    let length = value("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while read.len() < length {
        if !fill(stream, read).await? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(read.drain(..length).collect())
}

async fn read_chunks(stream: &mut TcpStream, read: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = through(stream, read, b"\r\n").await?;
        let digits = String::from_utf8_lossy(&line).trim().split(';').next().unwrap_or_default().to_owned();
        let size = usize::from_str_radix(&digits, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        body.extend_from_slice(&line);
        if size == 0 {
            break;
        }
        let end = size.saturating_add(2);
        while read.len() < end {
            if !fill(stream, read).await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        body.extend(read.drain(..end));
    }
    loop {
        let line = through(stream, read, b"\r\n").await?;
        body.extend_from_slice(&line);
        if line == b"\r\n" {
            return Ok(body);
        }
    }
}

async fn through(stream: &mut TcpStream, read: &mut Vec<u8>, end: &[u8]) -> io::Result<Vec<u8>> {
    loop {
        if let Some(at) = read.windows(end.len()).position(|window| window == end) {
            return Ok(read.drain(..at + end.len()).collect());
        }
        if !fill(stream, read).await? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

async fn fill_if_empty(stream: &mut TcpStream, read: &mut Vec<u8>) -> io::Result<bool> {
    if read.is_empty() { fill(stream, read).await } else { Ok(true) }
}

async fn fill(stream: &mut TcpStream, read: &mut Vec<u8>) -> io::Result<bool> {
    let mut bytes = [0; 16_384];
    let got = stream.read(&mut bytes).await?;
    read.extend_from_slice(&bytes[..got]);
    Ok(got > 0)
}
