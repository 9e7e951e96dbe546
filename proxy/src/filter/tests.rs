//! Each filter by itself, as a request meets it.

use config::annotations;
use config::credentials::Credentials;
use config::host::HostPattern;
use config::object::{Labels, PathType};
use registry::route::Action;
use registry::snapshot::ServiceIndex;
use std::sync::Arc;

use super::*;

/// A request that tests change.
struct Request {
    method: Method,
    target: &'static str,
    client: &'static str,
    https: bool,
    length: Option<u64>,
    fields: Vec<(&'static str, String)>,
}

const GET: Request = Request { method: Method::Get, target: "/a?q", client: "192.0.2.7", https: true, length: Some(0), fields: Vec::new() };

impl Fields for Request {
    fn one(&self, name: &str) -> Option<&[u8]> {
        let mut found = self.fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Some(value.as_bytes()),
            _ => None,
        }
    }
}

impl Request {
    fn with(mut self, name: &'static str, value: &str) -> Request {
        self.fields.push((name, value.to_owned()));
        self
    }

    fn asked(&self) -> Asked<'_> {
        let Request { method, target, https, length, .. } = *self;
        Asked { method, host: "a.example", target, client: self.client.parse().unwrap(), https, length, fields: self }
    }
}

fn filters(annotations: &[(&str, &str)]) -> Filters {
    let labels: Labels = annotations.iter().map(|(key, value)| (format!("tidegate.dev/{key}").into(), (*value).into())).collect();
    let reading = annotations::read(&"a".into(), &labels);
    assert!(reading.problems.is_empty() && reading.closed.is_none(), "{reading:?}");
    let credentials = reading.filters.auth.is_some().then(|| Credentials::read(b"bert:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n"));
    Filters::new(reading.filters, credentials)
}

fn route(path: &str, filters: Filters) -> Route {
    Route {
        client: None,
        owner: "Ingress x/y".into(),
        host: HostPattern::Any,
        path_type: PathType::Prefix,
        path: path.into(),
        action: Action::Forward(ServiceIndex(0)),
        filters: Some(Arc::new(filters)),
    }
}

/// Status of the answer, and its fields; 0 when the request goes on.
fn answer(annotations: &[(&str, &str)], request: &Request) -> (u16, String) {
    match gate(&filters(annotations), &request.asked(), || None, |_| false) {
        Verdict::Go => (0, String::new()),
        Verdict::Prove(_) => (1, String::new()),
        Verdict::Answer(answer) => (answer.status, answer.fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect()),
    }
}

#[test]
fn addresses_are_kept_out_and_deny_wins() {
    let lists = [("allow-source-range", "192.0.2.0/24, 2001:db8::1"), ("deny-source-range", "192.0.2.66")];
    for (client, status) in [
        ("192.0.2.7", 0),
        ("::ffff:192.0.2.7", 0),
        ("192.0.2.66", 403),
        ("::ffff:192.0.2.66", 403),
        ("198.51.100.1", 403),
        ("2001:db8::1", 0),
        ("2001:db8::2", 403),
    ] {
        assert_eq!(answer(&lists, &Request { client, ..GET }).0, status, "{client}");
    }
    let deny = [("deny-source-range", "192.0.2.0/24"), ("ssl-redirect", "true")];
    assert_eq!(answer(&deny, &Request { https: false, ..GET }).0, 403, "whoever may not ask is told nothing else");
    assert_eq!(answer(&deny[..1], &Request { client: "198.51.100.1", ..GET }).0, 0);
}

