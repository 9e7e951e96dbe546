use super::*;
use crate::host::{Host, HostPattern};
use crate::object::{
    AppProtocol, Bounds, Carrier, ClusterIp, Distribution, EndpointSlice, Ingress, LocalOnly, PathType, Pod, PortRef, Protocol, Service,
    ServiceType, UpstreamTerms,
};
use crate::problem::Severity;

mod config_maps;
mod probes;
mod properties;
mod seals;
mod secrets;
mod workloads;

fn good(text: &str) -> Vec<Object> {
    let manifest = parse(text.as_bytes());
    assert!(!manifest.broken && manifest.problems.is_empty(), "{:?}", said(&manifest));
    manifest.objects
}

fn said(manifest: &Manifest) -> Vec<String> {
    manifest.problems.iter().map(ToString::to_string).collect()
}

/// Field, and found, of each problem.
fn wrong(text: &str) -> Vec<(String, String)> {
    let manifest = parse(text.as_bytes());
    assert!(manifest.objects.is_empty(), "{:?}", manifest.objects);
    manifest.problems.into_iter().map(|problem| (problem.place.field.unwrap_or_default(), problem.found)).collect()
}

fn fields_wrong(text: &str) -> Vec<String> {
    wrong(text).into_iter().map(|(field, _)| field).collect()
}

fn service(spec: &str) -> String {
    format!("{{apiVersion: v1, kind: Service, metadata: {{name: web}}, spec: {spec}}}")
}

fn one_service(spec: &str) -> Service {
    match good(&service(spec)).remove(0) {
        Object::Service(service) => service,
        other => panic!("{other:?}"),
    }
}

fn one_pod(rest: &str) -> Pod {
    match good(&format!("{{apiVersion: v1, kind: Pod, metadata: {{name: p}}, {rest}}}")).remove(0) {
        Object::Pod(pod) => pod,
        other => panic!("{other:?}"),
    }
}

fn ingress(spec: &str) -> String {
    format!("{{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {{name: i}}, spec: {spec}}}")
}

fn one_ingress(spec: &str) -> Ingress {
    match good(&ingress(spec)).remove(0) {
        Object::Ingress(ingress) => ingress,
        other => panic!("{other:?}"),
    }
}

fn slices(text: &str) -> Vec<EndpointSlice> {
    let slice = |object| match object {
        Object::EndpointSlice(slice) => slice,
        other => panic!("{other:?}"),
    };
    good(text).into_iter().map(slice).collect()
}

#[test]
fn metadata_is_read_whole() {
    let text = "
apiVersion: v1
kind: Pod
metadata:
  name: web-0.a
  namespace: shop
  uid: 6f2c
  creationTimestamp: 2024-01-02T03:04:05Z
  deletionTimestamp: \"2024-01-02T03:04:06Z\"
  labels: {app: web, tidegate.dev/exposure: internal}
  annotations: {tidegate.dev/x: a, kubernetes.io/ingress.class: b, other/y: c}
";
    let objects = good(text);
    let meta = objects[0].meta();
    assert_eq!((&*meta.name, &*meta.namespace, meta.uid.as_deref()), ("web-0.a", "shop", Some("6f2c")));
    assert_eq!((meta.created, meta.deleting), (Some(1_704_164_645), true));
    assert_eq!(meta.labels.len(), 2);
    assert_eq!(meta.annotations.keys().map(|key| &**key).collect::<Vec<_>>(), ["kubernetes.io/ingress.class", "tidegate.dev/x"]);
}

#[test]
fn namespaces_default_for_what_has_one_and_are_empty_for_what_has_none() {
    let text =
        "{apiVersion: v1, kind: Namespace, metadata: {name: a, namespace: x}}\n---\n{apiVersion: v1, kind: Pod, metadata: {name: a}}";
    let keys: Vec<String> = good(text).iter().map(|object| object.key().to_string()).collect();
    assert_eq!(keys, ["Namespace a", "Pod default/a"]);
}

#[test]
fn a_service_is_read_whole() {
    let spec =
        "{type: NodePort, clusterIP: 10.0.0.7, selector: {app: web}, publishNotReadyAddresses: true, externalIPs: [192.0.2.1], ports: [
        {name: http, port: 80, targetPort: web, appProtocol: http, nodePort: 30080}, {name: dns, port: 53, protocol: UDP}]}";
    let service = one_service(spec);
    assert_eq!(service.service_type, ServiceType::NodePort);
    assert_eq!(service.cluster_ip, ClusterIp::Asked([10, 0, 0, 7].into()));
    assert_eq!(service.selector.map(|selector| selector.len()), Some(1));
    assert!(service.publish_not_ready && service.unknown_fields.is_empty());
    assert_eq!(service.external_ips, [std::net::IpAddr::from([192, 0, 2, 1])]);
    assert_eq!((service.ports[0].target_port.clone(), service.ports[0].node_port), (PortRef::Name("web".into()), Some(30080)));
    assert_eq!((service.ports[1].target_port.clone(), service.ports[1].protocol), (PortRef::Number(53), Protocol::Udp));
}

#[test]
fn addresses_of_a_service_are_as_asked_allocated_or_none() {
    assert_eq!(one_service("{clusterIP: None}").cluster_ip, ClusterIp::Headless);
    assert_eq!(one_service("{clusterIP: '', ports: [{port: 1}]}").cluster_ip, ClusterIp::Allocate);
    assert_eq!(one_service("{clusterIPs: [10.0.0.1], ports: [{port: 1}]}").cluster_ip, ClusterIp::Asked([10, 0, 0, 1].into()));
    let external = one_service("{type: ExternalName, externalName: db.example.com.}");
    assert_eq!(external.service_type, ServiceType::ExternalName("db.example.com".into()));
    assert_eq!(one_service("{ports: [{port: 1}], selector: {}}").selector, None);
    assert_eq!(one_service("{ports: [{port: 7, targetPort: 0}]}").ports[0].target_port, PortRef::Number(7));
}

