//! What is internal cannot be reached from outside: every trick, every way to carry it, every broken seal.

use std::net::{IpAddr, SocketAddr};

use tidegate_tests::objects::{app, file, ingress, ingress_of, namespace, path, tcp};
use tidegate_tests::{Behaviour, Client, Net, Replica, Setup, Tidegate, await_until};

mod carriers;
mod listeners;
mod seals;
mod spellings;
mod tricks;

const SECRET: &str = "s3cret-of-the-inside";

/// A Service without selector in `default` and a slice that lists one address for it.
fn carried(name: &str, ip: IpAddr, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: 80}}]}}\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {name}-1, labels: {{kubernetes.io/service-name: {name}}}}}\n\
         addressType: IPv4\nports: [{{name: '', port: {port}}}]\nendpoints: [{{addresses: ['{ip}']}}]\n"
    )
}

/// A public app at `shop.example`, and a database that tells its secret to whoever connects, in the sealed namespace `data`.
struct Scene {
    gate: Tidegate,
    net: Net,
    db: Replica,
    web: Replica,
}

const SEAL: &str = "tidegate.dev/exposure: internal";

impl Scene {
    fn new(seal: &str, more: impl FnOnce(&Net, &Replica) -> String) -> Scene {
        let net = Net::take();
        let web = Replica::start(&net, "web-0", Behaviour::Named);
        let db = Replica::start(&net, "db-0", Behaviour::TcpGreet(SECRET.into()));
        let more = more(&net, &db);
        let gate = Setup::new(&net)
            .manifest("seal.yaml", namespace("data", seal))
            .manifest("web.yaml", app(&net, "web", "shop.example", &[&web]))
            .manifest("db.yaml", tcp(&net, "data/db", net.port(), &[&db]))
            .manifest("more.yaml", more)
            .flag("--internal-http", "127.0.0.1:0")
            .start();
        Scene { gate, net, db, web }
    }

    fn vip(&self) -> SocketAddr {
        let rows = self.gate.rows("services");
        let row = rows.iter().find(|row| row["name"] == "db").expect("the database is a service");
        SocketAddr::new(row["vip"].as_str().and_then(|ip| ip.parse().ok()).expect("it has a VIP"), self.net.port())
    }

    /// The database answers inside.
    fn expect_inside(&self) {
        let vip = self.vip();
        await_until("the VIP to be bound", || Client::try_connect(vip).is_ok());
        let before = self.db.connections();
        assert_eq!(Client::connect(vip).exactly(SECRET.len()).expect("the greeting"), SECRET.as_bytes());
        await_until("it was the database", || self.db.connections() > before);
    }

    /// The host is not served, and nobody asked the database.
    fn expect_hidden(&self, host: &str) {
        let before = self.db.connections();
        let response = self.gate.get(host, "/");
        assert!([404, 503].contains(&response.status), "{host}: {} {}", response.status, response.text());
        assert!(!response.text().contains(SECRET), "{host}");
        assert_eq!(self.db.connections(), before, "{host}: the database was connected to");
        assert_eq!(self.gate.get("shop.example", "/").replica(), "web-0", "the public app serves");
    }
}
