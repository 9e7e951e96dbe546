//! The C library as a client: `getent` with a `resolv.conf` of its own, in a mount namespace of its own.

use std::process::Command;

use super::*;

/// Runs `getent` with this `resolv.conf`; `None` where no mount namespace may be made.
fn getent(gate: &Tidegate, resolv: &str, words: &[&str]) -> Option<String> {
    let path = gate.home().join("resolv.conf");
    std::fs::write(&path, resolv).expect("the temporary folder can be written");
    let inside = |command: &str| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--map-root-user", "sh", "-ec", command, "sh"]).arg(&path).args(words);
        unshare.output().expect("unshare is installed (package util-linux)")
    };
    if !inside("mount --bind \"$1\" /etc/resolv.conf").status.success() {
        eprintln!("skipped: this user may not make a mount namespace");
        return None;
    }
    let output = inside("mount --bind \"$1\" /etc/resolv.conf; shift; exec getent \"$@\"");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The C library asks on port 53 alone.
#[test]
fn the_c_library_finds_services_by_long_and_short_names() {
    let net = Net::take();
    let listen = format!("{}:53", net.pod_ip(1));
    let web = service_at("shop/web", net.vip(10), 80, 8080);
    let gate = setup(&net).flag("--dns", &listen).config("dns: {forward: false}\n").manifest("web.yaml", web).start();
    if gate.rows("listeners").iter().any(|row| row["name"] == "dns" && !row["error"].is_null()) {
        return eprintln!("skipped: this user may not bind port 53");
    }
    let ask = |options: &str, words: &[&str]| getent(&gate, &format!("nameserver {}\n{options}", net.pod_ip(1)), words);
    let Some(found) = ask("", &["ahosts", "web.shop.svc.cluster.local"]) else { return };
    let vip = net.vip(10).to_string();
    assert!(found.starts_with(&vip), "{found}");
    let search = "search shop.svc.cluster.local svc.cluster.local\noptions ndots:5\n";
    for name in ["web", "web.shop"] {
        assert!(ask(search, &["ahostsv4", name]).is_some_and(|found| found.starts_with(&vip)), "{name}");
    }
    assert_eq!(ask(search, &["ahosts", "nobody"]).as_deref(), Some(""));
    let back = ask("", &["hosts", &vip]);
    assert!(back.is_some_and(|back| back.contains("web.shop.svc.cluster.local")), "an address has its name");
}
