//! The numbers as Markdown: each scene by itself, then all contenders side by side.

use std::fmt::Write;
use std::time::Duration;

use crate::contender::Name;
use crate::ledger::Kind;
use crate::plan::Plan;
use crate::scene::Played;
use crate::verdict::{Delays, Tally, Verdict};

/// In this time a freed address is to be another pod's.
const HANDED_ON: Duration = Duration::from_millis(10);

/// One scene of one contender.
pub(crate) fn scene(played: &Played) -> String {
    let rows = &played.verdict.rows;
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
    text + &about_pods(played)
}

/// How many came and went, and how soon others knew.
fn about_pods(played: &Played) -> String {
    let Verdict { rows, handed_on, let_go, wrong_early, bound, replaced, held, .. } = &played.verdict;
    let (seconds, rate) = (played.took.as_secs_f64(), played.requests_per_second);
    let messages: u64 = rows.values().map(|tally| tally.messages).sum();
    let quick = handed_on.within(HANDED_ON);
    let mut text = format!(
        "\n{replaced} pods ended in {seconds:.0} s, under {rate:.0} requests/s, and {messages} messages within conversations and streams.\n\
         The other Service's pod listened on a freed address after {}; {quick} of {} within {}.\n\
         From the removal of an endpoint until the proxy had let go of it: {}; {held} times never.\n",
        spread(handed_on),
        handed_on.0.len(),
        ms(HANDED_ON),
        spread(let_go),
    );
    if !wrong_early.0.is_empty() {
        let (latest, bound) = (ms(wrong_early.at(1.0)), ms(*bound));
        line(
            &mut text,
            format_args!(
                "Wrong pods answered what was sent up to {latest} after the end of the right one; the word came after {bound} at most."
            ),
        );
    }
    text
}

fn title(played: &Played) -> String {
    let replicas = if played.replicas == 1 { "1 replica".to_owned() } else { format!("{} replicas", played.replicas) };
    format!("{replicas}, {}", played.strategy.word())
}

fn spread(delays: &Delays) -> String {
    if delays.0.is_empty() {
        return "(never)".to_owned();
    }
    format!("{} (median), {} (p99), {} (most)", ms(delays.at(0.5)), ms(delays.at(0.99)), ms(delays.at(1.0)))
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// Who speaks against it, in sorts.
pub(crate) fn findings(played: &Played) -> String {
    let mut text = String::new();
    for doubt in played.verdict.doubts() {
        line(&mut text, format_args!("\n  no proof: {doubt}"));
    }
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
