use super::*;
use crate::problem::Reason;

fn wrong(text: &str) -> Vec<(String, Reason)> {
    let problems = Settings::parse(text).expect_err(text);
    problems.into_iter().map(|problem| (problem.place.field.unwrap_or_default(), problem.reason)).collect()
}

#[test]
fn nothing_said_means_the_defaults() {
    for text in ["", "# only a comment\n", "---\n", "http:\nlimits:\n", "{}"] {
        assert_eq!(Settings::parse(text), Ok(Settings::default()), "{text:?}");
    }
}

/// Each key with a value that is not its default.
const OTHERS: [(&str, &str); 62] = [
    ("manifests", "[a, b/c.yaml]"),
    ("http", "127.0.0.1:0"),
    ("https", "127.0.0.1:8443"),
    ("internalHttp", "'[::1]:81'"),
    ("admin", "none"),
    ("metrics", "127.0.0.1:9902"),
    ("serviceCidr", "127.97.0.0/16"),
    ("claimServiceCidr", "true"),
    ("internalCidrs", "[10.0.0.0/8]"),
    ("trustedProxies", "[192.0.2.1/32, '2001:db8::/32']"),
    ("stateDir", "/var/lib/tidegate"),
    ("workers", "3"),
    ("exitWith", "17"),
    ("log", "json"),
    ("accessLog", "none"),
    ("exposure.mode", "strict"),
    ("ingress.classes", "[nginx]"),
    ("tls.defaultSecret", "shop/wild.card"),
    ("proxyProtocol", "[https, internalHttp]"),
    ("external.addresses", "[127.0.0.1, '::1']"),
    ("nodeName", "one"),
    ("zone", "a"),
    ("externalName.allow", "[api.example.com, '*.example.org']"),
    ("externalName.allowInside", "[api.example.com]"),
    ("docker.enabled", "true"),
    ("docker.socket", "/run/tidegate/docker.sock"),
    ("docker.network", "shop_default"),
    ("docker.projects", "[shop]"),
    ("dns.servers", "[192.0.2.53, '127.0.0.1:5353']"),
    ("dns.listen", "['127.0.0.1:0', '[::1]:53']"),
    ("dns.zone", "Inside.example."),
    ("dns.search", "[shop, data]"),
    ("dns.ttlS", "0"),
    ("dns.forward", "false"),
    ("slowStartMs", "1000"),
    ("outlier.consecutiveFailures", "7"),
    ("outlier.intervalMs", "1000"),
    ("outlier.baseEjectionMs", "2000"),
    ("outlier.maxEjectionMs", "3000"),
    ("outlier.maxEjectedPercent", "10"),
    ("outlier.panicPercent", "50"),
    ("outlier.successRateFactor", "0"),
    ("outlier.successRateEndpoints", "3"),
    ("outlier.successRateRequests", "20"),
    ("limits.headBytes", "4096"),
    ("limits.headers", "10"),
    ("limits.headTimeoutMs", "1"),
    ("limits.idleTimeoutMs", "2"),
    ("limits.connectTimeoutMs", "3"),
    ("limits.drainDeadlineMs", "4"),
    ("limits.idlePerReplica", "5"),
    ("limits.udpIdleTimeoutMs", "6"),
    ("limits.udpFlows", "7"),
    ("limits.endpointWaitMs", "8"),
    ("limits.connectionWaitMs", "9"),
    ("limits.waitingRequests", "10"),
    ("limits.replicaDrainMs", "11"),
    ("limits.retryBudgetPercent", "12"),
    ("limits.connections", "13"),
    ("limits.connectionsPerClient", "14"),
    ("limits.shedLagMs", "15"),
    ("limits.vanishedMs", "1600"),
];

fn yaml(key: &str, value: &str) -> String {
    key.rsplit('.').fold(value.to_owned(), |value, part| format!("{{{part}: {value}}}"))
}