#[test]
fn what_the_api_refuses_in_a_service_names_its_field() {
    for (spec, fields) in [
        ("{}", vec!["spec.ports"]),
        ("{ports: [{port: 0}]}", vec!["spec.ports[0].port"]),
        ("{ports: [{}]}", vec!["spec.ports[0].port"]),
        ("{ports: [{port: 65536}]}", vec!["spec.ports[0].port"]),
        ("{ports: [{port: 1, targetPort: '8080'}]}", vec!["spec.ports[0].targetPort"]),
        ("{ports: [{port: 1, targetPort: Web_1}]}", vec!["spec.ports[0].targetPort"]),
        ("{ports: [{port: 1, protocol: tcp}]}", vec!["spec.ports[0].protocol"]),
        ("{ports: [{port: 1, nodePort: 70000}]}", vec!["spec.ports[0].nodePort"]),
        ("{ports: [{port: 1}, {port: 2, name: b}]}", vec!["spec.ports[0].name"]),
        ("{ports: [{port: 1, name: a}, {port: 2, name: a}]}", vec!["spec.ports[1].name"]),
        ("{ports: [{port: 1, name: a}, {port: 1, name: b}]}", vec!["spec.ports[1].port"]),
        ("{clusterIP: ten, ports: [{port: 1}]}", vec!["spec.clusterIP"]),
        ("{clusterIP: 10.0.0.1, clusterIPs: [10.0.0.2], ports: [{port: 1}]}", vec!["spec.clusterIPs[0]"]),
        ("{type: LoadBalancer, clusterIP: None, ports: [{port: 1}]}", vec!["spec.clusterIP"]),
        ("{type: ExternalName}", vec!["spec.externalName"]),
        ("{type: Loadbalancer, ports: [{port: 1}]}", vec!["spec.type"]),
        ("{sessionAffinity: Cookie, ports: [{port: 1}]}", vec!["spec.sessionAffinity"]),
        (
            "{sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 86401}}, ports: [{port: 1}]}",
            vec!["spec.sessionAffinityConfig.clientIP.timeoutSeconds"],
        ),
        ("{externalIPs: [x], ports: [{port: 1}]}", vec!["spec.externalIPs[0]"]),
        (
            "{clusterIP: x, type: y, ports: [{port: 0, protocol: z}]}",
            vec!["spec.type", "spec.clusterIP", "spec.ports[0].port", "spec.ports[0].protocol"],
        ),
    ] {
        assert_eq!(fields_wrong(&service(spec)), fields, "{spec}");
        let refused: Vec<String> = parse(service(spec).as_bytes()).refused.iter().map(ToString::to_string).collect();
        assert_eq!(refused, ["Service default/web"], "{spec}");
    }
    assert_eq!(fields_wrong("{apiVersion: v1, kind: Service, metadata: {name: web}}"), ["spec"]);
}

#[test]
fn what_is_not_served_is_said_and_the_service_stays() {
    let manifest = parse(service("{clusterIPs: [10.0.0.1, 'fd00::1'], internalTrafficPolicy: Local, ports: [{port: 1}]}").as_bytes());
    assert_eq!(manifest.objects.len(), 1);
    assert!(manifest.problems.iter().all(|problem| problem.reason == Reason::NotServed && problem.severity == Severity::Warning));
    assert_eq!(manifest.problems.len(), 1);
}

#[test]
fn how_a_service_is_carried_outside_is_read_and_a_range_that_cannot_be_is_refused() {
    let all = "{type: LoadBalancer, loadBalancerIP: 192.0.2.9, loadBalancerClass: other.example/x, allocateLoadBalancerNodePorts: false,
        loadBalancerSourceRanges: [192.0.2.7/24, ' 2001:db8::/32'], externalTrafficPolicy: Local, ports: [{port: 1}]}";
    let service = one_service(all);
    let ranges: Vec<String> = service.carrier.sources.iter().map(ToString::to_string).collect();
    assert_eq!(ranges, ["192.0.2.0/24", "2001:db8::/32"], "host bits are cut off, as the API does");
    assert_eq!((service.carrier.ip, service.carrier.class.as_deref()), (Some([192, 0, 2, 9].into()), Some("other.example/x")));
    assert_eq!((service.carrier.node_ports, service.local_only), (false, LocalOnly { inside: false, outside: true }));
    assert_eq!(one_service("{ports: [{port: 1}], internalTrafficPolicy: Local}").local_only, LocalOnly { inside: true, outside: false });
    assert_eq!(one_service("{type: NodePort, ports: [{port: 1}]}").carrier, Carrier::default());
    let wrong = "{type: LoadBalancer, loadBalancerSourceRanges: [10.0.0.0/8, office], ports: [{port: 1}]}";
    assert_eq!(fields_wrong(&self::service(wrong)), ["spec.loadBalancerSourceRanges[1]"]);

    let key = "service.beta.kubernetes.io/load-balancer-source-ranges";
    let older = |ranges: &str, spec: &str| {
        let text = self::service(spec).replace("name: web", &format!("name: web, annotations: {{{key}: '{ranges}'}}"));
        let manifest = parse(text.as_bytes());
        let object = manifest.objects.into_iter().next();
        object.map(|object| if let Object::Service(service) = object { service.carrier.sources } else { panic!("{object:?}") })
    };
    let spec = "{type: LoadBalancer, ports: [{port: 1}]}";
    assert_eq!(older("10.0.0.0/8, 192.0.2.0/24", spec).map(|sources| sources.len()), Some(2));
    assert_eq!(older("everywhere", spec), None);
    let both = "{type: LoadBalancer, loadBalancerSourceRanges: [10.0.0.0/8], ports: [{port: 1}]}";
    assert_eq!(older("192.0.2.0/24", both).map(|sources| sources[0].to_string()), Some("10.0.0.0/8".to_owned()), "the field wins");
}

