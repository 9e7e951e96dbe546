//! Node ports and load balancers: open by their Service's word alone, closed by any seal, also after a restart.

use super::*;

const OPEN: &str = "tidegate.dev/exposure: external";

/// A port of its own for each test's own address.
const NUMBER: u16 = 31_999;

/// The database in `data` as a Service of this type, reached outside at an address of this test's own.
struct Carried {
    net: Net,
    db: Replica,
}

impl Carried {
    fn new() -> Carried {
        let net = Net::take();
        let db = Replica::start(&net, "db-0", Behaviour::TcpGreet(SECRET.into()));
        Carried { net, db }
    }

    fn at(&self) -> IpAddr {
        self.net.pod_ip(250)
    }

    /// Its node port, and its own port for a load balancer.
    fn doors(&self) -> [SocketAddr; 2] {
        [SocketAddr::new(self.at(), NUMBER), SocketAddr::new(self.at(), self.net.port())]
    }

    fn text(&self, kind: &str, label: &str) -> String {
        let plain = tcp(&self.net, "data/db", self.net.port(), &[&self.db]);
        let labelled = plain.replacen("name: db}", &format!("name: db, labels: {{{label}}}}}"), 1);
        labelled
            .replace("spec: {selector", &format!("spec: {{type: {kind}, selector"))
            .replace("targetPort", &format!("nodePort: {NUMBER}, targetPort"))
    }

    fn setup(&self, kind: &str, label: &str, more: &str) -> Setup {
        let config = format!("external: {{addresses: ['{}']}}\n{more}", self.at());
        Setup::new(&self.net).manifest("db.yaml", self.text(kind, label)).config(&config)
    }

    /// The node port answers, or is closed, and so does the load balancer when there is one.
    fn expect(&self, open: bool, load_balancer: bool) {
        let [node_port, balancer] = self.doors();
        let answers = |at| Client::try_connect(at).and_then(|mut client| client.exactly(SECRET.len())).is_ok();
        await_until("the node port is as it should be", || answers(node_port) == open);
        await_until("the load balancer is as it should be", || answers(balancer) == (open && load_balancer));
        if !open {
            let before = self.db.connections();
            let refused = self.doors().map(|at| Client::try_connect(at).map_err(|error| error.kind()).err());
            assert_eq!(refused, [Some(std::io::ErrorKind::ConnectionRefused); 2], "nothing listens there");
            assert_eq!(self.db.connections(), before);
        }
    }
}

#[test]
fn a_seal_closes_node_ports_and_load_balancers_and_its_end_opens_them() {
    for kind in ["NodePort", "LoadBalancer"] {
        let carried = Carried::new();
        let gate = carried.setup(kind, "team: data", "").manifest("seal.yaml", namespace("data", "team: data")).start();
        carried.expect(true, kind == "LoadBalancer");
        gate.write("seal.yaml", &namespace("data", SEAL));
        carried.expect(false, false);
        gate.await_problem(&["error", "NotExposed", "Service data/db", kind, "Namespace data"]);
        gate.write("seal.yaml", &namespace("data", "team: data"));
        carried.expect(true, kind == "LoadBalancer");
        gate.write("db.yaml", &carried.text(kind, "tidegate.dev/exposure: intrenal"));
        carried.expect(false, false);
    }
}

#[test]
fn a_node_port_carries_no_address_that_a_seal_covers() {
    let carried = Carried::new();
    let port = carried.net.port();
    let thief = super::carried("thief", carried.db.ip(), port).replacen(
        "spec: {ports: [{port: 80}]}",
        &format!("spec: {{type: NodePort, ports: [{{port: 80, nodePort: {NUMBER}}}]}}"),
        1,
    );
    let inside = tcp(&carried.net, "data/db", port, &[&carried.db]);
    let gate = carried.setup("ClusterIP", "team: data", "").manifest("db.yaml", inside).manifest("thief.yaml", thief);
    let gate = gate.manifest("seal.yaml", namespace("data", SEAL)).start();
    gate.await_problem(&["NotExposed", "thief", &carried.db.ip().to_string()]);
    let at = gate.listener("node-port default/thief:80");
    let before = carried.db.connections();
    // Perhaps before it stands.
    let said = Client::try_connect(at).and_then(|mut client| client.exactly(1));
    assert!(said.is_err(), "it is reset: nobody is left to answer");
    assert_eq!(carried.db.connections(), before);
    gate.write("seal.yaml", &namespace("data", "team: data"));
    assert_eq!(Client::connect(at).exactly(SECRET.len()).expect("the greeting"), SECRET.as_bytes(), "without the seal it does");
}

#[test]
fn strict_mode_opens_only_what_says_external() {
    let carried = Carried::new();
    let gate = carried.setup("LoadBalancer", "team: data", "exposure: {mode: strict}\n").start();
    carried.expect(false, false);
    gate.await_problem(&["NotExposed", "strict mode"]);
    gate.write("db.yaml", &carried.text("LoadBalancer", OPEN));
    carried.expect(true, true);
}

/// The seal was known, and its file is broken when the process comes back: with its state it still seals, without it all is strict.
#[test]
fn a_restart_with_an_unreadable_seal_opens_nothing() {
    for keeps_state in [true, false] {
        let carried = Carried::new();
        let gate = carried.setup("NodePort", "team: data", "").manifest("seal.yaml", namespace("data", SEAL)).start();
        carried.expect(false, false);
        await_until("the seal is saved", || {
            let objects = std::fs::read_dir(gate.state().join("objects")).expect("the state directory");
            objects.flatten().any(|file| std::fs::read_to_string(file.path()).is_ok_and(|text| text.contains("seal.yaml")))
        });
        let setup = gate.into_setup().manifest("seal.yaml", "kind: Namespace\nmetadata: {name: data, labels: {tidegate.dev/expo");
        if !keeps_state {
            std::fs::remove_dir_all(setup.state()).expect("the state can be removed");
        }
        let gate = setup.start();
        gate.await_problem(&["seal.yaml"]);
        carried.expect(false, false);
        gate.write("seal.yaml", &namespace("data", "team: data"));
        carried.expect(true, false);
    }
}