#[test]
fn each_key_sets_its_setting() {
    let groups = ["exposure", "ingress", "tls", "external", "externalName", "docker", "dns", "outlier", "limits"];
    let (nested, plain): (Vec<_>, Vec<_>) = OTHERS.iter().partition(|(key, _)| key.contains('.'));
    let mut text: String = plain.iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
    for group in groups {
        let below = nested.iter().filter_map(|(key, value)| Some(format!("  {}: {value}\n", key.strip_prefix(group)?.strip_prefix('.')?)));
        text.push_str(&format!("{group}:\n{}", below.collect::<String>()));
    }
    let net = |text: &str| text.parse::<IpNet>().unwrap();
    let expected = Settings {
        manifests: vec!["a".into(), "b/c.yaml".into()],
        docker: Docker {
            enabled: true,
            socket: "/run/tidegate/docker.sock".into(),
            network: Some("shop_default".to_owned()),
            projects: vec!["shop".to_owned()],
        },
        http: Some("127.0.0.1:0".parse().unwrap()),
        https: Some("127.0.0.1:8443".parse().unwrap()),
        internal_http: Some("[::1]:81".parse().unwrap()),
        admin: None,
        metrics: Some("127.0.0.1:9902".parse().unwrap()),
        service_cidr: net("127.97.0.0/16"),
        claim_service_cidr: true,
        internal_cidrs: vec![net("10.0.0.0/8")],
        trusted_proxies: vec![net("192.0.2.1/32"), net("2001:db8::/32")],
        state_dir: Some("/var/lib/tidegate".into()),
        workers: 3,
        exit_with: Some(ExitWith::Pid(17)),
        log: LogFormat::Json,
        access_log: AccessLog::None,
        exposure_mode: ExposureMode::Strict,
        ingress_classes: vec!["nginx".into()],
        external_addresses: vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
        node_name: Some("one".into()),
        zone: Some("a".into()),
        external_names: ["api.example.com", "*.example.org"].map(|host| value::host(host).unwrap()).to_vec(),
        external_names_inside: vec![value::host("api.example.com").unwrap()],
        dns_servers: vec!["192.0.2.53:53".parse().unwrap(), "127.0.0.1:5353".parse().unwrap()],
        dns: Dns {
            listen: vec!["127.0.0.1:0".parse().unwrap(), "[::1]:53".parse().unwrap()],
            zone: "inside.example".into(),
            search: vec!["shop".into(), "data".into()],
            ttl_s: 0,
            forward: false,
        },
        tls_default_secret: Some(value::secret("shop/wild.card").unwrap()),
        proxy_protocol: vec![ProxiedListener::Https, ProxiedListener::InternalHttp],
        slow_start_ms: 1000,
        outlier: Outlier {
            consecutive_failures: 7,
            interval_ms: 1000,
            base_ejection_ms: 2000,
            max_ejection_ms: 3000,
            max_ejected_percent: 10,
            panic_percent: 50,
            success_rate_factor: 0,
            success_rate_endpoints: 3,
            success_rate_requests: 20,
        },
        limits: Limits {
            head_bytes: 4096,
            headers: 10,
            head_timeout_ms: 1,
            idle_timeout_ms: 2,
            connect_timeout_ms: 3,
            drain_deadline_ms: 4,
            idle_per_replica: 5,
            udp_idle_timeout_ms: 6,
            udp_flows: 7,
            endpoint_wait_ms: 8,
            connection_wait_ms: 9,
            waiting_requests: 10,
            replica_drain_ms: 11,
            retry_budget_percent: 12,
            connections: 13,
            connections_per_client: 14,
            shed_lag_ms: 15,
            vanished_ms: 1600,
        },
    };
    assert_eq!(Settings::parse(&text), Ok(expected));
}

#[test]
fn the_access_log_is_a_path_a_dash_or_none() {
    assert_eq!(AccessLog::from("-"), AccessLog::Stdout);
    assert_eq!(AccessLog::from("none"), AccessLog::None);
    assert_eq!(AccessLog::from("a.log"), AccessLog::File("a.log".into()));
    assert_eq!(Settings::parse("accessLog: '-'").unwrap().access_log, AccessLog::Stdout);
}

