//! hyper's verdict: its HTTP/1 server over memory, driven to its end on the spot. No runtime, no socket, no clock.

use std::cell::RefCell;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Bytes, Incoming};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, header};

use super::by_us::LIMITS;
use super::{Message, Verdict};

/// More turns than any message of [`super::MOST`] bytes needs, unless the server waits for something that never comes.
const TURNS: usize = 1_000_000;

/// Gives the bytes, then the end; takes whatever is written.
struct Memory<'b> {
    left: &'b [u8],
}

impl Read for Memory<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, mut room: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let (now, later) = self.left.split_at(self.left.len().min(room.remaining()));
        room.put_slice(now);
        self.left = later;
        Poll::Ready(Ok(()))
    }
}

impl Write for Memory<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

pub(super) fn judge(bytes: &[u8]) -> Verdict {
    let first: Rc<RefCell<Option<Message>>> = Rc::default();
    let seen = first.clone();
    let service = service_fn(move |request| {
        let seen = seen.clone();
        async move {
            let message = message(request).await;
            seen.borrow_mut().get_or_insert(message);
            // One message is enough.
            Response::builder().header(header::CONNECTION, "close").body(Empty::<Bytes>::new())
        }
    });
    let mut server = http1::Builder::new();
    server.header_read_timeout(None).half_close(true).max_headers(LIMITS.fields);
    let mut connection = pin!(server.serve_connection(Memory { left: bytes }, service));
    let mut context = Context::from_waker(Waker::noop());
    let ended = (0..TURNS).find_map(|_| match connection.as_mut().poll(&mut context) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    });
    match (first.take(), ended) {
        (Some(message), _) => Verdict::Accepted(message),
        (None, Some(Err(error))) => Verdict::Refused(error.to_string()),
        (None, Some(Ok(()))) => Verdict::Refused("ended".to_owned()),
        (None, None) => panic!("hyper waits for ever on {bytes:?}"),
    }
}

async fn message(request: Request<Incoming>) -> Message {
    let (head, body) = request.into_parts();
    let host = match head.uri.authority() {
        Some(authority) => authority.as_str().as_bytes(),
        None => head.headers.get(header::HOST).map_or(&[][..], |value| value.as_bytes()),
    };
    Message {
        method: head.method.to_string(),
        target: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        host: String::from_utf8_lossy(host).into_owned(),
        length: body.size_hint().exact(),
        body: body.collect().await.map(|whole| whole.to_bytes().to_vec()).map_err(|error| error.to_string()),
    }
}
