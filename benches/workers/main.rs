//! Workers that share nothing, or one runtime that shares all: one bare HTTP/1 relay in both models, measured by turns.
//!
//! This executable starts itself as three children: an origin, a relay in one model, and a load. Models take turns within a round, each
//! with a relay of its own, and all of them meet the same connections in the same order. It judges no time: it exits with 1 only when
//! something went wrong, a wrong answer included. docs/decisions/007-workers-share-nothing.md says what follows from the numbers.

use std::net::SocketAddr;
use std::process::{Command, ExitCode};
use std::str::FromStr;
use std::time::Duration;
use std::{env, io, thread};

use process::Role;
use relay::Model;
use tidegate_benches::machine;

mod load;
mod origin;
mod process;
mod relay;

/// What the load does, and how many workers the relay has for it.
struct Scenario {
    workers: usize,
    /// Connections that ask again as soon as they have their answer.
    busy: usize,
    /// Connections that pause after each answer.
    light: usize,
}

const SCENARIOS: [Scenario; 5] = [
    Scenario { workers: 2, busy: 64, light: 0 },
    Scenario { workers: 2, busy: 256, light: 0 },
    Scenario { workers: 2, busy: 8, light: 56 },
    Scenario { workers: 4, busy: 64, light: 0 },
    Scenario { workers: 4, busy: 256, light: 0 },
];

/// What a turn measures, and with how many digits it is printed.
const FIGURES: [(&str, usize); 6] =
    [("requests/s", 0), ("relay's CPU, µs/request", 2), ("p50, ms", 2), ("p99, ms", 2), ("light p99, ms", 2), ("busiest worker, %", 1)];
type Figures = [f64; FIGURES.len()];

/// How often and how long.
struct Plan {
    rounds: usize,
    window: Duration,
}

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ended = match words[..] {
        ["origin"] => origin::run(),
        ["relay", model, workers, origin] => relay_of(model, workers, origin),
        ["load", relay, busy, light, seed, millis] => load_of(relay, [busy, light, seed, millis]),
        _ => plan(&words).and_then(|plan| measure(&plan)),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("workers: {}: {error}", words.join(" "));
            ExitCode::FAILURE
        }
    }
}

/// Reads `--rounds N` and `--seconds S`.
fn plan(words: &[&str]) -> io::Result<Plan> {
    let mut plan = Plan { rounds: 5, window: Duration::from_secs(2) };
    for pair in words.chunks(2) {
        match *pair {
            ["--rounds", rounds] => plan.rounds = parse::<usize>(rounds)?.max(1),
            ["--seconds", seconds] => plan.window = Duration::from_millis((parse::<f64>(seconds)?.max(0.1) * 1000.0) as u64),
            _ => return Err(io::Error::other("expected --rounds N or --seconds S")),
        }
    }
    Ok(plan)
}

fn relay_of(model: &str, workers: &str, origin: &str) -> io::Result<()> {
    let model = Model::ALL.into_iter().find(|known| known.name() == model).ok_or_else(|| io::Error::other("no such model"))?;
    relay::run(model, parse(workers)?, parse(origin)?)
}

fn load_of(relay: &str, [busy, light, seed, millis]: [&str; 4]) -> io::Result<()> {
    let window = Duration::from_millis(parse(millis)?);
    load::run(&load::Load { relay: parse(relay)?, busy: parse(busy)?, light: parse(light)?, seed: parse(seed)?, window })
}

fn parse<T: FromStr>(word: &str) -> io::Result<T> {
    word.parse().map_err(|_| io::Error::other(format!("found {word:?} where a number or an address is expected")))
}

fn measure(plan: &Plan) -> io::Result<()> {
    println!("\nworkers that share nothing (A) and a runtime that shares all (B)\n  on {}", machine());
    println!("  {}tokio {}, {} rounds of {:?}", rustc(), tokio_version(), plan.rounds, plan.window);
    println!("  A1: a socket for each worker (SO_REUSEPORT); A2: one socket, handed to the worker with the fewest connections;");
    println!("  B: one work-stealing runtime, one socket, one pool. Medians (least..most); ratios are taken within each round.");
    for scenario in &SCENARIOS {
        let mut turns: [Vec<Figures>; Model::ALL.len()] = Default::default();
        for round in 0..plan.rounds {
            for place in 0..Model::ALL.len() {
                let model = (round + place) % Model::ALL.len();
                turns[model].push(turn(Model::ALL[model], scenario, round, plan.window)?);
            }
        }
        print_table(scenario, &turns);
    }
    Ok(())
}

