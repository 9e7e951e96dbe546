//! Random worlds: objects, settings and answers of DNS, and what happens to them.
//!
//! They are small and alike on purpose, so that names, labels and addresses meet: three namespaces, six addresses of pods, a virtual IP and a
//! listener of ours among them.

use proptest::prelude::*;
use proptest::sample::select;

use super::plainly::{ANSWERS, Answer, Law};
use super::*;

/// What happens to a world. Each object is in a file of its own.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Put(Box<Object>),
    /// Takes away the object at this position, modulo how many there are.
    Remove(usize),
    /// The settings say so.
    Strict(bool),
    /// From now on DNS answers so for a name.
    Dns(&'static str, Vec<Answer>),
    /// DNS does not answer for a name.
    Silence(&'static str),
}

/// Outside names that services lead to.
const NAMES: [&str; 3] = ["out.example", "in.example", "deep.in.example"];
/// What `externalName.allow` may say, and which names that lists.
const ALLOWED: [(&[&str], &[&str]); 4] = [
    (&[], &[]),
    (&["out.example"], &["out.example"]),
    (&["*.example"], &["out.example", "in.example"]),
    (&["*.in.example", "in.example", "out.example"], &["out.example", "in.example", "deep.in.example"]),
];

/// What the settings of a random world say, and that plainly.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    allow: &'static [&'static str],
    pub(super) law: Law,
}

impl Rules {
    pub(super) fn settings(&self) -> Settings {
        let read = |hosts: &[&str]| hosts.iter().map(|host| HostPattern::parse_ingress(host).unwrap()).collect();
        Settings {
            workers: 1,
            service_cidr: "10.96.0.0/16".parse().unwrap(),
            exposure_mode: if self.law.strict { ExposureMode::Strict } else { ExposureMode::Standard },
            external_names: read(self.allow),
            external_names_inside: read(self.law.inside),
            ..Settings::default()
        }
    }
}

pub(super) fn rules() -> impl Strategy<Value = Rules> {
    let inside = prop_oneof![3 => Just(&[][..]), 1 => Just(&["in.example"][..])];
    (select(&ALLOWED[..]), inside, prop_oneof![4 => Just(false), 1 => Just(true)])
        .prop_map(|((allow, allowed), inside, strict)| Rules { allow, law: Law { strict, allowed, inside, heard: BTreeMap::new() } })
}

fn answers() -> impl Strategy<Value = Vec<Answer>> {
    proptest::collection::vec(select(&ANSWERS[..]), 0..4)
}

const SPACES: [&str; 3] = ["a", "b", "c"];
const APPS: [&str; 3] = ["s0", "s1", "s2"];

fn name(prefix: &'static str, many: u8) -> impl Strategy<Value = String> {
    (select(&SPACES[..]), 0..many).prop_map(move |(namespace, n)| format!("{namespace}/{prefix}{n}"))
}

fn ips() -> impl Strategy<Value = IpAddr> {
    // The last is a VIP that some services ask for, the one before it is ours.
    let odd = select(vec![IpAddr::from([10, 9, 9, 9]), IpAddr::from([10, 96, 9, 9])]);
    prop_oneof![8 => (1..7u8).prop_map(|n| IpAddr::from([10, 0, 0, n])), 1 => odd]
}

/// Mostly nothing; else one of the words, a wrong word, or a wrong key.
fn said() -> impl Strategy<Value = Labels> {
    let wrong = [("tidegate.dev/exposure", "Internal"), ("tidegate.dev/exposure", ""), ("tidegate.dev/expose", "internal")];
    let words = select([SEAL, SEAL, OPEN].into_iter().chain(wrong).collect::<Vec<_>>());
    prop_oneof![5 => Just(Labels::new()), 2 => words.prop_map(|pair| labels(&[pair]))]
}

/// What pods are and services select; one more often, so that services share pods.
fn apps() -> impl Strategy<Value = &'static str> {
    select(vec![APPS[0], APPS[0], APPS[0], APPS[1], APPS[2]])
}

