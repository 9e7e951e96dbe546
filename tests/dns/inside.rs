//! Names of Services, as the Kubernetes specification has them.

use super::*;

fn shop(net: &Net) -> Setup {
    let web = service_at("shop/web", net.vip(10), 80, 8080).replace("{port: 80", "{name: http, port: 80");
    let out = "apiVersion: v1\nkind: Service\nmetadata: {namespace: shop, name: out}\n\
               spec: {type: ExternalName, externalName: partner.example}\n";
    let db =
        [named_pod("data/db-0", "db", net.pod_ip(1)), pod("data/db-1", "db", net.pod_ip(2)), unready_pod("data/db-2", "db", net.pod_ip(3))];
    let files = file(&[web, out.to_owned(), headless("data/db", 5432), file(&db)]);
    setup(net).config("dns: {forward: false, search: [data, shop]}\n").manifest("all.yaml", files)
}

fn dashed(ip: IpAddr) -> String {
    ip.to_string().replace('.', "-")
}

fn sorted<const N: usize>(ips: [IpAddr; N]) -> Vec<String> {
    let mut all = ips.map(|ip| ip.to_string()).to_vec();
    all.sort();
    all
}

fn reversed(ip: impl Into<IpAddr>) -> String {
    let parts: Vec<String> = ip.into().to_string().split('.').rev().map(str::to_owned).collect();
    format!("{}.in-addr.arpa", parts.join("."))
}

#[test]
fn a_virtual_ip_is_named_whoever_stands_behind_it() {
    let net = Net::take();
    let gate = shop(&net).start();
    let at = at(&gate);
    let vip = net.vip(10).to_string();
    for name in ["web.shop.svc.cluster.local", "web.shop.svc", "web.shop", "web"] {
        assert_eq!(dig(at, &format!("{name} A")).data(), [&*vip], "{name}");
        assert_eq!(dig(at, &format!("+tcp {name} A")).data(), [&*vip], "{name}");
    }
    let upper = dig(at, "wEB.sHOP.sVC.cLUSTER.lOCAL A");
    assert_eq!((upper.data(), &*upper.question), (vec![vip], "wEB.sHOP.sVC.cLUSTER.lOCAL. IN A"), "0x20 comes back");
    assert!(upper.flags.contains("aa") && !upper.flags.contains("ra") && upper.answer[0].contains(" 5 IN A "), "{upper:?}");
    let srv = dig(at, "_http._tcp.web.shop.svc.cluster.local SRV");
    assert_eq!(srv.data(), ["0 1 80 web.shop.svc.cluster.local."]);
    assert_eq!(srv.additional, [format!("web.shop.svc.cluster.local. 5 IN A {}", net.vip(10))]);
    assert_eq!(dig(at, &format!("{} PTR", reversed(net.vip(10)))).data(), ["web.shop.svc.cluster.local."]);
    assert_eq!(dig(at, "dns-version.cluster.local TXT").data(), ["\"1.1.0\""]);
    assert_eq!(dig(at, "cluster.local NS").additional, [format!("ns.dns.cluster.local. 5 IN A {}", at.ip())]);
}

#[test]
fn a_headless_service_names_who_is_ready() {
    let net = Net::take();
    let gate = shop(&net).start();
    let at = at(&gate);
    let (first, second) = (net.pod_ip(1), net.pod_ip(2));
    for name in ["db.data.svc.cluster.local", "db.data", "db"] {
        assert_eq!(dig(at, &format!("{name} A")).data(), sorted([first, second]), "{name}");
    }
    assert_eq!(dig(at, "db-0.db.data.svc.cluster.local A").data(), [first.to_string()]);
    let other = dashed(second);
    assert_eq!(dig(at, &format!("{other}.db.data.svc.cluster.local A")).data(), [second.to_string()]);
    let srv = dig(at, "_sql._tcp.db.data.svc.cluster.local SRV");
    let mut places = ["0 1 5432 db-0.db.data.svc.cluster.local.".to_owned(), format!("0 1 5432 {other}.db.data.svc.cluster.local.")];
    places.sort();
    assert_eq!((srv.data(), srv.additional.len()), (places.to_vec(), 2));
    assert_eq!(dig(at, &format!("-x {first}")).data(), ["db-0.db.data.svc.cluster.local."]);
    assert_eq!(dig(at, &format!("-x {second}")).data(), [format!("{other}.db.data.svc.cluster.local.")]);
    assert_eq!(dig(at, &format!("-x {}", net.pod_ip(3))).status, "NXDOMAIN", "it is not ready");
}

