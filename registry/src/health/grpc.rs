//! `grpc`: the call `grpc.health.v1.Health/Check`, which must answer SERVING.
//!
//! The two messages are a text and a number, so that they are written and read by hand
//! (<https://github.com/grpc/grpc/blob/master/doc/health-checking.md>). Refuses: an answer of more than [`MOST_ANSWER`] bytes,
//! a compressed one, and one that is not gRPC.

use std::net::SocketAddr;

use h2::RecvStream;
use h2::client::SendRequest;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, TE, USER_AGENT};
use hyper::{HeaderMap, Method, Request, Response};
use tokio::net::TcpStream;

use super::Failure;
use super::ask::{self, drive};

/// Bytes of the answer's content: a status takes seven.
const MOST_ANSWER: usize = 1024;
/// Bytes of the fields of an answer.
const MOST_FIELDS: u32 = 16 * 1024;
/// `ServingStatus.SERVING`
const SERVING: u32 = 1;

static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Calls, in plain HTTP/2.
pub(super) async fn ask(service: &str, address: SocketAddr) -> Result<(), Failure> {
    let stream = TcpStream::connect(address).await?;
    let mut terms = h2::client::Builder::new();
    terms.enable_push(false).max_header_list_size(MOST_FIELDS);
    let (sender, connection) = terms.handshake(stream).await.map_err(failed)?;
    drive(call(sender, service, address), connection).await
}

async fn call(sender: SendRequest<Bytes>, service: &str, address: SocketAddr) -> Result<(), Failure> {
    let mut sender = sender.ready().await.map_err(failed)?;
    let request = request(address).ok_or(Failure::Protocol)?;
    let (answer, mut content) = sender.send_request(request, false).map_err(failed)?;
    content.send_data(asked(service), true).map_err(failed)?;
    judge(answer.await.map_err(failed)?).await
}

fn request(address: SocketAddr) -> Option<Request<()>> {
    let request = Request::builder().method(Method::POST).uri(format!("http://{address}/grpc.health.v1.Health/Check"));
    let fields = [(CONTENT_TYPE, "application/grpc"), (TE, "trailers"), (USER_AGENT, ask::USER_AGENT)];
    let request = fields.into_iter().fold(request, |request, (name, value)| request.header(name, HeaderValue::from_static(value)));
    request.body(()).ok()
}

async fn judge(answer: Response<RecvStream>) -> Result<(), Failure> {
    let (head, mut content) = answer.into_parts();
    if head.status != 200 {
        return Err(Failure::Status(head.status.as_u16()));
    }
    let kind = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !kind.is_some_and(|kind| kind.starts_with(b"application/grpc")) {
        return Err(Failure::Protocol);
    }
    let mut message = Vec::new();
    while let Some(piece) = content.data().await {
        let piece = piece.map_err(failed)?;
        if message.len() + piece.len() > MOST_ANSWER {
            return Err(Failure::Protocol);
        }
        content.flow_control().release_capacity(piece.len()).map_err(failed)?;
        message.extend_from_slice(&piece);
    }
    let trailers = content.trailers().await.map_err(failed)?.unwrap_or(head.headers);
    match status(&trailers).ok_or(Failure::Protocol)? {
        0 => {}
        other => return Err(Failure::Call(other)),
    }
    match serving(&message).ok_or(Failure::Protocol)? {
        SERVING => Ok(()),
        other => Err(Failure::Serving(other)),
    }
}

fn status(fields: &HeaderMap) -> Option<u32> {
    fields.get(&GRPC_STATUS)?.to_str().ok()?.parse().ok()
}

/// `HealthCheckRequest`: field 1 is the service, left out where it is empty; in front the prefix of a message that is not compressed.
fn asked(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.push(length as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX); // a manifest is smaller
    [&[0], &length.to_be_bytes()[..], &message].concat().into()
}

/// The status of a `HealthCheckResponse`, which is field 1; other fields are passed over. `None`: it is no such message.
fn serving(answer: &[u8]) -> Option<u32> {
    let (&[compressed, a, b, c, d], mut message) = answer.split_first_chunk::<5>()?;
    if compressed != 0 || u32::from_be_bytes([a, b, c, d]) as usize != message.len() {
        return None;
    }
    let mut status = 0;
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let skipped = match key & 7 {
            0 => {
                let value = varint(&mut message)?;
                if key >> 3 == 1 {
                    status = u32::try_from(value).unwrap_or(u32::MAX);
                }
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut message)?).ok()?,
            5 => 4,
            _ => return None,
        };
        message = message.get(skipped..)?;
    }
    Some(status)
}

/// The next number of a message of protobuf.
fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn failed(error: h2::Error) -> Failure {
    match error.get_io() {
        Some(io) => io.kind().into(),
        None if error.is_library() => Failure::Protocol,
        None => Failure::Cut,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_as_protobuf_writes_it() {
        assert_eq!(&asked("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&asked("shop")[..], b"\0\0\0\0\x06\x0a\x04shop");
        let long = "s".repeat(300);
        assert_eq!(&asked(&long)[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
    }

    #[test]
    fn the_answer_is_read_among_fields_that_nobody_knows() {
        assert_eq!(serving(b"\0\0\0\0\x02\x08\x01"), Some(1));
        assert_eq!(serving(b"\0\0\0\0\0"), Some(0), "a status that is left out is UNKNOWN");
        assert_eq!(serving(b"\0\0\0\0\x16\x12\x02ab\x19\0\0\0\0\0\0\0\0\x25\0\0\0\0\x08\x02\x10"), None, "it is cut");
        assert_eq!(serving(b"\0\0\0\0\x14\x12\x02ab\x19\0\0\0\0\0\0\0\0\x25\0\0\0\0\x08\x02"), Some(2));
    }

    #[test]
    fn what_is_no_answer_is_none() {
        for wrong in
            [&b""[..], b"\0\0\0\0", b"\x01\0\0\0\x02\x08\x01", b"\0\0\0\0\x03\x08\x01", b"\0\0\0\0\x01\x08", b"\0\0\0\0\x02\x0a\x7f"]
        {
            assert_eq!(serving(wrong), None, "{wrong:?}");
        }
        assert_eq!(serving(&[&[0, 0, 0, 0, 12, 8], &[0xff; 11][..]].concat()), None, "a number without end");
    }
}
