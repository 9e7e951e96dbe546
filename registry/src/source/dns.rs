//! DNS as a source: the addresses of the names that ExternalName services lead to.
//!
//! Invariant: only names that the registry wants are asked for, each again when its TTL is over. A name that has no address is told as that;
//! when nobody answers, what was known stays true and is marked stale. It never decides what may be reached.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use config::object::Name;
use config::problem::{Problem, Reason};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::event::Event;
use crate::resolver;

/// A name is not asked for more often than this, whatever its TTL.
const LEAST: Duration = Duration::from_secs(1);
/// And at least as often as this.
const MOST: Duration = Duration::from_secs(300);
/// After nobody answered.
const AGAIN: Duration = Duration::from_secs(5);

/// What became of one question: the addresses, and for how long they hold.
type Answer = (Name, Result<(Vec<IpAddr>, Duration), Problem>);

/// Follows the wanted names until nobody wants any more, or nobody listens. `servers`: who is asked; none means as the system says.
pub async fn watch(servers: Vec<SocketAddr>, mut wanted: watch::Receiver<BTreeSet<Name>>, out: mpsc::Sender<Event>) {
    let mut resolver = resolver(&servers);
    let mut due: BTreeMap<Name, Instant> = BTreeMap::new();
    let mut asked: JoinSet<Answer> = JoinSet::new();
    loop {
        let names = wanted.borrow_and_update().clone();
        due.retain(|name, _| names.contains(name));
        let now = Instant::now();
        for name in names {
            if due.get(&name).is_none_or(|at| *at <= now) {
                // Until the answer comes, which sets it anew.
                due.insert(name.clone(), now + MOST);
                if resolver.is_err() {
                    resolver = self::resolver(&servers); // the system's configuration may be there now
                }
                asked.spawn(ask(resolver.clone(), name));
            }
        }
        let next = due.values().min().copied().unwrap_or(now + MOST);
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            Some(Ok((name, answer))) = asked.join_next() => {
                let holds = answer.as_ref().map_or(AGAIN, |(_, holds)| (*holds).clamp(LEAST, MOST));
                due.entry(name.clone()).and_modify(|at| *at = Instant::now() + holds);
                if out.send(Event::Resolved(name, answer.map(|(addresses, _)| addresses))).await.is_err() {
                    return;
                }
            }
            () = tokio::time::sleep_until(next) => {}
        }
    }
}

fn resolver(servers: &[SocketAddr]) -> Result<TokioResolver, Problem> {
    let (config, options) = resolver::servers(servers)?;
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.options_mut().cache_size = 0; // asked again when the TTL is over, and not before
    builder.build().map_err(|error| resolver::unusable(&error))
}

async fn ask(resolver: Result<TokioResolver, Problem>, name: Name) -> Answer {
    let resolver = match resolver {
        Ok(resolver) => resolver,
        Err(problem) => return (name, Err(problem)),
    };
    // With its dot it is looked for nowhere else.
    let answer = match resolver.lookup_ip(format!("{name}.")).await {
        Ok(found) => {
            let holds = found.valid_until().saturating_duration_since(std::time::Instant::now());
            Ok((found.iter().collect(), holds))
        }
        Err(error) if error.is_no_records_found() => Ok((Vec::new(), AGAIN)),
        Err(error) => {
            let problem =
                Problem::warning(Reason::Unreadable, format!("DNS does not answer for {name}: {error}; its last addresses serve"));
            Err(problem.expected("an answer").fix("look at the DNS servers, or name others in dns.servers"))
        }
    };
    (name, answer)
}
