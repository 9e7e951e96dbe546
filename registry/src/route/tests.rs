//! The table against a scan of all rules, which is slow and plainly right.

use config::host::Host;
use proptest::prelude::*;

use super::*;

/// How a rule was added.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Path(PathType),
    HostDefault,
    ClassDefault,
}

fn hosts() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec!["", "a.com", "b.com", "x.a.com", "*.a.com", "*.com", "*.x.a.com", "com"])
}

fn paths() -> impl Strategy<Value = String> {
    let element = proptest::sample::select(vec!["foo", "bar", "foobar", "v1", "Foo"]);
    (proptest::collection::vec(element, 0..4), any::<bool>()).prop_map(|(elements, slash)| {
        let joined = format!("/{}", elements.join("/"));
        if slash && joined != "/" { joined + "/" } else { joined }
    })
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        3 => Just(Kind::Path(PathType::Exact)),
        5 => Just(Kind::Path(PathType::Prefix)),
        1 => Just(Kind::HostDefault),
        1 => Just(Kind::ClassDefault),
    ]
}

fn route(number: usize, host: &str, path_type: PathType, path: &str) -> Route {
    let host = HostPattern::parse_ingress(host).unwrap();
    Route {
        owner: format!("{number}").into(),
        host,
        path_type,
        path: path.into(),
        action: Action::Forward(ServiceIndex(number as u32)),
        client: None,
        filters: None,
    }
}

/// Elements of a path; a trailing slash does not count.
fn elements(path: &str) -> Vec<&str> {
    path.trim_end_matches('/').split('/').skip(1).collect()
}

fn host_matches(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(suffix) => host.split_once('.').is_some_and(|(first, rest)| !first.is_empty() && rest == suffix),
        None => pattern.is_empty() || pattern == host,
    }
}

/// Exact hosts before wildcards before rules without host.
fn host_rank(pattern: &str) -> u8 {
    match pattern {
        "" => 0,
        pattern if pattern.starts_with("*.") => 1,
        _ => 2,
    }
}

