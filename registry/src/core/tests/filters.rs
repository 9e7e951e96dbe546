//! Filters of routes: what they are resolved to, what a Secret's change does, and that they fail closed.

use config::credentials::Credentials;
use config::filter::Rewrite;

use super::Exposure::External;
use super::*;
use crate::route::Route;

fn secret(name: &str, lines: &str) -> Object {
    Object::Secret(Secret { meta: meta(name, &[]), certificate: None, ca: None, auth: Some(Credentials::read(lines.as_bytes())) })
}

/// `a/web` at `web.example` with these rules and annotations; a name without a prefix is ours.
fn site(paths: &[&str], annotations: &[(&str, &str)]) -> Object {
    let rules: Vec<(&str, &str, &str)> = paths.iter().map(|path| ("web.example", *path, "web")).collect();
    let whole = |key: &str| if key.contains('/') { key.to_owned() } else { format!("tidegate.dev/{key}") };
    let annotations = annotations.iter().map(|(key, value)| (whole(key).into(), (*value).into())).collect();
    object(Ingress { meta: Meta { annotations, ..meta("a/web", &[]) }, ..ingress("a/web", None, &rules) })
}

fn world(more: Vec<Object>) -> Vec<Object> {
    [object(service("a/web", &[])), object(pod("a/web-1", "web", "10.0.0.1"))].into_iter().chain(more).collect()
}

fn found<'s>(snapshot: &'s Snapshot, host: &str, path: &str) -> &'s Arc<Route> {
    snapshot.external.routes.find(host, path).expect("a rule takes it")
}

const AUTH: [(&str, &str); 2] = [("auth-type", "basic"), ("auth-secret", "who")];
const BERT: &str = "bert:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=";

#[test]
fn a_route_without_annotations_has_no_filters_and_one_with_them_shares_its_own() {
    let snapshot = publish(&mut registry(world(vec![site(&["/a", "/b"], &[])])));
    assert!(found(&snapshot, "web.example", "/a").filters.is_none());
    let snapshot = publish(&mut registry(world(vec![site(&["/a", "/b"], &[("hsts", "true")])])));
    let filters = |path| found(&snapshot, "web.example", path).filters.clone().unwrap();
    assert!(Arc::ptr_eq(&filters("/a"), &filters("/b")));
}

#[test]
fn passwords_are_those_of_the_secret_as_it_is_now() {
    let mut registry = registry(world(vec![site(&["/"], &AUTH), secret("a/who", BERT), secret("a/other", BERT)]));
    let who = |snapshot: &Snapshot| found(snapshot, "web.example", "/").filters.as_ref().and_then(|filters| filters.credentials().cloned());
    let first = publish(&mut registry);
    assert_eq!(who(&first).map(|who| who.len()), Some(1));
    assert!(!format!("{first:?}").contains("W6ph"), "nothing of it is printed");
    again(&mut registry, world(vec![site(&["/"], &AUTH), secret("a/who", &format!("{BERT}\nanna:plain\n")), secret("a/other", BERT)]));
    publish(&mut registry);
    assert!(problems(&registry, Reason::Invalid)[0].contains("line 2 of `auth` in Secret a/who lets nobody in"));
    again(&mut registry, world(vec![site(&["/"], &AUTH), secret("a/who", &format!("{BERT}\nanna:plain\n")), secret("a/other", "")]));
    assert!(registry.publish(T).is_none(), "nobody names the other one");
}

