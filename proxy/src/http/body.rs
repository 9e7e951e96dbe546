//! Bodies, byte by byte: how much of what was read belongs to the message, and whether it is all.
//!
//! Invariant: only bytes that were judged are handed on, and they are handed on as they came, chunk framing and trailers included; the
//! verdict does not depend on how they were cut into pieces. Strict where RFC 9112 section 7.1 permits repair: no sign, space or `0x`
//! in a chunk's size, no bare LF, bounded extensions and trailers, no trailer that frames, routes or tells who sent the message.

use super::head::{FieldKind, Framing};

/// Most bytes of one chunk's extension.
const MAX_EXTENSION: u32 = 256;
/// Most bytes of all extensions of a body: they are work for every hop and carry nothing.
const MAX_EXTENSIONS: u32 = 16 * 1024;
/// Most bytes of trailers.
const MAX_TRAILER_BYTES: u32 = 16 * 1024;
/// Most trailers: as many fields as a head has by default, and what other readers take.
const MAX_TRAILERS: u32 = 100;
/// Longer than any name that is told apart; a longer one is known by its start.
const NAME: usize = 24;

/// Why a body was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// A chunk does not begin with its size.
    #[error("a chunk's size is not plain hexadecimal digits followed by CR LF or `;`")]
    ChunkSize,
    /// A chunk's size needs more than 64 bits.
    #[error("a chunk's size does not fit 64 bits")]
    ChunkOverflow,
    /// An extension that is too long, or holds a control byte.
    #[error("a chunk extension is longer than {MAX_EXTENSION} bytes, or all are longer than {MAX_EXTENSIONS}, or one holds a control byte")]
    ChunkExtension,
    /// CR LF is missing.
    #[error("a chunk's size or data does not end with CR LF")]
    ChunkEnd,
    /// A trailer that is not a strict field line.
    #[error("a trailer is not a field line")]
    Trailer,
    /// A trailer that may only stand in the head.
    #[error("a trailer holds a field that frames, routes or tells the origin of a message")]
    ForbiddenTrailer,
    /// Too many trailers, or too many bytes of them.
    #[error("there are more than {MAX_TRAILERS} trailers, or they are larger than {MAX_TRAILER_BYTES} bytes")]
    TrailersTooLarge,
    /// More content than is taken.
    #[error("the content is larger than the route takes")]
    TooLarge,
    /// The connection ended first.
    #[error("the connection ended before the body did")]
    Cut,
}

/// What the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Done,
    Length(u64),
    UntilClose,
    /// A digit of a chunk's size, or what ends it.
    Size {
        size: u64,
        digits: u8,
    },
    Extension {
        size: u64,
        length: u32,
    },
    SizeEnd {
        size: u64,
    },
    Data(u64),
    DataCr,
    DataLf,
    /// First byte of a trailer, or of the empty line that ends all.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    LastLf,
}

/// Follows one body to its end.
#[derive(Debug)]
pub struct BodyReader {
    state: State,
    /// Content of all chunks that were announced.
    announced: u64,
    /// Most of it that is taken.
    most: u64,
    extensions: u32,
    trailer_bytes: u32,
    trailers: u32,
    name: [u8; NAME],
    name_length: usize,
}

const FIRST_SIZE: State = State::Size { size: 0, digits: 0 };

