//! `tidegate demo`: what a newcomer sees first.

use super::*;

#[test]
fn the_demo_ends_with_a_verdict_that_holds() {
    let shown = command(["demo", "--seconds", "4"]);
    let out = shown.exited(0);
    let tricks = proxy::tricks::TRICKS.len().to_string();
    let verdict: Vec<&str> = out.lines().rev().take(12).collect();
    for word in ["requests", "failures", "replaced", "refused", &tricks] {
        assert!(verdict.iter().any(|line| line.contains(word)), "{word} in the verdict of\n{out}");
    }
    assert!(out.is_ascii() || !out.contains('\x1b'), "no escape codes when it is no terminal");
}
