//! What annotations say, what becomes of those of ingress-nginx, and that what keeps somebody out fails closed.

use super::*;
use crate::filter::{Balance, HashBy, Https, Rewrite};

fn reading(annotations: &[(&str, &str)]) -> Reading {
    read(&"a".into(), &annotations.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect())
}

fn ours(name: &str, value: &str) -> Reading {
    reading(&[(&format!("{OUR_PREFIX}{name}"), value)])
}

fn theirs(name: &str, value: &str) -> Reading {
    reading(&[(&format!("{}{name}", nginx::PREFIX), value)])
}

#[test]
fn times_and_sizes_have_units() {
    let connect = |text| ours("connect-timeout", text).filters.timeouts.connect_ms;
    for (text, ms) in [("500ms", 500), ("5s", 5_000), ("2m", 120_000), ("1h", 3_600_000), (" 5s ", 5_000)] {
        assert_eq!(connect(text), Some(ms), "{text}");
    }
    for wrong in ["5", "0s", "-1s", "25h", "5 s", "s", "", "1.5s", "99999999999999999999s", "5d"] {
        let reading = ours("connect-timeout", wrong);
        assert!(reading.filters.is_empty() && reading.closed.is_none(), "{wrong}");
        assert_eq!((reading.problems.len(), reading.judged[0].verdict), (1, Verdict::Wrong), "{wrong}");
        let told = reading.problems[0].to_string();
        assert!(told.contains("metadata.annotations[\"tidegate.dev/connect-timeout\"]") && told.contains("fix:"), "{told}");
    }
    for (text, bytes) in [("8m", Some(8 << 20)), ("1K", Some(1024)), ("1Gi", Some(1 << 30)), ("7", Some(7)), ("0", None)] {
        assert_eq!(ours("body-size", text).filters.body_bytes, bytes, "{text}");
    }
    assert_eq!(theirs("proxy-connect-timeout", "5").filters.timeouts.connect_ms, Some(5_000));
    assert_eq!(theirs("proxy-body-size", "8m").filters.body_bytes, Some(8 << 20));
}

#[test]
fn an_address_that_stands_for_its_network_is_told() {
    let loose = ours("allow-source-range", "10.1.2.3/8, 192.0.2.7, 198.51.100.0/24");
    assert_eq!((loose.judged[0].verdict, loose.problems.len()), (Verdict::Honoured, 1));
    let told = loose.problems[0].to_string();
    assert!(told.starts_with("warning") && told.contains("`10.1.2.3/8` is taken for 10.0.0.0/8"), "{told}");
}

#[test]
fn a_secret_of_the_own_namespace_may_be_named_with_it() {
    for name in ["who", "a/who"] {
        let reading = reading(&[("tidegate.dev/auth-type", "basic"), ("nginx.ingress.kubernetes.io/auth-secret", name)]);
        assert_eq!(reading.filters.auth.map(|auth| auth.secret).as_deref(), Some("who"), "{name}");
    }
}

#[test]
fn what_keeps_somebody_out_fails_closed() {
    for (name, value) in [
        ("allow-source-range", ""),
        ("allow-source-range", "10.0.0.0/8,"),
        ("allow-source-range", "10.0.0.0/33"),
        ("deny-source-range", "everybody"),
        ("auth-type", "digest"),
        ("auth-type", "basic"),
        ("auth-secret", "who"),
        ("auth-secret", "other/who"),
        ("auth-secret", "a/who/else"),
        ("auth-secret", "a/"),
        ("auth-realm", "a\"b"),
        ("request-headers-remove", "X-User X-Group"),
    ] {
        let reading = ours(name, value);
        assert!(reading.closed.is_some(), "{name}: {value}");
        assert!(reading.problems[0].to_string().contains("answers nobody"), "{reading:?}");
    }
    for (name, value) in [
        ("whitelist-source-range", "x"),
        ("auth-url", "http://auth.example/"),
        ("auth-tls-match-cn", "CN=a"),
        ("auth-secret-type", "auth-map"),
        ("custom-headers", "headers"),
        ("custom-headers", "b/headers"),
        ("custom-headers", "a/Headers"),
        ("custom-headers", "a/b/c"),
        ("server-snippet", "location /admin { deny all; }"),
        ("configuration-snippet", "if ($http_x = '') { return 403; }"),
    ] {
        assert!(theirs(name, value).closed.is_some(), "{name}: {value}");
    }
    assert!(theirs("configuration-snippet", "more_set_headers \"X: y\";").closed.is_none());
}

