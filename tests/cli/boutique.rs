//! Real manifests, unchanged: Online Boutique with stand-in pods.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::*;

/// Each Deployment of Online Boutique, the port that its pod listens on, and the port of its Service.
const DEPLOYMENTS: [(&str, u16, u16); 11] = [
    ("adservice", 9555, 9555),
    ("cartservice", 7070, 7070),
    ("checkoutservice", 5050, 5050),
    ("currencyservice", 7000, 7000),
    ("emailservice", 8080, 5000),
    ("frontend", 8080, 80),
    ("paymentservice", 50051, 50051),
    ("productcatalogservice", 3550, 3550),
    ("recommendationservice", 8080, 8080),
    ("redis-cart", 6379, 6379),
    ("shippingservice", 50051, 50051),
];

fn manifests() -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/manifests/online-boutique/kubernetes-manifests.yaml");
    if path.is_file() {
        return Some(path);
    }
    eprintln!("SKIPPED: the real manifests are not there: {}", path.display());
    None
}

fn rule() -> String {
    ingress("frontend", "boutique.example", &[path("Prefix", "/", "frontend", 80)])
}

fn pods(ip: impl Fn(usize) -> IpAddr) -> String {
    let pod = |at: usize, name: &str| tidegate_tests::objects::pod(&format!("{name}-0"), name, ip(at));
    file(&DEPLOYMENTS.iter().enumerate().map(|(at, (name, ..))| pod(at, name)).collect::<Vec<_>>())
}

#[test]
fn the_frontend_answers_by_host_and_the_rest_inside_only() {
    let Some(real) = manifests() else { return };
    let net = Net::take();
    let replicas: Vec<Replica> = DEPLOYMENTS
        .iter()
        .enumerate()
        .map(|(at, (name, port, _))| {
            let behaviour = if *name == "frontend" { Behaviour::Named } else { Behaviour::TcpGreet((*name).into()) };
            Replica::at(SocketAddr::new(net.pod_ip(at as u8 + 1), *port), name, behaviour)
        })
        .collect();
    let gate = Setup::new(&net)
        .manifest("boutique.yaml", std::fs::read(real).expect("the real manifests can be read"))
        .manifest("pods.yaml", pods(|at| replicas[at].ip()))
        .manifest("ingress.yaml", rule())
        .config(&format!("external: {{addresses: ['{}']}}\n", net.pod_ip(250)))
        .start();
    assert_eq!(gate.get("boutique.example", "/").replica(), "frontend");
    let services = gate.rows("services");
    for (name, _, port) in DEPLOYMENTS.iter().filter(|(name, ..)| *name != "frontend") {
        let row = services.iter().find(|row| row["name"] == *name).unwrap_or_else(|| panic!("no {name}"));
        let vip = SocketAddr::new(row["vip"].as_str().and_then(|ip| ip.parse().ok()).expect("a VIP"), *port);
        let greeting =
            tidegate_tests::wait::await_some(&format!("{name} on {vip}"), || Client::try_connect(vip).ok()?.exactly(name.len()).ok());
        assert_eq!(greeting, name.as_bytes(), "{name}");
        assert_eq!(row["exposure"], "internal", "{name}");
        for host in [format!("{name}.default.svc.cluster.local"), vip.to_string()] {
            assert_eq!(gate.get(&host, "/").status, 404, "{host}");
        }
    }
    let problems = gate.rows("problems");
    assert!(problems.iter().all(|problem| problem["severity"] == "note"), "{problems:#?}");
}

#[test]
fn check_prints_the_right_exposure_table() {
    let Some(real) = manifests() else { return };
    let net = Net::take();
    let setup = Setup::new(&net)
        .manifest("boutique.yaml", std::fs::read(real).expect("the real manifests can be read"))
        .manifest("pods.yaml", pods(|at| net.pod_ip(at as u8 + 1)))
        .manifest("ingress.yaml", rule());
    let folder = setup.folder().display().to_string();
    let checked = command(["check", "--manifests", &folder, "--service-cidr", "127.96.0.0/16", "--http", "none"]);
    let out = checked.exited(0);
    let table: String = out.lines().skip_while(|line| !line.starts_with("SERVICE")).flat_map(|line| [line, "\n"]).collect();
    // The load generator has no stand-in, and `check` must say so.
    assert!(out.contains("warning NotFound") && out.contains("Deployment default/loadgenerator"), "the whole output:\n{out}");
    let golden = include_str!("online-boutique.txt");
    assert_eq!(table, golden, "the whole output:\n{out}");
}
