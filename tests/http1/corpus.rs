//! The corpus: what HTTP/1 messages must become, case by case, each with the section that decides it.
//!
//! Invariant: every case is played against the real binary over a socket, whole and in pieces. A case is never bent to what Tidegate
//! does: one that fails stands in [`OPEN`] with the reason, and the test fails once it does not any more.

use tidegate_tests::objects::{file, ingress, path, tcp};
use tidegate_tests::{Behaviour, Chance, Net, Replica, Setup};

mod answers;
mod case;
mod chunks;
mod connections;
mod downgrade;
mod fields;
mod framing;
mod hops;
mod hosts;
mod lines;
mod message;
mod run;
mod switches;
mod targets;

use case::Case;
use run::Stage;

const TABLES: &[&[Case]] = &[
    lines::CASES,
    targets::CASES,
    hosts::CASES,
    fields::CASES,
    framing::CASES,
    chunks::CASES,
    connections::CASES,
    hops::CASES,
    switches::CASES,
    answers::framed::CASES,
    answers::broken::CASES,
    answers::fields::CASES,
];

/// Cases that fail, each with the reason why that is not mended.
const OPEN: &[(&str, &str)] = &[];

fn cases() -> impl Iterator<Item = &'static Case> {
    TABLES.iter().copied().flatten()
}

/// Plays all cases; `cuts` says where each is cut.
fn play_all(mut cuts: impl FnMut(&Case) -> Vec<usize>) {
    let net = Net::take();
    let replica = Replica::start(&net, "one", Behaviour::Named);
    let everything = ingress("all", "", &[path("Prefix", "/", "all", 80)]);
    let manifest = file(&[tcp(&net, "all", 80, &[&replica]), everything]);
    let gate = Setup::new(&net).manifest("all.yaml", manifest).start();
    let stage = Stage { gate: &gate, replica: &replica };
    let mut failed = Vec::new();
    for case in cases() {
        let cuts = cuts(case);
        let open = OPEN.iter().any(|(id, _)| *id == case.id);
        match (stage.play(case, &cuts), open) {
            (Err(how), false) => {
                let Case { id, rfc, why, sent, .. } = case;
                let sent = &sent[..sent.len().min(400)];
                failed.push(format!("{id} ({rfc}: {why})\n    sent {}\n    cut at {cuts:?}\n    {how}", sent.escape_ascii()));
            }
            (Ok(()), true) => failed.push(format!("{}: mended; take it out of OPEN", case.id)),
            _ => {}
        }
    }
    assert!(failed.is_empty(), "{} of {} cases failed:\n{}", failed.len(), cases().count(), failed.join("\n"));
}

#[test]
fn every_case_ends_as_its_section_says() {
    play_all(|_| Vec::new());
}

/// `TIDEGATE_SEED` repeats a run.
#[test]
fn every_case_ends_so_however_its_bytes_are_cut() {
    let mut chance = Chance::of(Chance::seed());
    play_all(|case| chance.cuts(case.sent.len()));
}

#[test]
fn the_corpus_is_large_and_every_case_says_why() {
    let ids: std::collections::BTreeSet<_> = cases().map(|case| case.id).collect();
    assert_eq!(ids.len(), cases().count(), "each id once");
    assert!(ids.len() >= 200, "{} cases", ids.len());
    for case in cases() {
        assert!(case.rfc.starts_with("RFC ") && !case.why.is_empty(), "{}", case.id);
    }
    for (id, why) in OPEN {
        assert!(ids.contains(id) && !why.is_empty(), "OPEN names {id}");
    }
}
