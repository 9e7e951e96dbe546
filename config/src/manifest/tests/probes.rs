//! `readinessProbe`: what is asked of pods that do not say whether they are ready.

use super::*;
use crate::object::{Check, HttpCheck, Probe};

/// A pod at 10.0.0.1 whose one container has this probe.
fn with(probe: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: p}}, status: {{podIP: 10.0.0.1}}, spec: {{containers: [
        {{name: app, image: i, ports: [{{name: web, containerPort: 8080}}, {{name: udp, containerPort: 53, protocol: UDP}}], readinessProbe: {{{probe}}}}}]}}}}"
    )
}

fn probes(text: &str) -> Vec<Probe> {
    match good(text).remove(0) {
        Object::Pod(pod) => pod.probes.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn one(probe: &str) -> Probe {
    probes(&with(probe)).remove(0)
}

fn get(probe: &str) -> HttpCheck {
    match one(probe).check {
        Check::Http(get) => get,
        other => panic!("{other:?}"),
    }
}

#[test]
fn numbers_are_as_written_or_as_the_api_defaults_them() {
    let read =
        one("tcpSocket: {port: 80}, initialDelaySeconds: 3, periodSeconds: 4, timeoutSeconds: 5, successThreshold: 6, failureThreshold: 7");
    assert_eq!(&*read.container, "app");
    let numbers = |probe: &Probe| [probe.initial_delay_s, probe.period_s, probe.timeout_s, probe.successes, probe.failures];
    assert_eq!(numbers(&read), [3, 4, 5, 6, 7]);
    for text in
        ["tcpSocket: {port: 80}", "tcpSocket: {port: 80}, periodSeconds: 0, timeoutSeconds: 0, successThreshold: 0, failureThreshold: 0"]
    {
        assert_eq!(numbers(&one(text)), [0, 10, 1, 1, 3], "{text}");
    }
}

#[test]
fn ports_are_numbers_or_names_of_the_container() {
    for (text, port) in [("80", 80), ("web", 8080), ("'81'", 81), ("udp", 53)] {
        assert_eq!(one(&format!("tcpSocket: {{port: {text}}}")).check, Check::Tcp { port }, "{text}");
        assert_eq!(get(&format!("httpGet: {{port: {text}}}")).port, port, "{text}");
    }
    assert_eq!(one("grpc: {port: 9090, service: shop}").check, Check::Grpc { port: 9090, service: "shop".into() });
    assert_eq!(one("grpc: {port: 9090}").check, Check::Grpc { port: 9090, service: "".into() });
}

#[test]
fn a_get_is_read_whole() {
    let read = get(
        "httpGet: {port: web, path: '/ready?full=1#x', scheme: HTTPS, host: 10.0.0.1, httpHeaders: [{name: X-A, value: b}, {name: Host, value: shop}]}",
    );
    assert_eq!((read.tls, &*read.path, read.host), (true, "/ready?full=1", None));
    let fields: Vec<_> = read.fields.iter().map(|line| (&*line.name, &*line.value)).collect();
    assert_eq!(fields, [("X-A", "b"), ("Host", "shop")]);
    for (written, sent) in [("", "/"), ("ready", "/ready"), ("/a b/ü", "/a%20b/%C3%BC"), ("/%41", "/%41"), ("/[a]", "/%5Ba%5D")] {
        assert_eq!(&*get(&format!("httpGet: {{port: 80, path: '{written}'}}")).path, sent);
    }
}

#[test]
fn containers_and_sidecars_are_asked_and_init_containers_are_not() {
    let text = "{apiVersion: v1, kind: Pod, metadata: {name: p}, status: {podIP: 10.0.0.1}, spec: {
        containers: [{name: a, image: i, readinessProbe: {tcpSocket: {port: 1}}}, {name: b, image: i}, {name: c, image: i, readinessProbe: {tcpSocket: {port: 3}}}],
        initContainers: [{name: d, image: i, readinessProbe: {tcpSocket: {port: 4}}},
                         {name: e, image: i, restartPolicy: Always, ports: [{name: web, containerPort: 5}], readinessProbe: {tcpSocket: {port: web}}}]}}";
    let asked: Vec<_> = probes(text).iter().map(|probe| (probe.container.to_string(), probe.check.port())).collect();
    assert_eq!(asked, [("a".to_owned(), 1), ("c".to_owned(), 3), ("e".to_owned(), 5)]);
}

