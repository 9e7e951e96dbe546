//! HTTP/1.1 as the replica speaks it: `/get`, `/post`, `/slow`, and `/socket` for WebSocket. An answer's content is the request's id.

use tidegate_tests::client;

use super::*;
use crate::frame::{self, Frame};

/// Serves one connection.
pub(super) async fn serve(mut wire: Wire, me: &Me) -> Result<(), Cut> {
    loop {
        let head = wire.through(b"\r\n\r\n").await?;
        let head = String::from_utf8_lossy(&head);
        let fields = client::fields(&head);
        let field = |name: &str| fields.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str());
        let (id, think) = asked(field);
        let path = head.split(' ').nth(1).unwrap_or_default();
        if path.starts_with("/post") {
            me.journal.note(id);
        }
        let length = field("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        wire.exactly(length).await?;
        if path.starts_with("/socket") {
            return socket(wire, me).await;
        }
        tokio::time::sleep(think).await;
        if path.starts_with("/slow") {
            slow(&mut wire, me, id).await?
        } else {
            answer(&mut wire, me, id).await?
        }
        if field("connection").is_some_and(|options| options.eq_ignore_ascii_case("close")) {
            return Ok(());
        }
    }
}

fn head(status: &str, me: &Me, more: &str) -> String {
    format!("HTTP/1.1 {status}\r\nX-Service: {}\r\nX-Pod: {}\r\n{more}\r\n", me.service, me.pod)
}

async fn answer(wire: &mut Wire, me: &Me, id: u64) -> Result<(), Cut> {
    let content = id.to_string();
    wire.send(head("200 OK", me, &format!("Content-Length: {}\r\n", content.len())) + &content).await
}

async fn slow(wire: &mut Wire, me: &Me, id: u64) -> Result<(), Cut> {
    wire.send(head("200 OK", me, "Transfer-Encoding: chunked\r\n")).await?;
    let piece = format!("{id}\n");
    for _ in 0..PIECES {
        tokio::time::sleep(PIECE).await;
        wire.send(format!("{:x}\r\n{piece}\r\n", piece.len())).await?;
    }
    wire.send("0\r\n\r\n").await
}

/// Each message again, until the other side closes.
async fn socket(mut wire: Wire, me: &Me) -> Result<(), Cut> {
    let agreed = format!("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {}\r\n", frame::ACCEPT);
    wire.send(head("101 Switching Protocols", me, &agreed)).await?;
    loop {
        match frame::read(&mut wire).await? {
            Frame::Text(text) => wire.send(frame::text(&text, None)).await?,
            Frame::Close(_) => return wire.send(frame::close(None)).await,
            Frame::Other(_) => {}
        }
    }
}
