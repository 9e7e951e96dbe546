//! One line of the access log, as `key=value` text or as JSON.
//!
//! Invariant: a line holds exactly one line feed, at its end, whatever a client sent; JSON lines are JSON. The keys are a contract with
//! scripts and are the same in both forms; what is unknown is `-` in text and `null` in JSON.

use std::io::Write;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use config::exposure::Exposure;
use config::settings::LogFormat;
use registry::snapshot::PortName;

use crate::digits;
use crate::reason::Reason;

/// What the log says of one request. Empty bytes mean that it is not known.
#[derive(Clone, Copy, Debug)]
pub struct AccessLine<'a> {
    /// Plane of the listener.
    pub exposure: Exposure,
    /// Address of the connection's other end, as text.
    pub client: &'a [u8],
    /// Method, as sent.
    pub method: &'a [u8],
    /// Host, normalised.
    pub host: &'a [u8],
    /// Path, without query.
    pub path: &'a [u8],
    /// Status of the answer.
    pub status: u16,
    /// Bytes sent to the client.
    pub bytes: u64,
    /// From the whole head to the end of the answer, in microseconds.
    pub duration_us: u64,
    /// The service that the route leads to.
    pub service: Option<&'a PortName>,
    /// The replica that was sent to last.
    pub endpoint: Option<SocketAddr>,
    /// Times that it was sent, or tried to be.
    pub attempts: u32,
    /// `X-Request-Id`, kept or made.
    pub request_id: &'a [u8],
    /// Why the answer is our own, when it is.
    pub reason: Option<Reason>,
    /// More for the operator: `not-exposed: ...` when the rule was refused exposure.
    pub note: Option<&'a str>,
}

/// The wall clock as text. The text of a second is kept until the second is over.
#[derive(Debug, Default)]
pub(super) struct Clock {
    second: u64,
    text: Vec<u8>,
}

impl Clock {
    /// Now, as RFC 3339 in UTC with milliseconds.
    pub(super) fn now(&mut self) -> &[u8] {
        const SECOND: usize = "2026-01-31T23:59:58".len();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(); // a clock before 1970 reads as 1970
        if self.second != since.as_secs() || self.text.is_empty() {
            self.second = since.as_secs();
            self.text = date_time(self.second).into_bytes();
        }
        self.text.truncate(SECOND);
        self.text.push(b'.');
        digits::padded(&mut self.text, u64::from(since.subsec_millis()), 3);
        self.text.push(b'Z');
        &self.text
    }
}

/// `2026-01-31T23:59:58`, by the proleptic Gregorian calendar counted in days from 1 March of year 0.
pub(super) fn date_time(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// Appends `line`, with its line feed.
pub(super) fn write(line: &AccessLine<'_>, time: &[u8], format: LogFormat, out: &mut Vec<u8>) {
    let mut fields = Fields { json: format == LogFormat::Json, out };
    fields.begin();
    fields.text("time", time);
    fields.text("exposure", line.exposure.as_str().as_bytes());
    fields.text("client", line.client);
    fields.text("method", line.method);
    fields.text("host", line.host);
    fields.text("path", line.path);
    fields.number("status", (line.status != 0).then_some(u64::from(line.status)));
    fields.number("bytes", Some(line.bytes));
    fields.value("duration_ms", Some(line.duration_us), |out, us| {
        digits::number(out, us / 1000);
        out.push(b'.');
        digits::padded(out, us % 1000, 3);
    });
    fields.quoted("service", line.service, |out, name| drop(write!(out, "{name}"))); // a Vec takes everything
    fields.quoted("endpoint", line.endpoint, digits::address);
    fields.number("attempts", Some(u64::from(line.attempts)));
    fields.text("request_id", line.request_id);
    fields.quoted("reason", line.reason, |out, reason| out.extend_from_slice(reason.as_str().as_bytes()));
    fields.text("note", line.note.unwrap_or_default().as_bytes());
    fields.end();
}

/// Writes keys and values in either form.
struct Fields<'o> {
    json: bool,
    out: &'o mut Vec<u8>,
}

impl Fields<'_> {
    fn begin(&mut self) {
        if self.json {
            self.out.push(b'{');
        }
    }

    fn key(&mut self, key: &str) {
        let first = matches!(self.out.last(), None | Some(b'{' | b'\n'));
        let (before, after) = if self.json { (",\"", "\":") } else { (" ", "=") };
        self.out.extend_from_slice(if first { &before.as_bytes()[1..] } else { before.as_bytes() });
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(after.as_bytes());
    }

    fn number(&mut self, key: &str, value: Option<u64>) {
        self.value(key, value, digits::number);
    }

    /// A value that is no text in JSON either.
    fn value<T>(&mut self, key: &str, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
        self.key(key);
        match value {
            Some(value) => write(self.out, value),
            None => self.out.extend_from_slice(self.nothing()),
        }
    }

    /// A text that needs no escapes.
    fn quoted<T>(&mut self, key: &str, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
        let quote: &[u8] = if self.json { b"\"" } else { b"" };
        self.value(key, value, |out, value| {
            out.extend_from_slice(quote);
            write(out, value);
            out.extend_from_slice(quote);
        });
    }

    /// A value that a client may have sent.
    fn text(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        if value.is_empty() {
            self.out.extend_from_slice(self.nothing());
        } else if self.json {
            self.json_string(value);
        } else {
            self.text_string(value);
        }
    }

    fn nothing(&self) -> &'static [u8] {
        if self.json { b"null" } else { b"-" }
    }

    fn end(&mut self) {
        self.out.extend_from_slice(if self.json { b"}\n" } else { b"\n" });
    }

    /// Visible ASCII as it is, quoted when it could be mistaken; every other byte as `\xNN`.
    fn text_string(&mut self, value: &[u8]) {
        let plain = value != b"-" && value.iter().all(|&byte| byte.is_ascii_graphic() && !b"\"\\=".contains(&byte));
        if plain {
            return self.out.extend_from_slice(value);
        }
        self.out.push(b'"');
        for &byte in value {
            match byte {
                b'"' | b'\\' => self.out.extend_from_slice(&[b'\\', byte]),
                b' '..=b'~' => self.out.push(byte),
                _ => self.hex("\\x", byte),
            }
        }
        self.out.push(b'"');
    }

    /// UTF-8 as it is; a byte that is not stands as the code point of its value, so that nothing is lost.
    fn json_string(&mut self, value: &[u8]) {
        self.out.push(b'"');
        for chunk in value.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '"' | '\\' => self.out.extend_from_slice(&[b'\\', character as u8]),
                    '\0'..='\x1f' | '\x7f' => self.hex("\\u00", character as u8),
                    _ => self.out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
                }
            }
            for &byte in chunk.invalid() {
                self.hex("\\u00", byte);
            }
        }
        self.out.push(b'"');
    }

    fn hex(&mut self, before: &str, byte: u8) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.out.extend_from_slice(before.as_bytes());
        self.out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}