#[test]
fn a_convenience_is_left_out_alone() {
    let reading = reading(&[
        ("tidegate.dev/app-root", "shop"),
        ("tidegate.dev/retries", "two"),
        ("tidegate.dev/balance", "fastest"),
        ("tidegate.dev/upstream-vhost", "b.example"),
        ("tidegate.dev/hsts", "includeSubDomains"),
        ("tidegate.dev/permanent-redirect", "javascript:alert(1)"),
        ("tidegate.dev/temporal-redirect", "https://b.example$uri"),
        ("tidegate.dev/rewrite-target", "/x?y"),
    ]);
    assert_eq!((reading.problems.len(), reading.closed), (7, None), "all are told");
    assert_eq!(reading.filters.upstream_host.as_deref(), Some("b.example"));
    assert_eq!(Filters { upstream_host: None, ..reading.filters }, Filters::default());
}

#[test]
fn no_scripts_may_ask_when_nobody_knows_whose() {
    let cors = |origin| reading(&[("tidegate.dev/enable-cors", "true"), ("tidegate.dev/cors-allow-origin", origin)]).filters.cors;
    assert!(cors("https://a.example").is_some());
    for wrong in ["a.example", "*, https://a.example", "https://", "https://a.example/path", "https://a.*.example"] {
        assert_eq!(cors(wrong), None, "{wrong}");
    }
}

#[test]
fn no_line_can_be_ended_and_no_frame_broken() {
    for wrong in [
        "X: a\u{7}",
        "X y: 1",
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
        "Host: b",
        "Connection: close",
        "X-Forwarded-For: 1",
        "X",
        "",
    ] {
        let reading = ours("request-headers-set", wrong);
        assert!(reading.filters.is_empty() && !reading.problems.is_empty(), "{wrong:?}");
    }
    // A carriage return within a line ends none: it is refused, not cut.
    assert!(ours("response-headers-add", "X: a\rSet-Cookie: b").filters.is_empty());
    assert!(ours("upstream-vhost", "a\r\nX: y").filters.is_empty());
}

#[test]
fn of_ingress_nginx_each_says_what_becomes_of_it() {
    let verdict = |name: &str, value: &str| {
        let reading = theirs(name, value);
        (reading.judged[0].verdict, reading.problems.len())
    };
    assert_eq!(verdict("app-root", "/shop"), (Verdict::Honoured, 0));
    assert_eq!(verdict("proxy-buffering", "off"), (Verdict::Honoured, 0));
    assert_eq!(verdict("proxy-read-timeout", "60"), (Verdict::Differs, 1));
    assert_eq!(verdict("custom-headers", "a/headers"), (Verdict::Differs, 1));
    assert_eq!(theirs("custom-headers", "a/headers").filters.custom_headers.as_deref(), Some("headers"));
    assert_eq!(verdict("server-alias", "b.example"), (Verdict::NotSupported, 1));
    assert_eq!(verdict("no-such-thing", "1"), (Verdict::NotSupported, 1));
    assert_eq!(verdict("proxy-read-timeout", "1 minute"), (Verdict::Wrong, 1));
    assert_eq!(theirs("proxy-next-upstream-tries", "3").filters.retries, Some(2));
    assert_eq!(theirs("proxy-next-upstream-tries", "0").filters.retries, Some(255));
    assert_eq!(theirs("proxy-next-upstream", "off").filters.retries, Some(0));
    assert_eq!(theirs("upstream-hash-by", "$remote_addr").filters.balance, Some(Balance::Hash(HashBy::ClientIp)));
    assert_eq!(verdict("upstream-hash-by", "$request_uri$host"), (Verdict::Wrong, 1));
    let both = ["load-balance", "upstream-hash-by"].map(|name| format!("{}{name}", nginx::PREFIX));
    let said = |hash| reading(&[(&both[0], "round_robin"), (&both[1], hash)]);
    assert_eq!(said("$request_uri$host").filters.balance, Some(Balance::RoundRobin));
    let both = said("$remote_addr");
    assert_eq!(both.filters.balance, Some(Balance::Hash(HashBy::ClientIp)), "which wins there, too");
    assert!(both.problems.iter().any(|problem| problem.to_string().contains("load-balance")), "{:?}", both.problems);
    assert_eq!(verdict("affinity", "cookie"), (Verdict::Honoured, 0));
    assert_eq!(verdict("affinity-mode", "balanced"), (Verdict::Differs, 1));
    assert_eq!(theirs("ssl-redirect", "true").filters.redirects.https, Https::WithTls);
    assert!(theirs("canary", "true").skipped.is_some() && theirs("canary", "false").skipped.is_none());
}