#[test]
fn a_client_keeps_its_endpoint_for_as_long_as_the_service_says() {
    let of = |spec: &str| one_service(&format!("{{{spec}, ports: [{{port: 1}}]}}")).affinity_s;
    let with = |seconds: u32| of(&format!("sessionAffinity: ClientIP, sessionAffinityConfig: {{clientIP: {{timeoutSeconds: {seconds}}}}}"));
    assert_eq!((with(1), with(600), with(86_400)), (Some(1), Some(600), Some(86_400)));
    for default in ["", ", sessionAffinityConfig: {}", ", sessionAffinityConfig: {clientIP: {}}"] {
        assert_eq!(of(&format!("sessionAffinity: ClientIP{default}")), Some(10_800), "{default}");
    }
    assert_eq!((of("sessionAffinity: None"), of("sessionAffinity: ''"), of("clusterIP: ''")), (None, None, None));
    assert_eq!(of("sessionAffinityConfig: {clientIP: {timeoutSeconds: 0}}"), None, "dropped unread, as the API does");
    let wrong = |seconds: i32| {
        let spec = format!(
            "{{sessionAffinity: ClientIP, sessionAffinityConfig: {{clientIP: {{timeoutSeconds: {seconds}}}}}, ports: [{{port: 1}}]}}"
        );
        fields_wrong(&service(&spec))
    };
    assert!([0, -1, 86_401].into_iter().all(|seconds| wrong(seconds) == ["spec.sessionAffinityConfig.clientIP.timeoutSeconds"]));
}

#[test]
fn what_a_service_prefers_is_read() {
    let of = |word: &str| one_service(&format!("{{trafficDistribution: {word}, ports: [{{port: 1}}]}}")).distribution;
    let (zone, node) = (Some(Distribution::SameZone), Some(Distribution::SameNode));
    assert_eq!((of("PreferClose"), of("PreferSameZone"), of("PreferSameNode"), of("''")), (zone, zone, node, None));
    assert_eq!(fields_wrong(&service("{trafficDistribution: PreferNear, ports: [{port: 1}]}")), ["spec.trafficDistribution"]);
}

#[test]
fn where_an_endpoint_is_and_whom_it_is_for_is_read() {
    let text = "\
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints:
  - {addresses: [10.0.0.1], nodeName: one, zone: a, hints: {forZones: [{name: a}, {name: b}], forNodes: [{name: one}]}}
  - {addresses: [10.0.0.2], hints: {}}
";
    let endpoints = slices(text).remove(0).endpoints;
    let hints = endpoints[0].hints.as_deref().unwrap();
    assert_eq!((endpoints[0].zone.as_deref(), hints.zones.len(), hints.nodes.len()), (Some("a"), 2, 1));
    assert_eq!((&endpoints[1].zone, &endpoints[1].hints), (&None, &None));
}

#[test]
fn host_names_of_pods_and_endpoints_are_read_and_a_wrong_one_refuses_the_object() {
    let pod = one_pod("spec: {hostname: db-0, subdomain: db, containers: []}");
    assert_eq!((pod.hostname.as_deref(), pod.subdomain.as_deref()), (Some("db-0"), Some("db")));
    let unnamed = one_pod("spec: {hostname: '', containers: []}");
    assert_eq!((unnamed.hostname, unnamed.subdomain), (None, None));
    let slice = |hostname: &str| {
        format!(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: s}}\naddressType: IPv4\n\
             endpoints: [{{addresses: [10.0.0.1], hostname: {hostname}}}]\n"
        )
    };
    assert_eq!(slices(&slice("db-0")).remove(0).endpoints[0].hostname.as_deref(), Some("db-0"));
    let endpoints = "apiVersion: v1\nkind: Endpoints\nmetadata: {name: s}\nsubsets: [{addresses: [{ip: 10.0.0.1, hostname: db-0}]}]\n";
    assert_eq!(slices(endpoints).remove(0).endpoints[0].hostname.as_deref(), Some("db-0"));
    assert_eq!(fields_wrong(&slice("DB.0")), ["endpoints[0].hostname"]);
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {hostname: a.b, subdomain: _, containers: [{name: a}]}\n";
    assert_eq!(fields_wrong(pod), ["spec.hostname", "spec.subdomain"]);
}

#[test]
fn slow_start_is_a_time_with_a_unit_and_what_is_not_refuses_the_service() {
    let annotated = |value: &str| {
        let annotation = format!("metadata: {{annotations: {{tidegate.dev/slow-start: '{value}'}}, ");
        service("{ports: [{port: 1}]}").replace("metadata: {", &annotation)
    };
    let read = |value: &str| match &good(&annotated(value))[..] {
        [Object::Service(service)] => service.slow_start_ms,
        other => panic!("{other:?}"),
    };
    assert_eq!(["30s", "2m", "1500ms", "0s"].map(read), [Some(30_000), Some(120_000), Some(1_500), Some(0)]);
    assert_eq!(one_service("{ports: [{port: 1}]}").slow_start_ms, None);
    for wrong in ["30", "soon", "0", "-1s", "25h", ""] {
        let manifest = parse(annotated(wrong).as_bytes());
        assert_eq!((manifest.refused.len(), manifest.sealed.len()), (1, 0), "{wrong}: it says nothing about exposure");
        let found = said(&manifest);
        assert!(found[0].contains("tidegate.dev/slow-start") && found[0].contains("last good version"), "{wrong}: {found:?}");
    }
}

