//! Questions over TCP (RFC 7766).
//!
//! hickory-server takes as many connections as come; these are bounded, so that nobody uses up the open files of the whole process, and strangers
//! take no place of those who may ask. Invariant: one question of a connection is answered before the next is read; what is no question
//! ends it, as does silence.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_server::net::NetError;
use hickory_server::net::runtime::TokioTime;
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::op::MessageType;
use hickory_server::proto::rr::Record;
use hickory_server::proto::serialize::binary::BinEncoder;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponse;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::desk::Desk;

/// Connections of those who may ask, on one address.
const CONNECTIONS: usize = 1024;
/// Connections of those who are only told that they may not.
const STRANGERS: usize = 32;
/// A connection that is silent, or does not take its answer, ends after this.
const IDLE: Duration = Duration::from_secs(10);
/// What cannot be accepted, since too many files are open, is tried again after this.
const PAUSE: Duration = Duration::from_millis(500);

/// Accepts until the process ends.
pub(super) async fn serve(listener: TcpListener, desk: Desk) {
    let (known, strangers) = (Arc::new(Semaphore::new(CONNECTIONS)), Arc::new(Semaphore::new(STRANGERS)));
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "a DNS connection cannot be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let room = if desk.admits(peer.ip()) { &known } else { &strangers };
        let Ok(place) = room.clone().try_acquire_owned() else { continue };
        let desk = desk.clone();
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = converse(stream, peer, &desk).await {
                tracing::debug!(%peer, %error, "a DNS connection ended");
            }
        });
    }
}

async fn converse(mut stream: TcpStream, peer: SocketAddr, desk: &Desk) -> io::Result<()> {
    loop {
        let question = timeout(IDLE, read(&mut stream)).await??;
        let request = Request::from_bytes(question, peer, Protocol::Tcp).map_err(io::Error::other)?;
        if request.metadata.message_type != MessageType::Query {
            return Ok(());
        }
        let page = Page::default();
        desk.handle_request::<_, TokioTime>(&request, page.clone()).await;
        timeout(IDLE, stream.write_all(&page.framed()?)).await??;
    }
}

/// Two bytes of length, and so many (RFC 1035, section 4.2.2).
async fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut question = vec![0; usize::from(length)];
    stream.read_exact(&mut question).await?;
    Ok(question)
}

/// An answer as it goes on the wire.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn framed(&self) -> io::Result<Vec<u8>> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let length = u16::try_from(bytes.len()).ok().filter(|length| *length > 0);
        let length = length.ok_or_else(|| io::Error::other("an answer that cannot be written"))?;
        Ok([&length.to_be_bytes()[..], &bytes].concat())
    }
}

#[async_trait::async_trait]
impl ResponseHandler for Page {
    async fn send_response<'a>(
        &mut self,
        response: MessageResponse<
            '_,
            'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
        >,
    ) -> Result<ResponseInfo, NetError> {
        let mut bytes = Vec::with_capacity(512);
        let mut encoder = BinEncoder::new(&mut bytes);
        encoder.set_max_size(u16::MAX);
        let sent = response.destructive_emit(&mut encoder)?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = bytes;
        Ok(sent)
    }
}
