//! ExternalName as an Ingress backend: led by a DNS server of the test's own.

use std::sync::{Arc, Mutex};

use tidegate_tests::dns;
use tidegate_tests::objects::{ingress, ingress_of, namespace, path, tcp};

use super::*;

const NAME: &str = "shop.partner.example";

/// A DNS server that says what the test lets it say, with a TTL of a second.
struct Zone {
    server: Datagrams,
    addresses: Arc<Mutex<Vec<IpAddr>>>,
}

impl Zone {
    fn new(net: &Net, addresses: &[IpAddr]) -> Zone {
        let addresses = Arc::new(Mutex::new(addresses.to_vec()));
        let said = addresses.clone();
        let server = Datagrams::start(net, move |query| {
            let all = said.lock().expect("the test panicked").clone();
            dns(query, 1, |name, kind| (name == NAME).then(|| if kind == 1 { all.clone() } else { Vec::new() }))
        });
        Zone { server, addresses }
    }

    fn say(&self, addresses: &[IpAddr]) {
        *self.addresses.lock().expect("the server panicked") = addresses.to_vec();
    }

    fn setup(&self, net: &Net, allow: &str, inside: &str) -> Setup {
        let text = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: out}}\n\
             spec: {{type: ExternalName, externalName: {NAME}, ports: [{{port: 80, targetPort: {}}}]}}\n",
            net.port()
        );
        let all = [path("Prefix", "/", "out", 80)];
        let rules = file(&[text, ingress("out", "out.example", &all), ingress_of("tidegate-internal", "in", "in.example", &all)]);
        Setup::new(net).manifest("out.yaml", rules).flag("--internal-http", "127.0.0.1:0").config(&format!(
            "dns: {{servers: ['{}']}}\nexternalName: {{allow: [{allow}], allowInside: [{inside}]}}\n",
            self.server.address()
        ))
    }
}

#[test]
fn a_name_is_followed_as_its_ttl_says_and_asked_by_its_own_name() {
    let net = Net::take();
    let (one, two) = (Replica::start(&net, "one", Behaviour::Named), Replica::start(&net, "two", Behaviour::Named));
    let zone = Zone::new(&net, &[one.ip()]);
    let gate = zone.setup(&net, NAME, NAME).start();
    await_until("the name to be resolved", || gate.get("out.example", "/").status == 200);
    assert_eq!(gate.get("out.example", "/x").replica(), "one");
    let request = one.last();
    assert_eq!(request.field("host"), Some(format!("{NAME}:{}", net.port())));
    assert_eq!(request.field("x-forwarded-host"), Some("out.example".to_owned()));
    zone.say(&[two.ip()]);
    await_until("the new answer", || gate.get("out.example", "/").replica() == "two");
    zone.say(&[]);
    await_until("an answer without addresses", || gate.get("out.example", "/").status == 503);
    zone.say(&[one.ip()]);
    await_until("the address again", || gate.get("out.example", "/").status == 200);
    drop(zone);
    gate.await_problem(&["warning", "Service default/out", "DNS does not answer", NAME]);
    assert_eq!(gate.get("out.example", "/").replica(), "one", "the last answer serves");
    let sources = gate.rows("sources");
    assert!(sources.iter().any(|row| row["name"] == format!("dns:{NAME}") && row["state"] == "stale"), "{sources:?}");
}

#[test]
fn a_name_that_is_not_allowed_is_refused_and_not_even_asked_for() {
    let net = Net::take();
    let one = Replica::start(&net, "one", Behaviour::Named);
    let zone = Zone::new(&net, &[one.ip()]);
    let gate = zone.setup(&net, "'*.example'", "").start();
    assert_eq!(gate.get("out.example", "/").status, 404);
    gate.await_problem(&["error", "Ingress default/out", "externalName.allow", NAME]);
    assert_eq!((zone.server.received(), one.connections()), (0, 0));
}

/// The name is allowed, and its owner lets it lead inside.
#[test]
fn a_name_that_leads_inside_is_not_followed_for_the_outside() {
    let net = Net::take();
    let one = Replica::start(&net, "one", Behaviour::Named);
    let zone = Zone::new(&net, &[one.ip(), IpAddr::from([169, 254, 169, 254])]);
    let gate = zone.setup(&net, NAME, "").start();
    gate.await_problem(&["NotExposed", "Service default/out", &one.ip().to_string(), "allowInside"]);
    gate.await_problem(&["NotExposed", "Service default/out", "169.254.169.254", "allowInside"]);
    assert_eq!(gate.get("out.example", "/").status, 503);
    assert_eq!(one.connections(), 0);
    zone.say(&[one.ip()]);
    let inside = || Client::connect(gate.listener("internal-http")).get("in.example", "/");
    await_until("inside it is followed", || inside().status == 200);
    assert_eq!(gate.get("out.example", "/").status, 503);
}

#[test]
fn a_name_that_leads_to_a_sealed_address_is_not_followed_although_it_may_lead_inside() {
    let net = Net::take();
    let db = Replica::start(&net, "db-0", Behaviour::Named);
    let zone = Zone::new(&net, &[db.ip()]);
    let gate = zone
        .setup(&net, NAME, NAME)
        .manifest("db.yaml", tcp(&net, "data/db", net.port(), &[&db]))
        .manifest("seal.yaml", namespace("data", "tidegate.dev/exposure: internal"))
        .start();
    gate.await_problem(&["NotExposed", "Service default/out", &db.ip().to_string(), "data/db"]);
    assert_eq!(gate.get("out.example", "/").status, 503);
    assert_eq!(db.connections(), 0);
    gate.write("seal.yaml", &namespace("data", "team: data"));
    await_until("without the seal it is", || gate.get("out.example", "/").status == 200);
}