#[test]
fn the_terms_of_tls_to_replicas_are_read_and_a_wrong_one_refuses_the_service() {
    let of = |annotations: &str, protocol: &str| {
        let text = format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: web, annotations: {{{annotations}}}}}, \
             spec: {{ports: [{{port: 1, appProtocol: {protocol}}}]}}}}"
        );
        parse(text.as_bytes())
    };
    let all = "tidegate.dev/upstream-ca: authority, tidegate.dev/upstream-name: Web.Example, tidegate.dev/upstream-certificate: ours";
    let manifest = of(all, "https");
    let Object::Service(service) = &manifest.objects[0] else { panic!("{manifest:?}") };
    let UpstreamTerms { ca, name, certificate } = &service.upstream;
    let ca = ca.as_ref().map(ToString::to_string);
    assert_eq!((ca.as_deref(), name.as_deref(), certificate.as_deref()), (Some("authority"), Some("web.example"), Some("ours")));
    assert_eq!((said(&manifest), service.ports[0].app()), (Vec::new(), AppProtocol::Https));
    for (annotation, field) in [
        ("tidegate.dev/upstream-ca: ''", "metadata.annotations[\"tidegate.dev/upstream-ca\"]"),
        ("tidegate.dev/upstream-ca: configmap/a/b", "metadata.annotations[\"tidegate.dev/upstream-ca\"]"),
        ("tidegate.dev/upstream-certificate: configmap/ours", "metadata.annotations[\"tidegate.dev/upstream-certificate\"]"),
        ("tidegate.dev/upstream-certificate: other/ours", "metadata.annotations[\"tidegate.dev/upstream-certificate\"]"),
        ("tidegate.dev/upstream-name: 'web.example:443'", "metadata.annotations[\"tidegate.dev/upstream-name\"]"),
    ] {
        let manifest = of(annotation, "https");
        assert_eq!((manifest.refused.len(), manifest.sealed.len()), (1, 0), "{annotation}: it says nothing about exposure");
        assert_eq!(manifest.problems[0].place.field.as_deref(), Some(field));
    }
    let idle = of(all, "http");
    assert!(idle.objects.len() == 1 && said(&idle)[0].contains("no port of the Service speaks TLS"), "{:?}", said(&idle));
}

#[test]
fn how_much_a_service_carries_is_read_and_a_wrong_bound_refuses_it() {
    let of = |annotations: &str| {
        let text = format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: web, annotations: {{{annotations}}}}}, spec: {{ports: [{{port: 1}}]}}}}"
        );
        parse(text.as_bytes())
    };
    let manifest = of("tidegate.dev/max-in-flight: '100', tidegate.dev/max-endpoint-in-flight: ' 7 ', tidegate.dev/max-pending: '1'");
    let Object::Service(service) = &manifest.objects[0] else { panic!("{manifest:?}") };
    assert_eq!(
        (service.bounds, said(&manifest)),
        (Bounds { in_flight: Some(100), endpoint_in_flight: Some(7), pending: Some(1) }, Vec::new())
    );
    let idle = said(&of("tidegate.dev/max-pending: '1'"));
    assert!(idle[0].starts_with("warning") && idle[0].contains("nobody waits for room where nothing is bounded"), "{idle:?}");
    for wrong in ["0", "-1", "many", "1000001", "1.5", ""] {
        let manifest = of(&format!("tidegate.dev/max-in-flight: '{wrong}'"));
        assert_eq!((manifest.refused.len(), manifest.sealed.len()), (1, 0), "{wrong}");
        assert_eq!(manifest.problems[0].place.field.as_deref(), Some("metadata.annotations[\"tidegate.dev/max-in-flight\"]"));
    }
}

#[test]
fn all_wrong_types_are_reported_with_found_expected_and_fix() {
    let manifest = parse(service("{ports: [{port: '80'}, {port: [], name: 7}], selector: {app: true}}").as_bytes());
    for line in [
        "error Invalid: Service default/web: spec.ports[0].port: string \"80\"; expected a whole number; fix: write it without quotes",
        "error Invalid: Service default/web: spec.ports[1].name: integer `7`; expected text; fix: put the value in quotes",
        "error Invalid: Service default/web: spec.ports[1].port: sequence; expected a whole number",
        "error Invalid: Service default/web: spec.selector.app: boolean `true`; expected text; fix: put the value in quotes \
         (YAML reads y, n, yes, no, on and off as true or false)",
    ] {
        assert!(said(&manifest).iter().any(|said| said == line), "{line}\n{:#?}", said(&manifest));
    }
    assert_eq!(manifest.refused.len(), 1);
}

#[test]
fn unknown_fields_are_warnings_and_are_kept_for_exposed_services() {
    let spec = "{type: LoadBalancer, loadBalancerSourceRange: [10.0.0.0/8], ports: [{port: 1}, {port: 2, name: b, bogus: 1}]}";
    let manifest = parse(service(&spec.replace("{port: 1}", "{port: 1, name: a}")).as_bytes());
    let [Object::Service(service)] = &manifest.objects[..] else { panic!("{:?}", said(&manifest)) };
    assert_eq!(service.unknown_fields, ["spec.loadBalancerSourceRange", "spec.ports[1].bogus"]);
    let warnings: Vec<_> =
        manifest.problems.iter().map(|problem| (problem.reason, problem.severity, problem.place.field.as_deref())).collect();
    let warning = |field| (Reason::UnknownField, Severity::Warning, Some(field));
    assert_eq!(warnings, [warning("spec.loadBalancerSourceRange"), warning("spec.ports[1].bogus")]);

    let internal = parse(self::service("{ports: [{port: 1}], bogus: 1}").as_bytes());
    let [Object::Service(service)] = &internal.objects[..] else { panic!("{:?}", said(&internal)) };
    assert!(service.unknown_fields.is_empty() && internal.problems.len() == 1);
}