#[test]
fn without_its_secret_a_route_leads_nowhere() {
    let sealed = Object::Secret(Secret {
        meta: meta("a/who", &[SEAL]),
        certificate: None,
        ca: None,
        auth: Some(Credentials::read(BERT.as_bytes())),
    });
    for (secrets, why) in [
        (vec![], "there is no Secret a/who with `auth`"),
        (vec![secret("b/who", BERT)], "there is no Secret a/who with `auth`"),
        (vec![secret("a/who", "# nobody\nanna:plain")], "no line of `auth` in Secret a/who lets anybody in"),
        (vec![sealed], "Secret a/who is sealed by its labels"),
    ] {
        let site = site(&["/"], &[AUTH[0], AUTH[1], ("app-root", "/x")]);
        let mut registry = registry(world(secrets.into_iter().chain([site]).collect()));
        let snapshot = publish(&mut registry);
        assert!(route(&snapshot, External, "web.example", "/").contains(why), "{why}");
        assert!(found(&snapshot, "web.example", "/").filters.is_none(), "no filter answers in its place");
        assert!(registry.problems().iter().any(|problem| problem.to_string().contains("answers nobody")), "{why}");
        assert!(registry.routes()[0].refused.as_ref().is_some_and(|refused| refused.contains(why)));
    }
}

/// As a file says it.
fn map(name: &str, data: &str) -> Object {
    let (namespace, name) = name.split_once('/').unwrap();
    let text = format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, namespace: {namespace}}}, data: {{{data}}}}}");
    config::manifest::parse(text.as_bytes()).objects.remove(0)
}

/// What answers of `web.example` have set.
fn set(snapshot: &Snapshot) -> Vec<String> {
    let filters = found(snapshot, "web.example", "/").filters.clone().expect("it has filters");
    filters.response.set.iter().map(|line| format!("{}: {}", line.name, line.value)).collect()
}

const HEADERS: (&str, &str) = ("nginx.ingress.kubernetes.io/custom-headers", "a/headers");

#[test]
fn answers_have_the_fields_of_a_config_map_as_it_is_now() {
    let ours = ("response-headers-set", "X-B: ours");
    let mut registry = registry(world(vec![site(&["/"], &[HEADERS, ours]), map("a/headers", "X-A: one, x-b: theirs, X-C: ''")]));
    let first = publish(&mut registry);
    assert_eq!(set(&first), ["X-B: ours", "X-A: one"], "what our own key sets counts");
    let filters = found(&first, "web.example", "/").filters.clone().unwrap();
    assert_eq!(filters.response.remove.iter().map(|name| &**name).collect::<Vec<_>>(), ["X-C"]);
    let row = registry.routes().remove(0);
    assert_eq!(row.filters[0], "custom-headers: answers have the fields of ConfigMap headers", "{:?}", row.filters);
    let told = registry.check().annotations;
    assert!(told.iter().any(|row| row.key == HEADERS.0 && row.verdict.as_str() == "differs"), "{told:?}");
    again(&mut registry, world(vec![site(&["/"], &[HEADERS]), map("a/headers", "X-A: two")]));
    assert_eq!(set(&publish(&mut registry)), ["X-A: two"]);
    again(&mut registry, world(vec![site(&["/"], &[HEADERS]), map("a/headers", "X-A: two"), map("a/other", "X-A: two")]));
    assert!(registry.publish(T).is_none(), "nobody names the other one");
}

#[test]
fn without_its_fields_a_route_leads_nowhere() {
    let mut sealed = map("a/headers", "X-A: one");
    sealed.meta_mut().labels = labels(&[SEAL]);
    for (more, why) in [
        (vec![], "there is no ConfigMap a/headers"),
        (vec![map("b/headers", "X-A: one")], "there is no ConfigMap a/headers"),
        (vec![secret("a/headers", BERT)], "there is no ConfigMap a/headers"),
        (vec![map("a/headers", "Host: x, X-A: one")], "ConfigMap a/headers cannot be fields of answers: its key `Host`"),
        (vec![sealed], "ConfigMap a/headers is sealed by its labels"),
    ] {
        let mut registry = registry(world(more.into_iter().chain([site(&["/"], &[HEADERS])]).collect()));
        let snapshot = publish(&mut registry);
        assert!(route(&snapshot, External, "web.example", "/").contains(why), "{why}");
        let told = registry.problems().iter().map(ToString::to_string).collect::<String>();
        assert!(told.contains(why) && told.contains(HEADERS.0) && told.contains("answers nobody"), "{told}");
        again(&mut registry, world(vec![map("a/headers", "X-A: one"), site(&["/"], &[HEADERS])]));
        assert_eq!(set(&publish(&mut registry)), ["X-A: one"], "it opens once they are there");
    }
}

