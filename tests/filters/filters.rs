//! Annotations of an Ingress as clients and operators meet them: curl against the real binary.

use std::io::{Seek, Write};
use std::process::Command;

use tidegate_tests::objects::{self, file, ingress, path};
use tidegate_tests::{Behaviour, Client, Finished, Net, Replica, Setup, Tidegate};

mod config_maps;
mod doors;
mod messages;
mod operators;
mod times;

const HOST: &str = "shop.example";

/// One replica `app` behind `shop.example`.
struct Scene {
    net: Net,
    app: Replica,
}

impl Scene {
    fn new(behaviour: Behaviour) -> Scene {
        let net = Net::take();
        Scene { app: Replica::start(&net, "app", behaviour), net }
    }

    fn setup(&self) -> Setup {
        Setup::new(&self.net).manifest("app.yaml", objects::tcp(&self.net, "app", 80, &[&self.app]))
    }

    /// With these annotations on all of the host.
    fn gate(&self, annotations: &[(&str, &str)]) -> Tidegate {
        self.setup().manifest("rule.yaml", site(annotations)).start()
    }
}

/// An Ingress of the host with these annotations; a name without a prefix is ours.
fn site(annotations: &[(&str, &str)]) -> String {
    annotated(&ingress("shop", HOST, &[path("Prefix", "/", "app", 80)]), annotations)
}

fn annotated(object: &str, annotations: &[(&str, &str)]) -> String {
    let whole = |key: &str| if key.contains('/') { key.to_owned() } else { format!("tidegate.dev/{key}") };
    let all: serde_json::Map<String, serde_json::Value> = annotations.iter().map(|(key, value)| (whole(key), (*value).into())).collect();
    object.replacen("name: shop}", &format!("name: shop, annotations: {}}}", serde_json::Value::Object(all)), 1)
}

/// The same key of ingress-nginx.
fn nginx(name: &str) -> String {
    format!("nginx.ingress.kubernetes.io/{name}")
}

fn secret(name: &str, lines: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{auth: {}}}\n", serde_json::Value::from(lines))
}

/// Status and `Location` behind the body.
const SAY: [&str; 2] = ["--write-out", "\n%{http_code} %{redirect_url}"];

/// curl against `http://HOST/PATH`, with `body` on its standard input.
fn curl_with(gate: &Tidegate, host: &str, path: &str, flags: &[&str], body: &[u8]) -> Finished {
    let at = gate.http();
    let mut input = tempfile::tempfile().expect("the temporary folder can be written");
    input.write_all(body).and_then(|()| input.rewind()).expect("the temporary folder can be written");
    let output = Command::new("curl")
        .args(["-q", "--silent", "--show-error", "--path-as-is", "--noproxy", "*", "--max-time", "20", "--resolve"])
        .arg(format!("{host}:{}:{}", at.port(), at.ip()))
        .args(SAY)
        .args(flags)
        .arg(format!("http://{host}:{}{path}", at.port()))
        .stdin(input)
        .output()
        .expect("curl is installed (`make test` does it)");
    Finished {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// What curl prints: the answer, then status and `Location` in the last line.
fn curl(gate: &Tidegate, path: &str, flags: &[&str]) -> String {
    curl_with(gate, HOST, path, flags, b"").exited(0).to_owned()
}

/// The last line of it.
fn verdict(gate: &Tidegate, path: &str, flags: &[&str]) -> String {
    curl(gate, path, flags).lines().last().unwrap_or_default().trim_end().to_owned()
}