#[test]
fn redirects_keep_what_was_asked_for() {
    let plain = || Request { https: false, ..GET };
    let to = |annotations: &[(&str, &str)], request: Request| {
        let (status, fields) = answer(annotations, &request);
        (status, fields.strip_prefix("Location: ").unwrap_or_default().trim_end().to_owned())
    };
    let there = |status, place: &str| (status, place.to_owned());
    let tls = [("force-ssl-redirect", "true")];
    assert_eq!(to(&tls, plain()), there(308, "https://a.example/a?q"));
    assert_eq!(to(&tls, GET), there(0, ""));
    assert_eq!(to(&[("ssl-redirect-port", "8443"), tls[0]], plain()), there(308, "https://a.example:8443/a?q"));
    let root = [("app-root", "/shop")];
    assert_eq!(to(&root, Request { target: "/?x", ..GET }), there(302, "/shop"));
    assert_eq!(to(&root, GET), there(0, ""));
    assert_eq!(to(&[("permanent-redirect", "https://b.example$request_uri")], GET), there(301, "https://b.example/a?q"));
    let code = [("permanent-redirect", "$scheme://$host.b/"), ("permanent-redirect-code", "307")];
    assert_eq!(to(&code, plain()), there(307, "http://a.example.b/"));
    assert_eq!(to(&[("temporal-redirect", "/x"), ("permanent-redirect", "/y")], GET), there(302, "/x"));
}

#[test]
fn a_password_is_looked_at_last_and_asked_for_without_one() {
    let auth = [("auth-type", "basic"), ("auth-secret", "who"), ("auth-realm", "the shop")];
    let unauthorized = (401, "WWW-Authenticate: Basic realm=\"the shop\", charset=\"UTF-8\"\n".to_owned());
    assert_eq!(answer(&auth, &GET), unauthorized);
    for wrong in ["Bearer x", "Basic", "Basic !", "Basic bm9jb2xvbg==", ""] {
        assert_eq!(answer(&auth, &GET.with("Authorization", wrong)), unauthorized, "{wrong}");
    }
    let right = || GET.with("authorization", "bAsIc YmVydDpwYXNzd29yZA==");
    assert_eq!(answer(&auth, &right()).0, 1);
    assert_eq!(answer(&auth, &right().with("Authorization", "Basic YmVydDpwYXNzd29yZA==")), unauthorized, "two are none");
    let all = [auth[0], auth[1], ("force-ssl-redirect", "true"), ("body-size", "1k")];
    assert_eq!(answer(&all, &Request { https: false, ..right() }).0, 308);
    assert_eq!(answer(&all, &Request { length: Some(1025), ..right() }).0, 413);
    assert_eq!(answer(&all, &Request { length: Some(1024), ..right() }).0, 1);
    assert_eq!(answer(&all, &Request { length: None, ..right() }).0, 1, "a stream is counted while it comes");
    assert_eq!(answer(&[("body-size", "0")], &Request { length: Some(u64::MAX), ..GET }).0, 0);
}

