//! Bodies: they pass as they came, decode to what was meant, and break at every fault, in whatever pieces they arrive.

use proptest::prelude::*;

use super::*;

/// Follows `bytes` cut at `ends`: bytes that belong to the body and its content, or the fault.
fn follow(framing: Framing, bytes: &[u8], ends: &[usize]) -> Result<(usize, Vec<u8>, bool), BodyError> {
    let (mut verbatim, mut decoded) = (BodyReader::new(framing), BodyReader::new(framing));
    let (mut taken, mut content) = (0, Vec::new());
    for &end in ends.iter().chain([&bytes.len()]) {
        let piece = &bytes[taken.min(end)..end];
        let count = verbatim.advance(piece);
        assert_eq!(decoded.advance_decoded(piece, &mut content), count);
        let count = count?;
        assert!(count == piece.len() || verbatim.done());
        taken += count;
    }
    assert_eq!(verbatim.done(), decoded.done());
    Ok((taken, content, verbatim.done()))
}

fn chunked(text: &str) -> Result<(usize, Vec<u8>, bool), BodyError> {
    follow(Framing::Chunked, text.as_bytes(), &[])
}

#[test]
fn each_framing_ends_where_it_says() {
    assert_eq!(follow(Framing::None, b"next", &[]), Ok((0, vec![], true)));
    assert_eq!(follow(Framing::Length(0), b"next", &[]), Ok((0, vec![], true)));
    assert_eq!(follow(Framing::Length(4), b"bodynext", &[]), Ok((4, b"body".to_vec(), true)));
    assert_eq!(follow(Framing::Length(u64::MAX), b"body", &[]), Ok((4, b"body".to_vec(), false)));
    assert_eq!(follow(Framing::UntilClose, b"body", &[]), Ok((4, b"body".to_vec(), false)));
    assert_eq!(chunked("5\r\nhello\r\n0\r\n\r\nnext"), Ok((15, b"hello".to_vec(), true)));
    assert_eq!(chunked("A;x=\"y\"\r\n0123456789\r\n00\r\nX-T: v\r\ny:\r\n\r\n"), Ok((39, b"0123456789".to_vec(), true)));
    assert_eq!(chunked("5\r\nhel"), Ok((6, b"hel".to_vec(), false)));
}

#[test]
fn only_some_bodies_may_end_with_the_connection() {
    assert_eq!(BodyReader::new(Framing::None).eof(), Ok(()));
    let mut until = BodyReader::new(Framing::UntilClose);
    assert_eq!((until.done(), until.eof(), until.done()), (false, Ok(()), true));
    assert_eq!(BodyReader::new(Framing::Length(1)).eof(), Err(BodyError::Cut));
    let mut reader = BodyReader::new(Framing::Chunked);
    assert_eq!(reader.advance(b"0\r\n"), Ok(3));
    assert_eq!(reader.eof(), Err(BodyError::Cut), "the empty line after the last chunk is missing");
}

#[test]
fn bad_chunks_are_refused() {
    let long = format!("1;{}\r\n", "x".repeat(257));
    for (text, error) in [
        ("\r\n", BodyError::ChunkSize),
        ("+5\r\n", BodyError::ChunkSize),
        ("-5\r\n", BodyError::ChunkSize),
        (" 5\r\n", BodyError::ChunkSize),
        ("5 \r\n", BodyError::ChunkSize),
        ("5\t;x\r\n", BodyError::ChunkSize),
        ("0x5\r\n", BodyError::ChunkSize),
        ("5_\r\n", BodyError::ChunkSize),
        ("g\r\n", BodyError::ChunkSize),
        (";x\r\n", BodyError::ChunkSize),
        ("5\n", BodyError::ChunkSize),
        ("5\rx", BodyError::ChunkEnd),
        ("5;a\n", BodyError::ChunkExtension),
        ("5;a\0\r\n", BodyError::ChunkExtension),
        ("5;\x7f\r\n", BodyError::ChunkExtension),
        (&long, BodyError::ChunkExtension),
        ("5;a\rb\r\n", BodyError::ChunkEnd),
        ("10000000000000000\r\n", BodyError::ChunkOverflow),
        ("00000000000000005\r\n", BodyError::ChunkOverflow),
        ("1\r\nab", BodyError::ChunkEnd),
        ("1\r\na\n", BodyError::ChunkEnd),
        ("1\r\na\rb", BodyError::ChunkEnd),
        ("1\r\na5\r\n", BodyError::ChunkEnd),
    ] {
        assert_eq!(chunked(text), Err(error), "{text:?}");
    }
    assert_eq!(chunked("ffffffffffffffff\r\nab"), Ok((20, b"ab".to_vec(), false)), "the largest size that fits");
    let exact = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(256));
    assert!(chunked(&exact).is_ok_and(|(_, _, done)| done));
    let all = format!("1;{}\r\na\r\n", "x".repeat(256)).repeat(65);
    assert_eq!(chunked(&all), Err(BodyError::ChunkExtension), "all extensions together are bounded, too");
}

