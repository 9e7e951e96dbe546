//! Rates of an Ingress: `rate-limit`, `rate-limit-route`, `max-client-in-flight`, and those of ingress-nginx.

use std::net::IpAddr;

use tidegate_tests::{Does, Http2Replica};

use super::*;

/// So many at once, and then one a minute: longer than any test takes.
const FEW: &str = "1/m";

struct Scene {
    gate: Tidegate,
    app: Replica,
    _net: Net,
}

impl Scene {
    fn new(annotations: &[(&str, &str)]) -> Scene {
        Scene::with(annotations, |setup| setup)
    }

    fn with(annotations: &[(&str, &str)], adjust: impl FnOnce(Setup) -> Setup) -> Scene {
        let net = Net::take();
        let app = Replica::start(&net, "one", Behaviour::Named);
        let setup = Setup::new(&net).flag("--workers", "2").manifest("app.yaml", objects::tcp(&net, "app", 80, &[&app]));
        Scene { gate: adjust(setup).manifest("site.yaml", site(annotations)).start(), app, _net: net }
    }

    fn client(&self, last: u8) -> Client {
        Client::connect_from(from(last), self.gate.http())
    }

    /// Statuses of so many requests of a client.
    fn ask(&self, last: u8, count: usize) -> Vec<u16> {
        let mut client = self.client(last);
        (0..count).map(|_| client.get(HOST, "/").status).collect()
    }

    fn limited(&self, limit: &str) -> f64 {
        self.gate.sum("tidegate_rate_limited_total", &["exposure=\"external\"", &format!("limit=\"{limit}\"")])
    }
}

fn from(last: u8) -> IpAddr {
    [127, 0, 8, last].into()
}

