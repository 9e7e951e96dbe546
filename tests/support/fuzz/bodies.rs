//! Any bytes as a body: the verdict does not depend on how they were cut, and its content is what a slow reading gives.
//!
//! The input's first byte says how the body is framed, its second how it is cut; the rest is the body and what follows it.

use proxy::http::body::{BodyError, BodyReader};
use proxy::http::head::Framing;

use super::Target;
use crate::chance::Chance;

/// See the module.
pub const TARGET: Target = Target { name: "bodies", run, seeds, words: WORDS };

/// How many bytes were the body's, its content, and whether it was all; or why it was refused.
type Verdict = Result<(usize, Vec<u8>, bool), BodyError>;

fn run(bytes: &[u8]) {
    let [kind, cut, body @ ..] = bytes else { return };
    let framing = match kind % 4 {
        0 | 1 => Framing::Chunked,
        2 => Framing::Length(u64::from(kind >> 2) * 3),
        _ => Framing::UntilClose,
    };
    let whole = read(framing, body, &[]);
    assert_eq!(whole, read(framing, body, &Chance::of(u64::from(*cut)).cuts(body.len())), "it depends on how it was cut");
    let mut passed = BodyReader::new(framing);
    assert_eq!(passed.advance(body), whole.clone().map(|(count, ..)| count), "it depends on whether its content was wanted");
    let Ok((count, content, done)) = whole else { return };
    assert_eq!(done, passed.done());
    assert_eq!(done || framing == Framing::UntilClose, passed.eof().is_ok(), "an end that comes too early is a cut");
    match framing {
        Framing::Chunked if done => assert_eq!(content, unchunked(&body[..count]), "another content"),
        Framing::Chunked => assert_eq!(count, body.len(), "it wants more"),
        _ => assert_eq!(content, &body[..count], "another content"),
    }
}

fn read(framing: Framing, body: &[u8], cuts: &[usize]) -> Verdict {
    let mut reader = BodyReader::new(framing);
    let (mut content, mut count, mut from) = (Vec::new(), 0, 0);
    for to in cuts.iter().copied().chain([body.len()]) {
        let taken = reader.advance_decoded(&body[from..to], &mut content)?;
        assert!(taken == to - from || reader.done(), "bytes were left over before the end");
        count += taken;
        from = to;
    }
    Ok((count, content, reader.done()))
}

/// The content of a chunked body that is known to be good, by cutting it up.
fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let line = body.windows(2).position(|two| two == b"\r\n").expect("a size has its line end");
        let digits = body[..line].split(|&byte| byte == b';').next().unwrap_or_default();
        let size = std::str::from_utf8(digits).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok()).expect("a size is a number");
        if size == 0 {
            return content;
        }
        content.extend_from_slice(&body[line + 2..line + 2 + size]);
        body = &body[line + 2 + size + 2..];
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let chunked: [&[u8]; 6] = [
        b"5\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n6;a=b\r\n world\r\n0;c\r\nX-Sum: 1\r\nY:\r\n\r\nGET /",
        b"0\r\n\r\n",
        b"0000000A\r\n0123456789\r\n00\r\n\r\n",
        b"ffffffffffffffff\r\nx",
        b"0\r\nContent-Length: 1\r\n\r\n",
    ];
    let framed = chunked.iter().map(|body| [b"\x00\x07".as_slice(), body].concat());
    framed.chain([b"\x0e\x07hello, world".to_vec(), b"\x03\x07hello".to_vec(), b"\x02\x00GET".to_vec()]).collect()
}

const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"0\r\n",
    b"5\r\nhello\r\n",
    b"1\r\nx\r\n",
    b";a=b",
    b"X: y\r\n",
    b"Host: a\r\n",
    b"x_forwarded_for: b\r\n",
    b"ffffffffffffffff",
    b"00000000000000000",
    b"\n",
    b"\r",
    b" ",
];