#[test]
fn each_wrong_value_names_its_key() {
    for (text, key) in [
        ("manifests: folder", "manifests"),
        ("manifests: [a, 1]", "manifests[1]"),
        ("http: 8080", "http"),
        ("http: localhost:80", "http"),
        ("admin: off", "admin"),
        ("internalHttp: None", "internalHttp"),
        ("metrics: 1.2.3.4", "metrics"),
        ("serviceCidr: 10.0.0.1/8", "serviceCidr"),
        ("serviceCidr: 10.0.0.1", "serviceCidr"),
        ("internalCidrs: 10.0.0.0/8", "internalCidrs"),
        ("trustedProxies: [10.0.0.0/8, x]", "trustedProxies[1]"),
        ("stateDir: 1", "stateDir"),
        ("workers: -1", "workers"),
        ("workers: many", "workers"),
        ("log: xml", "log"),
        ("accessLog: 1", "accessLog"),
        ("exposure: strict", "exposure"),
        ("exposure: {mode: Strict}", "exposure.mode"),
        ("ingress: {classes: nginx}", "ingress.classes"),
        ("tls: {defaultSecret: web}", "tls.defaultSecret"),
        ("tls: none", "tls"),
        ("proxyProtocol: http", "proxyProtocol"),
        ("proxyProtocol: [http, metrics]", "proxyProtocol[1]"),
        ("external: {addresses: [localhost]}", "external.addresses[0]"),
        ("nodeName: 1", "nodeName"),
        ("zone: [a]", "zone"),
        ("externalName: {allow: ['*']}", "externalName.allow[0]"),
        ("claimServiceCidr: 'yes'", "claimServiceCidr"),
        ("docker: true", "docker"),
        ("docker: {enabled: 'yes'}", "docker.enabled"),
        ("docker: {socket: 1}", "docker.socket"),
        ("docker: {network: [a]}", "docker.network"),
        ("docker: {projects: shop}", "docker.projects"),
        ("dns: {servers: [ns.example]}", "dns.servers[0]"),
        ("dns: {listen: '127.0.0.1:53'}", "dns.listen"),
        ("dns: {listen: [none]}", "dns.listen[0]"),
        ("dns: {zone: '.'}", "dns.zone"),
        ("dns: {zone: a_b}", "dns.zone"),
        ("dns: {search: [Shop]}", "dns.search[0]"),
        ("dns: {ttlS: 3601}", "dns.ttlS"),
        ("dns: {forward: maybe}", "dns.forward"),
        ("slowStartMs: -1", "slowStartMs"),
        ("outlier: none", "outlier"),
        ("outlier: {consecutiveFailures: 5s}", "outlier.consecutiveFailures"),
        ("outlier: {intervalMs: 0}", "outlier.intervalMs"),
        ("outlier: {baseEjectionMs: 0}", "outlier.baseEjectionMs"),
        ("outlier: {maxEjectionMs: 0}", "outlier.maxEjectionMs"),
        ("outlier: {maxEjectedPercent: 101}", "outlier.maxEjectedPercent"),
        ("outlier: {panicPercent: -1}", "outlier.panicPercent"),
        ("outlier: {successRateFactor: 1.9}", "outlier.successRateFactor"),
        ("outlier: {successRateEndpoints: 1}", "outlier.successRateEndpoints"),
        ("outlier: {successRateRequests: 0}", "outlier.successRateRequests"),
        ("limits: {udpIdleTimeoutMs: 0}", "limits.udpIdleTimeoutMs"),
        ("limits: {udpFlows: 0}", "limits.udpFlows"),
        ("limits: {retryBudgetPercent: 101}", "limits.retryBudgetPercent"),
        ("limits: {connections: many}", "limits.connections"),
        ("limits: {connectionsPerClient: -1}", "limits.connectionsPerClient"),
        ("limits: {shedLagMs: 0.5}", "limits.shedLagMs"),
        ("limits: {vanishedMs: 999}", "limits.vanishedMs"),
        ("limits: {vanishedMs: 32400001}", "limits.vanishedMs"),
        ("limits: 1", "limits"),
        ("limits: {headBytes: 1}", "limits.headBytes"),
        ("limits: {headers: 0}", "limits.headers"),
        ("limits: {headTimeoutMs: 0}", "limits.headTimeoutMs"),
        ("limits: {idleTimeoutMs: 1s}", "limits.idleTimeoutMs"),
        ("limits: {connectTimeoutMs: 0}", "limits.connectTimeoutMs"),
        ("limits: {drainDeadlineMs: -1}", "limits.drainDeadlineMs"),
        ("limits: {idlePerReplica: 1.5}", "limits.idlePerReplica"),
        ("http: none\nhttp: none", "http"),
        ("- http", ""),
        ("a: b\n c: d", ""),
    ] {
        assert_eq!(wrong(text), [(key.to_owned(), Reason::Invalid)], "{text}");
    }
}

