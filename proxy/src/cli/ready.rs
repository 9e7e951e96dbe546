//! `tidegate ready`: whether traffic may be sent to a running process, as an exit code.
//!
//! It is the health check of an image that holds neither a shell nor curl. It asks `/readyz` and believes it: what ready means is decided in
//! the admin server alone. Exit 0 ready, 1 not ready, 2 could not be asked.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::{ReadyArgs, ask, nobody_to_ask};

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks, again and again until `--wait` is over. What was said last is told on stderr when it is no yes.
pub fn run(args: &ReadyArgs) -> ExitCode {
    let Some(admin) = args.admin.0 else { return nobody_to_ask() };
    let end = Instant::now() + Duration::from_secs(args.wait);
    loop {
        let said = Said::by(admin);
        let left = end.saturating_duration_since(Instant::now());
        if said == Said::Ready || left.is_zero() {
            return said.told();
        }
        std::thread::park_timeout(PAUSE.min(left)); // who is not asked again tells nothing
    }
}

/// What came of a question.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Ready,
    NotReady(String),
    Unasked(String),
}

impl Said {
    fn by(admin: SocketAddr) -> Said {
        match ask::asked(admin, "/readyz") {
            Ok(answer) if answer.status == 200 => Said::Ready,
            Ok(answer) if answer.status == 503 => Said::NotReady(answer.said()),
            Ok(answer) => Said::Unasked(format!("the admin listener {admin} says {}: {}", answer.status, answer.said())),
            Err(why) => Said::Unasked(why),
        }
    }

    fn told(&self) -> ExitCode {
        match self {
            Said::Ready => ExitCode::SUCCESS,
            Said::NotReady(why) => {
                eprintln!("{why}");
                ExitCode::from(1)
            }
            Said::Unasked(why) => {
                eprintln!("{why}");
                ExitCode::from(2)
            }
        }
    }
}