fn namespaces() -> impl Strategy<Value = Object> {
    let read = |(name, labels)| Object::Namespace(Namespace { meta: Meta { labels, ..meta(name, &[]) } });
    (select(&SPACES[..]), said()).prop_map(read)
}

fn services() -> impl Strategy<Value = Object> {
    let plain = ServiceType::ClusterIp;
    let outward = [ServiceType::NodePort, ServiceType::LoadBalancer];
    let led = NAMES.map(|name| ServiceType::ExternalName(name.into()));
    let kinds = select([plain.clone(), plain.clone(), plain].into_iter().chain(outward).chain(led).collect::<Vec<_>>());
    (name("s", 3), said(), kinds, any::<[bool; 7]>(), apps(), 0..3i64).prop_map(|(name, said, service_type, flags, app, created)| {
        let [asked, by_name, selecting, two, ranged, node_ports, odd] = flags;
        let mut service = Service { service_type, ..service(&name, &[]) };
        let sources = ranged.then(|| "198.51.100.0/24".parse().unwrap()).into_iter().collect();
        service.carrier = Carrier { sources, node_ports, ..Carrier::default() };
        service.unknown_fields = (odd && ranged).then(|| "spec.odd".to_owned()).into_iter().collect();
        service.meta.labels = said;
        service.meta.created = (created > 0).then_some(created);
        if two {
            let admin = ServicePort { name: "admin".into(), port: 81, target_port: PortRef::Number(9090), ..service.ports[0].clone() };
            service.ports.push(admin);
        }
        service.selector = selecting.then(|| labels(&[("app", app)]));
        // A service keeps an address that it once asked for; so that history plays no part, one asks always or never.
        service.cluster_ip = match (name.ends_with("s0"), asked) {
            (true, _) => ClusterIp::Allocate,
            (false, true) => ClusterIp::Asked(IpAddr::from([10, 96, 9, 9])),
            (false, false) => ClusterIp::Headless,
        };
        if by_name {
            service.ports[0].target_port = PortRef::Name("http".into());
        } else if odd {
            service.ports[0].target_port = PortRef::Number(80); // where virtual IPs are
        }
        Object::Service(service)
    })
}

fn pods() -> impl Strategy<Value = Object> {
    let ips = proptest::collection::vec(ips(), 0..3);
    (name("p", 4), apps(), ips, said(), any::<[bool; 4]>(), 0..3u8).prop_map(|(name, app, ips, said, flags, uid)| {
        let mut pod = pod(&name, app, "10.0.0.1");
        pod.ips = ips;
        pod.meta.labels.extend(said);
        pod.ready = flags[0] || flags[1];
        pod.finished = flags[1] && flags[2] && flags[3];
        pod.meta.deleting = flags[2] && !flags[3];
        pod.meta.uid = (uid > 0).then(|| format!("{name}-{uid}").into());
        let name = if flags[1] { "other" } else { "http" };
        pod.ports = vec![PodPort { name: name.into(), port: if flags[3] { 8080 } else { 80 }, protocol: Protocol::Tcp }];
        pod.hostname = (uid == 1).then(|| "h".into());
        pod.subdomain = (!flags[3]).then(|| app.into());
        pod.host_network = flags[0] && flags[2];
        Object::Pod(pod)
    })
}

