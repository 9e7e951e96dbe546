//! What the replica and the client see of each other.

use super::*;

/// The request line as the replica saw it.
fn line(echoed: &str) -> &str {
    echoed.lines().next().unwrap_or_default()
}

#[test]
fn a_path_is_cut_as_ingress_nginx_s_idiom_says() {
    let scene = Scene::new(Behaviour::Echo);
    let rule = ingress("shop", HOST, &[path("ImplementationSpecific", "/api(/|$)(.*)", "app", 80), path("Prefix", "/old", "app", 80)]);
    let target = nginx("rewrite-target");
    let gate = scene.setup().manifest("rule.yaml", annotated(&rule, &[(&target, "/$2"), (&nginx("use-regex"), "true")])).start();
    for (asked, seen) in [
        ("/api", "GET / HTTP/1.1"),
        ("/api/", "GET / HTTP/1.1"),
        ("/api/v1/things?q=/api", "GET /v1/things?q=/api HTTP/1.1"),
        ("/api//evil.example", "GET /evil.example HTTP/1.1"),
        ("/%61pi/x", "GET /x HTTP/1.1"),
        ("/old/x", "GET / HTTP/1.1"),
    ] {
        assert_eq!(line(&curl(&gate, asked, &[])), seen, "{asked}");
    }
    assert_eq!(verdict(&gate, "/apiary", &[]), "404");
    let plain = ingress("shop", HOST, &[path("Prefix", "/api", "app", 80)]);
    gate.write("rule.yaml", &annotated(&plain, &[("rewrite-prefix", "/v2")]));
    assert_eq!(line(&curl(&gate, "/api/x?y", &[])), "GET /v2/x?y HTTP/1.1");
}

#[test]
fn fields_and_the_host_are_what_the_operator_wants() {
    let scene = Scene::new(Behaviour::Raw(
        b"HTTP/1.1 200 OK\r\nServer: leaky/1.0\r\nX-Debug: yes\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nok".to_vec(),
    ));
    let gate = scene.gate(&[
        ("request-headers-set", "X-Env: live"),
        ("request-headers-add", "X-Tag: two"),
        ("request-headers-remove", "X-User"),
        ("response-headers-set", "Server: gate\nX-Frame-Options: DENY"),
        ("response-headers-add", "Cache-Control: private"),
        ("response-headers-remove", "X-Debug"),
        (&nginx("upstream-vhost"), "inner.example:81"),
    ]);
    let mine = ["--include", "-H", "X-Env: test", "-H", "X-Tag: one", "-H", "x-user: root", "--data", "body"];
    let answer = curl(&gate, "/", &mine);
    let head = answer.split("\r\n\r\n").next().unwrap_or_default();
    for there in ["Server: gate", "X-Frame-Options: DENY", "Cache-Control: no-store", "Cache-Control: private"] {
        assert!(head.contains(there), "{there} in {head}");
    }
    assert!(!head.contains("leaky") && !head.contains("X-Debug"), "{head}");
    let request = scene.app.last();
    assert_eq!(request.all("x-env"), ["live"]);
    assert_eq!(request.all("x-tag"), ["one", "two"]);
    assert_eq!(request.field("x-user"), None);
    assert_eq!(request.field("host").as_deref(), Some("inner.example:81"));
    assert_eq!(request.field("x-forwarded-host"), Some(format!("{HOST}:{}", gate.http().port())));
    assert_eq!((request.field("content-length").as_deref(), &*request.body), (Some("4"), &b"body"[..]));
}

