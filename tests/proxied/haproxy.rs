//! HAProxy before us and behind us.

use std::fs;
use std::process::{Child, Command, Stdio};

use tidegate_tests::Authority;
use tidegate_tests::net::Lease;
use tidegate_tests::objects::{ingress, path};

use super::*;

/// A running HAProxy: connections to `at` go to `to`. Dropped, it is killed.
struct Haproxy {
    child: Child,
    _home: tempfile::TempDir,
    _lease: Lease,
}

impl Haproxy {
    fn start(net: &Net, at: SocketAddr, accept: &str, to: SocketAddr, send: &str) -> Haproxy {
        let home = tempfile::tempdir().expect("a temporary folder");
        let config = home.path().join("haproxy.cfg");
        let text = format!(
            "global\n maxconn 100\ndefaults\n mode tcp\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n\
             listen all\n bind {at} {accept}\n server one {to} {send}\n"
        );
        fs::write(&config, text).expect("the temporary folder can be written");
        let child = Command::new("haproxy").arg("-db").arg("-f").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let child = child.expect("haproxy is installed (`make test` does it)");
        let haproxy = Haproxy { child, _home: home, _lease: net.lease() };
        await_until("haproxy to listen", || Client::try_connect(at).is_ok());
        haproxy
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn haproxy_before_us_tells_its_clients_in_both_versions() {
    let (gate, replica, net) = scene(Behaviour::Named, |setup| setup);
    for (number, send) in [(1, "send-proxy"), (2, "send-proxy-v2"), (3, "send-proxy-v2-ssl-cn")] {
        let at = net.vip_address(200 + number);
        let _haproxy = Haproxy::start(&net, at, "", gate.http(), send);
        let mut client = Client::connect_from([127, 0, 8, number].into(), at);
        assert_eq!(client.get("app.example", "/").replica(), "app-0", "{send}");
        assert_eq!(replica.last().field("x-forwarded-for"), Some(format!("127.0.8.{number}")), "{send}");
    }
}

#[test]
fn the_header_comes_before_the_handshake() {
    let authority = Authority::new();
    let trusted = tempfile::tempdir().expect("a temporary folder");
    fs::write(trusted.path().join("authority.pem"), &authority.pem).expect("the temporary folder can be written");
    let (gate, replica, net) = scene(Behaviour::Named, |setup| {
        let site = ingress("tls", "shop.example", &[path("Prefix", "/", "app", 80)]);
        let site = site.replace("spec: {", "spec: {tls: [{hosts: [shop.example], secretName: shop}], ");
        let setup = setup.manifest("site.yaml", site).manifest("secret.yaml", authority.ecdsa(&["shop.example"]).secret("shop"));
        setup.flag("--https", "127.0.0.1:0")
    });
    let at = net.vip_address(204);
    let _haproxy = Haproxy::start(&net, at, "", gate.listener("https"), "send-proxy-v2");
    let curl = |to: SocketAddr| {
        let resolve = format!("shop.example:{}:{}", to.port(), to.ip());
        let usual = ["-q", "--silent", "--noproxy", "*", "--max-time", "20", "--interface", "127.0.0.1", "--resolve", &resolve];
        let mut command = Command::new("curl");
        command.args(usual).arg("--cacert").arg(trusted.path().join("authority.pem"));
        let output = command.arg(format!("https://shop.example:{}/", to.port())).output().expect("curl is installed");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert_eq!(curl(at), (Some(0), "app-0".to_owned()));
    assert_eq!(replica.last().field("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_ne!(curl(gate.listener("https")).0, Some(0), "a handshake without the header fails");
}

#[test]
fn haproxy_behind_us_understands_both_versions() {
    let net = Net::take();
    let echo = Replica::start(&net, "db-0", Behaviour::TcpEcho);
    let front = Replica::start(&net, "front", Behaviour::TcpEcho); // takes an address of a pod, which HAProxy has then
    let at = front.address();
    drop(front);
    let _haproxy = Haproxy::start(&net, at, "accept-proxy", echo.address(), "send-proxy");
    for version in ["v1", "v2"] {
        let annotated = format!("name: db, annotations: {{tidegate.dev/proxy-protocol: {version}}}}}");
        let pod = tidegate_tests::objects::pod("db-0", "db", at.ip());
        let service = tidegate_tests::objects::service("db", net.port(), net.port()).replacen("name: db}", &annotated, 1);
        let gate = Setup::new(&net).manifest("db.yaml", format!("{service}---\n{pod}")).start();
        let mut client = Client::connect_from([127, 0, 8, 9].into(), vip(&gate, "db", net.port()));
        client.send("ping");
        let said = client.through(b"ping").expect("the echo");
        let said = String::from_utf8_lossy(&said);
        assert!(said.starts_with("PROXY TCP4 127.0.8.9 "), "{version}: what HAProxy understood: {said}");
    }
}