fn slices() -> impl Strategy<Value = Object> {
    let endpoints = proptest::collection::vec((ips(), any::<[bool; 3]>(), 0..6u8), 0..4);
    let odd = (any::<bool>(), 0..8u8, 0..8u8);
    (name("s", 3), endpoints, 0..3u8, odd, said()).prop_map(|(service, endpoints, n, (odd, port, named), said)| {
        let (namespace, of) = service.split_once('/').unwrap();
        let mut slice = slice(&format!("{namespace}/slice{n}"), of, &[]);
        slice.legacy = n == 2;
        slice.meta.labels = said;
        slice.ports[0].port = if odd { 80 } else { 8080 };
        match port {
            0 => slice.ports[0].name = "strange".into(),
            1 => slice.ports.clear(),
            _ => {}
        }
        slice.service = slice.service.filter(|_| named > 0);
        let read = |(ip, flags, pod): (IpAddr, [bool; 3], u8)| SliceEndpoint {
            ip,
            ready: flags[0],
            serving: flags[0] || flags[1],
            terminating: flags[2],
            pod: (pod < 4).then(|| (format!("p{pod}").into(), None)),
            hostname: flags[2].then(|| format!("h{pod}").into()),
            node: None,
            zone: None,
            hints: None,
        };
        slice.endpoints = endpoints.into_iter().map(read).collect();
        Object::EndpointSlice(slice)
    })
}

fn ingresses() -> impl Strategy<Value = Object> {
    let hosts = select(vec!["", "x.example", "*.example", "y.example"]);
    let rule = (hosts, select(vec!["/", "/api"]), select(vec!["s0", "s1", "s2", "absent"]));
    let class = select(vec![None, None, Some("tidegate"), Some("tidegate-internal"), Some("mine"), Some("foreign")]);
    let default = proptest::option::of(select(&APPS[..]));
    (name("i", 3), class, proptest::collection::vec(rule, 0..3), default, said()).prop_map(|(name, class, rules, default, said)| {
        let mut ingress = ingress(&name, class, &rules);
        ingress.default_backend = default.map(backend);
        ingress.meta.annotations = said;
        Object::Ingress(ingress)
    })
}

fn classes() -> impl Strategy<Value = Object> {
    let controller = select(vec![exposure::CONTROLLER, exposure::CONTROLLER, "somebody.else/x"]);
    (select(vec!["tidegate", "mine", "foreign"]), controller, said(), 0..8u8).prop_map(|(name, controller, labels, default)| {
        let meta = Meta { labels, ..meta(name, &[]) };
        Object::IngressClass(IngressClass { meta, controller: controller.into(), default: default == 0 })
    })
}

/// Workloads that mean pods by their label, or by what it is not.
fn workloads() -> impl Strategy<Value = Object> {
    let kind = select(vec![Kind::Deployment, Kind::ReplicaSet, Kind::StatefulSet]);
    (name("w", 2), kind, apps(), 0..4u8, said()).prop_map(|(name, kind, app, how, labels)| {
        let values = || [app.into()].into_iter().collect();
        let by = |test| Selector { labels: Labels::new(), expressions: vec![Expression { key: "app".into(), test }] };
        let selector = match how {
            0 => by(Test::In(values())),
            1 => by(Test::NotIn(values())),
            _ => Selector { labels: super::labels(&[("app", app)]), expressions: Vec::new() },
        };
        Object::Workload(Workload { meta: Meta { labels, ..meta(&name, &[]) }, kind, replicas: 1, selector, owner: None })
    })
}

fn objects() -> impl Strategy<Value = Object> {
    prop_oneof![2 => namespaces(), 7 => services(), 7 => pods(), 4 => slices(), 5 => ingresses(), 1 => classes(), 1 => workloads()]
}

/// A world, and what happens to it.
pub(super) fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let step = prop_oneof![
        20 => objects().prop_map(|object| Step::Put(Box::new(object))),
        4 => any::<usize>().prop_map(Step::Remove),
        1 => any::<bool>().prop_map(Step::Strict),
        5 => (select(&NAMES[..]), answers()).prop_map(|(name, answers)| Step::Dns(name, answers)),
        1 => select(&NAMES[..]).prop_map(Step::Silence),
    ];
    let step = step.boxed();
    // The first batch is large, so that the rest changes something that serves.
    let first = proptest::collection::vec(step.clone(), 10..40);
    let rest = proptest::collection::vec(proptest::collection::vec(step, 1..4), 1..25);
    (first, rest).prop_map(|(first, rest)| [first].into_iter().chain(rest).collect())
}
