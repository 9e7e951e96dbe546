//! Load that is too much, against the real binary: what Services carry at once, rates, connections, and a worker that is late.

use std::process::Command;

use tidegate_tests::frames::Frames;
use tidegate_tests::objects::{self, file, ingress, path};
use tidegate_tests::{Behaviour, Client, Net, Replica, Response, Setup, Tidegate, await_until};

mod bounds;
mod connections;
mod late;
mod pending;
mod rates;

const HOST: &str = "shop.example";

/// Puts annotations, `key: value` by our prefix, on the object of this name in some manifests.
fn annotated(manifests: &str, name: &str, annotations: &[(&str, &str)]) -> String {
    let whole = |key: &str| if key.contains('/') { key.to_owned() } else { format!("tidegate.dev/{key}") };
    let all: serde_json::Map<String, serde_json::Value> = annotations.iter().map(|(key, value)| (whole(key), (*value).into())).collect();
    let changed =
        manifests.replacen(&format!("name: {name}}}"), &format!("name: {name}, annotations: {}}}", serde_json::Value::Object(all)), 1);
    assert_ne!(changed, manifests, "there is no {name}");
    changed
}

/// A Service `app` on these replicas, with annotations.
fn service(net: &Net, annotations: &[(&str, &str)], replicas: &[&Replica]) -> String {
    annotated(&objects::tcp(net, "app", 80, replicas), "app", annotations)
}

/// An Ingress `shop` that leads all of the host to `app`, with annotations.
fn site(annotations: &[(&str, &str)]) -> String {
    annotated(&ingress("shop", HOST, &[path("Prefix", "/", "app", 80)]), "shop", annotations)
}

/// A request on a connection of its own, whose answer is still to come.
fn begin(gate: &Tidegate) -> Client {
    let mut client = Client::connect(gate.http());
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    client
}

/// What curl gets over HTTP/2, head and content, in lower case.
fn curl(gate: &Tidegate, flags: &[&str]) -> String {
    let at = gate.http();
    let output = Command::new("curl")
        .args(["-q", "--silent", "--show-error", "--noproxy", "*", "--max-time", "20", "--include", "--http2-prior-knowledge", "--resolve"])
        .arg(format!("{HOST}:{}:{}", at.port(), at.ip()))
        .args(flags)
        .arg(format!("http://{HOST}:{}/", at.port()))
        .output()
        .expect("curl is installed (`make test` does it)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).to_ascii_lowercase()
}

fn refusals(gate: &Tidegate, reason: &str) -> f64 {
    gate.sum("tidegate_refusals_total", &[&format!("reason=\"{reason}\"")])
}

/// Nothing is under way at the Service.
fn await_rest(gate: &Tidegate) {
    await_until("nothing to be in flight", || gate.sum("tidegate_requests_in_flight", &["default/app:"]) == 0.0);
}