#[test]
fn a_client_passes_exactly_so_often_on_all_workers_together() {
    let scene = Scene::new(&[("rate-limit", FEW), ("rate-limit-burst", "25")]);
    let mut clients: Vec<Client> = (0..40).map(|_| scene.client(1)).collect();
    // All at once, so that the workers meet at it.
    clients.iter_mut().for_each(|client| client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")));
    let answers: Vec<Response> = clients.iter_mut().map(Client::response).collect();
    let open = scene.gate.metric("tidegate_worker_connections_open");
    assert!(open.len() == 2 && open.iter().all(|(_, open)| *open > 5.0), "both workers had some: {open:?}");
    let (passed, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!((passed.len(), refused.len(), scene.app.requests()), (25, 15, 25));
    for answer in refused {
        let wait: u64 = answer.field("retry-after").and_then(|text| text.parse().ok()).expect("seconds");
        assert!(answer.status == 429 && (1..=60).contains(&wait), "{answer:?}");
    }
    // A connection goes on after it, HTTP/2 counts as well, and another client has its own.
    assert_eq!(clients[0].get(HOST, "/").status, 429);
    assert_eq!(Frames::connect_from(from(1), scene.gate.http()).fetch(HOST, "/").status, 429);
    assert_eq!(Frames::connect_from(from(2), scene.gate.http()).fetch(HOST, "/").status, 200);
    assert_eq!((refusals(&scene.gate, "rate-limited"), scene.limited("rate-limit")), (17.0, 17.0));
    // Without the annotation nobody is asked.
    scene.gate.write("site.yaml", &site(&[("app-root", "/")]));
    assert_eq!(clients[0].get(HOST, "/x").status, 200);
}

#[test]
fn who_waits_as_long_as_it_was_told_passes() {
    let scene = Scene::new(&[("rate-limit", "20/m"), ("rate-limit-burst", "1")]);
    assert_eq!(scene.ask(1, 2), [200, 429]);
    // Whoever is refused moves nothing, however often it asks: three seconds are enough.
    await_until("one more to pass", || scene.ask(1, 1) == [200]);
    assert!(scene.limited("rate-limit") > 1.0);
}

#[test]
fn all_clients_together_pass_so_often_and_some_are_not_counted() {
    let annotations = [("rate-limit-route", "3/m"), ("rate-limit", "2/m"), ("rate-limit-except", "127.0.8.9, 192.0.2.0/24")];
    let scene = Scene::new(&annotations);
    assert_eq!(scene.ask(9, 10), [200; 10]);
    assert_eq!(scene.ask(1, 3), [200, 200, 429]);
    assert_eq!(scene.ask(2, 2), [200, 429], "what the first was refused cost nothing");
    assert_eq!((scene.limited("rate-limit"), scene.limited("rate-limit-route")), (1.0, 1.0));
    assert_eq!(scene.ask(9, 1), [200]);
}

#[test]
fn the_client_is_the_one_behind_trusted_proxies() {
    let scene = Scene::with(&[("rate-limit", FEW)], |setup| setup.config("trustedProxies: [127.0.8.1/32]\n"));
    let ask = |last: u8, told: &str| {
        let mut client = scene.client(last);
        client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX-Forwarded-For: {told}\r\n\r\n"));
        client.response().status
    };
    assert_eq!([ask(1, "192.0.2.1"), ask(1, "192.0.2.2"), ask(1, "192.0.2.1")], [200, 200, 429]);
    assert_eq!([ask(1, "2001:db8::1"), ask(1, "2001:db8::2"), ask(1, "2001:db8:0:1::1")], [200, 429, 200], "a /64 is one client");
    assert_eq!([ask(2, "192.0.2.3"), ask(2, "192.0.2.4")], [200, 429], "nobody believes a stranger");
}

#[test]
fn passwords_are_guessed_no_faster_and_redirects_cost_nothing() {
    let scene = Scene::with(&[("rate-limit", FEW), ("rate-limit-burst", "2"), ("auth-type", "basic"), ("auth-secret", "who")], |setup| {
        setup.manifest(
            "who.yaml",
            "apiVersion: v1\nkind: Secret\nmetadata: {name: who}\nstringData: {auth: 'ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g='}\n",
        )
    });
    let wrong = |_| {
        let mut client = scene.client(1);
        client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Basic YW5uOm5v\r\n\r\n"));
        client.response().status
    };
    assert_eq!((0..4).map(wrong).collect::<Vec<_>>(), [401, 401, 429, 429]);
    scene.gate.write("site.yaml", &site(&[("rate-limit", FEW), ("temporal-redirect", "https://other.example/")]));
    assert_eq!(scene.ask(2, 3), [302; 3]);
}

/// It goes by HTTP/1's way first and then by HTTP/2's.
#[test]
fn a_request_of_http_1_to_a_replica_of_http_2_counts_once() {
    let net = Net::take();
    let replica = Http2Replica::start(&net, "one", Does::Echo, 100);
    let app = objects::service("app", 80, net.port()).replacen("{port: 80", "{appProtocol: kubernetes.io/h2c, port: 80", 1);
    let manifest = file(&[app, objects::pod("one", "app", replica.ip())]);
    let rates = [("rate-limit", FEW), ("rate-limit-burst", "3"), ("max-client-in-flight", "1")];
    let gate = Setup::new(&net).manifest("app.yaml", manifest).manifest("site.yaml", site(&rates)).start();
    let mut client = Client::connect(gate.http());
    let statuses: Vec<u16> = (0..5).map(|_| client.get(HOST, "/").status).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    assert_eq!(replica.requests(), 3);
}

#[test]
fn one_client_has_so_many_requests_under_way() {
    let scene = Scene::new(&[("max-client-in-flight", "2")]);
    scene.app.now(Behaviour::Held);
    let mut one = begin(&scene.gate); // 127.0.0.1
    let mut two = Frames::connect(scene.gate.http());
    let stream = two.get(HOST, "/");
    await_until("both to be there", || scene.app.requests() == 2);
    let refused = begin(&scene.gate).response();
    assert_eq!((refused.status, refused.field("retry-after")), (429, Some("1")));
    assert_eq!(two.fetch(HOST, "/").status, 429);
    scene.app.now(Behaviour::Named);
    assert_eq!(scene.ask(1, 2), [200, 200], "another client");
    two.reset(stream);
    await_until("its place to be free", || begin(&scene.gate).response().status == 200);
    scene.app.release();
    assert_eq!(one.response().status, 200);
    await_until("both places to be free", || {
        let mut both = [begin(&scene.gate), begin(&scene.gate)];
        both.iter_mut().all(|client| client.response().status == 200)
    });
    assert!(scene.limited("max-client-in-flight") >= 2.0);
}

#[test]
fn what_has_switched_protocols_is_under_way() {
    let scene = Scene::new(&[("max-client-in-flight", "1")]);
    let head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n".to_vec();
    scene.app.now(Behaviour::Switch(head));
    let mut client = scene.client(1);
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"));
    assert_eq!(client.response().status, 101);
    assert_eq!(scene.ask(1, 1), [429]);
    client.finish();
    assert_eq!(client.rest().expect("a good end"), b"bye");
    scene.app.now(Behaviour::Named);
    await_until("its place to be free", || scene.ask(1, 1) == [200]);
}

#[test]
fn the_annotations_of_ingress_nginx_mean_what_they_say() {
    let nginx = |name: &str| format!("nginx.ingress.kubernetes.io/{name}");
    let [minute, multiplier, list] = ["limit-rpm", "limit-burst-multiplier", "limit-whitelist"].map(nginx);
    let scene = Scene::new(&[(&minute, "1"), (&multiplier, "3"), (&list, "127.0.8.9/32")]);
    assert_eq!(scene.ask(1, 6), [200, 200, 200, 200, 429, 429], "one, and three times one beside it");
    assert_eq!(scene.ask(9, 6), [200; 6]);
    scene.gate.await_problem(&["limit-rpm", "the answer is 429"]);
}
