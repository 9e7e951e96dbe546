//! A client that speaks HTTP/2 frame by frame: it says what no good client would, and gives what it should only when it is told to.
//!
//! It writes fields as HPACK literals alone (RFC 7541 section 6.2.2) and reads of an answer's fields only the status, which is always the
//! first. What it is sent it keeps by stream, until somebody asks.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use crate::Client;
use crate::client::read_once;
use crate::wait::DEADLINE;

/// Types of frames (RFC 9113 section 6).
#[allow(missing_docs)]
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// A stream's last frame; also the answer to SETTINGS and PING.
pub const END_STREAM: u8 = 1;
/// A field block's last frame.
pub const END_HEADERS: u8 = 4;
/// `SETTINGS_MAX_CONCURRENT_STREAMS`.
pub const MAX_STREAMS: u16 = 3;
/// `SETTINGS_INITIAL_WINDOW_SIZE`.
pub const INITIAL_WINDOW: u16 = 4;
/// A client's first words (RFC 9113 section 3.4), without the SETTINGS that must follow.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One connection.
#[derive(Debug)]
pub struct Frames {
    /// The socket, for tests that need more of it.
    pub stream: TcpStream,
    /// It gives back the window that an answer used up.
    pub greedy: bool,
    read: Vec<u8>,
    next: u32,
    answers: BTreeMap<u32, Answer>,
    left: Option<GoAway>,
    /// Pings that came back.
    pub pongs: usize,
    /// What the server has set, by the setting's number.
    pub settings: BTreeMap<u16, u32>,
    /// What it added to our windows, by stream; the connection's is 0.
    pub windows: BTreeMap<u32, u64>,
}

/// What came on one stream so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Status of the last head; 0 before there is one.
    pub status: u16,
    /// Heads: interim ones, the final one, trailers.
    pub heads: usize,
    /// Content.
    pub body: Vec<u8>,
    /// How it ended; `None` while it goes on.
    pub end: Option<End>,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// In good order.
    Whole,
    /// Reset, with this code (RFC 9113 section 7).
    Reset(u32),
    /// Its connection ended first.
    Closed,
}

/// What a server says that takes no more streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoAway {
    /// The last stream that it may have worked on.
    pub last: u32,
    /// Why (RFC 9113 section 7).
    pub code: u32,
    /// In words.
    pub text: String,
}

impl Answer {
    /// The first end counts: a whole answer may be followed by "send no more of your request".
    fn ended(&mut self, end: End) {
        self.end.get_or_insert(end);
    }
}

impl Frames {
    /// Connects and says the first words.
    ///
    /// # Panics
    /// When it cannot connect.
    pub fn connect(address: SocketAddr) -> Frames {
        Frames::with(address, &[])
    }

    /// The same with settings.
    pub fn with(address: SocketAddr, settings: &[(u16, u32)]) -> Frames {
        Frames::over(Client::connect(address), settings)
    }

    /// The same from an address of this machine.
    pub fn connect_from(from: IpAddr, address: SocketAddr) -> Frames {
        Frames::over(Client::connect_from(from, address), &[])
    }

    fn over(client: Client, settings: &[(u16, u32)]) -> Frames {
        let Client { stream, .. } = client;
        let mut frames = Frames {
            stream,
            greedy: true,
            read: Vec::new(),
            next: 1,
            answers: BTreeMap::new(),
            left: None,
            pongs: 0,
            settings: BTreeMap::new(),
            windows: BTreeMap::new(),
        };
        let payload: Vec<u8> =
            [(1, 0)].iter().chain(settings).flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
        frames.send([PREFACE, &frame(kind::SETTINGS, 0, 0, &payload)].concat());
        frames
    }

    /// Sends bytes; an error shows later, when something is read.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Sends one frame.
    pub fn say(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.send(frame(kind, flags, stream, payload));
    }

