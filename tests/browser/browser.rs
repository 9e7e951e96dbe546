//! Chromium against the real binary: pages, HTTP/2, WebSocket, CORS and HSTS as a person's browser has them.
//!
//! A page runs a script and posts what it saw to `/report`, where a replica keeps it. So nothing here sleeps, and what is compared is
//! what the browser lets a page see.

use std::time::Duration;

use serde_json::Value;
use tidegate_tests::objects::{self, file, ingress, path};
use tidegate_tests::wait::await_within;
use tidegate_tests::{Authority, Behaviour, Net, Replica, Setup, Tidegate};

mod chromium;
mod origins;
mod pages;
mod sockets;

use chromium::Browser;

/// How many cases there are, for whoever skips them.
fn cases() -> usize {
    [include_str!("origins.rs"), include_str!("pages.rs"), include_str!("sockets.rs")]
        .iter()
        .map(|file| file.matches("#[test]\n").count())
        .sum()
}

/// A browser that starts on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// What every page has: its reports, and a door that opens when the test says so.
const SCRIPT: &str = "const report = what => fetch('/report', {method: 'POST', body: JSON.stringify(what)});\n\
                      const go = () => fetch('/go');\n";

/// A page that says `Open` and runs `script`.
fn page(head: &str, script: &str) -> Behaviour {
    let body = format!(
        "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n<title>Shop</title>\n<link rel=icon href='data:,'>\n{head}\n<h1>Open</h1>\n\
         <script>\n{SCRIPT}(async () => {{\n{script}\n}})().catch(error => report({{failed: `${{error.stack}}`}}));\n</script>\n"
    );
    content("text/html", &body)
}

fn content(kind: &str, body: &str) -> Behaviour {
    Behaviour::Raw(format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

/// `shop.example` over http and https: a replica shows the page, one takes reports, one holds `/go`, and others are as the test wants.
struct Scene {
    gate: Tidegate,
    net: Net,
    authority: Authority,
    shop: Replica,
    report: Replica,
    go: Replica,
    more: Vec<Replica>,
}

impl Scene {
    /// Replicas of Services of these names, each at `/NAME` of the site. `None`: there is no browser.
    fn new(more: &[(&str, Behaviour)]) -> Option<Scene> {
        if !chromium::is_here(cases()) {
            return None;
        }
        let (net, authority) = (Net::take(), Authority::new());
        let start = |name: &str, behaviour: &Behaviour| Replica::start(&net, &format!("{name}-0"), behaviour.clone());
        let (shop, report, go) = (start("shop", &page("", "")), start("report", &Behaviour::Named), start("go", &Behaviour::Held));
        let others: Vec<_> = more.iter().map(|(name, behaviour)| start(name, behaviour)).collect();
        let names: Vec<_> = more.iter().map(|(name, _)| *name).collect();
        let own = [("shop", &shop), ("report", &report), ("go", &go)];
        let all = own.into_iter().chain(names.iter().copied().zip(&others));
        let services: Vec<_> = all.map(|(name, replica)| objects::tcp(&net, name, 80, &[replica])).collect();
        let secret = authority.ecdsa(&["shop.example", "api.shop.example"]).secret("shop");
        let setup = Setup::new(&net).flag("--https", "127.0.0.1:0").flag("--log", "json").flag("--access-log", "-");
        let setup = setup.manifest("services.yaml", file(&services)).manifest("secret.yaml", secret);
        let gate = setup.manifest("site.yaml", site("shop.example", "shop", &names)).start();
        Some(Scene { gate, net, authority, shop, report, go, more: others })
    }

    fn url(&self, scheme: &str, host: &str, path: &str) -> String {
        format!("{scheme}://{host}:{}{path}", self.gate.listener(scheme).port())
    }

    /// Opens the site's first page, which runs `script`.
    fn open(&self, scheme: &str, script: &str) -> Browser {
        self.shop.now(page("", script));
        Browser::open(&self.url(scheme, "shop.example", "/"), Some(&self.authority))
    }

    /// What pages reported so far.
    fn reports(&self) -> Vec<Value> {
        let received = self.report.received();
        let posts = received.iter().filter(|request| request.head.starts_with("POST "));
        posts.map(|request| serde_json::from_slice(&request.body).expect("a report is JSON")).collect()
    }

    /// The report of this number, once it is there.
    fn reported(&self, number: usize) -> Value {
        let report = await_within(PATIENCE, "a report of the page", || self.reports().get(number).cloned());
        assert!(report["failed"].is_null(), "the page's script failed: {}", report["failed"]);
        report
    }

    /// Lines of the access log with this path, once there are so many.
    fn logged(&self, path: &str, count: usize) -> Vec<Value> {
        await_within(PATIENCE, "lines of the access log", || {
            let lines = self.gate.stdout();
            let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let lines: Vec<_> = lines.filter(|line| line["path"] == path).collect();
            (lines.len() >= count).then_some(lines)
        })
    }

    /// Handshakes that ended well.
    fn handshakes(&self) -> f64 {
        ["full", "resumed"].iter().map(|result| self.gate.sum("tidegate_tls_handshakes_total", &[&format!("result=\"{result}\"")])).sum()
    }
}

/// An Ingress of the Secret `shop` for a host: `/` is `service`, and there are the paths of all pages and these.
fn site(host: &str, service: &str, paths: &[&str]) -> String {
    let named = ["report", "go"].iter().chain(paths).map(|name| path("Prefix", &format!("/{name}"), name, 80));
    let rules: Vec<_> = std::iter::once(path("Prefix", "/", service, 80)).chain(named).collect();
    let name = host.replace('.', "-");
    ingress(&name, host, &rules).replace("spec: {", &format!("spec: {{tls: [{{hosts: [{host}], secretName: shop}}], "))
}

/// The same object with annotations of ours.
fn annotated(object: &str, annotations: &[(&str, &str)]) -> String {
    let all: Vec<_> = annotations.iter().map(|(key, value)| format!("'tidegate.dev/{key}': '{value}'")).collect();
    object.replacen("metadata: {", &format!("metadata: {{annotations: {{{}}}, ", all.join(", ")), 1)
}