#[test]
fn a_service_says_how_its_endpoints_are_picked() {
    let reading = |text: &str, keeps| read_service(&[(BALANCE.into(), text.into())].into(), keeps);
    let hash = reading(" hash uri ", false);
    assert_eq!((hash.balance, hash.judged.map(|judged| judged.verdict)), (Some(Balance::Hash(HashBy::Uri)), Some(Verdict::Honoured)));
    let kept = reading("random", true);
    assert_eq!((kept.balance, kept.judged.map(|judged| judged.verdict)), (Some(Balance::Random), Some(Verdict::Differs)));
    let wrong = reading("fast\nest", false);
    assert_eq!((wrong.balance, wrong.judged.map(|judged| judged.verdict)), (None, Some(Verdict::Wrong)));
    assert!(wrong.problem.is_some_and(|problem| problem.found.contains("fast\\nest") && problem.expected.is_some()));
    let nothing = read_service(&Labels::new(), false);
    assert!(nothing.balance.is_none() && nothing.judged.is_none() && nothing.problem.is_none());
}

#[test]
fn ours_wins_over_theirs_and_both_are_told() {
    let reading = reading(&[
        ("nginx.ingress.kubernetes.io/whitelist-source-range", "0.0.0.0/0"),
        ("nginx.ingress.kubernetes.io/allowlist-source-range", "10.0.0.0/8"),
        ("tidegate.dev/allow-source-range", "192.0.2.0/24"),
    ]);
    assert!(reading.filters.access.admits([192, 0, 2, 1].into()) && !reading.filters.access.admits([10, 0, 0, 1].into()));
    assert_eq!(reading.problems.len(), 2);
    assert_eq!(reading.judged.iter().filter(|judged| judged.verdict == Verdict::Honoured).count(), 1);
}

#[test]
fn patterns_that_cut_a_prefix_off_are_plain_rewrites() {
    let by = |target: &str, path: &str| {
        let reading = theirs("rewrite-target", target);
        assert!(reading.patterns, "{target}");
        reading.filters.rewrite.unwrap().by(path)
    };
    let prefix = |put: &str, path: &str| Some((Rewrite::Prefix(put.into()), path.into()));
    let whole = |put: &str, path: &str| Some((Rewrite::Whole(put.into()), path.into()));
    assert_eq!(by("/$2", "/x(/|$)(.*)"), prefix("/", "/x"));
    assert_eq!(by("/y/$2", "/x/z(/|$)(.*)"), prefix("/y/", "/x/z"));
    assert_eq!(by("/$1", "/x/?(.*)"), prefix("/", "/x"));
    assert_eq!(by("/$1", "/(.*)"), prefix("/", "/"));
    assert_eq!(by("/", "/x"), whole("/", "/x"));
    assert_eq!(by("/", "/x(/|$)(.*)"), whole("/", "/x"));
    assert_eq!(by("/$2", "/x"), whole("/", "/x"), "a group that is not there is empty");
    for (target, path) in [("/$1", "/x(/|$)(.*)"), ("/$2", "/(a|b)(/|$)(.*)"), ("/$1", "/x/([0-9]+)")] {
        assert_eq!(by(target, path), None, "{target} {path}");
    }
    for wrong in ["/$1/$2", "/x$1", "/$1/y", "/$0", "$1"] {
        assert!(theirs("rewrite-target", wrong).filters.rewrite.is_none(), "{wrong}");
    }
}

#[test]
fn the_page_of_annotations_has_every_key_and_no_other() {
    let page = include_str!("../../../docs/annotations.md");
    let ours: Vec<&str> = KEYS.into_iter().flatten().map(|key| key.name).collect();
    for name in &ours {
        assert!(page.contains(&format!("\n| `tidegate.dev/{name}` |")), "docs/annotations.md has no row for {name}");
    }
    let rows = page.lines().filter(|line| line.starts_with("| `tidegate.dev/")).count();
    assert_eq!(rows, ours.len(), "a row of a key that is not read, or two of one");
    for (name, means) in nginx::TABLE {
        let (shown, how) = match means {
            Means::Same(ours) => (ours, None),
            Means::But(ours, how) => (ours, Some(how)),
            Means::Read(ours, _, _, how) => (ours, how.as_ref()),
            Means::Elsewhere(_) | Means::Idle(_) | Means::Nothing(_) | Means::Guard(_) => {
                assert!(page.contains(&format!("`{name}`")), "docs/annotations.md does not name {name}");
                continue;
            }
        };
        let row = page.lines().find(|line| line.starts_with(&format!("| `tidegate.dev/{shown}` |")));
        let row =
            row.or_else(|| page.lines().find(|line| line.starts_with(&format!("| `{shown}` |")))).unwrap_or_else(|| panic!("{shown}"));
        assert!(row.contains(&format!("`{name}`")), "{name} is not in the row of {shown}");
        let how = how.copied().unwrap_or_default().replace('|', "\\|");
        assert!(row.contains(&how), "how {name} differs is not in its row: {how}");
    }
}
