//! Why Tidegate and hyper may differ: each row with its evidence.

use super::{Case, Verdict};

/// One way in which the readers differ on purpose.
pub struct Difference {
    /// Its name.
    pub name: &'static str,
    /// Why it is so.
    pub why: &'static str,
    /// Whether it is what the case shows.
    pub explains: fn(&Case<'_>) -> bool,
}

/// All of them.
pub const DIFFERENCES: &[Difference] = &[
    Difference {
        name: "bare-lf",
        why: "RFC 9112 section 2.2 lets a server take LF for a line end, and two readers then see two different heads",
        explains: |case| refused(case, "BareLf") && has_bare_lf(head(case.bytes)),
    },
    Difference {
        name: "empty-lines",
        why: "one empty line before a request is forgiven, as RFC 9112 section 2.2 asks; several are no client's mistake",
        explains: |case| refused(case, "EmptyLine") && case.bytes.starts_with(b"\r\n\r\n"),
    },
    Difference {
        name: "connect",
        why: "a gateway is no tunnel",
        explains: |case| refused(case, "Connect") && words(case.bytes).0 == b"CONNECT",
    },
    Difference {
        name: "target-form",
        why: "asterisk-form and authority-form name no path to route by, and other schemes are not served",
        explains: |case| refused(case, "TargetForm") && !words(case.bytes).1.starts_with(b"/") && !is_url(words(case.bytes).1),
    },
    Difference {
        name: "target-byte",
        why: "RFC 3986 knows visible ASCII alone, and a client does not send a fragment; hyper passes UTF-8 and cuts fragments off",
        explains: |case| refused(case, "TargetByte") && words(case.bytes).1.iter().any(|&byte| !byte.is_ascii_graphic() || byte == b'#'),
    },
    Difference {
        name: "target-character",
        why: "clients do send characters that RFC 3986 wants encoded, and replicas take them; they frame nothing and route nowhere else",
        explains: |case| hyper_refused(case) && words(case.bytes).1.iter().any(|byte| b"<>^`\"{|}\\[]".contains(byte)),
    },
    Difference {
        name: "user-information",
        why: "RFC 9110 section 4.2.4 wants it treated as an error: it serves to disguise the host",
        explains: |case| refused(case, "UserInfo") && is_url(words(case.bytes).1) && words(case.bytes).1.contains(&b'@'),
    },
    Difference {
        name: "missing-host",
        why: "RFC 9112 section 3.2 demands 400 for HTTP/1.1 without Host; hyper leaves that to the service",
        explains: |case| refused(case, "MissingHost") && count(case.bytes, b"host") == 0,
    },
    Difference {
        name: "several-hosts",
        why: "RFC 9112 section 3.2 demands 400 for more than one Host; hyper leaves that to the service",
        explains: |case| refused(case, "SeveralHosts") && count(case.bytes, b"host") > 1,
    },
    Difference {
        name: "bad-host",
        why: "RFC 9112 section 3.2 demands 400 for a Host that is none, and routes and seals are told apart by host",
        explains: |case| refused(case, "Host(") && has_bad_host(case.bytes),
    },
    Difference {
        name: "several-lengths",
        why: "RFC 9110 section 8.6 permits to take equal lengths for one; who sends two wants two readers to differ",
        explains: |case| refused(case, "SeveralLengths") && count(case.bytes, b"content-length") > 1,
    },
    Difference {
        name: "bad-length",
        why: "hyper does not read a length that stands after Transfer-Encoding",
        explains: |case| {
            refused(case, "ContentLength") && count(case.bytes, b"transfer-encoding") > 0 && count(case.bytes, b"content-length") > 0
        },
    },
    Difference {
        name: "length-and-encoding",
        why: "RFC 9112 section 6.1 permits to drop the length; it is what request smuggling is made of",
        explains: |case| {
            refused(case, "LengthAndEncoding") && count(case.bytes, b"transfer-encoding") > 0 && count(case.bytes, b"content-length") > 0
        },
    },
    Difference {
        name: "largest-lengths",
        why: "hyper keeps the two largest numbers of 64 bits for itself",
        explains: |case| hyper_refused(case) && values(case.bytes, b"content-length").any(is_reserved),
    },
    Difference {
        name: "transfer-codings",
        why: "only `chunked` is known here; hyper takes any list that ends with it",
        explains: |case| {
            let mut codings = values(case.bytes, b"transfer-encoding");
            refused(case, "TransferEncoding")
                && (count(case.bytes, b"transfer-encoding") > 1 || codings.any(|value| !value.eq_ignore_ascii_case(b"chunked")))
        },
    },
    Difference {
        name: "connection-options",
        why: "a list of options is work for each of them; nobody needs so many",
        explains: |case| {
            refused(case, "ConnectionOptions")
                && values(case.bytes, b"connection").map(|value| value.split(|&byte| byte == b',').count()).sum::<usize>() > 64
        },
    },
    Difference {
        name: "chunk-size",
        why: "hyper forgives white space after a chunk's size",
        explains: |case| body_refused(case, "ChunkSize") && contains_after_digit(body(case.bytes), b" \t"),
    },
    Difference {
        name: "chunk-digits",
        why: "more than 16 digits are never needed, and other readers overflow on them",
        explains: |case| body_refused(case, "ChunkOverflow") && longest_digits(body(case.bytes)) > 16,
    },
    Difference {
        name: "chunk-extension",
        why: "an extension is bounded and holds no control bytes",
        explains: |case| body_refused(case, "ChunkExtension") && body(case.bytes).contains(&b';'),
    },
    Difference {
        name: "trailer",
        why: "a trailer is a strict field line; hyper takes a bare LF there for the end of the trailers and drops what follows",
        explains: |case| body_refused(case, "Trailer") && has_last_chunk(case.bytes) && has_bare_lf(body(case.bytes)),
    },
    Difference {
        name: "forbidden-trailer",
        why: "RFC 9110 section 6.5.1: a trailer must not frame, route, or tell who sent the message",
        explains: |case| body_refused(case, "ForbiddenTrailer") && has_last_chunk(case.bytes),
    },
];

/// We refused the head for this.
fn refused(case: &Case<'_>, why: &str) -> bool {
    matches!((&case.ours, &case.hyper), (Verdict::Refused(ours), Verdict::Accepted(_)) if ours.starts_with(why))
}

/// We accepted a head that hyper refused.
fn hyper_refused(case: &Case<'_>) -> bool {
    matches!((&case.ours, &case.hyper), (Verdict::Accepted(_), Verdict::Refused(_)))
}

/// Both took the head for the same, and we refused the body for this.
fn body_refused(case: &Case<'_>, why: &str) -> bool {
    let (Verdict::Accepted(ours), Verdict::Accepted(hyper)) = (&case.ours, &case.hyper) else { return false };
    let same = ours.target == hyper.target && ours.host == hyper.host && ours.method == hyper.method && ours.length == hyper.length;
    same && hyper.body.is_ok() && ours.body.as_ref().is_err_and(|error| error == why)
}

/// The head as a lenient reader sees it: LF ends a line, empty lines before it do not count.
fn head(bytes: &[u8]) -> &[u8] {
    let (mut end, mut begun) = (0, false);
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        end += line.len();
        let empty = matches!(line, b"\n" | b"\r\n");
        if empty && begun {
            break;
        }
        begun |= !empty;
    }
    &bytes[..end]
}

