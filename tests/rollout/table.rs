//! The numbers as Markdown: each scene by itself, then all contenders side by side.

use std::fmt::Write;
use std::time::Duration;

use crate::contender::Name;
use crate::ledger::Kind;
use crate::plan::Plan;
use crate::scene::Played;
use crate::verdict::{Tally, Verdict};

/// One scene of one contender.
pub(crate) fn scene(played: &Played) -> String {
    let Verdict { rows, handed_on, let_go, wrong_early, bound, replaced, held, .. } = &played.verdict;
    let mut text = format!("\n### {}: {}\n\n", played.name.word(), title(played));
    text.push_str("| traffic | requests | failed | twice | lost with a replica | cut in time | cut otherwise | slowest cut | ");
    text.push_str("wrong pod before / after the word | next attempts that failed |\n|---|---|---|---|---|---|---|---|---|---|\n");
    for ((kind, ask), tally) in rows {
        let Tally { requests, failed, duplicated, lost, cut, badly_cut, slowest_cut, .. } = tally;
        let Tally { wrong_early, wrong_late, next, next_failed, .. } = tally;
        line(
            &mut text,
            format_args!(
                "| {} {} | {requests} | {failed} | {duplicated} | {lost} | {cut} | {badly_cut} | {} | {wrong_early} / {wrong_late} | \
                 {next_failed} of {next} |",
                kind.word(),
                ask.word(),
                ms(*slowest_cut),
            ),
        );
    }
    let messages: u64 = rows.values().map(|tally| tally.messages).sum();
    line(
        &mut text,
        format_args!(
            "\n{replaced} pods ended in {:.0} s, {:.0} requests/s and {messages} messages within conversations and streams.",
            played.took.as_secs_f64(),
            played.requests_per_second
        ),
    );
    line(&mut text, format_args!("Freed addresses were another pod's after {}.", spread(&handed_on.0, |part| handed_on.at(part))));
    line(
        &mut text,
        format_args!(
            "From the endpoint's removal until the proxy had let go: {}; {held} times never.",
            spread(&let_go.0, |part| let_go.at(part))
        ),
    );
    if !wrong_early.0.is_empty() {
        let worst = ms(wrong_early.at(1.0));
        line(
            &mut text,
            format_args!(
                "Wrong answers before that were asked for up to {worst} after the end of the right pod, of {} at most until the word.",
                ms(*bound)
            ),
        );
    }
    text
}

fn title(played: &Played) -> String {
    let replicas = if played.replicas == 1 { "1 replica".to_owned() } else { format!("{} replicas", played.replicas) };
    format!("{replicas}, {}", played.strategy.word())
}

fn spread(all: &[Duration], at: impl Fn(f64) -> Duration) -> String {
    if all.is_empty() {
        return "(never)".to_owned();
    }
    format!("{} (median), {} (p99), {} (most)", ms(at(0.5)), ms(at(0.99)), ms(at(1.0)))
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// Who speaks against it, in sorts.
pub(crate) fn findings(played: &Played) -> String {
    let mut text = String::new();
    for sort in &played.sorts {
        line(&mut text, format_args!("\n  {} x {}", sort.count, sort.what));
        for example in &sort.examples {
            line(&mut text, format_args!("    {example}"));
        }
    }
    text
}

/// All of them, scene by scene and kind by kind.
pub(crate) fn side_by_side(plan: &Plan, all: &[Played]) -> String {
    let names: Vec<Name> = plan.contenders.iter().copied().filter(|name| all.iter().any(|played| played.name == *name)).collect();
    let mut text = "\n### Side by side\n\n| scene | traffic |".to_owned();
    for name in &names {
        let _ = write!(text, " {} |", name.word()); // a String takes everything
    }
    line(&mut text, format_args!("\n|---|---|{}", "---|".repeat(names.len())));
    for &(replicas, strategy) in &plan.scenes {
        let of = |name| all.iter().find(|played| (played.name, played.replicas, played.strategy) == (name, replicas, strategy));
        for &kind in &plan.kinds {
            let Some(first) = all.iter().find(|played| (played.replicas, played.strategy) == (replicas, strategy)) else { continue };
            let cells: Vec<String> =
                names.iter().map(|&name| of(name).map_or("-".to_owned(), |played| cell(&played.verdict, kind))).collect();
            line(&mut text, format_args!("| {} | {} | {} |", title(first), kind.word(), cells.join(" | ")));
        }
    }
    text
}

/// `0 of 1234`, or what speaks against it.
fn cell(verdict: &Verdict, kind: Kind) -> String {
    let sum = |of: fn(&Tally) -> usize| verdict.of_kind(kind).map(of).sum::<usize>();
    let requests = sum(|tally| tally.requests);
    let said = [
        ("failed", sum(|tally| tally.failed)),
        ("twice", sum(|tally| tally.duplicated)),
        ("cut otherwise", sum(|tally| tally.badly_cut)),
        ("wrong pod", sum(|tally| tally.wrong_late)),
        ("wrong pod early", sum(|tally| tally.wrong_early)),
    ];
    let said: Vec<String> = said.iter().filter(|(_, count)| *count > 0).map(|(word, count)| format!("{count} {word}")).collect();
    if said.is_empty() { format!("0 of {requests}") } else { format!("**{}** of {requests}", said.join(", ")) }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = writeln!(text, "{arguments}"); // a String takes everything
}
