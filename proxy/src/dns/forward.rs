//! Questions about foreign names: asked of whoever resolves names here, and kept for as long as the answer says.
//!
//! Invariant: bounded in what it keeps, in how many it asks for at once, and in time; beyond that it fails. The same question is under way only
//! once, so that servers which ask us in turn get no more than they began. What is ours never comes here.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use config::problem::{Problem, Reason};
use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer, RetryDnsHandle};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequestOptions, Message, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, Record, RecordType};
use hickory_resolver::{NameServerPool, PoolContext, ResponseCache, TlsConfig, TtlConfig};
use registry::resolver;
use tokio::sync::Semaphore;

/// Answers that are kept.
const KEPT: u64 = 8192;
/// Questions that wait for an answer at once.
const AT_ONCE: usize = 512;
/// One try at all servers; there are two. Clients give up after five seconds (resolv.conf(5)).
const TRY: Duration = Duration::from_millis(1900);
const TRIES_AGAIN: usize = 1;
/// Within a try a server that is silent is asked again after this.
const ASK_AGAIN: Duration = Duration::from_millis(950);
/// Nothing is kept for longer, and that there is nothing for less.
const MOST: Duration = Duration::from_secs(3600);
const MOST_NOTHING: Duration = Duration::from_secs(300);
/// Between two lines of the log that say that nobody answers.
const TELL_AGAIN: Duration = Duration::from_secs(60);
/// The largest datagram that passes everywhere (DNS flag day 2020).
const PAYLOAD: u16 = 1232;

type Pool = RetryDnsHandle<NameServerPool<TokioRuntimeProvider>>;

/// What came of a question.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outside {
    /// What the servers say; SERVFAIL when they say nothing of use.
    pub(super) code: ResponseCode,
    /// The answer section.
    pub(super) answers: Vec<Record>,
    /// The authority section.
    pub(super) authority: Vec<Record>,
}

impl Outside {
    const fn failed() -> Outside {
        Outside { code: ResponseCode::ServFail, answers: Vec::new(), authority: Vec::new() }
    }
}

/// Who is asked.
#[derive(Default)]
struct Asked {
    pool: Option<Pool>,
    /// When it was last said that nobody answers.
    told: Option<Instant>,
}

impl Asked {
    /// Whether it is to be said: not for each question.
    fn tells(&mut self) -> bool {
        let now = Instant::now();
        let due = self.told.is_none_or(|told| now.duration_since(told) >= TELL_AGAIN);
        if due {
            self.told = Some(now);
        }
        due
    }
}

/// Asks servers.
pub(super) struct Forwarder {
    servers: Vec<SocketAddr>,
    pool: Mutex<Asked>,
    cache: ResponseCache,
    room: Semaphore,
}

impl Forwarder {
    /// Asks these, or as the system says when there are none.
    pub(super) fn new(servers: &[SocketAddr]) -> Forwarder {
        let mut bounds = ResolverOpts::default();
        (bounds.positive_max_ttl, bounds.negative_max_ttl) = (Some(MOST), Some(MOST_NOTHING));
        let cache = ResponseCache::new(KEPT, TtlConfig::from_opts(&bounds));
        Forwarder { servers: servers.to_vec(), pool: Mutex::default(), cache, room: Semaphore::new(AT_ONCE) }
    }

    /// What the servers say of a name.
    pub(super) async fn ask(&self, name: &Name, kind: RecordType) -> Outside {
        let query = Query::query(name.to_lowercase(), kind);
        if let Some(kept) = self.cache.get(&query, Instant::now()) {
            return read(kept);
        }
        let Ok(_room) = self.room.try_acquire() else { return Outside::failed() };
        let Some(pool) = self.pool() else { return Outside::failed() };
        let mut options = DnsRequestOptions::default();
        (options.edns_payload_len, options.retry_interval) = (PAYLOAD, ASK_AGAIN);
        let came = pool.lookup(query.clone(), options).first_answer().await.map(|response| response.into_message());
        self.cache.insert(query, came.clone(), Instant::now());
        match &came {
            // Whatever they say, they answer.
            Ok(_) | Err(NetError::Dns(_)) => {}
            Err(error) => self.tell(error),
        }
        read(came)
    }

    /// The servers, once they can be known: the system's configuration may come later.
    fn pool(&self) -> Option<Pool> {
        let mut asked = self.asked();
        if asked.pool.is_none() {
            match resolver::servers(&self.servers).and_then(|(config, options)| make(config, options)) {
                Ok(pool) => asked.pool = Some(pool),
                Err(problem) if asked.tells() => tracing::warn!("{problem}; until then names that are not ours get SERVFAIL"),
                Err(_) => {}
            }
        }
        asked.pool.clone()
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says now and then that no server answers.
    fn tell(&self, error: &NetError) {
        if self.asked().tells() {
            let problem = Problem::warning(Reason::NotFound, format!("no answer from the DNS servers: {error}")).at("dns.servers");
            let problem = problem.expected("servers that answer here, and are not this process itself");
            tracing::warn!(
                "{}",
                problem.fix("correct `dns.servers`, else /etc/resolv.conf; until then names that are not ours get SERVFAIL")
            );
        }
    }
}

fn make(config: ResolverConfig, mut options: ResolverOpts) -> Result<Pool, Problem> {
    options.timeout = TRY;
    let tls = TlsConfig::new().map_err(|error| resolver::unusable(&error))?;
    let context = std::sync::Arc::new(PoolContext::new(options, tls));
    let servers = NameServerPool::from_config(config.name_servers, context, TokioRuntimeProvider::default());
    Ok(RetryDnsHandle::new(servers, TRIES_AGAIN))
}

fn read(came: Result<Message, NetError>) -> Outside {
    match came {
        Ok(message) => Outside { code: message.response_code, answers: message.answers, authority: message.authorities },
        Err(NetError::Dns(DnsError::NoRecordsFound(nothing))) => {
            let soa = nothing.soa.map(|soa| (*soa).into_record_of_rdata());
            Outside { code: nothing.response_code, answers: Vec::new(), authority: soa.into_iter().collect() }
        }
        Err(_) => Outside::failed(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::sync::Arc;

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    /// Nobody answers at all: those who wait are as many as may, and the next one does not wait.
    #[test]
    fn beyond_what_may_be_asked_at_once_a_question_fails() {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let forwarder = Arc::new(Forwarder::new(&[silent.local_addr().unwrap()]));
            let ask = |forwarder: Arc<Forwarder>| async move { forwarder.ask(&name("same.example."), RecordType::A).await };
            let mut waiting = tokio::task::JoinSet::new();
            (0..AT_ONCE).for_each(|_| _ = waiting.spawn(ask(forwarder.clone())));
            while forwarder.room.available_permits() > 0 {
                tokio::task::yield_now().await;
            }
            assert_eq!(forwarder.ask(&name("other.example."), RecordType::A).await, Outside::failed());
            assert!(waiting.try_join_next().is_none(), "the others wait still");
            while let Some(came) = waiting.join_next().await {
                assert_eq!(came.unwrap(), Outside::failed());
            }
        });
        silent.set_nonblocking(true).unwrap();
        let sent = std::iter::from_fn(|| silent.recv(&mut [0; 512]).ok()).count();
        assert!((1..=6).contains(&sent), "the same question was sent {sent} times");
    }

    #[test]
    fn where_nobody_listens_a_question_fails() {
        let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let came = runtime.block_on(Forwarder::new(&[closed]).ask(&name("www.example."), RecordType::A));
        assert_eq!(came, Outside::failed());
    }
}
