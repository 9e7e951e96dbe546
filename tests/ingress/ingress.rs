//! Which Service an Ingress sends a request to: hosts, paths, defaults, classes, precedence; and what objects may look like.

use std::collections::BTreeMap;

use tidegate_tests::objects::{self, file, ingress, ingress_of, path};
use tidegate_tests::{Behaviour, Net, Replica, Setup, Tidegate};

mod objects_as_written;
mod rules;

/// Replicas that answer with their names, and a Service for each, port 80.
struct Apps {
    net: Net,
    replicas: BTreeMap<String, Replica>,
}

impl Apps {
    fn new(names: &[&str]) -> Apps {
        let net = Net::take();
        let replicas = names.iter().map(|name| ((*name).to_owned(), Replica::start(&net, name, Behaviour::Named))).collect();
        Apps { net, replicas }
    }

    fn services(&self) -> String {
        file(&self.replicas.iter().map(|(name, replica)| objects::tcp(&self.net, name, 80, &[replica])).collect::<Vec<_>>())
    }

    fn gate(&self, manifests: &[(&str, String)]) -> Tidegate {
        let setup = Setup::new(&self.net).manifest("services.yaml", self.services());
        manifests.iter().fold(setup, |setup, (name, text)| setup.manifest(name, text)).start()
    }
}

/// Asks for each (host, path) and compares who answers; `404` and `503` stand for Tidegate's own answers.
fn expect(gate: &Tidegate, table: &[(&str, &str, &str)]) {
    let mut wrong = Vec::new();
    for (host, path, expected) in table {
        let response = gate.get(host, path);
        let found = if response.status == 200 { response.replica().to_owned() } else { response.status.to_string() };
        if found != *expected {
            wrong.push(format!("{host}{path}: expected {expected}, found {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