impl BodyReader {
    /// Follows a body that is framed like this.
    pub fn new(framing: Framing) -> BodyReader {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => FIRST_SIZE,
            Framing::UntilClose => State::UntilClose,
        };
        BodyReader { state, announced: 0, most: u64::MAX, extensions: 0, trailer_bytes: 0, trailers: 0, name: [0; NAME], name_length: 0 }
    }

    /// How many of `bytes` belong to the body: these may be forwarded as they are. Fewer than all only when the body is done.
    ///
    /// # Errors
    /// [`BodyError`] when it is not framed as it says; nothing of `bytes` may be forwarded then.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<usize, BodyError> {
        self.run(bytes, |_| {}, |_| {})
    }

    /// As [`BodyReader::advance`], and appends the content to `out`, without chunk framing and trailers.
    ///
    /// # Errors
    /// As [`BodyReader::advance`].
    pub fn advance_decoded(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, BodyError> {
        self.run(bytes, |content| out.extend_from_slice(content), |_| {})
    }

    /// As [`BodyReader::advance_decoded`], and appends the lines of the trailers, each with its CR LF, to `trailers`.
    ///
    /// # Errors
    /// As [`BodyReader::advance`].
    pub fn advance_parted(&mut self, bytes: &[u8], out: &mut Vec<u8>, trailers: &mut Vec<u8>) -> Result<usize, BodyError> {
        self.run(bytes, |content| out.extend_from_slice(content), |byte| trailers.push(byte))
    }

    /// Takes no more than `most` bytes of content from here on. A length that was told in the head is not looked at.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`] when more was announced already.
    pub fn limit(&mut self, most: u64) -> Result<(), BodyError> {
        self.most = most;
        if self.announced > most { Err(BodyError::TooLarge) } else { Ok(()) }
    }

    /// Whether the body is whole.
    pub fn done(&self) -> bool {
        self.state == State::Done
    }

    /// How much is still to come, when all of it is content whose length is known: it needs no reading.
    pub fn plain(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            _ => None,
        }
    }

    /// So much of what is [plain](BodyReader::plain) went by unread.
    pub fn passed(&mut self, count: u64) {
        if let State::Length(left) = self.state {
            self.state = if left > count { State::Length(left - count) } else { State::Done };
        }
    }

    /// The connection ended.
    ///
    /// # Errors
    /// [`BodyError::Cut`] when the body was not whole.
    pub fn eof(&mut self) -> Result<(), BodyError> {
        match self.state {
            State::Done | State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(BodyError::Cut),
        }
    }

    fn run(&mut self, bytes: &[u8], mut content: impl FnMut(&[u8]), mut trailer: impl FnMut(u8)) -> Result<usize, BodyError> {
        let mut at = 0;
        while at < bytes.len() {
            let left = match self.state {
                State::Done => return Ok(at),
                State::UntilClose => u64::MAX,
                State::Length(left) | State::Data(left) => left,
                _ => {
                    let before = self.state;
                    self.state = self.frame(bytes[at])?;
                    if self.state == State::TrailerName || matches!(before, State::TrailerName | State::TrailerValue | State::TrailerLf) {
                        trailer(bytes[at]);
                    }
                    at += 1;
                    continue;
                }
            };
            let rest = &bytes[at..];
            let count = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
            content(&rest[..count]);
            at += count;
            let left = left - count as u64;
            self.state = match self.state {
                State::Length(_) if left == 0 => State::Done,
                State::Length(_) => State::Length(left),
                State::Data(_) if left == 0 => State::DataCr,
                State::Data(_) => State::Data(left),
                other => other,
            };
        }
        Ok(at)
    }

    /// One byte of chunk framing.
    fn frame(&mut self, byte: u8) -> Result<State, BodyError> {
        match (self.state, byte) {
            (State::Size { size, digits }, _) => size_byte(size, digits, byte),
            (State::Extension { size, .. }, b'\r') => Ok(State::SizeEnd { size }),
            (State::Extension { size, length }, _) => {
                self.extensions += 1;
                if !is_text(byte) || length == MAX_EXTENSION || self.extensions > MAX_EXTENSIONS {
                    return Err(BodyError::ChunkExtension);
                }
                Ok(State::Extension { size, length: length + 1 })
            }
            (State::SizeEnd { size: 0 }, b'\n') => Ok(State::TrailerStart),
            (State::SizeEnd { size }, b'\n') => {
                self.announced = self.announced.saturating_add(size);
                if self.announced > self.most { Err(BodyError::TooLarge) } else { Ok(State::Data(size)) }
            }
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(FIRST_SIZE),
            (State::SizeEnd { .. } | State::DataCr | State::DataLf, _) => Err(BodyError::ChunkEnd),
            _ => self.trailer(byte),
        }
    }

    /// One byte of the trailers.
    fn trailer(&mut self, byte: u8) -> Result<State, BodyError> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > MAX_TRAILER_BYTES {
            return Err(BodyError::TrailersTooLarge);
        }
        match (self.state, byte) {
            (State::TrailerStart, b'\r') => Ok(State::LastLf),
            (State::LastLf, b'\n') => Ok(State::Done),
            (State::TrailerStart, _) if self.trailers == MAX_TRAILERS => Err(BodyError::TrailersTooLarge),
            (State::TrailerStart, _) if super::head::is_token(byte) => {
                self.trailers += 1;
                self.name_length = 1;
                self.name[0] = byte;
                Ok(State::TrailerName)
            }
            (State::TrailerName, b':') if FieldKind::of(&self.name[..self.name_length]).forbidden_in_trailers() => {
                Err(BodyError::ForbiddenTrailer)
            }
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerName, _) if super::head::is_token(byte) => {
                if let Some(room) = self.name.get_mut(self.name_length) {
                    *room = byte;
                    self.name_length += 1;
                }
                Ok(State::TrailerName)
            }
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, _) if is_text(byte) => Ok(State::TrailerValue),
            (State::TrailerLf, b'\n') => Ok(State::TrailerStart),
            _ => Err(BodyError::Trailer),
        }
    }
}

/// One byte of a chunk's size line, up to its extension.
fn size_byte(size: u64, digits: u8, byte: u8) -> Result<State, BodyError> {
    let digit = match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        b'\r' if digits > 0 => return Ok(State::SizeEnd { size }),
        b';' if digits > 0 => return Ok(State::Extension { size, length: 0 }),
        _ => return Err(BodyError::ChunkSize),
    };
    if digits == 16 {
        return Err(BodyError::ChunkOverflow);
    }
    Ok(State::Size { size: size << 4 | u64::from(digit), digits: digits + 1 })
}

/// What a field value or an extension may hold (RFC 9110 section 5.5).
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests;
