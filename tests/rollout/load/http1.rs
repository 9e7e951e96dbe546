//! A client of HTTP/1.1: one request on a connection that is idle, or on a new one.

use std::net::SocketAddr;
use std::time::Duration;

use tidegate_tests::client;

use super::{belongs, by, host};
use crate::ledger::{Ask, End, Kind, Record};
use crate::wire::Wire;

/// Asks, and keeps the connection in `idle` where that is what is tested. One that was closed while it was idle is not used.
pub(super) async fn ask(idle: &mut Option<Wire>, at: SocketAddr, record: &mut Record, think: Duration) -> Result<(), End> {
    let mut wire = match idle.take().filter(Wire::is_quiet) {
        Some(wire) => wire,
        None => Wire::connect(at).await?,
    };
    let _ = wire.send(request(record, think)).await; // what went wrong is said by what comes back
    let head = wire.through(b"\r\n\r\n").await?;
    let head = String::from_utf8_lossy(&head);
    let fields = client::fields(&head);
    let field = |name: &str| fields.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str());
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    record.by = by(field);
    match (status, &record.by) {
        (200, Some(_)) => {}
        (status, None) => return Err(End::Refused(status)),
        (status, Some(_)) => return Err(End::Wrong(format!("status {status}"))),
    }
    let content = match field("content-length").map(str::parse) {
        Some(Ok(length)) => wire.exactly(length).await?,
        _ => chunks(&mut wire).await?,
    };
    if record.kind == Kind::H1 && !field("connection").is_some_and(|options| options.eq_ignore_ascii_case("close")) {
        *idle = Some(wire);
    }
    belongs(record, &content)
}

fn request(record: &Record, think: Duration) -> String {
    let (id, think, host) = (record.id, think.as_millis(), host(record.service));
    let (method, path, content) = match record.ask {
        Ask::Post => ("POST", "post", format!("order {id}: {}", "x".repeat(60))),
        Ask::Slow => ("GET", "slow", String::new()),
        _ => ("GET", "get", String::new()),
    };
    let length = if content.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", content.len()) };
    let close = if record.kind == Kind::Close { "Connection: close\r\n" } else { "" };
    format!("{method} /{path}/{id} HTTP/1.1\r\nHost: {host}\r\nX-Id: {id}\r\nX-Think: {think}\r\n{close}{length}\r\n{content}")
}

async fn chunks(wire: &mut Wire) -> Result<Vec<u8>, End> {
    let mut content = Vec::new();
    loop {
        let line = wire.through(b"\r\n").await?;
        let text = String::from_utf8_lossy(&line);
        let length = usize::from_str_radix(text.trim(), 16).map_err(|_| End::Wrong(format!("a chunk of length {text:?}")))?;
        let chunk = wire.exactly(length + 2).await?;
        if length == 0 {
            return Ok(content);
        }
        content.extend_from_slice(&chunk[..length]);
    }
}