    /// The number of the next stream.
    pub fn next_stream(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    /// Begins a request; `end` when it has no body.
    pub fn ask(&mut self, fields: &[(&str, &str)], end: bool) -> u32 {
        let stream = self.next_stream();
        self.say(kind::HEADERS, END_HEADERS | if end { END_STREAM } else { 0 }, stream, &block(fields));
        stream
    }

    /// Asks for `path` on `host`.
    pub fn get(&mut self, host: &str, path: &str) -> u32 {
        self.ask(&request("GET", host, path), true)
    }

    /// Begins a POST whose body follows.
    pub fn post(&mut self, host: &str, path: &str) -> u32 {
        self.ask(&request("POST", host, path), false)
    }

    /// Sends content; the test keeps to the window, which is 65,535 bytes in the beginning.
    pub fn data(&mut self, stream: u32, bytes: &[u8], end: bool) {
        self.say(kind::DATA, if end { END_STREAM } else { 0 }, stream, bytes);
    }

    /// Breaks off a stream: CANCEL.
    pub fn reset(&mut self, stream: u32) {
        self.say(kind::RST_STREAM, 0, stream, &8u32.to_be_bytes());
    }

    /// The answer on `stream`, once it has ended.
    pub fn answer(&mut self, stream: u32) -> Answer {
        self.until("the end of an answer", |frames| frames.on(stream).end.is_some());
        self.on(stream)
    }

    /// One GET, and its answer.
    pub fn fetch(&mut self, host: &str, path: &str) -> Answer {
        let stream = self.get(host, path);
        self.answer(stream)
    }

    /// What came on `stream` so far.
    pub fn on(&self, stream: u32) -> Answer {
        self.answers.get(&stream).cloned().unwrap_or_default()
    }

    /// Waits for a PING of ours to come back: everything before it was read.
    pub fn settle(&mut self) {
        let before = self.pongs;
        self.say(kind::PING, 0, 0, b"settle??");
        self.until("the ping", |frames| frames.pongs > before);
    }

    /// The server's last words, once it said them.
    ///
    /// # Panics
    /// When the connection ended without any.
    pub fn goodbye(&mut self) -> GoAway {
        self.until("GOAWAY", |frames| frames.left.is_some());
        self.left.clone().expect("the connection ended without GOAWAY")
    }

    /// The last GOAWAY so far.
    pub fn left(&self) -> Option<&GoAway> {
        self.left.as_ref()
    }

    /// Reads to the connection's end.
    ///
    /// # Panics
    /// When it does not end within the deadline.
    pub fn closed(&mut self) {
        while self.take().unwrap_or_else(|error| panic!("the connection is still open: {error}")) {}
    }

    /// Takes what comes until it has been quiet for this long; true when the connection has ended.
    pub fn until_quiet(&mut self, quiet: Duration) -> bool {
        let _ = self.stream.set_read_timeout(Some(quiet));
        let mut open = Ok(true);
        while matches!(open, Ok(true)) {
            open = self.take();
        }
        let _ = self.stream.set_read_timeout(Some(DEADLINE));
        open.is_ok()
    }

    /// All content that has come so far, of all streams.
    pub fn content(&self) -> Vec<u8> {
        self.answers.values().flat_map(|answer| answer.body.iter().copied()).collect()
    }

    /// All answers so far.
    pub fn answers(&self) -> impl Iterator<Item = &Answer> {
        self.answers.values()
    }

    /// Ends the connection by a reset.
    pub fn abort(self) {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Takes frames until `enough`, or until the connection ends.
    ///
    /// # Panics
    /// When neither comes within the deadline.
    pub fn until(&mut self, what: &str, enough: impl Fn(&Frames) -> bool) {
        while !enough(self) {
            match self.take() {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => panic!("waited in vain for {what}: {error}; so far {self:?}"),
            }
        }
    }

    /// Takes one frame. False at the connection's end, however it came.
    fn take(&mut self) -> io::Result<bool> {
        let frame = match self.frame() {
            Ok(frame) => frame,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => return Err(error),
            Err(_) => {
                (1..self.next).step_by(2).for_each(|stream| self.at(stream).ended(End::Closed));
                return Ok(false);
            }
        };
        let payload = frame.payload.as_slice();
        let last = frame.flags & END_STREAM != 0;
        match frame.kind {
            kind::HEADERS => {
                let answer = self.at(frame.stream);
                answer.heads += 1;
                answer.status = status(payload).unwrap_or(answer.status); // trailers have none
                if last {
                    answer.ended(End::Whole);
                }
            }
            kind::DATA => {
                let answer = self.at(frame.stream);
                answer.body.extend_from_slice(payload);
                if last {
                    answer.ended(End::Whole);
                }
                if self.greedy && !payload.is_empty() {
                    let used = (payload.len() as u32).to_be_bytes();
                    self.say(kind::WINDOW_UPDATE, 0, 0, &used);
                    self.say(kind::WINDOW_UPDATE, 0, frame.stream, &used);
                }
            }
            kind::RST_STREAM => self.at(frame.stream).ended(End::Reset(number(payload))),
            kind::SETTINGS if !last => {
                self.settings.extend(payload.chunks_exact(6).map(|set| (u16::from_be_bytes([set[0], set[1]]), number(&set[2..]))));
                self.say(kind::SETTINGS, END_STREAM, 0, &[]);
            }
            kind::WINDOW_UPDATE => *self.windows.entry(frame.stream).or_default() += u64::from(number(payload)),
            kind::PING if last => self.pongs += 1,
            kind::PING => self.say(kind::PING, END_STREAM, 0, payload),
            kind::GOAWAY => {
                let text = String::from_utf8_lossy(payload.get(8..).unwrap_or_default()).into_owned();
                self.left = Some(GoAway { last: number(payload), code: number(payload.get(4..).unwrap_or_default()), text });
            }
            _ => {}
        }
        Ok(true)
    }

    fn at(&mut self, stream: u32) -> &mut Answer {
        self.answers.entry(stream).or_default()
    }

    fn frame(&mut self) -> io::Result<Frame> {
        self.fill(9)?;
        let length = number(&[&[0][..], &self.read[..3]].concat()) as usize;
        self.fill(9 + length)?;
        let bytes: Vec<u8> = self.read.drain(..9 + length).collect();
        let stream = number(&bytes[5..9]) & 0x7fff_ffff;
        Ok(Frame { kind: bytes[3], flags: bytes[4], stream, payload: bytes[9..].to_vec() })
    }

    fn fill(&mut self, length: usize) -> io::Result<()> {
        let mut bytes = [0; 65_536];
        while self.read.len() < length {
            match read_once(&mut self.stream, &mut bytes)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.read.extend_from_slice(&bytes[..count]),
            }
        }
        Ok(())
    }
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// One frame's bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The fields that every request has.
pub fn request<'a>(method: &'a str, host: &'a str, path: &'a str) -> [(&'a str, &'a str); 4] {
    [(":method", method), (":scheme", "http"), (":authority", host), (":path", path)]
}

/// Fields as literals that no table keeps, of whatever bytes.
pub fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name.as_ref(), value.as_ref()] {
            length(&mut block, text.len());
            block.extend_from_slice(text);
        }
    }
    block
}