#[test]
fn a_pod_is_ready_as_it_says_or_once_it_has_an_address() {
    assert!(!one_pod("status: {}").ready);
    assert!(one_pod("status: {podIP: 127.0.1.1}").ready);
    assert!(!one_pod("status: {podIP: 127.0.1.1, conditions: [{type: Ready, status: 'False'}]}").ready);
    assert!(one_pod("status: {podIP: 127.0.1.1, conditions: [{type: Ready, status: 'True'}]}").ready);
    assert!(!one_pod("status: {podIP: 127.0.1.1, conditions: [{type: Initialized, status: 'True'}]}").ready);
    assert!(one_pod("status: {phase: Failed}").finished && !one_pod("status: {phase: Running}").finished);
    let both = one_pod("status: {podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}");
    assert_eq!(both.ips.len(), 2);
}

#[test]
fn ports_of_containers_and_sidecars_count() {
    let spec = "spec: {containers: [{name: a, ports: [{name: http, containerPort: 8080}, {containerPort: 1}]}, {name: b, ports: [{name: dns, containerPort: 53, protocol: UDP}]}],
        initContainers: [{name: once, ports: [{name: once, containerPort: 2}]}, {name: side, restartPolicy: Always, ports: [{name: side, containerPort: 3}]}]}";
    let ports: Vec<_> = one_pod(spec).ports.into_iter().map(|port| (port.name.to_string(), port.port, port.protocol)).collect();
    let tcp = |name: &str, port| (name.to_owned(), port, Protocol::Tcp);
    assert_eq!(ports, [tcp("http", 8080), tcp("", 1), ("dns".to_owned(), 53, Protocol::Udp), tcp("side", 3)]);
    assert!(!one_pod("spec: {containers: []}").host_network && one_pod("spec: {hostNetwork: true, containers: []}").host_network);
}

#[test]
fn addresses_that_lead_elsewhere_are_refused() {
    for ip in ["0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "169.254.169.254", "fe80::1", "::ffff:127.0.0.1"] {
        let pod = format!("{{apiVersion: v1, kind: Pod, metadata: {{name: p}}, status: {{podIP: '{ip}'}}}}");
        assert_eq!(parse(pod.as_bytes()).problems[0].reason, Reason::AddressRefused, "{ip}");
        let family = if ip.contains(':') { "IPv6" } else { "IPv4" };
        let slice = format!(
            "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: s}}, addressType: {family}, endpoints: [{{addresses: ['{ip}']}}]}}"
        );
        let manifest = parse(slice.as_bytes());
        assert_eq!((manifest.objects.len(), manifest.refused.len()), (0, 1), "{ip}");
    }
    for wrong in ["127.0.0.01", "one", "1.2.3", "127.0.0.1:80"] {
        let pod = format!("{{apiVersion: v1, kind: Pod, metadata: {{name: p}}, status: {{podIP: '{wrong}'}}}}");
        assert_eq!(fields_wrong(&pod), ["status.podIP"], "{wrong}");
    }
}

#[test]
fn conditions_of_a_slice_have_the_defaults_of_the_api() {
    let text = "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 80}]
endpoints:
- {addresses: [10.0.0.1, 10.0.0.2], targetRef: {kind: Pod, name: p, uid: u}}
- {addresses: [10.0.0.3], conditions: {ready: false}}
- {addresses: [10.0.0.4], conditions: {ready: false, serving: true, terminating: true}, targetRef: {kind: Node, name: node-1}}
";
    let slice = slices(text).remove(0);
    assert_eq!((slice.service.as_deref(), slice.legacy), (Some("web"), false));
    let flags: Vec<_> = slice.endpoints.iter().map(|entry| (entry.ready, entry.serving, entry.terminating, entry.pod.is_some())).collect();
    assert_eq!(flags, [(true, true, false, true), (true, true, false, true), (false, false, false, false), (false, true, true, false)]);
}

#[test]
fn slices_of_host_names_are_noted_and_odd_ports_dropped() {
    let slice = |rest: &str| format!("{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: s}}, {rest}}}");
    let names = parse(slice("addressType: FQDN, endpoints: [{addresses: [a.example]}]").as_bytes());
    assert_eq!((names.objects.len(), names.refused.len(), names.problems[0].severity), (0, 0, Severity::Note));
    let no_number = parse(slice("addressType: IPv4, endpoints: [], ports: [{name: a}]").as_bytes());
    assert_eq!((no_number.objects.len(), no_number.problems[0].severity), (1, Severity::Warning));
    assert_eq!(fields_wrong(&slice("endpoints: []")), ["addressType"]);
    assert_eq!(fields_wrong(&slice("addressType: IPv6, endpoints: [{addresses: [10.0.0.1]}]")), ["endpoints[0].addresses[0]"]);
    assert_eq!(fields_wrong(&slice("addressType: IPv4, endpoints: [{addresses: []}]")), ["endpoints[0].addresses"]);
}

#[test]
fn endpoints_give_one_slice_for_each_subset() {
    let text = "{apiVersion: v1, kind: Endpoints, metadata: {name: web}, subsets: [
        {addresses: [{ip: 10.0.0.1}], notReadyAddresses: [{ip: 10.0.0.2}], ports: [{name: a, port: 80}]}, {addresses: [{ip: 10.0.0.3}], ports: [{name: a, port: 81}]}]}";
    let slices = slices(text);
    let names: Vec<_> =
        slices.iter().map(|slice| (&*slice.meta.name, slice.service.as_deref(), slice.legacy, slice.ports[0].port)).collect();
    assert_eq!(names, [("web", Some("web"), true, 80), ("web-2", Some("web"), true, 81)]);
    assert_eq!(slices[0].endpoints.iter().map(|entry| entry.ready).collect::<Vec<_>>(), [true, false]);

    let refused = parse(text.replace("81", "0").as_bytes()).refused;
    assert_eq!(refused.iter().map(ToString::to_string).collect::<Vec<_>>(), ["Endpoints default/web", "Endpoints default/web-2"]);
    assert_eq!(parse(b"{apiVersion: v1, kind: Endpoints, metadata: {name: web}}").objects.len(), 1);
}

