//! What a connection works with while a request is under way: lent by the worker, and given back when it waits for the next.
//!
//! Invariant: heads and buffers are made once and used again, so that a request allocates nothing here; an idle connection has none.

use std::cell::Cell;

use super::head::{HeadLimits, RequestHead, ResponseHead};
use crate::buffer::{Buffer, FIRST, Spares};

/// One message on its way through: read into `input`, judged by `head`, written from `out`.
#[derive(Debug)]
pub(crate) struct Message<H> {
    /// Bytes read and not consumed: the head, then what followed it.
    pub(crate) input: Buffer,
    /// Reads heads.
    pub(crate) head: H,
    /// What is sent on.
    pub(crate) out: Vec<u8>,
}

impl<H> Message<H> {
    fn new(head: H) -> Message<H> {
        Message { input: Buffer::default(), head, out: Vec::new() }
    }

    /// Nothing is in it; false when it grew so large that it is not worth keeping.
    fn clear(&mut self) -> bool {
        self.input.clear();
        self.out.clear();
        self.input.size() == FIRST && self.out.capacity() <= 2 * FIRST
    }
}

/// A request and its answer.
#[derive(Debug)]
pub(crate) struct Desk {
    limits: HeadLimits,
    pub(crate) request: Message<RequestHead>,
    pub(crate) answer: Message<ResponseHead>,
}

/// A worker's spare desks.
#[derive(Debug)]
pub(crate) struct Desks {
    limits: Cell<HeadLimits>,
    spare: Spares<Box<Desk>>,
}

impl Desks {
    /// Desks whose heads keep these limits.
    pub(crate) fn new(limits: HeadLimits) -> Desks {
        Desks { limits: Cell::new(limits), spare: Spares::default() }
    }

    /// An empty one.
    pub(crate) fn take(&self) -> Box<Desk> {
        let limits = self.limits.get();
        let make = || Desk { limits, request: Message::new(RequestHead::new(limits)), answer: Message::new(ResponseHead::new(limits)) };
        self.spare.take().unwrap_or_else(|| Box::new(make()))
    }

    /// From the next desk on, heads keep these limits.
    pub(crate) fn renew(&self, limits: HeadLimits) {
        if self.limits.replace(limits) != limits {
            while self.spare.take().is_some() {}
        }
    }

    /// Takes one back.
    pub(crate) fn give(&self, mut desk: Box<Desk>) {
        desk.request.head.restart();
        desk.answer.head.restart();
        if desk.request.clear() & desk.answer.clear() && desk.limits == self.limits.get() {
            self.spare.give(desk);
        }
    }

    /// Drops what was not needed since the sweep before.
    pub(crate) fn sweep(&self) {
        self.spare.sweep();
    }
}
