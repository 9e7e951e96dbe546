//! The messages of WebSocket (RFC 6455) and of gRPC, as far as short texts need them.
//!
//! Invariant: what does not fit in a short frame is neither written nor understood; both sides are ours.

use hyper::body::Bytes;

use crate::wire::{Cut, Wire};

/// The key of RFC 6455 section 1.3, and the answer to it: nobody is kept out by them.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// A close frame without a code (RFC 6455 section 7.1.5).
const NO_CODE: u16 = 1005;
/// Most bytes of a message.
const LONGEST: usize = 125;

const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;

/// A frame of WebSocket.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Text(String),
    Close(u16),
    Other(u8),
}

/// Reads one.
pub(crate) async fn read(wire: &mut Wire) -> Result<Frame, Cut> {
    let head = wire.at_least(2).await?;
    let (opcode, masked, length) = (head[0] & 0x0f, head[1] & 0x80 != 0, usize::from(head[1] & 0x7f));
    if length > LONGEST {
        return Ok(Frame::Other(opcode));
    }
    let start = if masked { 6 } else { 2 };
    let frame = wire.exactly(start + length).await?;
    let mut text = frame[start..].to_vec();
    if masked {
        text.iter_mut().enumerate().for_each(|(at, byte)| *byte ^= frame[2 + at % 4]);
    }
    Ok(match opcode {
        TEXT => Frame::Text(String::from_utf8_lossy(&text).into_owned()),
        CLOSE => Frame::Close(text.get(..2).map_or(NO_CODE, |code| u16::from_be_bytes([code[0], code[1]]))),
        other => Frame::Other(other),
    })
}

/// A text; clients mask theirs.
pub(crate) fn text(text: &str, mask: Option<[u8; 4]>) -> Vec<u8> {
    write(TEXT, text.as_bytes(), mask)
}

/// The end, with the code for a good one.
pub(crate) fn close(mask: Option<[u8; 4]>) -> Vec<u8> {
    write(CLOSE, &1000_u16.to_be_bytes(), mask)
}

fn write(opcode: u8, content: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    assert!(content.len() <= LONGEST, "a message of {} bytes", content.len());
    let bit = if mask.is_some() { 0x80 } else { 0 };
    let mut frame = vec![0x80 | opcode, bit | content.len() as u8];
    frame.extend(mask.into_iter().flatten());
    let mask = mask.unwrap_or_default();
    frame.extend(content.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
    frame
}

/// A message of gRPC: not compressed, its length, its bytes.
pub(crate) fn message(text: &str) -> Bytes {
    let length = u32::try_from(text.len()).expect("messages are short");
    [&[0][..], &length.to_be_bytes(), text.as_bytes()].concat().into()
}

/// Messages of gRPC, as far as they are here.
#[derive(Debug, Default)]
pub(crate) struct Messages(Vec<u8>);

impl Messages {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn next(&mut self) -> Option<String> {
        let length = self.0.get(1..5)?;
        let end = 5 + u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        if self.0.len() < end {
            return None;
        }
        let message: Vec<u8> = self.0.drain(..end).collect();
        Some(String::from_utf8_lossy(&message[5..]).into_owned())
    }
}