#[test]
fn a_pattern_becomes_the_prefix_that_it_cuts_off() {
    let target = "nginx.ingress.kubernetes.io/rewrite-target";
    let mut registry = registry(world(vec![site(&["/api(/|$)(.*)", "/one", "/(a|b)(/|$)(.*)"], &[(target, "/$2")])]));
    let snapshot = publish(&mut registry);
    let rewrite = |path| found(&snapshot, "web.example", path).filters.as_ref().and_then(|filters| filters.rewrite.clone());
    assert_eq!(rewrite("/api/x"), Some(Rewrite::Prefix("/".into())));
    assert_eq!(rewrite("/one/x"), Some(Rewrite::Whole("/".into())));
    assert!(snapshot.external.routes.find("web.example", "/a/x").is_err());
    let told = problems(&registry, Reason::NotServed);
    assert!(told.iter().any(|told| told.contains("spec.rules[2].http.paths[0].path: `/(a|b)(/|$)(.*)` is a pattern")), "{told:?}");
}

#[test]
fn the_other_name_is_redirected_unless_somebody_serves_it() {
    let www = [("from-to-www-redirect", "true")];
    let snapshot = publish(&mut registry(world(vec![site(&["/"], &www)])));
    let other = found(&snapshot, "www.web.example", "/x");
    let to = other.filters.as_ref().and_then(|filters| filters.redirects.to.clone()).unwrap();
    assert_eq!((to.status, to.pattern().as_str()), (308, "$scheme://web.example$request_uri"));
    let theirs = object(ingress("a/other", None, &[("www.web.example", "/only", "web")]));
    let snapshot = publish(&mut registry(world(vec![site(&["/"], &www), theirs])));
    assert!(snapshot.external.routes.find("www.web.example", "/x").is_err(), "whoever wrote a rule for it meant that");
}

#[test]
fn a_canary_takes_nothing_from_its_main_ingress() {
    let main = object(ingress("a/zmain", None, &[("web.example", "/", "web")]));
    let canary = site(&["/"], &[("nginx.ingress.kubernetes.io/canary", "true"), ("app-root", "/x")]);
    let mut registry = registry(world(vec![canary, main]));
    let snapshot = publish(&mut registry);
    assert_eq!(&*found(&snapshot, "web.example", "/").owner, "Ingress a/zmain");
    assert!(problems(&registry, Reason::NotServed).iter().any(|told| told.contains("nothing of it is served")));
}

#[test]
fn tls_is_redirected_to_where_there_is_some() {
    let plain = site(&["/"], &[("ssl-redirect", "true")]);
    let mut registry = registry(world(vec![plain.clone()]));
    assert!(found(&publish(&mut registry), "web.example", "/").filters.is_none());
    assert!(problems(&registry, Reason::NotFound)[0].contains("no `spec.tls`"));
    let Object::Ingress(plain) = plain else { unreachable!("a site is an Ingress") };
    let tls = vec![IngressTls { at: 0, hosts: Vec::new(), secret: "web".into() }];
    again(&mut registry, world(vec![object(Ingress { tls, ..plain })]));
    assert!(found(&publish(&mut registry), "web.example", "/").filters.is_some());
}

#[test]
fn check_judges_each_annotation() {
    let nginx = |name: &str| format!("nginx.ingress.kubernetes.io/{name}");
    let (alias, root) = (nginx("server-alias"), nginx("app-root"));
    let mut registry = registry(world(vec![site(&["/"], &[("retries", "many"), (&alias, "x"), (&root, "/x")])]));
    publish(&mut registry);
    let rows = registry.check().annotations;
    let verdicts: Vec<(&str, &str)> = rows.iter().map(|row| (row.key.as_str(), row.verdict.as_str())).collect();
    assert_eq!(verdicts, [(root.as_str(), "honoured"), (alias.as_str(), "not supported"), ("tidegate.dev/retries", "wrong")]);
    assert!(rows.iter().all(|row| row.owner == "Ingress a/web"));
}