type Rule = (Kind, &'static str, String);

/// Every rule is looked at; the first of equals wins.
fn scan(rules: &[Rule], host: &str, path: &str) -> Option<usize> {
    let of_host = |(kind, pattern, _): &Rule| *kind != Kind::ClassDefault && host_matches(pattern, host);
    let best_host = rules.iter().filter(|rule| of_host(rule)).map(|(_, pattern, _)| host_rank(pattern)).max();
    let mut best: Option<((usize, u8), usize)> = None;
    for (number, rule) in rules.iter().enumerate().filter(|(_, rule)| of_host(rule) && Some(host_rank(rule.1)) == best_host) {
        let (kind, _, wanted) = rule;
        // Longest path first; of equals Exact, then Prefix; a default is shorter than any path.
        let rank = match kind {
            Kind::Path(PathType::Exact) if wanted == path => (usize::MAX, 1),
            Kind::Path(PathType::Prefix) if elements(path).starts_with(&elements(wanted)) => (elements(wanted).len() + 1, 0),
            Kind::HostDefault => (0, 0),
            _ => continue,
        };
        if best.is_none_or(|(other, _)| rank > other) {
            best = Some((rank, number));
        }
    }
    best.map(|(_, number)| number).or_else(|| rules.iter().position(|(kind, ..)| *kind == Kind::ClassDefault))
}

fn table(rules: &[Rule]) -> RouteTable {
    let mut builder = RouteTableBuilder::default();
    for (number, (kind, host, path)) in rules.iter().enumerate() {
        // Whether an earlier rule has the place already is the scan's affair too.
        let _ = match kind {
            Kind::Path(path_type) => builder.add(route(number, host, *path_type, path)),
            Kind::HostDefault => builder.add_host_default(route(number, host, PathType::Prefix, "/")),
            Kind::ClassDefault => builder.add_class_default(route(number, "", PathType::Prefix, "/")),
        };
    }
    builder.build()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn the_table_finds_what_a_scan_finds(
        rules in proptest::collection::vec((kinds(), hosts(), paths()), 0..40),
        asks in proptest::collection::vec((proptest::sample::select(vec!["a.com", "b.com", "x.a.com", "y.x.a.com", "q.com", "com", "other"]), paths()), 1..20),
    ) {
        let table = table(&rules);
        for (host, path) in asks {
            let found = table.find(host, &path).ok().map(|route| route.owner.parse::<usize>().unwrap());
            prop_assert_eq!(found, scan(&rules, host, &path), "{} {}", host, path);
        }
    }

    #[test]
    fn any_path_becomes_a_normal_one(path in "/[a-zA-Z0-9%./~_-]{0,40}") {
        let once = normal_path(&path).into_owned();
        prop_assert!(once.starts_with('/'));
        prop_assert!(!once.split('/').any(|element| element == "." || element == ".."), "{}", once);
    }

    /// Of a `%` that begins no escape, what it would begin after the first decoding is another matter: paths are decoded once.
    #[test]
    fn a_normal_path_stays_as_it_is(path in "/([a-zA-Z0-9./~_-]|%[0-9a-fA-F]{2}){0,30}") {
        let once = normal_path(&path).into_owned();
        prop_assert_eq!(normal_path(&once).into_owned(), once);
    }
}

#[test]
fn an_exact_host_without_the_path_does_not_fall_back_to_a_wildcard() {
    let rules = [(Kind::Path(PathType::Exact), "x.a.com", "/foo".to_owned()), (Kind::Path(PathType::Prefix), "*.a.com", "/".to_owned())];
    let table = table(&rules);
    assert_eq!(table.find("x.a.com", "/bar").unwrap_err(), Miss::Path);
    assert_eq!(table.find("q.com", "/").unwrap_err(), Miss::Host);
    assert_eq!(&*table.find("y.a.com", "/bar").unwrap().owner, "1");
}

#[test]
fn the_documented_cases_of_the_api_hold() {
    for (path_type, rule, path, expected) in [
        (PathType::Prefix, "/", "/any/path", true),
        (PathType::Exact, "/foo", "/foo", true),
        (PathType::Exact, "/foo", "/bar", false),
        (PathType::Exact, "/foo", "/foo/", false),
        (PathType::Exact, "/foo/", "/foo", false),
        (PathType::Prefix, "/foo", "/foo", true),
        (PathType::Prefix, "/foo", "/foo/", true),
        (PathType::Prefix, "/foo/", "/foo", true),
        (PathType::Prefix, "/foo/", "/foo/", true),
        (PathType::Prefix, "/aaa/bb", "/aaa/bbb", false),
        (PathType::Prefix, "/aaa/bbb", "/aaa/bbb", true),
        (PathType::Prefix, "/aaa/bbb/", "/aaa/bbb", true),
        (PathType::Prefix, "/aaa/bbb", "/aaa/bbb/", true),
        (PathType::Prefix, "/aaa/bbb", "/aaa/bbb/ccc", true),
        (PathType::Prefix, "/aaa/bbb", "/aaa/bbbxyz", false),
        (PathType::Prefix, "/foo", "/Foo", false),
    ] {
        let table = table(&[(Kind::Path(path_type), "a.com", rule.to_owned())]);
        assert_eq!(table.find("a.com", path).is_ok(), expected, "{path_type:?} {rule} {path}");
    }
}

#[test]
fn no_spelling_of_a_path_gets_around_a_rule() {
    for (spelling, normal) in [
        ("/admin", "/admin"),
        ("/%61dmin", "/admin"),
        ("/x/../admin", "/admin"),
        ("/./admin", "/admin"),
        ("/%2e%2e/admin", "/admin"),
        ("/x/%2E%2e/admin", "/admin"),
        ("/..", "/"),
        ("/a/.", "/a/"),
        ("/a/..", "/"),
        ("/a%2fb", "/a%2fb"),
        ("/a%", "/a%"),
        ("/a%4", "/a%4"),
        ("/%zz", "/%zz"),
    ] {
        assert_eq!(normal_path(spelling), normal, "{spelling}");
    }
    assert!(matches!(normal_path("/plain/path"), Cow::Borrowed(_)));
}

#[test]
fn many_prefixes_on_one_host_are_found_by_hash_as_by_scan() {
    let rules: Vec<Rule> = (0..200).map(|n| (Kind::Path(PathType::Prefix), "a.com", format!("/p{n}/q"))).collect();
    let table = table(&rules);
    assert_eq!(&*table.find("a.com", "/p77/q/deep/er").unwrap().owner, "77");
    assert_eq!(table.find("a.com", "/p77/qq").unwrap_err(), Miss::Path);
}

#[test]
fn the_first_of_two_equal_rules_stays_and_the_second_is_told() {
    let mut builder = RouteTableBuilder::default();
    builder.add(route(0, "a.com", PathType::Prefix, "/foo")).unwrap();
    assert_eq!(&*builder.add(route(1, "A.com", PathType::Prefix, "/foo/")).unwrap_err().owner, "0");
    builder.add(route(2, "a.com", PathType::Exact, "/foo")).unwrap();
    let table = builder.build();
    assert_eq!(table.routes().len(), 2);
    assert_eq!(&*table.find(Host::parse("a.com").unwrap().as_str(), "/foo").unwrap().owner, "2");
}
