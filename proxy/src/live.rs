//! A picture at the end of what a terminal shows, drawn again in place: the demo's and `tidegate top`'s.
//!
//! Invariant: a drawing is one write, so that nothing flickers; a line never wraps; after
//! [`Live::end`] the terminal is as it was. Where stdout is no terminal nothing is drawn, and lines are plain lines.

use std::io::{IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Where it is drawn.
pub struct Live {
    /// Only on a terminal.
    bar: Option<ProgressBar>,
}

impl Live {
    /// On stdout.
    pub fn new() -> Live {
        let bar = std::io::stdout().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            bar
        });
        Live { bar }
    }

    /// Shows nothing, not even lines.
    pub fn hidden() -> Live {
        Live { bar: Some(ProgressBar::hidden()) }
    }

    /// Whether there is somebody to draw for.
    pub fn draws(&self) -> bool {
        self.bar.is_some()
    }

    /// Draws these lines in the place of those before; what does not fit on the terminal is cut off.
    pub fn draw(&self, lines: &[String]) {
        let Some(bar) = &self.bar else { return };
        bar.set_message(fitted(lines, size()));
        bar.tick();
    }

    /// A line that stays, above the picture.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) if !bar.is_finished() => bar.println(line),
            _ => {
                let _ = writeln!(std::io::stdout(), "{line}"); // a reader that has gone wants no more
            }
        }
    }

    /// Takes the picture away.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Default for Live {
    fn default() -> Live {
        Live::new()
    }
}

/// Columns and rows of the terminal.
fn size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 1 => (usize::from(size.ws_col), usize::from(size.ws_row)),
        _ => (80, 24),
    }
}

/// One row is left for the cursor.
fn fitted(lines: &[String], (columns, rows): (usize, usize)) -> String {
    let cut = |line: &String| line.chars().take(columns).collect::<String>();
    lines.iter().take(rows - 1).map(cut).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut_off() {
        let lines = ["äöüß", "b", "c"].map(str::to_owned);
        assert_eq!(fitted(&lines, (3, 3)), "äöü\nb");
        assert_eq!(fitted(&lines, (80, 24)), "äöüß\nb\nc");
    }
}
