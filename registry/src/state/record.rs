//! Lines of the state files: eight hex digits of CRC-32, a space, JSON.
//!
//! Invariant: any one byte changed anywhere costs at most the record that it is in, and is always noticed. A line end that was
//! changed joins two lines; both are found again by their checks. No file is opened here. What is written is never in memory as a whole.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use config::object::Object;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Grant;
use crate::event::Origin;

/// Format of the files; another number is not read.
const FORMAT: u32 = 1;
/// Check and space before the JSON.
const PREFIX: usize = 9;

/// What was wrong with a file's lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Each damaged place.
    pub(super) damage: Vec<Damage>,
    /// Whether a record is missing, not only a line end.
    pub(super) lost: bool,
}

/// One damaged place.
#[derive(Debug)]
pub(super) struct Damage {
    /// Line number, from 1.
    pub(super) line: usize,
    /// What to tell.
    pub(super) what: String,
    /// The line as found, to be set aside.
    pub(super) bytes: Option<Vec<u8>>,
}

/// First line of each file: what it is and how many records follow, so that a lost tail is noticed.
#[derive(Serialize, Deserialize)]
struct Header {
    tidegate: u32,
    records: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<SavedPath>,
}

/// A path; as bytes when it is not UTF-8.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum SavedPath {
    Text(String),
    Bytes(Vec<u8>),
}

impl SavedPath {
    fn of(path: &Path) -> SavedPath {
        match path.to_str() {
            Some(text) => SavedPath::Text(text.to_owned()),
            None => SavedPath::Bytes(path.as_os_str().as_bytes().to_vec()),
        }
    }

    fn into_origin(self) -> Origin {
        match self {
            SavedPath::Text(text) => Path::new(&text).into(),
            SavedPath::Bytes(bytes) => Path::new(OsStr::from_bytes(&bytes)).into(),
        }
    }
}

/// Name of an origin's objects file: FNV-1a of its path, the same in every version.
pub(super) fn file_name(origin: &Path) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for &byte in origin.as_os_str().as_bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{hash:016x}")
}

/// Writes the file of grants.
pub(super) fn write_grants(grants: &[Grant], out: &mut impl Write) -> io::Result<()> {
    write(&Header { tidegate: FORMAT, records: grants.len(), origin: None }, grants, out)
}

/// Writes an origin's file of objects.
pub(super) fn write_objects(origin: &Path, objects: &[Arc<Object>], out: &mut impl Write) -> io::Result<()> {
    write(&Header { tidegate: FORMAT, records: objects.len(), origin: Some(SavedPath::of(origin)) }, objects, out)
}

fn write<T: Serialize>(header: &Header, records: &[T], out: &mut impl Write) -> io::Result<()> {
    let mut line = Vec::new();
    write_line(header, &mut line, out)?;
    records.iter().try_for_each(|record| write_line(record, &mut line, out))
}

fn write_line<T: Serialize>(record: &T, json: &mut Vec<u8>, out: &mut impl Write) -> io::Result<()> {
    json.clear();
    // Maps here have text keys only, so that this cannot fail.
    serde_json::to_writer(&mut *json, record)?;
    write!(out, "{:08x} ", crc32fast::hash(json))?;
    json.push(b'\n');
    out.write_all(json)
}

/// Reads the file of grants.
pub(super) fn read_grants(bytes: &[u8]) -> (Vec<Grant>, Lines) {
    let (_, grants, lines) = read(bytes);
    (grants, lines)
}

/// Reads an objects file; without its first line nobody knows whose objects they are.
pub(super) fn read_objects(bytes: &[u8]) -> (Option<Origin>, Vec<Object>, Lines) {
    let (header, objects, mut lines) = read(bytes);
    let origin = header.and_then(|header| header.origin).map(SavedPath::into_origin);
    lines.lost |= origin.is_none();
    (origin, objects, lines)
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> (Option<Header>, Vec<T>, Lines) {
    let mut lines = Lines::default();
    let mut header: Option<Header> = None;
    let mut records = Vec::new();
    for (at, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let whole = line.strip_suffix(b"\n").and_then(json);
        let found = whole.map_or_else(|| mend(line), |json| vec![json]);
        if whole.is_none() {
            let what =
                if found.is_empty() { "a record failed its check and was set aside" } else { "its end is damaged; its record is whole" };
            let bytes = line.strip_suffix(b"\n").unwrap_or(line).to_vec();
            lines.damage.push(Damage { line: at + 1, what: what.to_owned(), bytes: Some(bytes) });
        }
        for json in found {
            match Parsed::of(json, header.is_none()) {
                Parsed::Header(found) => header = Some(found),
                Parsed::Record(record) => records.push(record),
                Parsed::Unknown(what) => lines.damage.push(Damage { line: at + 1, what, bytes: Some(line.trim_ascii_end().to_vec()) }),
            }
        }
    }
    count(header.as_ref(), records.len(), &mut lines);
    (header, records, lines)
}

enum Parsed<T> {
    Header(Header),
    Record(T),
    Unknown(String),
}

impl<T: DeserializeOwned> Parsed<T> {
    fn of(json: &[u8], may_be_header: bool) -> Parsed<T> {
        if may_be_header && let Ok(header) = serde_json::from_slice::<Header>(json) {
            return match header.tidegate {
                FORMAT => Parsed::Header(header),
                other => Parsed::Unknown(format!("format {other} is not known to this version, which reads format {FORMAT}")),
            };
        }
        serde_json::from_slice(json).map_or_else(|error| Parsed::Unknown(format!("a record of another version: {error}")), Parsed::Record)
    }
}

/// Compares with the header's count: a file cut at a line end has no damaged line.
fn count(header: Option<&Header>, found: usize, lines: &mut Lines) {
    let Some(header) = header else {
        lines.lost = true;
        if lines.damage.is_empty() {
            lines.damage.push(Damage { line: 1, what: "the first line, which counts the records, is missing".to_owned(), bytes: None });
        }
        return;
    };
    if header.records != found {
        lines.lost = true;
        let what = format!("{found} whole records were found where {} were written", header.records);
        lines.damage.push(Damage { line: 1, what, bytes: None });
    }
}

/// The JSON of a whole line. Upper-case digits are damage too: no other spelling than the written one passes.
fn json(line: &[u8]) -> Option<&[u8]> {
    let json = line.get(PREFIX..)?;
    let check = format!("{:08x} ", crc32fast::hash(json));
    (line[..PREFIX] == *check.as_bytes()).then_some(json)
}

/// Finds the whole records in a line that fails its check because the line end before, between or after them was changed.
fn mend(line: &[u8]) -> Vec<&[u8]> {
    let starts = (1..line.len()).filter(|&at| looks_like_record(&line[at..]));
    for start in starts {
        let tail = &line[start..];
        let tail = tail.strip_suffix(b"\n").unwrap_or(tail);
        if let Some(second) = json(tail) {
            return json(&line[..start - 1]).into_iter().chain([second]).collect();
        }
    }
    line.split_last().and_then(|(_, rest)| json(rest)).or_else(|| json(line)).into_iter().collect()
}

fn looks_like_record(bytes: &[u8]) -> bool {
    let Some(prefix) = bytes.get(..=PREFIX) else { return false };
    prefix[..8].iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) && prefix[8..] == *b" {"
}