#[test]
fn a_pod_that_says_whether_it_is_ready_is_not_asked_whatever_its_probes_are() {
    for (conditions, ready, asked) in [
        ("[]", true, true),
        ("[{type: Ready, status: 'True'}]", true, false),
        ("[{type: Ready, status: 'False'}]", false, false),
        ("[{type: PodScheduled, status: 'True'}]", true, true),
    ] {
        let pod = one_pod(&format!(
            "status: {{podIP: 10.0.0.1, conditions: {conditions}}}, spec: {{containers: [{{name: a, image: i, readinessProbe: {{tcpSocket: {{port: 80}}}}}}]}}"
        ));
        assert_eq!((pod.ready, !pod.probes.is_empty()), (ready, asked), "{conditions}");
    }
    let stated =
        with("tcpSocket: {port: nowhere}").replace("{podIP: 10.0.0.1}", "{podIP: 10.0.0.1, conditions: [{type: Ready, status: 'True'}]}");
    assert_eq!(probes(&stated), []);
    assert!(!one_pod("status: {podIP: 10.0.0.1, conditions: [{type: PodScheduled, status: 'True'}]}").ready, "without probes, as ever");
    assert!(!one_pod("spec: {containers: [{name: a, image: i, readinessProbe: {tcpSocket: {port: 80}}}]}").ready, "without an address");
}

/// The one warning, and the pod.
fn warned(text: &str) -> (String, Pod) {
    let manifest = parse(text.as_bytes());
    assert_eq!(manifest.problems.len(), 1, "{:?}", said(&manifest));
    assert_eq!(manifest.problems[0].severity, Severity::Warning);
    match &manifest.objects[0] {
        Object::Pod(pod) => (manifest.problems[0].to_string(), pod.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_means_something_else_here_is_a_warning() {
    let (told, pod) = warned(&with("exec: {command: [cat, /tmp/ready]}"));
    assert!(told.contains("spec.containers[0].readinessProbe.exec") && told.contains("httpGet, tcpSocket or grpc"), "{told}");
    assert!(pod.ready && pod.probes.is_empty(), "it counts as before");
    let (told, pod) = warned(&with("httpGet: {port: 80, host: Shop.example}"));
    assert!(told.contains("readinessProbe.httpGet.host"), "{told}");
    assert!(matches!(&pod.probes[0].check, Check::Http(get) if get.host.as_deref() == Some("Shop.example")));
    let (told, pod) = warned(&with("tcpSocket: {port: 80, host: 127.0.0.1}"));
    assert!(told.contains("readinessProbe.tcpSocket.host"), "{told}");
    assert_eq!(pod.probes[0].check, Check::Tcp { port: 80 });
}

#[test]
fn what_the_api_or_the_kubelet_could_not_use_is_refused() {
    let at = |field: &str| format!("spec.containers[0].readinessProbe{field}");
    for (probe, field) in [
        ("", ""),
        ("periodSeconds: 5", ""),
        ("tcpSocket: {port: 80}, grpc: {port: 80}", ""),
        ("tcpSocket: {port: 0}", ".tcpSocket.port"),
        ("tcpSocket: {port: nowhere}", ".tcpSocket.port"),
        ("tcpSocket: {port: '70000'}", ".tcpSocket.port"),
        ("httpGet: {port: 65536}", ".httpGet.port"),
        ("httpGet: {port: 80, scheme: http}", ".httpGet.scheme"),
        ("httpGet: {port: 80, path: \"/a\\r\\nb\"}", ".httpGet.path"),
        ("httpGet: {port: 80, host: 'a b'}", ".httpGet.host"),
        ("httpGet: {port: 80, httpHeaders: [{name: 'a b', value: c}]}", ".httpGet.httpHeaders[0].name"),
        ("httpGet: {port: 80, httpHeaders: [{name: a, value: \"b\\nc\"}]}", ".httpGet.httpHeaders[0].value"),
        ("grpc: {port: -1}", ".grpc.port"),
        ("tcpSocket: {port: 80}, periodSeconds: -1", ".periodSeconds"),
        ("tcpSocket: {port: 80}, initialDelaySeconds: -1", ".initialDelaySeconds"),
        ("tcpSocket: {port: 80}, timeoutSeconds: -1", ".timeoutSeconds"),
        ("tcpSocket: {port: 80}, successThreshold: -1", ".successThreshold"),
        ("tcpSocket: {port: 80}, failureThreshold: -1", ".failureThreshold"),
        ("tcpSocket: {port: 80}, terminationGracePeriodSeconds: 5", ".terminationGracePeriodSeconds"),
    ] {
        assert_eq!(fields_wrong(&with(probe)), [at(field)], "{probe}");
    }
    let unknown = parse(with("tcpSocket: {port: 80}, periodsSeconds: 5").as_bytes());
    assert_eq!(unknown.problems[0].place.field, Some(at(".periodsSeconds")), "as of any field that the API does not have");
}

#[test]
fn a_probe_survives_a_restart() {
    for probe in ["tcpSocket: {port: web}", "grpc: {port: 1, service: s}", "httpGet: {port: 80, httpHeaders: [{name: a, value: b}]}"] {
        let object = good(&with(probe)).remove(0);
        let text = serde_json::to_string(&object).unwrap();
        assert_eq!(serde_json::from_str::<Object>(&text).unwrap(), object);
    }
}
