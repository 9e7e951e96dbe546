//! One scene: a proxy, so many replicas, one way to replace them, load all the while; and the verdict on it.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_tests::{Client, Net};

use crate::contender::{Contender, Name, Start};
use crate::journal::Journal;
use crate::ledger::{Kind, Ledger, SHOP, TAKER};
use crate::load::{Doors, Load, host};
use crate::plan::Plan;
use crate::verdict::{IN_TIME, Verdict, judge};
use crate::world::{Strategy, World, rest};

/// Load before the first rollout.
const BEFORE: Duration = Duration::from_millis(500);

/// A verdict, with what the proxy's own log says of some of those who speak against it.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) name: Name,
    pub(crate) replicas: usize,
    pub(crate) strategy: Strategy,
    pub(crate) verdict: Verdict,
    /// Sorts of findings, each with how many there are and some of them.
    pub(crate) sorts: Vec<Sort>,
    pub(crate) took: Duration,
    pub(crate) requests_per_second: f64,
}

/// Findings of one sort.
#[derive(Debug)]
pub(crate) struct Sort {
    pub(crate) what: String,
    pub(crate) count: usize,
    pub(crate) examples: Vec<String>,
}

/// Plays it from the beginning to the end.
pub(crate) fn play(plan: &Plan, name: Name, replicas: usize, strategy: Strategy) -> io::Result<Played> {
    let net = Net::take();
    let home = tempfile::tempdir()?;
    let journal = home.path().join("journal");
    fs::write(&journal, "")?;
    let folder = home.path().join("proxy");
    fs::create_dir(&folder)?;
    let start = Instant::now();
    let mut world = World::new(&net, replicas, &journal, plan)?;
    let mut proxy = name.start(&Start { net: &net, folder: &folder, shop: world.members(SHOP), taker: world.members(TAKER) })?;
    await_doors(&proxy.doors(), plan.kinds.contains(&Kind::Tcp));
    let ledger = Arc::new(Ledger::default());
    let load = Load::start(&plan.kinds, proxy.doors(), plan.seed, ledger.clone());
    let begun = Instant::now();
    rest(BEFORE);
    for _ in 0..plan.rollouts {
        world.roll(&mut *proxy, strategy)?;
    }
    rest(IN_TIME + IN_TIME / 2); // what breaks off late must be seen, too
    let requests_per_second = ledger.opened() as f64 / begun.elapsed().as_secs_f64();
    load.finish();
    let verdict = judge(&ledger.take(), world.lives(), &Journal::read(&journal)?, start);
    let sorts = sorts(&verdict, &*proxy, plan.examples);
    keep(&folder);
    Ok(Played { name, replicas, strategy, verdict, sorts, took: begun.elapsed(), requests_per_second })
}

/// Waits until each Service is answered for by its own.
fn await_doors(doors: &Doors, tcp: bool) {
    for service in [SHOP, TAKER] {
        tidegate_tests::await_until(&format!("an answer for {service}"), || {
            let Ok(mut client) = Client::try_connect(doors.http1) else { return false };
            client.send(format!("GET /get/0 HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", host(service)));
            client.try_response(false).is_ok_and(|answer| answer.field("x-service") == Some(service))
        });
    }
    tidegate_tests::await_until("HTTP/2 to be taken", || Client::try_connect(doors.http2).is_ok());
    if tcp {
        tidegate_tests::await_until("a greeting over TCP", || {
            let Ok(mut client) = Client::try_connect(doors.tcp) else { return false };
            client.through(b"\n").is_ok_and(|line| line.starts_with(SHOP.as_bytes()))
        });
    }
}

/// What the findings have in common: their words without the names of pods and durations.
fn sorts(verdict: &Verdict, proxy: &dyn Contender, examples: usize) -> Vec<Sort> {
    let mut sorts: Vec<Sort> = Vec::new();
    for finding in &verdict.findings {
        let what = format!("{} {}: {}", finding.kind.word(), finding.ask.word(), plain(&finding.what));
        let at = sorts.iter().position(|sort| sort.what == what).unwrap_or_else(|| {
            sorts.push(Sort { what, count: 0, examples: Vec::new() });
            sorts.len() - 1
        });
        let sort = &mut sorts[at];
        sort.count += 1;
        if sort.examples.len() < examples {
            let log = proxy.explain(finding.id).map_or(String::new(), |line| format!("\n      its log: {line}"));
            sort.examples.push(format!("{} at {:.3} s: {} ({}){log}", finding.id, finding.sent.as_secs_f64(), finding.what, finding.after));
        }
    }
    sorts.sort_by_key(|sort| std::cmp::Reverse(sort.count));
    sorts
}

fn plain(what: &str) -> String {
    let is_pod = |word: &str| [SHOP, TAKER].iter().any(|service| word.starts_with(&format!("{service}-")));
    let is_time = |word: &str| word.starts_with(|first: char| first.is_ascii_digit()) && word.trim_end_matches(',').ends_with('s');
    let word = |word| {
        if is_pod(word) {
            "POD"
        } else if is_time(word) {
            "some time"
        } else {
            word
        }
    };
    what.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Where `TIDEGATE_ROLLOUT_KEEP` names a folder, what the proxy left behind is copied there.
fn keep(folder: &Path) {
    let Some(to) = std::env::var_os("TIDEGATE_ROLLOUT_KEEP") else { return };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.path().is_file()) {
        if let Err(error) = fs::copy(entry.path(), Path::new(&to).join(entry.file_name())) {
            eprintln!("{} is not kept: {error}", entry.path().display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_only_in_names_and_times_is_of_one_sort() {
        assert_eq!(plain("FIN, 1.25ms after shop-12 was gone"), plain("FIN, 30.1µs after shop-7 was gone"));
        assert_ne!(plain("502 of the proxy's own; it reached nobody"), plain("503 of the proxy's own; it reached nobody"));
    }
}