#[test]
fn trailers_are_strict_field_lines_that_frame_nothing() {
    for line in [
        "X-Checksum: 1",
        "grpc-status:0",
        "Server-Timing: a;dur=1",
        "X: \t\u{e9} ",
        "ETag: \"x\"",
        "a-name-that-is-longer-than-any-known-one: x",
    ] {
        assert!(chunked(&format!("0\r\n{line}\r\n\r\n")).is_ok_and(|(_, _, done)| done), "{line:?}");
    }
    for (line, error) in [
        ("Content-Length: 5", BodyError::ForbiddenTrailer),
        ("TRANSFER-ENCODING: chunked", BodyError::ForbiddenTrailer),
        ("host: a", BodyError::ForbiddenTrailer),
        ("Connection: close", BodyError::ForbiddenTrailer),
        ("X-Forwarded-For: 1.2.3.4", BodyError::ForbiddenTrailer),
        ("X-Forwarded-A-Very-Long-Name-Indeed: 1.2.3.4", BodyError::ForbiddenTrailer),
        ("Forwarded: for=x", BodyError::ForbiddenTrailer),
        ("X : y", BodyError::Trailer),
        (" X: y", BodyError::Trailer),
        (": y", BodyError::Trailer),
        ("X", BodyError::Trailer),
        ("X: y\r\n z", BodyError::Trailer),
        ("X: y\nZ: a", BodyError::Trailer),
        ("X: y\0", BodyError::Trailer),
        ("X: y\rz", BodyError::Trailer),
    ] {
        assert_eq!(chunked(&format!("0\r\n{line}\r\n\r\n")), Err(error), "{line:?}");
    }
    assert_eq!(chunked("0\r\n\n"), Err(BodyError::Trailer));
    assert_eq!(chunked("0\r\n\r\r"), Err(BodyError::Trailer));
}

#[test]
fn trailers_are_bounded_in_number_and_in_bytes() {
    let many = |count: usize| chunked(&format!("0\r\n{}\r\n", "X: y\r\n".repeat(count)));
    assert!(many(100).is_ok_and(|(_, _, done)| done));
    assert_eq!(many(101), Err(BodyError::TrailersTooLarge));
    let large = |bytes: usize| chunked(&format!("0\r\nX:{}\r\n\r\n", "y".repeat(bytes - "X:\r\n\r\n".len())));
    assert!(large(16 * 1024).is_ok_and(|(_, _, done)| done));
    assert_eq!(large(16 * 1024 + 1), Err(BodyError::TrailersTooLarge));
}

/// A chunked body and its content.
fn body() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let chunk = (prop::collection::vec(any::<u8>(), 1..40), prop::option::of("[ -~]{0,12}"), any::<bool>(), 0..3usize);
    let trailer = "[a-z]{1,9}-x:[ -~]{0,9}";
    (prop::collection::vec(chunk, 0..8), prop::collection::vec(trailer, 0..3)).prop_map(|(chunks, trailers)| {
        let (mut bytes, mut content) = (Vec::new(), Vec::new());
        for (data, extension, upper, zeros) in chunks {
            let size = if upper { format!("{:X}", data.len()) } else { format!("{:x}", data.len()) };
            let extension = extension.map(|text| format!(";{text}")).unwrap_or_default();
            bytes.extend_from_slice(format!("{}{size}{extension}\r\n", "0".repeat(zeros)).as_bytes());
            bytes.extend_from_slice(&data);
            bytes.extend_from_slice(b"\r\n");
            content.extend_from_slice(&data);
        }
        bytes.extend_from_slice(b"0\r\n");
        for trailer in trailers {
            bytes.extend_from_slice(format!("{trailer}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        (bytes, content)
    })
}

fn sorted(cuts: &[prop::sample::Index], length: usize) -> Vec<usize> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(length + 1)).collect();
    ends.sort_unstable();
    ends
}

proptest! {
    #[test]
    fn chunked_bodies_pass_whole_and_decode(
        (bytes, content) in body(),
        next in prop::collection::vec(any::<u8>(), 0..9),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..9),
    ) {
        let length = bytes.len();
        let bytes = [bytes, next].concat();
        prop_assert_eq!(follow(Framing::Chunked, &bytes, &sorted(&cuts, bytes.len())), Ok((length, content, true)));
    }

    #[test]
    fn pieces_do_not_change_the_verdict(
        (bytes, _) in body(),
        at in any::<prop::sample::Index>(),
        byte in prop_oneof![any::<u8>(), prop::sample::select(b"\r\n :;0".to_vec())],
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..9),
    ) {
        let mut bytes = bytes;
        let at = at.index(bytes.len());
        bytes[at] = byte;
        prop_assert_eq!(follow(Framing::Chunked, &bytes, &sorted(&cuts, bytes.len())), follow(Framing::Chunked, &bytes, &[]));
    }

    #[test]
    fn arbitrary_bytes_are_judged_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), length in any::<u64>()) {
        let _ = follow(Framing::Chunked, &bytes, &[]);
        let _ = follow(Framing::Length(length), &bytes, &[]);
    }
}

#[test]
fn chunks_are_counted_before_they_come() {
    let mut reader = BodyReader::new(Framing::Chunked);
    assert_eq!(reader.limit(8), Ok(()));
    assert_eq!(reader.advance(b"5\r\nhello\r\n3\r\nabc\r\n"), Ok(18));
    assert_eq!(reader.advance(b"1\r\n"), Err(BodyError::TooLarge));
    let mut reader = BodyReader::new(Framing::Chunked);
    assert_eq!(reader.advance(b"ffffffffffffffff\r\nh"), Ok(19));
    assert_eq!(reader.limit(8), Err(BodyError::TooLarge), "what was announced before the limit was known");
    let mut reader = BodyReader::new(Framing::Chunked);
    assert_eq!((reader.limit(0), reader.advance(b"0\r\n\r\n"), reader.done()), (Ok(()), Ok(5), true));
}