#[test]
fn an_ingress_is_read_whole() {
    let spec = "{ingressClassName: tidegate, defaultBackend: {service: {name: d, port: {name: http}}}, tls: [{hosts: [a.example, '*.b.example'], secretName: a}, {secretName: b}], rules: [
        {host: A.example, http: {paths: [{path: /x, pathType: Exact, backend: {service: {name: web, port: {number: 80}}}},
                                         {pathType: ImplementationSpecific, backend: {service: {name: api, port: {number: 81}}}}]}}, {host: '*.b.example'}, {}]}";
    let ingress = one_ingress(spec);
    assert_eq!((ingress.class.as_deref(), ingress.tls.len()), (Some("tidegate"), 2));
    let (first, second) = (&ingress.tls[0], &ingress.tls[1]);
    assert_eq!((first.at, first.hosts.len(), &*first.secret, second.at, second.hosts.len(), &*second.secret), (0, 2, "a", 1, 0, "b"));
    assert_eq!(ingress.default_backend.map(|backend| backend.port), Some(PortRef::Name("http".into())));
    let hosts: Vec<_> = ingress.rules.iter().map(|rule| rule.host.clone()).collect();
    let host = |text| Host::parse(text).unwrap();
    assert_eq!(hosts, [HostPattern::Exact(host("a.example")), HostPattern::OneLabel(host("b.example")), HostPattern::Any]);
    let paths: Vec<_> = ingress.rules[0].paths.iter().map(|path| (path.path_type, &*path.path, &*path.backend.service)).collect();
    assert_eq!(paths, [(PathType::Exact, "/x", "web"), (PathType::Prefix, "/", "api")]);
}

#[test]
fn what_the_api_refuses_in_an_ingress_names_its_field() {
    let path = |path: &str| format!("{{rules: [{{http: {{paths: [{path}]}}}}]}}");
    let service = "backend: {service: {name: a, port: {number: 1}}}";
    for (spec, field) in [
        ("{}".to_owned(), "spec"),
        ("{rules: [{host: 10.0.0.1}]}".to_owned(), "spec.rules[0].host"),
        ("{rules: [{host: 'a:80'}]}".to_owned(), "spec.rules[0].host"),
        ("{rules: [{host: '*'}]}".to_owned(), "spec.rules[0].host"),
        ("{rules: [{}], tls: [{hosts: ['a:80'], secretName: b}]}".to_owned(), "spec.tls[0].hosts[0]"),
        ("{rules: [{}], tls: [{hosts: [a.b, ''], secretName: b}]}".to_owned(), "spec.tls[0].hosts[1]"),
        ("{rules: [{}], tls: [{secretName: A_b}]}".to_owned(), "spec.tls[0].secretName"),
        ("{rules: [{http: {paths: []}}]}".to_owned(), "spec.rules[0].http.paths"),
        (path(&format!("{{path: /, {service}}}")), "spec.rules[0].http.paths[0].pathType"),
        (path(&format!("{{path: /, pathType: prefix, {service}}}")), "spec.rules[0].http.paths[0].pathType"),
        (path(&format!("{{path: a, pathType: Prefix, {service}}}")), "spec.rules[0].http.paths[0].path"),
        (path(&format!("{{pathType: Exact, {service}}}")), "spec.rules[0].http.paths[0].path"),
        (path(&format!("{{path: /a//b, pathType: Exact, {service}}}")), "spec.rules[0].http.paths[0].path"),
        (path(&format!("{{path: /a/.., pathType: Prefix, {service}}}")), "spec.rules[0].http.paths[0].path"),
        (path("{path: /, pathType: Exact, backend: {}}"), "spec.rules[0].http.paths[0].backend.service"),
        (path("{path: /, pathType: Exact, backend: {resource: {kind: B, name: b}}}"), "spec.rules[0].http.paths[0].backend.resource"),
        ("{defaultBackend: {service: {name: a}}}".to_owned(), "spec.defaultBackend.service.port"),
        ("{defaultBackend: {service: {name: a, port: {number: 1, name: b}}}}".to_owned(), "spec.defaultBackend.service.port"),
        ("{defaultBackend: {service: {name: a, port: {number: 70000}}}}".to_owned(), "spec.defaultBackend.service.port.number"),
        ("{defaultBackend: {service: {name: A, port: {number: 1}}}}".to_owned(), "spec.defaultBackend.service.name"),
        ("{ingressClassName: A_b, defaultBackend: {service: {name: a, port: {number: 1}}}}".to_owned(), "spec.ingressClassName"),
    ] {
        assert_eq!(fields_wrong(&ingress(&spec)), [field], "{spec}");
    }
}

#[test]
fn the_class_of_an_ingress_is_its_field_before_its_annotation() {
    let text = |class: &str| {
        format!(
            "{{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {{name: i, annotations: {{kubernetes.io/ingress.class: old}}}},
              spec: {{{class} defaultBackend: {{service: {{name: a, port: {{number: 1}}}}}}}}}}"
        )
    };
    let class = |manifest: &Manifest| match &manifest.objects[0] {
        Object::Ingress(ingress) => ingress.class.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(class(&parse(text("").as_bytes())).as_deref(), Some("old"));
    assert_eq!(class(&parse(text("ingressClassName: new,").as_bytes())).as_deref(), Some("new"));
    assert_eq!(class(&parse(text("ingressClassName: '',").as_bytes())).as_deref(), Some("old"));
}

#[test]
fn an_ingress_class_needs_its_controller() {
    let class = |rest: &str| {
        format!(
            "{{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {{name: c, annotations: {{ingressclass.kubernetes.io/is-default-class: 'true'}}}}{rest}}}"
        )
    };
    let [Object::IngressClass(read)] = &good(&class(", spec: {controller: a/b}"))[..] else { panic!() };
    assert_eq!((&*read.controller, read.default), ("a/b", true));
    assert_eq!(fields_wrong(&class("")), ["spec.controller"]);
}

