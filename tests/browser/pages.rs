//! Pages: plain, in HTTP/2, behind a certificate that is trusted or not, and the way from http to https.

use serde_json::json;
use tidegate_tests::await_until;

use super::*;

/// What a page shows, and how it came.
const SEEN: &str = "const [way] = performance.getEntriesByType('navigation');\n\
                    const seen = {title: document.title, heading: document.querySelector('h1').textContent, at: location.href, \
                    protocol: way.nextHopProtocol};\n";

#[test]
fn a_page_is_shown_over_http() {
    let Some(scene) = Scene::new(&[]) else { return };
    let _browser = scene.open("http", &format!("{SEEN}await report(seen);"));
    let at = scene.url("http", "shop.example", "/");
    assert_eq!(scene.reported(0), json!({"title": "Shop", "heading": "Open", "at": at, "protocol": "http/1.1"}));
    let asked = scene.shop.last();
    assert_eq!(asked.field("host"), Some(format!("shop.example:{}", scene.gate.http().port())));
    assert!(asked.field("user-agent").is_some_and(|agent| agent.contains("Chrome/")), "{}", asked.head);
}

#[test]
fn a_page_and_what_several_services_add_to_it_come_over_one_connection_of_http2() {
    let style = content("text/css", "h1 { color: rgb(1, 2, 3) }");
    let Some(scene) = Scene::new(&[("style", style), ("a", Behaviour::Named), ("b", Behaviour::Named)]) else { return };
    // By the page's own clock: a browser whose first connection is slow opens a second one beside it, and uses one of them.
    let script = "const asked = Array.from({length: 12}, (_, turn) => fetch(`/${'ab'[turn % 2]}/${turn}`));\n\
                  const names = await Promise.all(asked.map(async answer => (await answer).text()));\n\
                  const rest = performance.getEntriesByType('resource');\n\
                  const protocols = [...new Set([way, ...rest].map(entry => entry.nextHopProtocol))];\n\
                  const connects = rest.filter(entry => entry.connectEnd > entry.connectStart).length;\n\
                  const colour = getComputedStyle(document.querySelector('h1')).color;\n\
                  await report({...seen, names, protocols, colour, connects, count: rest.length});";
    scene.shop.now(page("<link rel=stylesheet href='/style/shop.css'>", &format!("{SEEN}{script}")));
    let _browser = Browser::open(&scene.url("https", "shop.example", "/"), Some(&scene.authority));
    let names: Vec<_> = (0..12).map(|turn| ["a-0", "b-0"][turn % 2]).collect();
    let seen = json!({
        "title": "Shop", "heading": "Open", "at": scene.url("https", "shop.example", "/"), "protocol": "h2", "protocols": ["h2"],
        "names": names, "colour": "rgb(1, 2, 3)", "connects": 0, "count": 13,
    });
    assert_eq!(scene.reported(0), seen);
    assert!(scene.more.iter().all(|replica| replica.requests() > 0));
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let Some(scene) = Scene::new(&[]) else { return };
    scene.shop.now(page("", "await report({});"));
    let _browser = Browser::open(&scene.url("https", "shop.example", "/"), Some(&Authority::new()));
    await_until("the browser's alert", || scene.gate.sum("tidegate_tls_handshakes_total", &["result=\"alert\""]) > 0.0);
    assert_eq!((scene.handshakes(), scene.shop.requests()), (0.0, 0));
}

#[test]
fn http_leads_to_https_and_is_not_asked_again() {
    let Some(scene) = Scene::new(&[]) else { return };
    let port = scene.gate.listener("https").port().to_string();
    let annotations = [("ssl-redirect", "true"), ("ssl-redirect-port", &*port), ("hsts", "true")];
    scene.gate.write("site.yaml", &annotated(&site("shop.example", "shop", &[]), &annotations));
    // The second address says http, at the port of https: only a browser that remembers comes through.
    let second = scene.url("https", "shop.example", "/second").replace("https:", "http:");
    let next = format!("if (location.pathname === '/') location = '{second}';");
    let _browser = scene.open("http", &format!("{SEEN}await report(seen);\n{next}"));
    for (number, path) in ["/", "/second"].into_iter().enumerate() {
        let report = scene.reported(number);
        assert_eq!(report["at"], scene.url("https", "shop.example", path));
        assert_eq!(report["protocol"], "h2");
    }
    let statuses: Vec<_> = scene.logged("/", 2).iter().map(|line| line["status"].clone()).collect();
    assert_eq!(statuses, [308, 200]);
}

#[test]
fn a_host_with_another_certificate_is_asked_again_on_a_connection_of_its_own() {
    let Some(scene) = Scene::new(&[]) else { return };
    let allowed = scene.url("https", "shop.example", "");
    let api = annotated(&site("api.shop.example", "shop", &[]), &[("enable-cors", "true"), ("cors-allow-origin", &allowed)]);
    let secret = scene.authority.rsa(&["api.shop.example"]).secret("api");
    scene.gate.write("api.yaml", &file(&[api.replace("secretName: shop", "secretName: api"), secret]));
    // The page's certificate names both hosts, so that the browser takes its connection for good for both.
    let item = scene.url("https", "api.shop.example", "/item");
    let ask = format!("const answer = await fetch('{item}', {{credentials: 'include'}});\nawait report({{status: answer.status}});");
    let _browser = scene.open("https", &ask);
    assert_eq!(scene.reported(0), json!({"status": 200}));
    let statuses: Vec<_> = scene.logged("/item", 2).iter().map(|line| line["status"].clone()).collect();
    assert_eq!(statuses, [421, 200]);
}
