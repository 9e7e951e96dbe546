//! A client of WebSocket over HTTP/1.1.

use tidegate_tests::client;

use super::talk::{Line, converse};
use super::{Client, by, host, patient};
use crate::frame::{self, Frame};
use crate::ledger::{End, Record};
use crate::wire::{Cut, Wire};

/// Any four bytes do: what they are for (RFC 6455 section 10.3) is not in the way here.
const MASK: Option<[u8; 4]> = Some([0x5a, 0x17, 0xc3, 0x88]);

/// A handshake and a conversation.
pub(super) async fn talk(client: &mut Client, record: &mut Record) -> Result<(), End> {
    let at = client.shared.doors.http1;
    let mut wire = patient(async {
        let mut wire = Wire::connect(at).await?;
        let _ = wire.send(handshake(record)).await; // what went wrong is said by what comes back
        agreed(&mut wire, record).await?;
        Ok(wire)
    })
    .await?;
    converse(&mut wire, client, record).await?;
    wire.send(frame::close(MASK)).await?;
    match patient(wire.hear()).await {
        // Whoever said goodbye does not mind how the other side goes.
        Err(End::Cut(_)) => Ok(()),
        Err(end) => Err(end),
        Ok(text) => Err(End::Wrong(format!("{text:?} after a close frame"))),
    }
}

fn handshake(record: &Record) -> String {
    format!(
        "GET /socket/{} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n\r\n",
        record.id,
        host(record.service),
        frame::KEY
    )
}

async fn agreed(wire: &mut Wire, record: &mut Record) -> Result<(), End> {
    let head = wire.through(b"\r\n\r\n").await?;
    let head = String::from_utf8_lossy(&head);
    let fields = client::fields(&head);
    let field = |name: &str| fields.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str());
    record.by = by(field);
    match head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0) {
        101 if record.by.is_some() && field("sec-websocket-accept") == Some(frame::ACCEPT) => Ok(()),
        status if record.by.is_none() => Err(End::Refused(status)),
        status => Err(End::Wrong(format!("status {status}"))),
    }
}

impl Line for Wire {
    async fn say(&mut self, text: &str) -> Result<(), End> {
        Ok(self.send(frame::text(text, MASK)).await?)
    }

    async fn hear(&mut self) -> Result<String, End> {
        loop {
            match frame::read(self).await? {
                Frame::Text(text) => return Ok(text),
                Frame::Close(code) => return Err(End::Cut(Cut::Close(code))),
                Frame::Other(_) => {}
            }
        }
    }
}