#[test]
fn a_browser_may_ask_where_cors_says_so() {
    let scene = Scene::new(Behaviour::Raw(b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 2\r\n\r\nok".to_vec()));
    let gate = scene.gate(&[(&nginx("enable-cors"), "true"), (&nginx("cors-allow-origin"), "https://*.friend.example")]);
    let origin = |origin: &str| format!("Origin: {origin}");
    let friend = origin("https://a.friend.example");
    let preflight = curl(&gate, "/", &["--include", "-X", "OPTIONS", "-H", &friend, "-H", "Access-Control-Request-Method: PUT"]);
    assert!(preflight.starts_with("HTTP/1.1 204 No Content\r\n") && preflight.ends_with("\r\n\r\n\n204 "), "{preflight}");
    assert!(preflight.contains("Access-Control-Allow-Origin: https://a.friend.example\r\n"), "{preflight}");
    assert!(preflight.contains("Access-Control-Allow-Methods: GET, PUT"), "{preflight}");
    assert_eq!(scene.app.requests(), 0);
    let answer = curl(&gate, "/", &["--include", "-H", &friend]);
    assert_eq!(answer.matches("Access-Control-Allow-Origin: https://a.friend.example\r\n").count(), 1, "{answer}");
    assert!(answer.contains("Vary: Origin\r\n") && !answer.contains("Origin: *"), "{answer}");
    let stranger = curl(&gate, "/", &["--include", "-H", &origin("https://friend.example")]);
    assert!(stranger.ends_with("\n200 ") && !stranger.contains("Access-Control-Allow-Origin"), "{stranger}");
}

#[test]
fn content_that_is_too_large_is_refused_however_it_comes() {
    let scene = Scene::new(Behaviour::Named);
    let gate = scene.gate(&[(&nginx("proxy-body-size"), "100k")]);
    let send = |flags: &[&str], bytes: usize| {
        let finished = curl_with(&gate, HOST, "/", flags, &vec![b'x'; bytes]);
        finished.stdout.lines().last().unwrap_or_default().trim_end().to_owned()
    };
    let length = ["--data-binary", "@-"];
    let stream = ["--upload-file", "-"];
    assert_eq!(send(&length, 100 << 10), "200");
    assert_eq!(send(&stream, 100 << 10), "200");
    assert_eq!(scene.app.requests(), 2);
    assert_eq!(send(&length, (100 << 10) + 1), "413");
    assert_eq!(scene.app.requests(), 2, "what says how long it is is refused before the replica hears of it");
    assert_eq!(send(&stream, 200 << 10), "413");
    assert_eq!(gate.sum("tidegate_refusals_total", &["reason=\"body-too-large\""]), 2.0);
}

#[test]
fn a_request_is_pipelined_behind_one_that_was_refused() {
    let scene = Scene::new(Behaviour::Named);
    let gate = scene.gate(&[("deny-source-range", "192.0.2.1"), ("body-size", "3"), ("app-root", "/x")]);
    let mut client = Client::connect(gate.http());
    let post = |body: &str| format!("POST /y HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    client.send([post("four"), format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"), post("abc")].concat());
    let answers: Vec<u16> = (0..3).map(|_| client.response().status).collect();
    assert_eq!(answers, [413, 302, 200]);
    assert_eq!(scene.app.last().body, b"abc");
}

#[test]
fn over_http2_filters_do_the_same() {
    let scene = Scene::new(Behaviour::Echo);
    let gate = scene.gate(&[
        ("app-root", "/welcome"),
        ("rewrite-prefix", "/v2"),
        ("upstream-vhost", "inner.example"),
        ("request-headers-set", "X-Env: live"),
        ("response-headers-set", "X-Frame-Options: DENY"),
        ("body-size", "1k"),
        ("deny-source-range", "127.0.0.2"),
        ("enable-cors", "true"),
        ("request-timeout", "1s"),
    ]);
    let two = |path: &str, flags: &[&str]| curl(&gate, path, &[&["--http2-prior-knowledge"], flags].concat());
    let last = |said: String| said.lines().last().unwrap_or_default().trim_end().to_owned();
    let answer = two("/x?y", &["--include", "-H", "X-Env: test", "-H", "Origin: https://b.example"]);
    for there in [
        "HTTP/2 200",
        "x-frame-options: DENY",
        "access-control-allow-origin: *",
        "GET /v2/x?y HTTP/1.1",
        "host: inner.example",
        "x-env: live",
    ] {
        assert!(answer.contains(there), "{there} in {answer}");
    }
    assert!(!answer.contains("x-env: test"), "{answer}");
    assert!(last(two("/", &[])).starts_with("302 http"), "the app's root");
    assert_eq!(last(two("/x", &["--interface", "127.0.0.2"])), "403");
    let before = scene.app.requests();
    let send = |flags: &[&str], bytes: usize| {
        let flags = [&["--http2-prior-knowledge", "--output", "/dev/null"], flags].concat();
        curl_with(&gate, HOST, "/x", &flags, &vec![b'x'; bytes]).stdout.trim().to_owned()
    };
    assert_eq!(send(&["--data-binary", "@-"], (1 << 10) + 1), "413");
    assert_eq!(scene.app.requests(), before, "what says how long it is is refused before the replica hears of it");
    assert_eq!(send(&["--upload-file", "-"], 3 << 10), "413");
    assert_eq!(send(&["--upload-file", "-"], 1 << 10), "200");
    scene.app.now(Behaviour::Held);
    assert_eq!(last(two("/x", &[])), "504");
}