/// The lines of the head that are not empty, without LF.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    head(bytes).split(|&byte| byte == b'\n').filter(|line| !matches!(*line, b"" | b"\r"))
}

fn has_bare_lf(bytes: &[u8]) -> bool {
    bytes.iter().enumerate().any(|(at, &byte)| byte == b'\n' && (at == 0 || bytes[at - 1] != b'\r'))
}

/// What follows the head.
fn body(bytes: &[u8]) -> &[u8] {
    &bytes[head(bytes).len()..]
}

/// Method and target.
fn words(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut words = lines(bytes).next().unwrap_or_default().split(|&byte| byte == b' ');
    (words.next().unwrap_or_default(), words.next().unwrap_or_default())
}

fn is_url(target: &[u8]) -> bool {
    let lower = target.to_ascii_lowercase();
    lower.starts_with(b"http://") || lower.starts_with(b"https://")
}

/// The values of the fields of this name.
fn values<'b>(bytes: &'b [u8], name: &'b [u8]) -> impl Iterator<Item = &'b [u8]> {
    lines(bytes).skip(1).filter_map(move |line| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        line[..colon].eq_ignore_ascii_case(name).then(|| line[colon + 1..].trim_ascii())
    })
}

fn count(bytes: &[u8], name: &[u8]) -> usize {
    values(bytes, name).count()
}

/// A host with a byte, label, port or literal that none may have. Told apart from the rule under test by going at it from the other
/// side: what is certainly good is letters, digits, `-`, `_` and single dots, then perhaps a port.
fn has_bad_host(bytes: &[u8]) -> bool {
    let target = words(bytes).1;
    let authority = is_url(target).then(|| {
        let rest = target.splitn(3, |&byte| byte == b'/').nth(2).unwrap_or_default();
        rest.split(|byte| matches!(byte, b'/' | b'?')).next().unwrap_or_default()
    });
    values(bytes, b"host").chain(authority).any(|host| !certainly_good(host))
}

fn certainly_good(host: &[u8]) -> bool {
    let (name, port) = match host.iter().position(|&byte| byte == b':') {
        Some(at) => (&host[..at], &host[at + 1..]),
        None => (host, &[][..]),
    };
    let name_good = name.len() < 250
        && name
            .split(|&byte| byte == b'.')
            .all(|label| !label.is_empty() && label.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte)));
    // Digits alone: the number parser of the standard library would take a sign.
    let port_good = port.len() < 6
        && port.iter().all(u8::is_ascii_digit)
        && std::str::from_utf8(port).is_ok_and(|port| port.is_empty() || port.parse::<u16>().is_ok());
    name_good && port_good
}

/// One of the two numbers that hyper does not take for a length.
fn is_reserved(value: &[u8]) -> bool {
    std::str::from_utf8(value).ok().and_then(|value| value.parse::<u64>().ok()).is_some_and(|value| value >= u64::MAX - 1)
}

fn contains_after_digit(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(2).any(|two| two[0].is_ascii_hexdigit() && wanted.contains(&two[1]))
}

fn longest_digits(bytes: &[u8]) -> usize {
    bytes.split(|byte| !byte.is_ascii_hexdigit()).map(<[u8]>::len).max().unwrap_or(0)
}

/// A line of zeros that ends the chunks, with something after it.
fn has_last_chunk(bytes: &[u8]) -> bool {
    body(bytes).split(|&byte| byte == b'\n').any(|line| {
        let size = line.split(|byte| matches!(byte, b';' | b'\r')).next().unwrap_or_default();
        !size.is_empty() && size.iter().all(|&byte| byte == b'0')
    })
}
