//! What is written in one poll leaves in one write, whatever the codec flushes; and nothing is lost when the socket is full.

use std::collections::VecDeque;
use std::sync::Arc;

use config::exposure::Exposure;
use registry::snapshot::{Plane, Snapshot};
use tokio::io::AsyncWriteExt;

use super::*;
use crate::deadline::Deadlines;
use crate::picture::Pictures;

/// A socket that notes each write and takes no more than it is told to.
#[derive(Default)]
struct Noted {
    writes: Vec<Vec<u8>>,
    flushes: usize,
    /// What it takes of the next writes; all, once this is empty. 0 is "not now".
    takes: VecDeque<usize>,
    broken: bool,
}

impl AsyncRead for Noted {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Noted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.broken {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let count = self.takes.pop_front().unwrap_or(usize::MAX).min(bytes.len());
        if count == 0 {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.writes.push(bytes[..count].to_vec());
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushes += 1;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn noted(takes: &[usize]) -> Gathered<Noted> {
    Gathered::new(&Rc::default(), Noted { takes: takes.iter().copied().collect(), ..Noted::default() })
}

/// Sizes of the writes.
fn sizes(io: &Gathered<Noted>) -> Vec<usize> {
    io.0.borrow().stream.writes.iter().map(Vec::len).collect()
}

/// Writes frames of this many bytes, each numbered, and flushes after each as the codec does.
async fn frames(io: &Gathered<Noted>, count: u8, size: usize) {
    let mut writer = io.clone();
    for number in 0..count {
        writer.write_all(&vec![number; size]).await.unwrap();
        writer.flush().await.unwrap();
    }
}

fn expected(count: u8, size: usize) -> Vec<u8> {
    (0..count).flat_map(|number| vec![number; size]).collect()
}

#[tokio::test]
async fn frames_of_one_poll_leave_together() {
    let io = noted(&[]);
    io.drive(frames(&io, 15, 1000)).await;
    assert_eq!((sizes(&io), io.0.borrow().stream.flushes), (vec![15_000], 1));
    assert!(io.0.borrow().out.is_none(), "its buffer went back");
    io.drive(async {}).await;
    assert_eq!(io.0.borrow().stream.flushes, 1, "where nothing was written nothing is flushed");
}

#[tokio::test]
async fn more_than_fits_leaves_in_pieces_and_in_order() {
    let io = noted(&[]);
    io.drive(frames(&io, 40, 1000)).await;
    assert_eq!(sizes(&io), [16_000, 16_000, 8_000]);
    assert_eq!(io.0.borrow().stream.writes.concat(), expected(40, 1000));
}

#[tokio::test]
async fn what_is_large_goes_past_and_stays_in_order() {
    let io = noted(&[]);
    io.drive(async {
        let mut writer = io.clone();
        writer.write_all(b"before").await.unwrap();
        writer.write_all(&[7; 40_000]).await.unwrap();
        writer.write_all(b"behind").await.unwrap();
    })
    .await;
    assert_eq!(sizes(&io), [6, 40_000, 6]);
}

#[tokio::test]
async fn a_full_socket_is_waited_for_and_nothing_is_lost() {
    let io = noted(&[100, 0, 0, 1, 5_000, 0, 9_000, 0]);
    let mut left = 3;
    io.drive(async {
        frames(&io, 30, 1000).await;
        // The task is woken by the socket until all has gone.
        poll_fn(|context| {
            left -= usize::from(io.0.borrow().out.is_none());
            context.waker().wake_by_ref();
            if left == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    })
    .await;
    assert_eq!(io.0.borrow().stream.writes.concat(), expected(30, 1000));
}

/// The socket would wake that task, and who knows whether it still cares.
#[tokio::test]
async fn a_task_in_which_no_codec_runs_sends_nothing() {
    let io = noted(&[0]);
    io.drive(frames(&io, 1, 10)).await;
    assert!(io.0.borrow().out.is_some(), "the socket was full");
    let mut other = pin!(io.drive(async {}));
    assert!(other.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    assert_eq!(sizes(&io), [0; 0]);
    io.drive(async {}).await;
    assert_eq!(sizes(&io), [10]);
}

#[tokio::test]
async fn the_codec_hears_of_what_broke() {
    let io = noted(&[]);
    io.0.borrow_mut().stream.broken = true;
    io.drive(frames(&io, 1, 10)).await;
    let told = io.clone().write_all(b"more").await.map_err(|error| error.kind());
    assert_eq!(told, Err(io::ErrorKind::BrokenPipe));
}

/// Until then a request may still reach a replica that has left the picture.
#[tokio::test]
async fn a_picture_is_held_until_the_request_has_left() {
    let [external, internal] = [Exposure::External, Exposure::Internal].map(Plane::empty);
    let pictures = Pictures::new(Arc::new(Snapshot { version: 0, external, internal }), |_| {});
    let picture = pictures.hold();
    let held = || Rc::strong_count(&picture) > 2;
    let deadlines = Rc::new(Deadlines::default());
    let tied = |takes| {
        let unsent = Rc::<Unsent>::default();
        unsent.hold(picture.clone());
        (noted(takes).tied(Ties { leaves: deadlines.register(), unsent: unsent.clone(), patience_ms: 1_000 }), unsent)
    };

    let (io, unsent) = tied(&[]);
    io.drive(frames(&io, 1, 10)).await;
    assert!(held(), "the dispatcher has it");
    unsent.handed_on();
    assert!(held(), "the codec has it");
    io.drive(frames(&io, 1, 10)).await;
    assert!(!held());

    let (io, unsent) = tied(&[0]);
    unsent.handed_on();
    let mut large = pin!(io.drive(frames(&io, 1, MOST + 1)));
    // By this task: a waker that wakes nobody need not be like itself.
    let pending = poll_fn(|context| Poll::Ready(large.as_mut().poll(context).is_pending()));
    assert!(pending.await);
    assert!(held(), "the codec waits for the socket");
    large.await;
    assert!(!held());

    let (io, unsent) = tied(&[0, 0]);
    unsent.handed_on();
    io.drive(frames(&io, 1, 10)).await;
    assert!(held(), "it waits for the socket");
    deadlines.sweep(1_250);
    io.drive(async {}).await;
    assert!(!held(), "it has waited for long enough");
}