/// A number with a prefix of seven bits (RFC 7541 section 5.1).
fn length(block: &mut Vec<u8>, length: usize) {
    if length < 127 {
        return block.push(length as u8);
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// The status at the start of a field block: one of the static table, or one written out in digits.
fn status(block: &[u8]) -> Option<u16> {
    // A table's new size may stand first.
    let start = block.iter().position(|byte| byte & 0xe0 != 0x20)?;
    let (first, rest) = block[start..].split_first()?;
    const STATIC: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    if let Some(at) = first.checked_sub(0x88).filter(|at| usize::from(*at) < STATIC.len()) {
        return Some(STATIC[usize::from(at)]);
    }
    let named = match first {
        0x40..0x80 => first & 0x3f,
        0..0x20 => first & 0x0f,
        _ => 0,
    };
    if !(8..=14).contains(&named) {
        return None;
    }
    let (length, text) = rest.split_first()?;
    let text = text.get(..usize::from(length & 0x7f))?;
    let digits = if length & 0x80 == 0 { text.to_vec() } else { digits(text) };
    String::from_utf8(digits).ok()?.parse().ok()
}

/// Digits in the code of RFC 7541 appendix B: `0` to `2` have five bits, the others six.
fn digits(coded: &[u8]) -> Vec<u8> {
    let bits: Vec<u8> = coded.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    let value = |bits: &[u8]| bits.iter().fold(0, |value, bit| value << 1 | bit);
    let (mut at, mut digits) = (0, Vec::new());
    while let Some(five) = bits.get(at..at + 5).map(value) {
        if five < 3 {
            digits.push(b'0' + five);
            at += 5;
        } else {
            match bits.get(at..at + 6).map(value) {
                Some(six @ 0x19..=0x1f) => digits.push(b'3' + six - 0x19),
                _ => break,
            }
            at += 6;
        }
    }
    digits
}