/// One relay's life: start, warm up, measure, end.
fn turn(model: Model, scenario: &Scenario, round: usize, window: Duration) -> io::Result<Figures> {
    let (near, far) = places(scenario.workers);
    let mut origin = Role::start(&far, &["origin"])?;
    let at: SocketAddr = parse(&origin.line()?)?;
    let mut relay = Role::start(&near, &["relay", model.name(), &scenario.workers.to_string(), &at.to_string()])?;
    let at: SocketAddr = parse(&relay.line()?)?;
    let numbers = [scenario.busy, scenario.light, round, window.as_millis() as usize].map(|number| number.to_string());
    let [busy, light, seed, millis] = numbers.each_ref().map(String::as_str);
    let mut load = Role::start(&far, &["load", &at.to_string(), busy, light, seed, millis])?;
    load.line()?; // warm
    let before = relay.cpu()?;
    let said = load.line()?;
    let used = relay.cpu()?.since(&before);
    let said: Vec<f64> = said.split(' ').map(parse).collect::<io::Result<_>>()?;
    let [requests, seconds, p50, p99, light_p99] = said[..] else { return Err(io::Error::other("the load said too little")) };
    Ok([requests / seconds, used.all() * 1e6 / requests, p50, p99, light_p99, used.busiest() * 100.0])
}

/// CPUs of the relay, and of the load and the origin: their own where there are enough, else all share all.
fn places(workers: usize) -> (String, String) {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    if cpus >= workers + 2 {
        (format!("0-{}", workers - 1), format!("{workers}-{}", cpus - 1))
    } else {
        (format!("0-{}", cpus.min(workers) - 1), format!("0-{}", cpus - 1))
    }
}

fn print_table(scenario: &Scenario, turns: &[Vec<Figures>; Model::ALL.len()]) {
    let (near, far) = places(scenario.workers);
    println!(
        "\n**{} workers, {} busy and {} light connections** (relay on CPUs {near}, load and origin on {far})\n",
        scenario.workers, scenario.busy, scenario.light
    );
    let shown = |figure: usize| FIGURES[figure].0 != "light p99, ms" || scenario.light > 0;
    let columns: Vec<usize> = (0..FIGURES.len()).filter(|&figure| shown(figure)).collect();
    let heads: Vec<&str> = columns.iter().map(|&figure| FIGURES[figure].0).collect();
    println!("| model | {} |\n|---|{}", heads.join(" | "), "---|".repeat(columns.len()));
    let row = |label: &str, of: &dyn Fn(usize) -> String| {
        let cells: Vec<String> = columns.iter().map(|&figure| of(figure)).collect();
        println!("| {label} | {} |", cells.join(" | "));
    };
    for (model, turns) in Model::ALL.iter().zip(turns) {
        row(model.name(), &|figure| spread(turns.iter().map(|turn| turn[figure]), FIGURES[figure].1));
    }
    let [a1, b, a2] = turns;
    for (label, a) in [("A1 : B", a1), ("A2 : B", a2)] {
        row(label, &|figure| spread(a.iter().zip(b).map(|(a, b)| a[figure] / b[figure]), 2));
    }
}

/// The median, and the least and the most.
fn spread(values: impl Iterator<Item = f64>, digits: usize) -> String {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let (median, least, most) = (values[values.len() / 2], values[0], values[values.len() - 1]);
    format!("{median:.digits$} ({least:.digits$}..{most:.digits$})")
}

fn rustc() -> String {
    let said = Command::new("rustc").arg("--version").output().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    said.map_or(String::new(), |said| format!("{said}, "))
}

fn tokio_version() -> &'static str {
    let lock = include_str!("../../Cargo.lock");
    lock.split_once("name = \"tokio\"\nversion = \"").and_then(|(_, rest)| rest.split('"').next()).unwrap_or("unknown")
}
