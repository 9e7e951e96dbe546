//! h2spec: what RFC 9113 and RFC 7541 want of a server, case by case.

use std::path::PathBuf;

use super::*;

/// Cases that fail without TLS, each with the reason why that is right.
const EXCUSED: &[(&str, &str)] = &[(
    "http2/3.5 Sends invalid connection preface",
    "first words that are not those of HTTP/2 are HTTP/1 on a listener without TLS: it answers 400 in that and closes, where h2spec reads \
     frames",
)];

fn h2spec() -> PathBuf {
    let named = std::env::var_os("TIDEGATE_H2SPEC").expect("TIDEGATE_H2SPEC names the binary of h2spec (`make test` sees to it)");
    named.into()
}

/// The value of an attribute in a line of XML.
fn attribute<'a>(line: &'a str, name: &str) -> &'a str {
    let rest = line.split_once(&format!(" {name}=\"")).map_or("", |(_, rest)| rest);
    rest.split_once('"').map_or("", |(value, _)| value)
}

/// Runs all cases against `at`; says which failed, with what h2spec reports of them.
fn faults(gate: &Tidegate, at: SocketAddr, flags: &[&str]) -> Vec<(String, String)> {
    let report = gate.home().join(format!("report-{}.xml", at.port()));
    let mut command = Command::new("timeout");
    command.arg("300").arg(h2spec()).args(["-h", &at.ip().to_string(), "-p", &at.port().to_string(), "--timeout", "2"]);
    let said = finish(command.args(flags).arg("-j").arg(&report), b"");
    let xml = std::fs::read_to_string(&report).unwrap_or_else(|error| panic!("{error}: {} {}", said.stdout, said.stderr));
    let cases: Vec<String> =
        xml.split("<testcase").skip(1).map(|case| case.split("</testcase>").next().unwrap_or(case).to_owned()).collect();
    assert!(cases.len() > 140, "only {} cases ran:\n{}", cases.len(), said.stdout);
    assert!(!cases.iter().any(|case| case.contains("<skipped>")), "{}", said.stdout);
    println!("h2spec: {} cases", cases.len());
    let failed = cases.into_iter().filter(|case| case.contains("<failure>") || case.contains("<error>"));
    failed.map(|case| (format!("{} {}", attribute(&case, "package"), attribute(&case, "classname")), case)).collect()
}

#[test]
fn h2spec_finds_no_fault() {
    let net = Net::take();
    // Some cases cut the answer's content into single bytes.
    let replica = Replica::start(&net, "a-replica-with-a-long-name", Behaviour::Named);
    let secret = Authority::new().ecdsa(&["any.example"]).secret("any");
    let site = [objects::tcp(&net, "shop", 80, &[&replica]), ingress("shop", "", &[path("Prefix", "/", "shop", 80)]), secret];
    let setup = Setup::new(&net).manifest("shop.yaml", file(&site)).config("tls: {defaultSecret: default/any}\n");
    let gate = setup.flag("--https", "127.0.0.1:0").start();
    let in_tls = faults(&gate, gate.listener("https"), &["--tls", "--insecure"]);
    assert!(in_tls.is_empty(), "{in_tls:#?}");
    let plain = faults(&gate, gate.http(), &[]);
    let unexcused: Vec<_> = plain.iter().filter(|(name, _)| !EXCUSED.iter().any(|(case, _)| case == name)).collect();
    assert!(unexcused.is_empty(), "{unexcused:#?}");
    for (case, why) in EXCUSED {
        assert!(plain.iter().any(|(name, _)| name == case), "{case} does not fail, so it needs no excuse: {why}");
    }
    assert_eq!(gate.get("any.example", "/").status, 200, "it still serves");
}
