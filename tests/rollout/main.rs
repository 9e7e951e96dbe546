//! Rollouts under load: real processes come and go as pods do while every kind of traffic goes on, and every request is counted.
//!
//! `docs/rollout.md` says what is played and by which rule it is judged; `make rollout` runs it. The same executable is the replica
//! (`replica.rs`). It exits with 1 when a request speaks against Tidegate; the other proxies are there to be compared.
//!
//! Invariant: everything happens on loopback addresses of its own, and every process that it starts ends with it.

use std::env;
use std::path::Path;
use std::process::ExitCode;

use contender::Name;
use plan::Plan;

mod contender;
mod frame;
mod journal;
mod ledger;
mod load;
mod plan;
mod pods;
mod replica;
mod scene;
mod table;
mod verdict;
mod wire;
mod world;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    if let [role, journal] = words.as_slice()
        && role == "replica"
    {
        return match replica::run(Path::new(journal)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => could_not(&format!("replica: {error}")),
        };
    }
    match Plan::read(&words) {
        Ok(plan) => roll(plan),
        Err(error) => could_not(&error),
    }
}

fn could_not(why: &str) -> ExitCode {
    eprintln!("rollout: {why}");
    ExitCode::from(2)
}

fn roll(mut plan: Plan) -> ExitCode {
    let mut missing = Vec::new();
    for name in plan.contenders.clone() {
        match name.version() {
            Ok(version) => println!("- {}: {version}", name.word()),
            Err(error) if name == Name::Tidegate => return could_not(&error.to_string()),
            Err(error) => {
                eprintln!("\n*** {} is LEFT OUT: {error} ***\n", name.word());
                missing.push(name);
            }
        }
    }
    plan.contenders.retain(|name| !missing.contains(name));
    println!("- {} rollouts each, seed {}", plan.rollouts, plan.seed);
    let mut all = Vec::new();
    for &(replicas, strategy) in &plan.scenes {
        for &name in &plan.contenders {
            match scene::play(&plan, name, replicas, strategy) {
                Ok(played) => {
                    print!("{}{}", table::scene(&played), table::findings(&played));
                    all.push(played);
                }
                Err(error) => return could_not(&format!("{}, {replicas} replicas, {}: {error}", name.word(), strategy.word())),
            }
        }
    }
    println!("{}", table::side_by_side(&plan, &all));
    let bad = all.iter().filter(|played| played.name == Name::Tidegate && !played.verdict.is_good()).count();
    let ours = all.iter().filter(|played| played.name == Name::Tidegate).count();
    match (ours, bad) {
        (0, _) => ExitCode::SUCCESS,
        (_, 0) => {
            println!("verdict: good");
            ExitCode::SUCCESS
        }
        (all, bad) => {
            println!("verdict: {bad} of {all} scenes speak against Tidegate");
            ExitCode::FAILURE
        }
    }
}
