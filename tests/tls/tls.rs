//! TLS as real clients see it: curl and openssl against the real binary.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tidegate_tests::objects::{self, file, ingress, path};
use tidegate_tests::{Authority, Behaviour, Finished, Net, Replica, Setup, Tidegate};

mod bytes;
mod handshakes;
mod metrics;
mod secrets;

/// Replicas `one` and `two`, an authority, and what is to be started with.
struct Scene {
    net: Net,
    one: Replica,
    two: Replica,
    authority: Authority,
    trusted: tempfile::TempDir,
}

impl Scene {
    fn new(behaviour: Behaviour) -> Scene {
        let net = Net::take();
        let (one, two) = (Replica::start(&net, "one", behaviour), Replica::start(&net, "two", Behaviour::Named));
        let scene = Scene { one, two, net, authority: Authority::new(), trusted: tempfile::tempdir().expect("a temporary folder") };
        std::fs::write(scene.trust(), &scene.authority.pem).expect("the temporary folder can be written");
        scene
    }

    /// The file that clients trust.
    fn trust(&self) -> PathBuf {
        self.trusted.path().join("authority.pem")
    }

    /// Services `one` and `two`, and a listener for TLS.
    fn setup(&self) -> Setup {
        let services = [objects::tcp(&self.net, "one", 80, &[&self.one]), objects::tcp(&self.net, "two", 80, &[&self.two])];
        Setup::new(&self.net).flag("--https", "127.0.0.1:0").manifest("services.yaml", file(&services))
    }

    /// The usual: `shop.example` is service `one` with an ECDSA certificate in Secret `shop`.
    fn shop(&self) -> Setup {
        let issued = self.authority.ecdsa(&["shop.example"]);
        self.setup().manifest("shop.yaml", site("shop", "shop.example", "one")).manifest("secret.yaml", issued.secret("shop"))
    }

    /// curl against `https://HOST/`.
    fn curl(&self, gate: &Tidegate, host: &str, flags: &[&str]) -> Finished {
        let at = gate.listener("https");
        let trust = self.trust().display().to_string();
        let resolve = format!("{host}:{}:{}", at.port(), at.ip());
        let url = format!("https://{host}:{}/from/curl", at.port());
        let usual = [
            "-q",
            "--http1.1",
            "--silent",
            "--show-error",
            "--noproxy",
            "*",
            "--max-time",
            "20",
            "--cacert",
            &trust,
            "--resolve",
            &resolve,
        ];
        finish(Command::new("curl").args(usual).args(flags).arg(url).stdin(Stdio::null()))
    }

    /// openssl, which asks for `/` as `host` once the handshake is done, and says what it saw.
    fn openssl(&self, at: SocketAddr, host: &str, flags: &[&str]) -> String {
        let (trust, at) = (self.trust().display().to_string(), at.to_string());
        let request = self.trusted.path().join("request");
        std::fs::write(&request, format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
            .expect("the folder can be written");
        let input = std::fs::File::open(&request).expect("it was just written");
        let usual = ["20", "openssl", "s_client", "-connect", &at, "-CAfile", &trust, "-verify_return_error", "-ign_eof"];
        let said = finish(Command::new("timeout").args(usual).args(flags).stdin(input));
        format!("{}{}", said.stdout, said.stderr)
    }
}

fn finish(command: &mut Command) -> Finished {
    let output = command.output().expect("curl and openssl are installed (`make test` does it)");
    Finished {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// An Ingress that serves `host` by `service`, with the certificate of the Secret of its own name.
fn site(name: &str, host: &str, service: &str) -> String {
    with_tls(&ingress(name, host, &[path("Prefix", "/", service, 80)]), &format!("[{{hosts: ['{host}'], secretName: {name}}}]"))
}

fn with_tls(ingress: &str, tls: &str) -> String {
    ingress.replace("spec: {", &format!("spec: {{tls: {tls}, "))
}
