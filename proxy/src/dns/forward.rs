//! Questions about foreign names: asked of whoever resolves names here, and kept for as long as the answer says.
//!
//! Invariant: bounded in what it keeps, in how many it asks for at once, and in time; beyond that it fails. The same question is under way only
//! once, so that servers which ask us in turn get no more than they began. What is ours never comes here.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use config::problem::Problem;
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

/// Asks servers.
pub(super) struct Forwarder {
    servers: Vec<SocketAddr>,
    /// `None` until it can be made.
    pool: Mutex<Option<Pool>>,
    cache: ResponseCache,
    room: Semaphore,
}

impl Forwarder {
    /// Asks these, or as the system says when there are none.
    pub(super) fn new(servers: &[SocketAddr]) -> Forwarder {
        let mut bounds = ResolverOpts::default();
        (bounds.positive_max_ttl, bounds.negative_max_ttl) = (Some(MOST), Some(MOST_NOTHING));
        let cache = ResponseCache::new(KEPT, TtlConfig::from_opts(&bounds));
        Forwarder { servers: servers.to_vec(), pool: Mutex::new(None), cache, room: Semaphore::new(AT_ONCE) }
    }

    /// What the servers say of a name.
    pub(super) async fn ask(&self, name: &Name, kind: RecordType) -> Outside {
        let query = Query::query(name.to_lowercase(), kind);
        if let Some(kept) = self.cache.get(&query, Instant::now()) {
            return read(kept);
        }
        let Ok(_room) = self.room.try_acquire() else { return Outside::failed() };
        let pool = match self.pool() {
            Ok(pool) => pool,
            Err(problem) => {
                tracing::warn!(%problem, "a name cannot be asked for");
                return Outside::failed();
            }
        };
        let mut options = DnsRequestOptions::default();
        (options.edns_payload_len, options.retry_interval) = (PAYLOAD, ASK_AGAIN);
        let came = pool.lookup(query.clone(), options).first_answer().await.map(|response| response.into_message());
        self.cache.insert(query, came.clone(), Instant::now());
        read(came)
    }

    fn pool(&self) -> Result<Pool, Problem> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = &*pool {
            return Ok(pool.clone());
        }
        let (config, options) = resolver::servers(&self.servers)?;
        let made = make(config, options)?;
        Ok(pool.insert(made).clone())
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
        Err(error) => {
            tracing::debug!(%error, "no answer from the DNS servers");
            Outside::failed()
        }
    }
}
