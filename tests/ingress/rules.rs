//! Ingress v1: path types, hosts, defaults, classes, precedence.

use super::*;

fn one_host(paths: &[(&str, &str, &str)]) -> (Apps, Tidegate) {
    let mut names: Vec<_> = paths.iter().map(|(_, _, service)| *service).collect();
    names.sort_unstable();
    names.dedup();
    let apps = Apps::new(&names);
    let paths: Vec<_> = paths.iter().map(|(kind, text, service)| path(kind, text, service, 80)).collect();
    let gate = apps.gate(&[("ingress.yaml", ingress("all", "a.example", &paths))]);
    (apps, gate)
}

#[test]
fn exact_is_the_whole_path() {
    let (_apps, gate) = one_host(&[("Exact", "/foo", "one"), ("Exact", "/bar/", "two")]);
    expect(
        &gate,
        &[
            ("a.example", "/foo", "one"),
            ("a.example", "/foo?q=1", "one"),
            ("a.example", "/foo/", "404"),
            ("a.example", "/foobar", "404"),
            ("a.example", "/Foo", "404"),
            ("a.example", "/bar/", "two"),
            ("a.example", "/bar", "404"),
            ("a.example", "/", "404"),
        ],
    );
}

#[test]
fn prefix_goes_by_elements_and_the_longest_wins() {
    let (_apps, gate) = one_host(&[
        ("Prefix", "/aaa/bb", "one"),
        ("Prefix", "/aaa/bbb/", "two"),
        ("Prefix", "/aaa", "three"),
        ("ImplementationSpecific", "/impl", "impl"),
    ]);
    expect(
        &gate,
        &[
            ("a.example", "/aaa/bb", "one"),
            ("a.example", "/aaa/bb/c", "one"),
            ("a.example", "/aaa/bbb", "two"),
            ("a.example", "/aaa/bbb/", "two"),
            ("a.example", "/aaa/bbb/c", "two"),
            ("a.example", "/aaa/bbbc", "three"),
            ("a.example", "/aaa", "three"),
            ("a.example", "/aaa/", "three"),
            ("a.example", "/aaab", "404"),
            ("a.example", "/AAA", "404"),
            ("a.example", "/impl/x", "impl"),
            ("a.example", "/", "404"),
        ],
    );
}

#[test]
fn exact_beats_prefix_and_the_order_in_the_file_does_not_matter() {
    for reversed in [false, true] {
        let mut paths = vec![("Prefix", "/foo", "p"), ("Exact", "/foo", "e"), ("Prefix", "/", "root"), ("Prefix", "/foo/bar", "long")];
        if reversed {
            paths.reverse();
        }
        let (_apps, gate) = one_host(&paths);
        expect(
            &gate,
            &[
                ("a.example", "/foo", "e"),
                ("a.example", "/foo/", "p"),
                ("a.example", "/foo/bar/x", "long"),
                ("a.example", "/other", "root"),
                ("a.example", "/", "root"),
            ],
        );
    }
}

#[test]
fn no_spelling_of_a_path_reaches_another_route() {
    let (apps, gate) = one_host(&[("Prefix", "/", "public"), ("Prefix", "/admin", "admin")]);
    expect(
        &gate,
        &[
            ("a.example", "/admin", "admin"),
            ("a.example", "/%61dmin", "admin"),
            ("a.example", "/x/../admin", "admin"),
            ("a.example", "/x/%2e%2e/admin", "admin"),
            ("a.example", "/./admin", "admin"),
            ("a.example", "/administrator", "public"),
        ],
    );
    assert!(
        apps.replicas["admin"].received().iter().any(|request| request.head.starts_with("GET /x/../admin ")),
        "the target goes on as sent"
    );
}

#[test]
fn exact_hosts_beat_wildcards_which_cover_one_label() {
    let apps = Apps::new(&["exact", "wild", "any"]);
    let all = |service: &str| [path("Prefix", "/", service, 80)];
    let gate = apps.gate(&[(
        "ingress.yaml",
        file(&[
            ingress("wild", "*.foo.example", &all("wild")),
            ingress("exact", "a.foo.example", &all("exact")),
            ingress("any", "", &[path("Prefix", "/any", "any", 80)]),
        ]),
    )]);
    expect(
        &gate,
        &[
            ("a.foo.example", "/", "exact"),
            ("A.FOO.Example.", "/", "exact"),
            ("a.foo.example:8080", "/", "exact"),
            ("b.foo.example", "/", "wild"),
            ("a.b.foo.example", "/", "404"),
            ("foo.example", "/", "404"),
            ("foo.example", "/any/x", "any"),
            ("10.0.0.1", "/any", "any"),
            ("a.foo.example", "/any", "exact"),
        ],
    );
}

#[test]
fn a_host_is_chosen_before_a_path() {
    let apps = Apps::new(&["exact", "wild"]);
    let gate = apps.gate(&[(
        "ingress.yaml",
        file(&[
            ingress("exact", "a.foo.example", &[path("Prefix", "/only", "exact", 80)]),
            ingress("wild", "*.foo.example", &[path("Prefix", "/", "wild", 80)]),
        ]),
    )]);
    expect(&gate, &[("a.foo.example", "/only", "exact"), ("a.foo.example", "/else", "404"), ("b.foo.example", "/else", "wild")]);
}

