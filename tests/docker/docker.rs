//! The Docker source against a real engine: containers come, go, fall ill, move, and get each other's addresses.
//!
//! The engine is the tests' own ([`Engine`]); the containers answer with their host names, so that a test knows who answered. Requests are
//! never repeated by the test: one that fails is a failure.

mod compose;
mod daemon;
mod life;
mod load;
mod moved;
mod reach;
mod smallest;

use tidegate_tests::{Engine, Net, Setup, Tidegate};

/// Tidegate beside an engine, with these manifests.
fn beside(engine: &Engine, net: &Net, manifest: &str) -> Tidegate {
    Setup::new(net).flag("--docker-socket", &engine.socket()).manifest("shop.yaml", manifest).start()
}

/// The labels of compose for a replica, and its port, as words for `docker run`.
fn replica(project: &str, service: &str) -> Vec<String> {
    let label = |text: String| ["--label".to_owned(), text];
    let compose = [format!("com.docker.compose.project={project}"), format!("com.docker.compose.service={service}")];
    compose.into_iter().chain(["tidegate.dev/port=80".to_owned()]).flat_map(label).collect()
}

/// All of these as words.
fn words(parts: &[&[String]]) -> Vec<String> {
    parts.concat()
}

fn refs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// An Ingress in the project's namespace, for the Service that its containers' labels ask for.
fn shop(namespace: &str, service: &str, host: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {service}, namespace: {namespace}}}\n\
         spec:\n  rules:\n  - host: {host}\n    http:\n      paths:\n      - path: /\n        pathType: Prefix\n        \
         backend: {{service: {{name: {service}, port: {{number: 80}}}}}}\n---\n"
    )
}

/// Waits until exactly these containers are Ready in a service port.
fn await_ready(tidegate: &Tidegate, service: &str, expected: &[&str]) {
    let mut expected: Vec<String> = expected.iter().map(|&id| id.to_owned()).collect();
    expected.sort();
    tidegate_tests::await_until(&format!("{expected:?} Ready in {service}"), || ready(tidegate, service) == expected);
}

/// The containers that are Ready in a service port, by their short ids.
fn ready(tidegate: &Tidegate, service: &str) -> Vec<String> {
    let rows = tidegate.rows("endpoints");
    let here = rows.iter().filter(|row| row["service"] == service && row["state"] == "Ready");
    let mut ids: Vec<String> = here.filter_map(|row| Some(row["pod"].as_str()?.rsplit_once('-')?.1.to_owned())).collect();
    ids.sort();
    ids
}
