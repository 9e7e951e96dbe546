//! gRPC by its own library (`http2/calls.py`), to replicas that speak it in TLS.

use tidegate_tests::Issued;
use tidegate_tests::peers::python;

use super::*;

/// Runs a case with a server in TLS that shows what `shown` makes; says what it found.
fn run(case: &str, shown: impl FnOnce(&Authority) -> Issued) -> String {
    let (net, inner) = (Net::take(), Authority::new());
    let Issued { chain, key } = shown(&inner);
    let address = SocketAddr::new(net.replica_ip(), net.port());
    let setup = Setup::new(&net).manifest("shop.yaml", shop(&net, "https", BY_INNER, &[address.ip()]));
    let pair = setup.home().join("shown.pem");
    std::fs::write(&pair, [chain, key].concat()).expect("the temporary folder can be written");
    let gate = setup.manifest("inner.yaml", inner.secret("inner")).start();
    let (pair, at) = (pair.display().to_string(), gate.http().to_string());
    python(include_str!("../http2/calls.py"), &[case, &at, "shop.example", "", &pair, &address.to_string()].map(str::to_owned))
}

#[test]
fn all_four_kinds_of_calls() {
    run("kinds", |inner| inner.ecdsa(&[NAME]));
}

#[test]
fn metadata_statuses_and_trailers() {
    let said = run("metadata", |inner| inner.ecdsa(&[NAME]));
    assert!(said.contains(r#""x-forwarded-for": "127.0.0.1""#), "{said}");
    run("status", |inner| inner.rsa(&[NAME]));
}

#[test]
fn a_deadline_and_a_cancellation() {
    run("deadline", |inner| inner.ecdsa(&[NAME]));
    run("cancel", |inner| inner.ecdsa(&[NAME]));
}

#[test]
fn a_server_that_is_not_who_it_must_be_is_unavailable() {
    let said = run("refused", |_| Authority::new().ecdsa(&[NAME]));
    assert_eq!(said.trim(), r#"["UNAVAILABLE", "upstream-connect"]"#);
}