#[test]
fn what_is_not_there_and_what_has_no_such_record_are_told_apart() {
    let net = Net::take();
    let gate = shop(&net).start();
    let at = at(&gate);
    for between in [
        "cluster.local A",
        "svc.cluster.local A",
        "shop.svc.cluster.local A",
        "web.shop.svc.cluster.local AAAA",
        "web.shop.svc.cluster.local MX",
    ] {
        let dug = dig(at, between);
        assert!(dug.status == "NOERROR" && dug.is_empty_by("cluster.local."), "{between}: {}", dug.text);
    }
    for (missing, owner) in [
        ("nobody.shop.svc.cluster.local", "cluster.local."),
        ("web.nowhere.svc.cluster.local", "cluster.local."),
        ("x.web.shop.svc.cluster.local", "cluster.local."),
        ("_sql._udp.db.data.svc.cluster.local", "cluster.local."),
        ("nobody", "nobody."),
        ("nobody.shop.svc", "svc."),
        ("9.9.9.10.in-addr.arpa", "9.10.in-addr.arpa."),
    ] {
        let dug = dig(at, missing);
        assert!(dug.status == "NXDOMAIN" && dug.is_empty_by(owner), "{missing}: {}", dug.text);
    }
    assert_eq!((counted(&gate, "internal"), counted(&gate, "nxdomain")), (5, 7));
    let alias = dig(at, "out.shop.svc.cluster.local A");
    assert_eq!(alias.data(), ["partner.example."], "nobody is asked where it leads");
    assert_eq!(dig(at, "example.com A").status, "REFUSED");
    assert_eq!(dig(at, "cluster.local AXFR +tcp").answer, [""; 0]);
}

#[test]
fn names_follow_the_manifests() {
    let net = Net::take();
    let db = |last| file(&[headless("data/db", 5432), named_pod("data/db-0", "db", net.pod_ip(last))]);
    let gate = setup(&net).manifest("db.yaml", db(1)).start();
    let at = at(&gate);
    for last in 2..6 {
        gate.write("db.yaml", &db(last));
        let ip = net.pod_ip(last);
        assert_eq!(dig(at, "db.data A").data(), [ip.to_string()]);
        assert_eq!(dig(at, "db-0.db.data.svc.cluster.local A").data(), [ip.to_string()]);
        assert_eq!(dig(at, &format!("-x {}", net.pod_ip(last - 1))).status, "NXDOMAIN");
    }
    let soa = dig(at, "cluster.local SOA").data();
    gate.change(|folder| std::fs::remove_file(folder.join("db.yaml")).expect("it is there"));
    assert_eq!(dig(at, "db.data.svc.cluster.local A").status, "NXDOMAIN");
    assert_ne!(dig(at, "cluster.local SOA").data(), soa, "the serial grows");
}

#[test]
fn a_long_answer_is_cut_over_udp_and_whole_over_tcp() {
    let net = Net::take();
    let pods: Vec<String> = (0..200).map(|number| pod(&format!("data/db-{number}"), "db", IpAddr::from([10, 9, 8, number]))).collect();
    let gate = setup(&net).manifest("db.yaml", file(&[vec![headless("data/db", 5432)], pods].concat())).start();
    let at = at(&gate);
    let bytes = |dug: &dig::Dug| -> usize {
        let line = dug.text.lines().find_map(|line| line.split_once("MSG SIZE  rcvd: ")).expect("dig says the size");
        line.1.trim().parse().expect("a number")
    };
    for (flags, most) in [("+noedns", 512), ("+bufsize=600", 600), ("+bufsize=4096", 1232)] {
        let cut = dig(at, &format!("{flags} db.data A"));
        assert!(cut.flags.contains("tc") && !cut.answer.is_empty() && bytes(&cut) <= most, "{flags}: {}", cut.text);
    }
    let whole = dig(at, "+tcp db.data A");
    assert_eq!((whole.data().len(), whole.flags.contains("tc")), (200, false));
    assert_eq!(dig(at, "+tcp _sql._tcp.db.data.svc.cluster.local SRV").additional.len(), 200);
    let firsts: std::collections::BTreeSet<String> = (0..8).map(|_| dig(at, "+tcp db.data A").answer[0].clone()).collect();
    assert!(firsts.len() > 1, "not everybody takes the same first one");
}

#[test]
fn the_zone_and_what_is_looked_for_are_renewed_live() {
    let net = Net::take();
    let gate = setup(&net).manifest("web.yaml", service_at("shop/web", net.vip(10), 80, 8080)).start();
    let at = at(&gate);
    assert_eq!((dig(at, "web.shop.svc.cluster.local A").data().len(), &*dig(at, "web A").status), (1, "NXDOMAIN"));
    gate.say("dns: {forward: false, zone: inside.example, search: [shop], ttlS: 60}\n");
    await_until("the new zone", || dig(at, "web.shop.svc.inside.example A").status == "NOERROR");
    assert!(dig(at, "web A").answer[0].contains(" 60 IN A "));
    assert_eq!(dig(at, "web.shop.svc.cluster.local A").status, "REFUSED");
}
