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

#[cfg(test)]
mod tests {
    use config::exposure::Exposure;
    use config::settings::Settings;
    use proptest::prelude::*;
    use registry::snapshot::{Plane, Snapshot};
    use tokio::sync::watch;

    use super::super::rules::Rules;
    use super::*;

    /// One that knows nothing and asks nobody.
    fn desk() -> Desk {
        let mut settings = Settings::default();
        settings.dns.forward = false;
        let nothing = Snapshot { version: 1, external: Plane::empty(Exposure::External), internal: Plane::empty(Exposure::Internal) };
        let (_, snapshots) = watch::channel(Arc::new(nothing));
        let (_, rules) = watch::channel(Arc::new(Rules::of(&settings, &[])));
        Desk::new(snapshots, rules, &[], Arc::default())
    }

    /// What is answered to these bytes, when they are a message at all.
    fn answered(desk: &Desk, bytes: Vec<u8>, peer: &str) -> Option<Vec<u8>> {
        let request = Request::from_bytes(bytes, peer.parse().unwrap(), Protocol::Tcp).ok()?;
        let (page, runtime) = (Page::default(), tokio::runtime::Builder::new_current_thread().build().unwrap());
        runtime.block_on(async { desk.handle_request::<_, TokioTime>(&request, page.clone()).await });
        Some(page.framed().expect("every message is answered"))
    }

    /// A question with a part of it overwritten: closer to the wire than noise.
    fn message() -> impl Strategy<Value = Vec<u8>> {
        let question = b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x03web\x04shop\x00\x00\x01\x00\x01\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";
        let hit = (0..question.len(), any::<u8>());
        prop::collection::vec(hit, 0..6).prop_map(|hits| {
            let mut bytes = question.to_vec();
            hits.into_iter().for_each(|(at, byte)| bytes[at] = byte);
            bytes
        })
    }

    proptest! {
        #[test]
        fn every_message_has_an_answer_of_its_own_and_strangers_have_one_alone(
            bytes in prop_oneof![4 => message(), 1 => prop::collection::vec(any::<u8>(), 0..80)],
        ) {
            let desk = desk();
            if let Some(answer) = answered(&desk, bytes.clone(), "127.0.0.1:5000") {
                prop_assert_eq!(&answer[2..4], &bytes[..2], "its id");
                prop_assert_eq!(answer[4] & 0x80, 0x80, "an answer, and no question");
            }
            if let Some(answer) = answered(&desk, bytes, "192.0.2.1:5000") {
                prop_assert_eq!(answer[5] & 15, 5, "REFUSED");
                prop_assert_eq!(&answer[8..12], &[0; 4], "and nothing is told");
            }
        }
    }

    #[test]
    fn an_answer_that_cannot_be_framed_is_an_error() {
        assert!(Page::default().framed().is_err());
        let page = Page(Arc::new(Mutex::new(vec![7; 3])));
        assert_eq!(page.framed().unwrap(), [0, 3, 7, 7, 7]);
    }
}
