//! Idle connections to replicas, kept by their worker.
//!
//! Invariant: the key is the replica's identity, never its address, so that a connection to a dead pod is never used for the pod that
//! got its IP. The newest idle connection is used first; one that became readable while idle has been closed by the replica (or has
//! spoken out of turn) and is dropped instead.

use std::collections::HashMap;

use registry::snapshot::ReplicaId;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// A worker's idle connections.
#[derive(Debug)]
pub struct Pool<S = TcpStream> {
    idle: HashMap<ReplicaId, Vec<Resting<S>>, foldhash::fast::RandomState>,
    keep: usize,
}

#[derive(Debug)]
struct Resting<S> {
    stream: S,
    since_ms: u64,
}

/// A connection that may rest.
pub trait Idle {
    /// Whether nothing has come, not even the end: asks the runtime what it saw last, without a system call.
    fn quiet(&self) -> bool;

    /// Whether nothing more was to be read. After a read that took all there was room for, the runtime does not know, so the system is
    /// asked.
    fn drained(&self) -> bool;
}

impl<S: Idle> Pool<S> {
    /// Keeps at most `keep` idle connections for each replica.
    pub fn new(keep: usize) -> Pool<S> {
        Pool { idle: HashMap::default(), keep }
    }

    /// Keeps at most so many from now on; what is more leaves as it ages.
    pub fn keep(&mut self, keep: usize) {
        self.keep = keep;
    }

    /// A connection that was alive when last looked at. `surely`: the system is asked, since what is sent on it cannot be sent again.
    pub fn checkout(&mut self, replica: ReplicaId, surely: bool) -> Option<S> {
        let idle = self.idle.get_mut(&replica)?;
        while let Some(Resting { stream, .. }) = idle.pop() {
            if stream.quiet() && (!surely || stream.drained()) {
                return Some(stream);
            }
        }
        None
    }

    /// Keeps a connection whose last response was read to its end.
    pub fn checkin(&mut self, replica: ReplicaId, stream: S, now_ms: u64) {
        let idle = self.idle.entry(replica).or_default();
        if idle.len() < self.keep && (stream.quiet() || stream.drained()) {
            idle.push(Resting { stream, since_ms: now_ms });
        }
    }

    /// Closes what is idle to a replica that left.
    pub fn forget(&mut self, replica: ReplicaId) {
        self.idle.remove(&replica);
    }

    /// Closes what the other side closed, and what has been idle since before `oldest_ms`.
    pub fn sweep(&mut self, oldest_ms: u64) {
        self.idle.retain(|_, idle| {
            idle.retain(|one| one.since_ms >= oldest_ms && one.stream.quiet());
            !idle.is_empty()
        });
    }

    /// Closes all.
    pub fn clear(&mut self) {
        self.idle.clear();
    }
}

impl Idle for TcpStream {
    fn quiet(&self) -> bool {
        // Polling would ask the same, but wants a waker, and says nothing of the socket to a task that has done its share for this turn.
        self.try_io(Interest::READABLE, || Ok(())).is_err()
    }

    fn drained(&self) -> bool {
        matches!(self.try_read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::num::NonZeroU64;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::task::coop;

    /// Two ends of one connection.
    pub(crate) async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (near, listener.accept().await.unwrap().0)
    }

    fn replica(id: u64) -> ReplicaId {
        ReplicaId(NonZeroU64::new(id).unwrap())
    }

    #[tokio::test]
    async fn what_the_replica_closed_is_not_handed_out() {
        let mut pool = Pool::new(8);
        let (closed, far) = pair().await;
        drop(far);
        closed.readable().await.unwrap();
        let (spoke, mut far) = pair().await;
        far.write_all(b"HTTP/1.1 408").await.unwrap();
        spoke.readable().await.unwrap();
        pool.checkin(replica(1), closed, 0);
        pool.checkin(replica(1), spoke, 0);
        assert!(pool.checkout(replica(1), false).is_none());
    }

    #[tokio::test]
    async fn what_the_replica_closed_is_not_handed_out_by_a_task_that_has_done_much() {
        let mut pool = Pool::new(8);
        let (near, far) = pair().await;
        pool.checkin(replica(1), near, 0);
        drop(far);
        pool.idle[&replica(1)][0].stream.readable().await.unwrap();
        while coop::has_budget_remaining() {
            coop::consume_budget().await;
        }
        assert!(pool.checkout(replica(1), false).is_none());
    }

    #[tokio::test]
    async fn what_was_read_to_the_last_byte_is_kept() {
        let mut pool = Pool::new(8);
        let (near, mut far) = pair().await;
        far.write_all(b"exact").await.unwrap();
        near.readable().await.unwrap();
        assert_eq!(near.try_read(&mut [0; 5]).unwrap(), 5);
        pool.checkin(replica(1), near, 0);
        assert!(pool.checkout(replica(1), false).is_some());
    }

    #[tokio::test]
    async fn the_newest_comes_first_and_identity_is_the_key() {
        let mut pool = Pool::new(8);
        let ((old, _far_old), (new, _far_new)) = (pair().await, pair().await);
        let newest = new.local_addr().unwrap();
        pool.checkin(replica(1), old, 0);
        pool.checkin(replica(1), new, 1);
        assert!(pool.checkout(replica(2), false).is_none());
        assert_eq!(pool.checkout(replica(1), false).unwrap().local_addr().unwrap(), newest);
        pool.sweep(1);
        assert!(pool.checkout(replica(1), false).is_none(), "the old one was idle for too long");
    }
}
