//! Names that are not ours: asked of servers, kept, and never those that are.

use std::sync::{Arc, Mutex};

use super::*;

/// A server that has `*.example` and notes what it is asked for.
struct Upstream {
    server: Datagrams,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Upstream {
    fn new(net: &Net) -> Upstream {
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let noted = asked.clone();
        let server = Datagrams::start(net, move |query| {
            dns(query, 60, |name, kind| {
                noted.lock().expect("the test panicked").push(name.to_owned());
                name.ends_with(".example").then(|| if kind == 1 { vec![IpAddr::from([192, 0, 2, 7])] } else { Vec::new() })
            })
        });
        Upstream { server, asked }
    }

    fn setup(&self, net: &Net) -> Setup {
        setup(net).config(&format!("dns: {{servers: ['{}'], search: [shop]}}\n", self.server.address()))
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("the server panicked").clone()
    }
}

#[test]
fn a_foreign_name_is_asked_for_once_and_kept() {
    let net = Net::take();
    let upstream = Upstream::new(&net);
    let gate = upstream.setup(&net).start();
    let at = at(&gate);
    for question in ["www.example A", "WWW.Example A", "+tcp www.example A"] {
        let dug = dig(at, question);
        assert_eq!(dug.data(), ["192.0.2.7"], "{question}");
        assert!(dug.flags.contains("ra") && !dug.flags.contains("aa"), "{question}: {}", dug.flags);
    }
    assert_eq!(upstream.asked(), ["www.example"]);
    assert_eq!(dig(at, "www.elsewhere A").status, "NXDOMAIN");
    let none = dig(at, "www.example AAAA");
    assert_eq!((&*none.status, none.answer.len()), ("NOERROR", 0));
    assert_eq!(counted(&gate, "forwarded"), 5);
    assert_eq!(dig(at, "+norecurse other.example A").status, "REFUSED", "who does not want us to ask gets nothing that was asked");
}

#[test]
fn what_is_ours_never_reaches_a_server() {
    let net = Net::take();
    let upstream = Upstream::new(&net);
    let gate = upstream.setup(&net).manifest("web.yaml", service_at("shop/web", net.vip(10), 80, 8080)).start();
    let at = at(&gate);
    let ours = [
        "web.shop.svc.cluster.local A",
        "nobody.shop.svc.cluster.local A",
        "x.cluster.local A",
        "CLUSTER.local MX",
        "web A",
        "nobody A",
        "web.shop A",
        "nobody.shop.svc A",
        "localhost A",
        "-x 10.1.2.3",
        "-x 192.168.0.1",
        "-x fd00::1",
        "10.in-addr.arpa SOA",
        "_dns-sd._udp.0.1.10.in-addr.arpa PTR",
    ];
    for question in ours {
        assert_ne!(dig(at, question).status, "REFUSED", "{question}");
    }
    assert_eq!(dig(at, &format!("-x {}", net.vip(99))).status, "NXDOMAIN");
    assert_eq!(upstream.asked(), [""; 0]);
    dig(at, "nobody.shop A");
    dig(at, "-x 8.8.8.8");
    assert_eq!(upstream.asked(), ["nobody.shop", "8.8.8.8.in-addr.arpa"], "these may be somebody's");
}

#[test]
fn an_external_name_is_followed() {
    let net = Net::take();
    let upstream = Upstream::new(&net);
    let service = |name: &str, to: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{namespace: shop, name: {name}}}\nspec: {{type: ExternalName, externalName: {to}}}\n"
        )
    };
    let gate =
        upstream.setup(&net).manifest("out.yaml", file(&[service("out", "partner.example"), service("lost", "partner.nowhere")])).start();
    let at = at(&gate);
    assert_eq!(dig(at, "out.shop.svc.cluster.local A").data(), ["192.0.2.7", "partner.example."]);
    assert_eq!(dig(at, "out.shop CNAME").data(), ["partner.example."]);
    let lost = dig(at, "lost.shop A");
    assert_eq!((&*lost.status, lost.answer.len()), ("NXDOMAIN", 1), "the alias is there, and leads nowhere");
}

/// An answer with an alias for `target`, and with an address that the server says `target` has.
fn poison(query: &[u8], target: &[&str]) -> Vec<u8> {
    let end = 12 + query[12..].iter().position(|byte| *byte == 0).expect("a name ends") + 5;
    let name: Vec<u8> = target.iter().flat_map(|label| [&[label.len() as u8][..], label.as_bytes()].concat()).chain([0]).collect();
    let record = |owner: &[u8], kind: u8, data: &[u8]| [owner, &[0, kind, 0, 1, 0, 0, 0, 60, 0, data.len() as u8], data].concat();
    let alias = record(&[0xc0, 12], 5, &name);
    let address = record(&name, 1, &[203, 0, 113, 66]);
    [&query[..2], &[0x85, 0x80, 0, 1, 0, 2, 0, 0, 0, 0], &query[12..end], &alias, &address].concat()
}

#[test]
fn what_a_server_says_of_our_names_is_not_believed() {
    let net = Net::take();
    let liar = Datagrams::start(&net, |query| poison(query, &["web", "shop", "svc", "cluster", "local"]));
    let gate = setup(&net)
        .config(&format!("dns: {{servers: ['{}']}}\n", liar.address()))
        .manifest("web.yaml", service_at("shop/web", net.vip(10), 80, 8080))
        .start();
    let dug = dig(at(&gate), "www.example A");
    assert_eq!(dug.data(), [net.vip(10).to_string(), "web.shop.svc.cluster.local.".into()], "{}", dug.text);
    assert_eq!(liar.received(), 1);
}

#[test]
fn a_silent_server_is_a_failure_in_time() {
    let net = Net::take();
    let silent = std::net::UdpSocket::bind((net.replica_ip(), net.port())).expect("the address is free");
    let address = silent.local_addr().expect("it is bound");
    let gate = setup(&net).config(&format!("dns: {{servers: ['{address}']}}\n")).start();
    let at = at(&gate);
    let dug = dig(at, "www.example A");
    assert_eq!((&*dug.status, counted(&gate, "failed")), ("SERVFAIL", 1));
    assert_eq!(dig(at, "cluster.local A").status, "NOERROR", "what is ours needs nobody");
}

/// Our own address among the servers: each question would be asked of ourselves for ever.
#[test]
fn a_loop_ends_and_does_not_grow() {
    let net = Net::take();
    let own = format!("{}:{}", net.pod_ip(1), net.port());
    let gate = setup(&net).flag("--dns", &own).config(&format!("dns: {{servers: ['{own}']}}\n")).start();
    let at = at(&gate);
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..10).map(|number| scope.spawn(move || dig(at, &format!("{}.example A", number % 2)).status)).collect();
        for asked in asked {
            assert_eq!(asked.join().expect("dig ran"), "SERVFAIL");
        }
    });
    let questions =
        |gate: &Tidegate| ["internal", "forwarded", "refused", "failed", "nxdomain"].iter().map(|how| counted(gate, how)).sum::<u64>();
    await_until("all that is under way to end", || {
        let before = questions(&gate);
        dig(at, "cluster.local A");
        questions(&gate) == before + 1
    });
    assert!(questions(&gate) < 100, "{} questions came of ten", questions(&gate));
}