#[test]
fn unsupported_versions_of_our_kinds_are_errors_and_other_kinds_are_counted() {
    for (version, kind) in [
        ("extensions/v1beta1", "Ingress"),
        ("networking.k8s.io/v1beta1", "Ingress"),
        ("networking.k8s.io/v1beta1", "IngressClass"),
        ("discovery.k8s.io/v1beta1", "EndpointSlice"),
        ("v1", "Ingress"),
        ("v2", "Service"),
    ] {
        let manifest = parse(format!("{{apiVersion: {version}, kind: {kind}, metadata: {{name: a}}}}").as_bytes());
        assert_eq!((manifest.problems[0].reason, manifest.refused.len()), (Reason::UnsupportedVersion, 1), "{version} {kind}");
        assert!(manifest.problems[0].fix.is_some() && manifest.skipped.is_empty());
    }
    let other = parse(b"{apiVersion: serving.knative.dev/v1, kind: Service}\n---\n{apiVersion: apps/v1, kind: DaemonSet}\n---\n{apiVersion: apps/v1, kind: DaemonSet}");
    assert!(other.problems.is_empty() && other.objects.is_empty());
    assert_eq!(
        other.skipped.into_iter().collect::<Vec<_>>(),
        [("apps/v1/DaemonSet".to_owned(), 2), ("serving.knative.dev/v1/Service".to_owned(), 1)]
    );
}

#[test]
fn lists_of_both_forms_are_flattened_and_errors_name_the_item() {
    let list = "{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Namespace, metadata: {name: a}}, {kind: Pod}, 7, {apiVersion: v1, kind: List, items: [{apiVersion: apps/v1, kind: DaemonSet}]}]}";
    let manifest = parse(list.as_bytes());
    assert_eq!((manifest.objects.len(), manifest.skipped.len()), (1, 1));
    let found: Vec<_> = manifest.problems.iter().map(|problem| problem.found.as_str()).collect();
    assert_eq!(found, ["items[1] of the document at line 1 has no `apiVersion`", "items[2] of the document at line 1 is a number"]);
    let typed =
        good("{apiVersion: v1, kind: PodList, metadata: {resourceVersion: '1'}, items: [{metadata: {name: a}}, {metadata: {name: b}}]}");
    assert_eq!(typed.len(), 2);
}

#[test]
fn json_is_read_alone_in_lists_and_one_after_another() {
    let one = r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}"#;
    assert_eq!(good(one).len(), 1);
    assert_eq!(good(&format!("\u{feff}{one}\n{one}")).len(), 2);
    assert_eq!(good(&format!("{{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{one},\n\t{one}]}}")).len(), 2);
    let cut = parse(&one.as_bytes()[..one.len() - 2]);
    assert!(cut.broken && cut.problems[0].found.contains("line 1"), "{:?}", said(&cut));
}

#[test]
fn what_says_nothing_is_nothing_and_what_is_no_object_is_an_error() {
    for text in [
        "",
        "\n\n",
        "# comment\n",
        "---\n---\n# x\n---\n",
        "null",
        "~",
        "---\n{apiVersion: v1, kind: Namespace, metadata: {name: a}}\n---\n",
    ] {
        assert!(parse(text.as_bytes()).problems.is_empty(), "{text:?}");
    }
    let manifest = parse(b"hello\n---\n# c\n---\n- 1\n---\nkind: Service\n---\napiVersion: v1\n");
    let found: Vec<_> = manifest.problems.iter().map(|problem| problem.found.as_str()).collect();
    assert_eq!(
        found,
        [
            "the document at line 1 is plain text",
            "the document at line 5 is a list",
            "the document at line 7 has no `apiVersion`",
            "the document at line 9 has no `kind`"
        ]
    );
    assert!(!manifest.broken);
}

#[test]
fn broken_text_is_one_problem_with_its_line() {
    for text in ["a: b\n c: d\n", "a: [1, 2\n", "\t\ta: b: c\n", "a: *nowhere\n", "{{ .Values.x }}: {{ y }}\n"] {
        let manifest = parse(text.as_bytes());
        assert!(manifest.broken && manifest.problems.len() == 1 && manifest.objects.is_empty(), "{text:?} {:?}", said(&manifest));
        assert!(manifest.problems[0].found.contains("line "), "{:?}", said(&manifest));
        assert!(!manifest.problems[0].found.contains('\n'), "{:?}", said(&manifest));
    }
    let template = parse(b"{{- if .Values.x }}\nkind: Service\n{{- end }}\n");
    assert!(template.problems[0].fix.as_deref().is_some_and(|fix| fix.contains("helm template")), "{:?}", said(&template));
    let latin = parse(b"a: b\nc: \xe9\n");
    assert!(latin.broken && latin.problems[0].found.contains("line 2"));
}

#[test]
fn a_repeated_key_costs_its_own_object_alone() {
    let namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: a}}";
    let text =
        format!("{namespace}\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec:\n  ports:\n  - {{port: 1, port: 2}}\n");
    let manifest = parse(text.as_bytes());
    assert_eq!((manifest.objects.len(), manifest.refused.len(), manifest.broken), (1, 1, false), "{:?}", said(&manifest));
    assert_eq!(manifest.problems[0].place.field.as_deref(), Some("spec.ports[0].port"));

    let json = r#"{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a", "name": "b"}}, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "c"}}]}"#;
    let manifest = parse(json.as_bytes());
    assert_eq!((manifest.objects.len(), manifest.refused.len(), manifest.broken), (1, 1, false));
    assert_eq!(manifest.problems[0].place.field.as_deref(), Some("metadata.name"));
    assert!(parse(b"{apiVersion: v1, kind: List, items: [], items: []}").broken);
}