/// What is wrong with the text itself is said by its reader.
#[test]
fn each_problem_says_what_was_expected_and_how_to_mend_it() {
    for text in [
        "http: none\n---\nhttp: none",
        "http: none\nhttp: none",
        "- http",
        "htp: none",
        "limits: {head: 1}",
        "tls: {defaultSecret: web}",
        "https: 8443",
        "manifests: folder",
        "manifests: [1]",
        "http: localhost:80",
        "serviceCidr: 10.0.0.1/8",
        "serviceCidr: 10.0.0.1",
        "trustedProxies: [x]",
        "stateDir: 1",
        "workers: -1",
        "log: xml",
        "exposure: strict",
        "limits: {headers: 0}",
    ] {
        for problem in Settings::parse(text).expect_err(text) {
            assert!(problem.expected.is_some() && problem.fix.is_some(), "{text}: {problem}");
        }
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let found = wrong("htp: none\nworkers: x\nexposure: {modus: strict}\nlimits: {head: 1, headers: 0}\ningress: {class: a}\n");
    let unknown = |key: &str| (key.to_owned(), Reason::UnknownField);
    for key in ["htp", "exposure.modus", "limits.head", "ingress.class"] {
        assert!(found.contains(&unknown(key)), "{key} in {found:?}");
    }
    assert_eq!(found.len(), 6);
}

/// Rows of docs/settings.md, as cells, each with the group that its section is about.
fn documented() -> Vec<(&'static str, Vec<String>)> {
    let cells = |row: &str| row.replace("\\|", "/").trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    let (mut group, mut rows) = ("", Vec::new());
    for line in include_str!("../../../docs/settings.md").lines() {
        match line {
            "## Limits" => group = "limits.",
            "## Outliers" => group = "outlier.",
            _ if line.starts_with("| `") => rows.push((group, cells(line))),
            _ => {}
        }
    }
    rows
}

#[test]
fn the_page_of_settings_names_every_key_and_its_default() {
    let mut named = Vec::new();
    for (group, row) in documented() {
        let (key, default) = (format!("{group}{}", row[0].trim_matches('`')), row[row.len() - 3].as_str());
        let changed = Settings::parse(&yaml(&key, OTHERS.iter().find(|(other, _)| *other == key).expect("a sample").1)).unwrap();
        let renewed = Settings::default().renewed(&changed);
        let restart = if renewed.settings == Settings::default() { "yes" } else { "no" };
        assert_eq!(row[row.len() - 2], restart, "docs/settings.md, restart? of {key}");
        assert_eq!((renewed.waiting.len(), renewed.changed.len()), if restart == "yes" { (1, 0) } else { (0, 1) }, "{key} is in one list");
        // What is a list, or nothing, is told in words.
        let value = match default.strip_prefix('`').and_then(|text| text.strip_suffix('`')) {
            Some(value) if value.parse::<bool>().is_ok() => value.to_owned(),
            Some(value) => format!("'{value}'"),
            None if default.parse::<u64>().is_ok() => default.to_owned(),
            None => "null".to_owned(),
        };
        assert_eq!(Settings::parse(&yaml(&key, &value)), Ok(Settings::default()), "docs/settings.md says that {key} is {default}");
        named.push(key);
    }
    let top = read::KEYS.split(", ").filter(|key| !named.iter().any(|name| name.starts_with(&format!("{key}."))));
    let below = |group: &'static str, keys: &'static str| keys.split(", ").map(move |key| format!("{group}.{key}"));
    let known = top
        .map(str::to_owned)
        .chain(below("limits", read::LIMITS))
        .chain(below("outlier", read::OUTLIER))
        .chain(below("docker", read::DOCKER))
        .chain(read::DNS.split(", ").map(str::to_owned));
    let missing: Vec<String> = known.filter(|key| !named.contains(key)).collect();
    assert_eq!(missing, [""; 0], "docs/settings.md does not name them");
}

#[test]
fn what_waits_for_a_restart_keeps_its_value_and_is_named() {
    let running = Settings::default();
    let wanted = Settings::parse("http: none\nworkers: 2\nexposure: {mode: strict}\nlimits: {headers: 7}\n").unwrap();
    let renewed = running.renewed(&wanted);
    assert_eq!(renewed.waiting, ["http", "workers"]);
    assert_eq!(renewed.changed, ["exposure.mode", "limits"]);
    assert_eq!((renewed.settings.http, renewed.settings.workers), (running.http, running.workers));
    assert_eq!((renewed.settings.exposure_mode, renewed.settings.limits.headers), (ExposureMode::Strict, 7));
    let again = renewed.settings.renewed(&wanted);
    assert_eq!((again.changed.len(), again.waiting), (0, vec!["http", "workers"]), "the same file again changes nothing");
}
