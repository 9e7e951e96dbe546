//! HTTP/2 as real clients see it: curl, nghttp, h2load, h2spec and gRPC's own library, and a client that breaks every rule.

use std::io::{Seek, Write};
use std::net::SocketAddr;
use std::process::Command;

use tidegate_tests::frames::Frames;
use tidegate_tests::objects::{self, file, ingress, path};
use tidegate_tests::{Authority, Behaviour, Finished, Net, Replica, Setup, Tidegate};

mod answers;
mod balance;
mod bodies;
mod conformance;
mod exposure;
mod fields;
mod floods;
mod grpc;
mod leaving;
mod life;
mod refusals;
mod stalls;
mod versions;
mod websocket;

/// A gate with one replica behind `shop.example`, and behind `safe.example` in TLS.
struct Scene {
    gate: Tidegate,
    replica: Replica,
    authority: Authority,
    net: Net,
}

impl Scene {
    fn new(behaviour: Behaviour) -> Scene {
        Scene::with(behaviour, |setup| setup)
    }

    fn with(behaviour: Behaviour, adjust: impl FnOnce(Setup) -> Setup) -> Scene {
        let net = Net::take();
        let replica = Replica::start(&net, "one", behaviour);
        let authority = Authority::new();
        let sites = [
            objects::tcp(&net, "shop", 80, &[&replica]),
            ingress("shop", "shop.example", &[path("Prefix", "/", "shop", 80)]),
            safe_site("safe", "safe.example"),
            authority.ecdsa(&["safe.example"]).secret("safe"),
        ];
        let setup = Setup::new(&net).flag("--https", "127.0.0.1:0").manifest("shop.yaml", file(&sites));
        Scene { gate: adjust(setup).start(), replica, authority, net }
    }

    /// A client that speaks frames.
    fn frames(&self) -> Frames {
        Frames::connect(self.gate.http())
    }

    /// curl against `http://shop.example/from/curl`, in HTTP/2 without a question.
    fn curl(&self, flags: &[&str], body: &[u8]) -> Finished {
        let at = self.gate.http();
        let flags = [&["--http2-prior-knowledge"], flags].concat();
        curl(at, &format!("http://shop.example:{}/from/curl", at.port()), &flags, body)
    }

    /// curl against `https://HOST/from/curl`; the gate's certificates are believed.
    fn curl_in_tls(&self, host: &str, flags: &[&str]) -> Finished {
        let at = self.gate.listener("https");
        let trust = self.gate.home().join("authority.pem");
        std::fs::write(&trust, &self.authority.pem).expect("the temporary folder can be written");
        let trust = trust.display().to_string();
        curl(at, &format!("https://{host}:{}/from/curl", at.port()), &[&["--cacert", &trust], flags].concat(), b"")
    }

    /// How often the gate refused for this reason, outside.
    fn refusals(&self, reason: &str) -> f64 {
        self.gate.sum("tidegate_refusals_total", &[&format!("reason=\"{reason}\""), "exposure=\"external\""])
    }
}

/// An Ingress that serves `host` by the Service `shop`, with the certificate in the Secret of its own name.
fn safe_site(name: &str, host: &str) -> String {
    let tls = format!("spec: {{tls: [{{hosts: ['{host}'], secretName: {name}}}], ");
    ingress(name, host, &[path("Prefix", "/", "shop", 80)]).replace("spec: {", &tls)
}

/// curl, which finds the URL's host at `at`, with `body` on its standard input.
fn curl(at: SocketAddr, url: &str, flags: &[&str], body: &[u8]) -> Finished {
    let host = url.split("://").nth(1).and_then(|rest| rest.split(':').next()).expect("a URL with a port");
    let resolve = format!("{host}:{}:{}", at.port(), at.ip());
    let usual = ["-q", "--silent", "--show-error", "--noproxy", "*", "--max-time", "20", "--resolve", &resolve];
    finish(Command::new("curl").args(usual).args(flags).arg(url), body)
}

/// Status, version and connections made, after the body.
const SAY: [&str; 2] = ["--write-out", " %{http_code} %{http_version} %{num_connects}"];

/// Runs a client with `input` on its standard input.
fn finish(command: &mut Command, input: &[u8]) -> Finished {
    let mut file = tempfile::tempfile().expect("the temporary folder can be written");
    file.write_all(input).and_then(|()| file.rewind()).expect("the temporary folder can be written");
    let output = command.stdin(file).output();
    let output = output.unwrap_or_else(|error| panic!("{:?} cannot be run (`make test` installs it): {error}", command.get_program()));
    Finished {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