#[test]
fn yaml_is_typed_as_kubernetes_types_it() {
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: &s\n  ports: [{port: 0120}]\n  publishNotReadyAddresses: yes\n";
    let [Object::Service(service)] = &good(text)[..] else { panic!() };
    assert_eq!((service.ports[0].port, service.publish_not_ready), (0o120, true));
}

#[test]
fn names_are_checked() {
    for (kind, name) in [("Service", "a.b"), ("Service", "A"), ("Namespace", "a_b"), ("Pod", "-a"), ("Pod", "a..b"), ("Namespace", "a-")] {
        let spec = if kind == "Service" { ", spec: {clusterIP: None}" } else { "" };
        let text = format!("{{apiVersion: v1, kind: {kind}, metadata: {{name: '{name}'}}{spec}}}");
        assert_eq!(fields_wrong(&text), ["metadata.name"], "{kind} {name}");
    }
    assert_eq!(fields_wrong("{apiVersion: v1, kind: Pod, metadata: {generateName: a-}}"), ["metadata.name"]);
    assert_eq!(fields_wrong("{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: a.b}}"), ["metadata.namespace"]);
    assert!(parse(b"{apiVersion: v1, kind: Pod}").refused.is_empty());
}

#[test]
fn twenty_thousand_documents_in_one_file_load() {
    let mut text = String::new();
    for index in 0..20_000 {
        text.push_str(&format!("---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: n{index}\n"));
    }
    assert_eq!(good(&text).len(), 20_000);
}

#[test]
fn real_manifests_load_without_a_word_about_fields() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/manifests");
    if !folder.is_dir() {
        eprintln!("SKIPPED: {} is not there", folder.display());
        return;
    }
    let (mut folders, mut files) = (vec![folder], 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json") {
                files += 1;
                let manifest = parse(&std::fs::read(&path).unwrap());
                let bad = |problem: &&Problem| problem.reason == Reason::UnknownField || problem.severity == Severity::Error;
                let bad: Vec<_> = manifest.problems.iter().filter(bad).map(ToString::to_string).collect();
                assert!(bad.is_empty() && !manifest.broken, "{}: {bad:#?}", path.display());
            }
        }
    }
    assert!(files > 10, "only {files} files");
}

#[test]
fn the_examples_load_without_a_problem() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/shop");
    let mut objects = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let manifest = parse(&std::fs::read(&path).unwrap());
        assert!(manifest.problems.is_empty() && manifest.skipped.is_empty(), "{}: {:?}", path.display(), said(&manifest));
        objects += manifest.objects.len();
    }
    assert!(objects >= 10);
}

#[test]
fn what_clients_must_show_is_read_and_a_word_that_is_not_understood_refuses_the_ingress() {
    const NGINX: &str = "nginx.ingress.kubernetes.io/auth-tls";
    let of = |annotations: &str| {
        parse(
            format!(
                "{{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {{name: web, namespace: a, annotations: {{{annotations}}}}}, \
                 spec: {{defaultBackend: {{service: {{name: web, port: {{number: 1}}}}}}}}}}"
            )
            .as_bytes(),
        )
    };
    let terms = |annotations: &str| match of(annotations).objects.remove(0) {
        Object::Ingress(ingress) => ingress.client.map(|terms| format!("{}/{} {}", terms.namespace, terms.ca, terms.optional)),
        other => panic!("{other:?}"),
    };
    assert_eq!(terms("tidegate.dev/client-ca: staff").as_deref(), Some("a/staff false"));
    assert_eq!(terms("tidegate.dev/client-ca: staff, tidegate.dev/client-verify: optional").as_deref(), Some("a/staff true"));
    assert_eq!(terms("tidegate.dev/client-ca: configmap/staff").as_deref(), Some("a/configmap/staff false"));
    assert_eq!(terms(&format!("{NGINX}-secret: b/staff, {NGINX}-verify-client: 'on'")).as_deref(), Some("b/staff false"));
    assert_eq!(terms(&format!("{NGINX}-secret: b/staff, {NGINX}-verify-client: 'off'")), None);
    assert_eq!(terms(&format!("{NGINX}-verify-client: 'on'")), None, "as in ingress-nginx");
    let depth = of(&format!("{NGINX}-secret: b/staff, {NGINX}-verify-depth: '1'"));
    assert!(depth.objects.len() == 1 && depth.problems[0].severity == Severity::Warning, "{:?}", said(&depth));
    for (annotations, field) in [
        ("tidegate.dev/client-ca: b/staff".to_owned(), "tidegate.dev/client-ca"),
        ("tidegate.dev/client-ca: configmap/b/staff".to_owned(), "tidegate.dev/client-ca"),
        (format!("{NGINX}-secret: configmap/b/staff"), "auth-tls-secret"),
        ("tidegate.dev/client-ca: staff, tidegate.dev/client-verify: 'yes'".to_owned(), "tidegate.dev/client-verify"),
        ("tidegate.dev/client-verify: 'on'".to_owned(), "tidegate.dev/client-verify"),
        (format!("tidegate.dev/client-ca: staff, {NGINX}-secret: a/staff"), "tidegate.dev/client-ca"),
        (format!("{NGINX}-secret: staff"), "auth-tls-secret"),
        (format!("{NGINX}-secret: b/staff, {NGINX}-verify-client: optional_no_ca"), "auth-tls-verify-client"),
        (format!("{NGINX}-secret: b/staff, {NGINX}-match-cn: CN=ann"), "auth-tls-match-cn"),
    ] {
        let manifest = of(&annotations);
        assert_eq!((manifest.refused.len(), manifest.sealed.len()), (1, 0), "{annotations}: {:?}", said(&manifest));
        assert!(manifest.problems[0].place.field.as_deref().is_some_and(|at| at.contains(field)), "{:?}", said(&manifest));
    }
}
