//! `tidegate explain`: offline over files as a cold start would read them, or by the running process; the answer is the same record.

use std::net::SocketAddr;
use std::process::ExitCode;

use config::problem::Problem;

use super::{ExplainArgs, Form, ask, could_not_run, offline, print};
use crate::explain::{Explanation, Outcome, Question, explain, unready};

/// Explains and prints. Exit 0 with an answer, whatever it says; 2 without one.
pub fn run(args: &ExplainArgs) -> ExitCode {
    let question = match Question::new(&args.url, args.from, &args.method, &args.headers) {
        Ok(question) => question,
        Err(error) => return failed(&error.to_string()),
    };
    let said = match place(args) {
        Ok(Place::Running(admin)) => by_asking(admin, &question).map_err(|why| failed(&why)),
        Ok(Place::Files(settings)) => offline::cold_start(&settings)
            .map(|offline| {
                let mut said = explain(&offline.snapshot, &offline.listeners, &question);
                unready(&mut said, &offline.registry.endpoints(), &offline.registry.problems());
                let probed = offline.registry.probed();
                if said.endpoints.iter().any(|endpoint| probed.contains(&endpoint.ip())) {
                    said.notes.push("a running process asks the readiness probes of its pods first; here they count as ready".to_owned());
                }
                said
            })
            .map_err(|problems| could_not_run(&problems)),
        Err(problems) => Err(could_not_run(&problems)),
    };
    let said = match said {
        Ok(said) => said,
        Err(code) => return code,
    };
    match args.output {
        Form::Text => print(&text(&said)),
        Form::Json => print(&format!("{:#}\n", serde_json::to_value(&said).unwrap_or_default())),
    }
    ExitCode::SUCCESS
}

fn failed(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::from(2)
}

/// Who knows the picture.
enum Place {
    Running(SocketAddr),
    Files(Box<config::settings::Settings>),
}

/// `--admin` asks a process, manifests are read; with neither, the process at the usual place is asked.
fn place(args: &ExplainArgs) -> Result<Place, Vec<Problem>> {
    if let Some(admin) = args.admin {
        return Ok(Place::Running(admin));
    }
    let settings = args.settings()?;
    match settings.admin {
        Some(admin) if settings.manifests.is_empty() && !settings.docker.enabled => Ok(Place::Running(admin)),
        _ => Ok(Place::Files(Box::new(settings))),
    }
}

fn by_asking(admin: SocketAddr, question: &Question) -> Result<Explanation, String> {
    let path = format!(
        "/api/v1/explain?url={}&from={}&method={}&headers={}",
        ask::encoded(&question.url),
        question.from,
        ask::encoded(&question.method),
        ask::encoded(&question.headers.join("\n")),
    );
    let body = ask::get(admin, &path)?;
    serde_json::from_slice(&body)
        .map_err(|error| format!("{admin} answers in another form ({error}); fix: use the same version on both sides"))
}

fn text(said: &Explanation) -> String {
    let verdict = match (said.outcome, said.status) {
        (Outcome::Forward, _) => "forward".to_owned(),
        (Outcome::Refuse, Some(status)) => format!("refuse {status} {}", said.reason.as_deref().unwrap_or("-")),
        (Outcome::Refuse, None) => format!("refuse {}", said.reason.as_deref().unwrap_or("without an answer")),
    };
    let mut lines = vec![("request", format!("{} {} from {}", said.method, said.url, said.from))];
    lines.push(("verdict", format!("{verdict}: {}", said.why)));
    lines.extend(said.listener.iter().map(|listener| ("listener", listener.clone())));
    if !said.host.is_empty() || !said.path.is_empty() {
        lines.push(("reads as", format!("host {} path {}", dash(&said.host), dash(&said.path))));
    }
    lines.extend(said.route.iter().map(|route| ("route", format!("{} {} {} ({})", route.host, route.path_type, route.path, route.owner))));
    lines.extend(said.filters.iter().map(|filter| ("filter", filter.clone())));
    lines.extend(said.service.iter().map(|service| ("service", service.clone())));
    lines.extend(said.balance.iter().map(|balance| ("balance", balance.clone())));
    lines.extend(said.bounds.iter().map(|bounds| ("bounds", bounds.clone())));
    let endpoints: Vec<String> = said.endpoints.iter().map(SocketAddr::to_string).collect();
    if !endpoints.is_empty() {
        lines.push(("endpoints", endpoints.join(" ")));
    }
    lines.extend(said.notes.iter().map(|note| ("note", note.clone())));
    lines.iter().map(|(key, value)| format!("{key:<10} {value}\n")).collect()
}

fn dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

#[cfg(test)]
mod tests {
    use config::exposure::Exposure::External;

    use super::*;
    use crate::explain::worlds;

    #[test]
    fn an_answer_reads_from_top_to_bottom() {
        let said = |url| text(&explain(&worlds::shop(), &[], &Question::new(url, External, "GET", &[]).unwrap()));
        let served = said("http://shop.example/cart/7");
        for line in [
            "request    GET http://shop.example/cart/7 from external\n",
            "verdict    forward: a replica of x/web:80 answers\n",
            "route      shop.example Prefix /cart (Ingress x/y)\n",
            "endpoints  127.0.1.1:8080 127.0.1.2:8080\n",
        ] {
            assert!(served.contains(line), "{line} is not in\n{served}");
        }
        assert!(said("http://db.example/").contains("verdict    refuse 404 no-route"));
    }
}