#[tokio::test]
async fn who_was_let_in_is_remembered_and_who_was_not_is_not() {
    let route = route("/", filters(&[("auth-type", "basic"), ("auth-secret", "who")]));
    let proven = Proven::default();
    let ask = async |pair: &str| {
        let request =
            GET.with("Authorization", &format!("Basic {}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pair)));
        let proof = auth::proof(route.filters.as_ref().unwrap().credentials().unwrap(), &request.asked()).unwrap();
        let known = proven.knows(&proof);
        (known, admit(&proven, &route, &request.asked(), || None).await.map_err(|answer| answer.status))
    };
    assert_eq!(ask("bert:password").await, (false, Ok(())));
    assert_eq!(ask("bert:password").await, (true, Ok(())));
    assert_eq!(ask("bert:passwort").await, (false, Err(401)));
    assert_eq!(ask("bert:passwort").await, (false, Err(401)));
    assert_eq!(ask("anna:password").await, (false, Err(401)));
}

#[test]
fn browsers_hear_of_origins_and_nobody_else_does() {
    let any = [("enable-cors", "true")];
    let preflight =
        |origin: &str| Request { method: Method::Options, ..GET }.with("Origin", origin).with("Access-Control-Request-Method", "PUT");
    let (status, fields) = answer(&any, &preflight("https://x.example"));
    assert_eq!(status, 204);
    assert!(fields.starts_with("Access-Control-Allow-Origin: *\nAccess-Control-Allow-Methods: GET, PUT,"), "{fields}");
    assert!(!fields.contains("Credentials"), "{fields}");
    assert_eq!(answer(&any, &Request { method: Method::Options, ..GET }).0, 0, "not a browser's");
    let some = [("enable-cors", "true"), ("cors-allow-origin", "https://*.x.example, http://y.example:8080"), ("cors-max-age", "5")];
    let mine = answer(&some, &preflight("https://shop.x.example")).1;
    assert!(
        mine.starts_with("Vary: Origin\nAccess-Control-Allow-Origin: https://shop.x.example\nAccess-Control-Allow-Credentials: true\n")
    );
    assert!(mine.ends_with("Access-Control-Max-Age: 5\n"), "{mine}");
    for other in
        ["https://x.example", "https://a.b.x.example", "http://shop.x.example", "https://shopx.example", "null", "https://.x.example"]
    {
        assert_eq!(answer(&some, &preflight(other)), (204, "Vary: Origin\n".to_owned()), "{other}");
    }
    let filters = filters(&[some[0], some[1], ("cors-expose-headers", "X-Total")]);
    let told = |request: &Request| Down::of(&filters, &request.asked()).fields;
    let edits = told(&GET.with("Origin", "http://y.example:8080"));
    assert!(edits.drops(b"access-control-allow-origin"));
    assert!(edits.new.contains(&("Access-Control-Expose-Headers", "X-Total".into())), "{edits:?}");
    assert_eq!(told(&GET).new, [("Vary", "Origin".into())]);
}

#[test]
fn a_path_is_written_anew_by_what_routing_compared() {
    let target = |key: &str, put: &str, path: &str, target: &'static str| {
        let route = route(path, filters(&[(key, put)]));
        Up::of(&route, route.filters.as_ref().unwrap(), &Request { target, ..GET }.asked()).target.unwrap()
    };
    for (put, path, asked, seen) in [
        ("/", "/api", "/api/v1/x?q=/api", "/v1/x?q=/api"),
        ("/", "/api", "/api", "/"),
        ("/", "/api/", "/api/", "/"),
        ("/new", "/api", "/api/x", "/new/x"),
        ("/new/", "/api", "/api/x", "/new/x"),
        ("/new", "/", "/x", "/new/x"),
        ("/new", "/", "/", "/new"),
        ("/", "/api", "/api//evil.example", "/evil.example"),
        ("/", "/api", "/%61pi/x%2fy", "/x%2fy"),
        ("/", "/api", "/api/a/../x", "/x"),
        ("/", "/api", "/api?q", "/?q"),
    ] {
        assert_eq!(target("rewrite-prefix", put, path, asked), seen, "{put} {path} {asked}");
    }
    assert_eq!(target("rewrite-target", "/one", "/api", "/api/x?q"), "/one?q");
}

#[test]
fn fields_go_and_come() {
    let filters = filters(&[
        ("request-headers-set", "X-One: 1\nX-Two:  2 "),
        ("request-headers-add", "X-Three: a:b"),
        ("request-headers-remove", "X-Four, x-five"),
        ("response-headers-set", "Server: gate"),
        ("hsts", "true"),
        ("upstream-vhost", "b.example:8080"),
    ]);
    let request = Request { https: false, ..GET };
    let route = route("/", filters);
    let filters = route.filters.as_ref().unwrap();
    let up = Up::of(&route, filters, &request.asked());
    assert_eq!((up.target, up.host), (None, Some("b.example:8080")));
    assert_eq!(up.fields.new, [("X-One", "1".into()), ("X-Two", "2".into()), ("X-Three", "a:b".into())]);
    let dropped = ["x-one", "X-TWO", "x-four", "X-Five"].iter().all(|name| up.fields.drops(name.as_bytes()));
    assert!(dropped && !up.fields.drops(b"X-Three"));
    assert_eq!(Down::of(filters, &request.asked()).fields.new, [("Server", "gate".into())], "plain HTTP hears of no HSTS");
    let hsts = ("Strict-Transport-Security", "max-age=31536000; includeSubDomains".into());
    assert_eq!(Down::of(filters, &GET.asked()).fields.new, [("Server", "gate".into()), hsts]);
}
