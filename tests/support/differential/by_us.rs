//! Tidegate's verdict.

use proxy::http::body::BodyReader;
use proxy::http::head::{Framing, HeadLimits, RequestHead};

use super::{Message, Verdict};

pub(super) const LIMITS: HeadLimits = HeadLimits { bytes: 64 * 1024, fields: 100 };

pub(super) fn judge(bytes: &[u8]) -> Verdict {
    let mut head = RequestHead::new(LIMITS);
    let length = match head.read(bytes) {
        Ok(Some(length)) => length,
        Ok(None) => return Verdict::Refused("not whole".to_owned()),
        Err(error) => return Verdict::Refused(format!("{error:?}")),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let target = text(head.target().of(bytes));
    Verdict::Accepted(Message {
        method: text(head.method_span().of(bytes)),
        target: if target.starts_with('/') { target } else { format!("/{target}") },
        host: text(head.authority().map_or(&[][..], |span| span.of(bytes))),
        length: match head.framing() {
            Framing::None => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::UntilClose => None,
        },
        body: content(head.framing(), &bytes[length..]),
    })
}

fn content(framing: Framing, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut reader = BodyReader::new(framing);
    let mut content = Vec::new();
    let read = reader.advance_decoded(bytes, &mut content).and_then(|_| reader.eof());
    read.map(|()| content).map_err(|error| format!("{error:?}"))
}
