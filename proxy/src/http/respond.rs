//! Answers of our own, and what is counted and logged of every request.
//!
//! Invariant: each answer that no replica gave has one [`Reason`], in the log and in the counters; internal peers also get it as a
//! header, outside nobody does. Why exposure was refused is told to the operator alone.

use std::io;
use std::sync::Arc;

use config::exposure::Exposure;
use tokio::io::AsyncWriteExt;

use super::desk::Desk;
use super::exchange::Exchange;
use super::head::{HeadError, Method};
use super::relay::Relayed;
use super::serve::Connection;
use super::write::{Own, request_id, write_own};
use crate::access_log::AccessLine;
use crate::clock::now_us;
use crate::filter::Answer;
use crate::reason::Reason;
use crate::stats::plane;
use crate::stream::Stream;

/// Refuses what is not a whole request; the connection ends after it.
pub(super) async fn refuse_head(connection: &mut Connection, out: &mut Vec<u8>, reason: Reason, why: Option<HeadError>) {
    connection.caller.worker.counts.worker().refused(connection.caller.listener.exposure, reason);
    own(connection, &Answer::new(reason), true, false, out);
    let sent = send(connection, out).await;
    if let Some(log) = &*connection.caller.worker.access.borrow() {
        let why = why.map(|why| why.to_string()); // the log is on, and a bad head is no hot path
        log.write(&AccessLine {
            exposure: connection.caller.listener.exposure,
            client: &connection.caller.peer,
            method: b"",
            host: b"",
            path: b"",
            status: reason.status(),
            bytes: sent,
            duration_us: 0,
            service: None,
            endpoint: None,
            attempts: 0,
            request_id: b"",
            reason: Some(reason),
            note: why.as_deref(),
        });
    }
}

/// Refuses a request. True when the connection can go on: when `keep` was asked for and the client took the answer.
pub(super) async fn refuse(
    connection: &mut Connection,
    desk: &mut Desk,
    exchange: &Exchange,
    reason: Reason,
    note: Option<Arc<str>>,
    keep: bool,
) -> bool {
    if note.is_some() {
        connection.caller.worker.counts.worker().not_exposed[plane(connection.caller.listener.exposure)].add(1);
    }
    // Text is made only while the log is on.
    let note = note.filter(|_| connection.caller.worker.access.borrow().is_some()).map(|why| format!("not-exposed: {why}"));
    answer(connection, desk, exchange, &Answer::new(reason), note.as_deref(), keep).await
}

/// As [`refuse`], with an answer that has fields of its own.
pub(super) async fn answer(
    connection: &mut Connection,
    desk: &mut Desk,
    exchange: &Exchange,
    answer: &Answer,
    note: Option<&str>,
    keep: bool,
) -> bool {
    connection.caller.worker.counts.worker().refused(connection.caller.listener.exposure, answer.reason);
    if let Some(met) = &exchange.trail.service {
        met.answered(answer.status, now_us().saturating_sub(exchange.trail.began_us));
    }
    desk.answer.out.clear();
    own(connection, answer, !keep, desk.request.head.method() == Method::Head, &mut desk.answer.out);
    let sent = send(connection, &desk.answer.out).await;
    log(connection, desk, exchange, answer.status, sent, Some(answer.reason), note);
    keep && sent > 0
}

/// An answer that a replica gave, whole.
pub(super) fn log_answer(connection: &Connection, desk: &Desk, exchange: &Exchange, relayed: &Relayed) {
    log(connection, desk, exchange, relayed.status, relayed.bytes, None, None);
}

/// An answer that was begun and could not be finished.
pub(super) fn log_cut(connection: &Connection, desk: &Desk, exchange: &Exchange, reason: Reason) {
    connection.caller.worker.counts.worker().refused(connection.caller.listener.exposure, reason);
    log(connection, desk, exchange, reason.status(), 0, Some(reason), Some("cut: the answer had begun"));
}

/// Status in the log, and nowhere else, of a request whose client went away before its answer was whole.
pub(crate) const CLIENT_GONE: u16 = 499;

/// The client went away, or took nothing for too long: no answer of ours, so no reason.
pub(super) fn log_gone(connection: &Connection, desk: &Desk, exchange: &Exchange) {
    log(connection, desk, exchange, CLIENT_GONE, 0, None, Some("the client went away before the answer was whole"));
}

fn log(connection: &Connection, desk: &Desk, exchange: &Exchange, status: u16, bytes: u64, reason: Option<Reason>, note: Option<&str>) {
    let log = connection.caller.worker.access.borrow();
    let Some(log) = &*log else { return };
    let input = desk.request.input.filled();
    let head = &desk.request.head;
    log.write(&AccessLine {
        exposure: connection.caller.listener.exposure,
        client: &connection.caller.peer,
        method: head.method_span().of(input),
        host: head.host().as_bytes(),
        path: head.path().of(input),
        status,
        bytes,
        duration_us: now_us().saturating_sub(exchange.trail.began_us),
        service: exchange.trail.service.as_ref().map(|met| &met.name),
        endpoint: exchange.trail.upstream,
        attempts: exchange.trail.attempts,
        request_id: request_id(head, input, &exchange.trail.request_id),
        reason,
        note: note.or_else(|| exchange.trail.trouble(reason)),
    });
}

fn own(connection: &Connection, answer: &Answer, close: bool, head_only: bool, out: &mut Vec<u8>) {
    let reason = (connection.caller.listener.exposure == Exposure::Internal).then_some(answer.reason.as_str());
    let date = connection.caller.worker.date.borrow();
    write_own(&Own { status: answer.status, fields: &answer.fields, reason, close, head_only, date: date.as_bytes() }, out);
}

async fn write(to: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}

/// Bytes that the client took.
async fn send(connection: &mut Connection, out: &[u8]) -> u64 {
    connection.writing.set(connection.caller.worker.limits.idle_timeout_ms);
    let sent = connection.writing.guard(write(&mut connection.stream, out)).await;
    connection.writing.clear();
    if matches!(sent, Ok(Ok(()))) { out.len() as u64 } else { 0 }
}
