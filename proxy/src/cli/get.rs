//! `tidegate get`: what a running process knows, as a table, as JSON, or as lines for a hosts file.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use config::problem::Problem;
use registry::event::ListenerState;
use registry::view::{EndpointView, RouteView, ServiceView, SourceView, WorkloadView};
use serde::de::DeserializeOwned;

use super::table::table;
use super::{GetArgs, GetForm, GetTopic, ask, nobody_to_ask, print};

/// Asks and prints. Exit 2 when it could not be asked.
pub fn run(args: &GetArgs) -> ExitCode {
    let Some(admin) = args.admin.0 else { return nobody_to_ask() };
    match shown(admin, args) {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

fn shown(admin: SocketAddr, args: &GetArgs) -> Result<String, String> {
    match (args.output, args.topic) {
        (GetForm::Hosts, GetTopic::Services) => {
            let services: Vec<ServiceView> = read(admin, "services")?;
            let routes: Vec<RouteView> = read(admin, "routes")?;
            Ok(hosts(&services, &routes, &read::<Vec<ListenerState>>(admin, "listeners")?))
        }
        (GetForm::Hosts, _) => Err("`-o hosts` goes with `get services` alone".to_owned()),
        (GetForm::Json, topic) => Ok(format!("{:#}\n", read::<serde_json::Value>(admin, topic.word())?)),
        (GetForm::Table, GetTopic::Services) => Ok(services(&read::<Vec<ServiceView>>(admin, "services")?)),
        (GetForm::Table, GetTopic::Endpoints) => Ok(endpoints(&read::<Vec<EndpointView>>(admin, "endpoints")?)),
        (GetForm::Table, GetTopic::Routes) => Ok(routes(&read::<Vec<RouteView>>(admin, "routes")?)),
        (GetForm::Table, GetTopic::Listeners) => Ok(listeners(&read::<Vec<ListenerState>>(admin, "listeners")?)),
        (GetForm::Table, GetTopic::Workloads) => Ok(workloads(&read::<Vec<WorkloadView>>(admin, "workloads")?)),
        (GetForm::Table, GetTopic::Sources) => Ok(sources(&read::<Vec<SourceView>>(admin, "sources")?)),
        (GetForm::Table, GetTopic::Problems) => Ok(problems(&read::<Vec<Problem>>(admin, "problems")?)),
    }
}

impl GetTopic {
    fn word(self) -> &'static str {
        match self {
            GetTopic::Services => "services",
            GetTopic::Endpoints => "endpoints",
            GetTopic::Routes => "routes",
            GetTopic::Listeners => "listeners",
            GetTopic::Workloads => "workloads",
            GetTopic::Sources => "sources",
            GetTopic::Problems => "problems",
        }
    }
}

pub(super) fn read<T: DeserializeOwned>(admin: SocketAddr, topic: &str) -> Result<T, String> {
    let body = ask::get(admin, &format!("/api/v1/{topic}"))?;
    serde_json::from_slice(&body)
        .map_err(|error| format!("{admin} answers in another form ({error}); fix: use the same version on both sides"))
}

fn or_empty(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// A line for each, as `check` and the log have it.
fn problems(all: &[Problem]) -> String {
    if all.is_empty() { "no problems\n".to_owned() } else { all.iter().map(|problem| format!("{problem}\n")).collect() }
}

fn services(views: &[ServiceView]) -> String {
    let rows = views.iter().map(|view| {
        [
            view.namespace.clone(),
            view.name.clone(),
            view.r#type.clone(),
            format!("{}/{}", view.port, view.protocol),
            or_empty(view.vip),
            view.outside.join(", "),
            if view.sealed { format!("{} (sealed)", view.exposure) } else { view.exposure.clone() },
            format!("{}/{}", view.ready, view.endpoints),
        ]
    });
    table(["NAMESPACE", "NAME", "TYPE", "PORT", "VIP", "OUTSIDE", "EXPOSURE", "READY"], rows)
}

fn endpoints(views: &[EndpointView]) -> String {
    let rows = views.iter().map(|view| {
        let latency = if view.latency_us == 0 { String::new() } else { format!("{:.1} ms", f64::from(view.latency_us) / 1e3) };
        [
            view.service.clone(),
            view.address.to_string(),
            or_empty(view.pod.as_ref()),
            view.state.clone(),
            view.in_flight.to_string(),
            latency,
            view.id.to_string(),
            view.replica.to_string(),
            or_empty(view.why.as_ref()),
        ]
    });
    table(["SERVICE", "ADDRESS", "POD", "STATE", "IN FLIGHT", "LATENCY", "ID", "REPLICA", "WHY"], rows)
}

fn routes(views: &[RouteView]) -> String {
    let rows = views.iter().map(|view| {
        [
            view.exposure.clone(),
            view.host.clone(),
            view.path_type.clone(),
            view.path.clone(),
            view.service.clone(),
            view.owner.clone(),
            view.ready.to_string(),
            filters(view),
            or_empty(view.refused.as_ref()),
        ]
    });
    table(["EXPOSURE", "HOST", "TYPE", "PATH", "SERVICE", "OWNER", "READY", "FILTERS", "NOT SERVED BECAUSE"], rows)
}

/// What each is called; `tidegate explain` and `-o json` say what it does.
fn filters(view: &RouteView) -> String {
    let names: Vec<&str> = view.filters.iter().map(|line| line.split(':').next().unwrap_or_default()).collect();
    names.join(",")
}

fn listeners(views: &[ListenerState]) -> String {
    let rows = views.iter().map(|view| {
        let state = view.error.clone().unwrap_or_else(|| "bound".to_owned());
        [view.name.to_string(), view.exposure.clone(), view.protocol.clone(), view.address.to_string(), state]
    });
    table(["NAME", "EXPOSURE", "PROTOCOL", "ADDRESS", "STATE"], rows)
}

fn workloads(views: &[WorkloadView]) -> String {
    let rows = views.iter().map(|view| {
        let [desired, ready, unhealthy, leaving] = [view.desired, view.ready, view.unhealthy, view.leaving].map(|count| count.to_string());
        [view.namespace.clone(), view.kind.clone(), view.name.clone(), desired, ready, unhealthy, leaving]
    });
    table(["NAMESPACE", "KIND", "NAME", "DESIRED", "READY", "UNHEALTHY", "LEAVING"], rows)
}

fn sources(views: &[SourceView]) -> String {
    let rows = views.iter().map(|view| {
        let skipped: usize = view.skipped.values().sum();
        let age = format!("{:.1} s", view.age_s);
        [view.name.clone(), view.state.clone(), age, view.objects.to_string(), skipped.to_string(), view.problems.to_string()]
    });
    table(["NAME", "STATE", "AGE", "OBJECTS", "SKIPPED", "PROBLEMS"], rows)
}

/// Lines for a hosts file: each virtual IP with its service's names, and each external host with the HTTP listener's address.
fn hosts(services: &[ServiceView], routes: &[RouteView], listeners: &[ListenerState]) -> String {
    let vips: BTreeMap<(&str, &str), IpAddr> =
        services.iter().filter_map(|view| Some(((view.name.as_str(), view.namespace.as_str()), view.vip?))).collect();
    let mut out = String::new();
    for ((name, namespace), vip) in &vips {
        // A short name that two namespaces have would mean whichever line comes first: only the longer names are given then.
        let unique = vips.keys().filter(|(other, _)| other == name).count() == 1;
        let short = if unique { format!("{name} ") } else { String::new() };
        out.push_str(&format!("{vip}\t{short}{name}.{namespace} {name}.{namespace}.svc.cluster.local\n"));
    }
    let http = listeners.iter().find(|listener| &*listener.name == "http").map(|listener| listener.address.ip());
    let http = http.filter(|ip| !ip.is_unspecified()).unwrap_or(Ipv4Addr::LOCALHOST.into());
    let served = routes.iter().filter(|route| route.exposure == "external" && !route.host.contains('*') && !route.service.is_empty());
    let names: BTreeSet<&str> = served.map(|route| route.host.as_str()).collect();
    for host in names {
        out.push_str(&format!("{http}\t{host}\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(namespace: &str, name: &str, port: u16, vip: Option<[u8; 4]>) -> ServiceView {
        ServiceView {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            r#type: "ClusterIP".to_owned(),
            port,
            protocol: "TCP".to_owned(),
            app_protocol: None,
            vip: vip.map(IpAddr::from),
            node_port: None,
            outside: Vec::new(),
            exposure: "internal".to_owned(),
            sealed: true,
            ready: 1,
            endpoints: 2,
        }
    }

    fn route(exposure: &str, host: &str) -> RouteView {
        RouteView {
            exposure: exposure.to_owned(),
            host: host.to_owned(),
            path_type: "Prefix".to_owned(),
            path: "/".to_owned(),
            service: "shop/web:80".to_owned(),
            owner: "Ingress shop/web".to_owned(),
            ready: 1,
            refused: None,
            filters: Vec::new(),
        }
    }

    #[test]
    fn a_hosts_file_names_each_vip_once_and_exact_external_hosts() {
        let vip = Some([127, 96, 0, 2]);
        let services = [
            service("shop", "web", 80, vip),
            service("shop", "web", 443, vip),
            service("data", "db", 5432, Some([127, 96, 0, 3])),
            service("test", "db", 5432, Some([127, 96, 0, 4])),
            service("shop", "headless", 80, None),
        ];
        let routes = [
            route("external", "shop.localhost"),
            route("external", "*.localhost"),
            route("internal", "in.localhost"),
            route("external", "*"),
        ];
        let expected = "127.96.0.3\tdb.data db.data.svc.cluster.local\n127.96.0.4\tdb.test db.test.svc.cluster.local\n\
                        127.96.0.2\tweb web.shop web.shop.svc.cluster.local\n127.0.0.1\tshop.localhost\n";
        assert_eq!(hosts(&services, &routes, &[]), expected);
        let listener = ListenerState::bound("http", config::exposure::Exposure::External, "HTTP", ([192, 0, 2, 1], 80).into());
        assert!(hosts(&[], &routes, &[listener]).starts_with("192.0.2.1\tshop.localhost\n"));
    }

    #[test]
    fn tables_show_what_matters() {
        let text = super::services(&[service("data", "db", 5432, None)]);
        assert_eq!(text.lines().nth(1), Some("data       db    ClusterIP  5432/TCP  -    -        internal (sealed)  1/2"));
    }
}