fn with_default(text: &str, service: &str) -> String {
    text.replace("spec: {", &format!("spec: {{defaultBackend: {{service: {{name: {service}, port: {{number: 80}}}}}}, "))
}

#[test]
fn default_backends_take_the_rest_of_their_own_hosts_or_of_everything() {
    let apps = Apps::new(&["own", "site", "all"]);
    let all = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: all}\n\
               spec: {defaultBackend: {service: {name: all, port: {number: 80}}}}\n";
    let own = with_default(&ingress("site", "a.example", &[path("Prefix", "/site", "site", 80)]), "own");
    let plain = ingress("plain", "b.example", &[path("Prefix", "/site", "site", 80)]);
    let gate = apps.gate(&[("ingress.yaml", file(&[own, plain, all.to_owned()]))]);
    expect(
        &gate,
        &[
            ("a.example", "/site", "site"),
            ("a.example", "/else", "own"),
            ("b.example", "/site", "site"),
            ("b.example", "/else", "all"),
            ("unknown.example", "/", "all"),
        ],
    );
}

#[test]
fn classes_decide_who_serves_what() {
    let apps = Apps::new(&["ours", "legacy", "foreign", "inside", "extra"]);
    let all = |service: &str| [path("Prefix", "/", service, 80)];
    let legacy = ingress("legacy", "legacy.example", &all("legacy"))
        .replace("name: legacy}\nspec", "name: legacy, annotations: {kubernetes.io/ingress.class: tidegate}}\nspec");
    let text = file(&[
        ingress_of("tidegate", "ours", "ours.example", &all("ours")),
        legacy,
        ingress_of("haproxy", "foreign", "foreign.example", &all("foreign")),
        ingress_of("nginx", "extra", "extra.example", &all("extra")),
        ingress_of("tidegate-internal", "inside", "inside.example", &all("inside")),
    ]);
    let setup = Setup::new(&apps.net).manifest("services.yaml", apps.services()).manifest("ingress.yaml", text);
    let gate = setup.config("ingress: {classes: [nginx]}\n").flag("--internal-http", "127.0.0.1:0").start();
    expect(
        &gate,
        &[
            ("ours.example", "/", "ours"),
            ("legacy.example", "/", "legacy"),
            ("foreign.example", "/", "404"),
            ("extra.example", "/", "extra"),
            ("inside.example", "/", "404"),
        ],
    );
    let inside = gate.listener("internal-http");
    assert_eq!(tidegate_tests::Client::connect(inside).get("inside.example", "/").replica(), "inside");
    assert_eq!(tidegate_tests::Client::connect(inside).get("ours.example", "/").status, 404, "each listener has its own plane");
}

#[test]
fn an_ingress_without_class_follows_the_default_class() {
    let apps = Apps::new(&["app"]);
    let rule = ingress("app", "app.example", &[path("Prefix", "/", "app", 80)]);
    let class = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: other, annotations: \
                 {ingressclass.kubernetes.io/is-default-class: 'true'}}\nspec: {controller: example.com/other}\n";
    let gate = apps.gate(&[("ingress.yaml", rule)]);
    expect(&gate, &[("app.example", "/", "app")]);
    gate.write("class.yaml", class);
    expect(&gate, &[("app.example", "/", "404")]);
    gate.write("class.yaml", &class.replace("example.com/other", "tidegate.dev/ingress-controller"));
    expect(&gate, &[("app.example", "/", "app")]);
}

#[test]
fn the_oldest_ingress_wins_a_conflict_whatever_the_file_order() {
    for (old_file, new_file) in [("a.yaml", "b.yaml"), ("b.yaml", "a.yaml")] {
        let apps = Apps::new(&["old", "new"]);
        let rule = |name: &str, created: &str| {
            ingress(name, "a.example", &[path("Prefix", "/", name, 80)])
                .replace(&format!("name: {name}}}\nspec"), &format!("name: {name}, creationTimestamp: '{created}'}}\nspec"))
        };
        let gate = apps.gate(&[(old_file, rule("old", "2020-01-01T00:00:00Z")), (new_file, rule("new", "2024-01-01T00:00:00Z"))]);
        expect(&gate, &[("a.example", "/", "old")]);
        gate.await_problem(&["Conflict", "Ingress default/new", "Ingress default/old"]);
    }
}

#[test]
fn without_timestamps_the_first_name_wins() {
    let apps = Apps::new(&["aaa", "bbb"]);
    let rule = |name: &str| ingress(name, "a.example", &[path("Prefix", "/", name, 80)]);
    let gate = apps.gate(&[("1.yaml", rule("bbb")), ("2.yaml", rule("aaa"))]);
    expect(&gate, &[("a.example", "/", "aaa")]);
}

#[test]
fn a_route_to_nothing_is_a_503_and_says_why() {
    let apps = Apps::new(&["app"]);
    let gate = apps.gate(&[(
        "ingress.yaml",
        ingress(
            "app",
            "a.example",
            &[path("Prefix", "/gone", "gone", 80), path("Prefix", "/port", "app", 81), path("Prefix", "/", "app", 80)],
        ),
    )]);
    expect(&gate, &[("a.example", "/gone", "503"), ("a.example", "/port", "503"), ("a.example", "/", "app")]);
    gate.await_problem(&["NotFound", "Ingress default/app", "gone"]);
    gate.await_problem(&["NotFound", "Ingress default/app", "81", "80"]);
}
