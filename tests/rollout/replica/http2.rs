//! HTTP/2 as the replica speaks it: what `http1.rs` answers, and the calls of gRPC. A call's message is its answer, too.

use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use hyper::body::Bytes;
use hyper::{HeaderMap, Request, Response};

use super::*;
use crate::frame::{Messages, message};

/// Serves one connection.
pub(super) async fn serve(stream: TcpStream, me: Arc<Me>) -> Result<(), Cut> {
    let _ = stream.set_nodelay(true); // fails only on a connection that is gone
    let mut connection = h2::server::handshake(stream).await.map_err(|_| Cut::Gone)?;
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted.map_err(|_| Cut::Gone)?;
        drop(tokio::spawn(answer(request, respond, me.clone())));
    }
    Ok(())
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, me: Arc<Me>) -> Result<(), h2::Error> {
    let (head, mut content) = request.into_parts();
    let (id, think) = asked(|name| head.headers.get(name)?.to_str().ok());
    let path = head.uri.path().to_owned();
    let is_call = path.starts_with("/tidegate.Rollout/");
    if is_call || path.starts_with("/post") {
        me.journal.note(id);
    }
    if path.ends_with("/Talk") {
        return talk(content, begin(&mut respond, &me, true)?).await;
    }
    while let Some(piece) = content.data().await {
        content.flow_control().release_capacity(piece?.len())?;
    }
    tokio::time::sleep(think).await;
    let mut out = begin(&mut respond, &me, is_call)?;
    let text = if is_call { message(&id.to_string()) } else { id.to_string().into() };
    let pieces = if path.starts_with("/slow") || path.ends_with("/Stream") { PIECES } else { 1 };
    for at in 0..pieces {
        if pieces > 1 {
            tokio::time::sleep(PIECE).await;
        }
        out.send_data(text.clone(), !is_call && at + 1 == pieces)?;
    }
    if is_call { well(&mut out) } else { Ok(()) }
}

fn begin(respond: &mut SendResponse<Bytes>, me: &Me, is_call: bool) -> Result<SendStream<Bytes>, h2::Error> {
    let kind = if is_call { "application/grpc" } else { "text/plain" };
    let response = Response::builder().header("x-service", &me.service).header("x-pod", &me.pod).header("content-type", kind);
    respond.send_response(response.body(()).expect("names are values of fields"), false)
}

/// Each message again, until the other side has no more.
async fn talk(mut content: RecvStream, mut out: SendStream<Bytes>) -> Result<(), h2::Error> {
    let mut messages = Messages::default();
    while let Some(piece) = content.data().await {
        let piece = piece?;
        content.flow_control().release_capacity(piece.len())?;
        messages.add(&piece);
        while let Some(text) = messages.next() {
            out.send_data(message(&text), false)?;
        }
    }
    well(&mut out)
}

/// The call went well.
fn well(out: &mut SendStream<Bytes>) -> Result<(), h2::Error> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().expect("a digit is a value"));
    out.send_trailers(trailers)
}
