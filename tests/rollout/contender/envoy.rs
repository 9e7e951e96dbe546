//! Envoy: endpoints by EDS from files that are moved into place, as control planes without a server of their own do it.
//!
//! - A member that is terminating is DRAINING; one that is removed is gone from the file.
//! - What could not be sent is sent to another host, up to three times (`connect-failure`, `refused-stream`, `reset-before-request`); a GET
//!   that was reset without an answer, too (`reset`). As many retries at a time as are wanted: three, the default, are soon used up.
//! - It has let go when its admin interface shows no host of that address in the Service's lists. Workers follow within the same
//!   millisecond or so; nothing tells when.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tidegate_tests::Client;

use super::{Contender, Member, Program, Start, WORKERS, free, swap};
use crate::ledger::{SHOP, TAKER};
use crate::load::{Doors, host};

/// The binary, by the environment.
pub(super) fn program() -> PathBuf {
    env::var_os("ENVOY").unwrap_or_else(|| OsString::from("envoy")).into()
}

#[derive(Debug)]
pub(super) struct Running {
    _program: Program,
    folder: PathBuf,
    doors: Doors,
    admin: SocketAddr,
    port: u16,
    version: u64,
}

impl Running {
    pub(super) fn start(start: &Start<'_>) -> io::Result<Running> {
        let [http, tcp, admin] = free()?;
        let folder = start.folder.to_owned();
        let (port, doors) = (start.port(), Doors { http1: http, http2: http, tcp });
        for (service, members) in [(SHOP, &start.shop), (TAKER, &start.taker)] {
            publish(&folder, service, members, port, 0)?;
        }
        let file = folder.join("envoy.json");
        fs::write(&file, configuration(&folder, http, tcp, admin).to_string())?;
        let mut command = Command::new(program());
        command.arg("-c").arg(&file).args(["--concurrency", &WORKERS.to_string(), "--disable-hot-restart", "-l", "error"]);
        let program = Program::start(&mut command, &folder)?;
        Ok(Running { _program: program, folder, doors, admin, port, version: 0 })
    }
}

impl Contender for Running {
    fn doors(&self) -> Doors {
        self.doors
    }

    fn publish(&mut self, service: &str, members: &[Member]) -> io::Result<()> {
        self.version += 1;
        publish(&self.folder, service, members, self.port, self.version)
    }

    fn has_let_go(&mut self, service: &str, member: &Member) -> io::Result<bool> {
        let mut client = Client::try_connect(self.admin)?;
        client.send("GET /clusters?format=json HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
        let answer: Value = serde_json::from_slice(&client.try_response(false)?.body)?;
        let lists = answer["cluster_statuses"].as_array().cloned().unwrap_or_default();
        let ours = lists.iter().filter(|list| list["name"].as_str().is_some_and(|name| name.starts_with(service)));
        let mut hosts = ours.flat_map(|list| list["host_statuses"].as_array().cloned().unwrap_or_default());
        Ok(hosts.all(|host| host["address"]["socket_address"]["address"] != member.ip.to_string()))
    }
}

/// Envoy's lists of a Service, by the ends of their names, and their ports.
fn parts(service: &str, port: u16) -> Vec<(&'static str, u16)> {
    let tcp = (service == SHOP).then_some(("-tcp", port + 1));
    [("", port), ("-grpc", port)].into_iter().chain(tcp).collect()
}

fn publish(folder: &Path, service: &str, members: &[Member], port: u16, version: u64) -> io::Result<()> {
    for (part, port) in parts(service, port) {
        let endpoints: Vec<Value> = members
            .iter()
            .map(|member| {
                let health = if member.terminating { "DRAINING" } else { "HEALTHY" };
                json!({"health_status": health, "endpoint": {"address": address((IpAddr::V4(member.ip), port).into())}})
            })
            .collect();
        let name = format!("{service}{part}");
        let list = json!({
            "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": endpoints}],
        });
        let answer = json!({"version_info": version.to_string(), "resources": [list]});
        swap(folder, &format!("{name}.json"), &answer.to_string())?;
    }
    Ok(())
}

fn address(at: SocketAddr) -> Value {
    json!({"socket_address": {"address": at.ip().to_string(), "port_value": at.port()}})
}

fn configuration(folder: &Path, http: SocketAddr, tcp: SocketAddr, admin: SocketAddr) -> Value {
    let lists: Vec<Value> =
        [SHOP, TAKER].iter().flat_map(|service| parts(service, 0).into_iter().map(|(part, _)| list(folder, service, part))).collect();
    let listeners = json!([
        {"name": "http", "address": address(http), "filter_chains": [{"filters": [http_filter()]}]},
        {"name": "tcp", "address": address(tcp), "filter_chains": [{"filters": [tcp_filter()]}]},
    ]);
    json!({
        "node": {"id": "rollout", "cluster": "rollout"},
        "admin": {"address": address(admin)},
        "static_resources": {"listeners": listeners, "clusters": lists},
    })
}

fn list(folder: &Path, service: &str, part: &str) -> Value {
    let name = format!("{service}{part}");
    let source = json!({"path": folder.join(format!("{name}.json")), "watched_directory": {"path": folder}});
    let mut list = json!({
        "name": name,
        "type": "EDS",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [{"max_retries": 1000}]},
        "eds_cluster_config": {"eds_config": {"path_config_source": source, "resource_api_version": "V3"}},
    });
    if part == "-grpc" {
        list["typed_extension_protocol_options"] = json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }});
    }
    list
}

fn tcp_filter() -> Value {
    json!({"name": "tcp", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "tcp",
        "cluster": format!("{SHOP}-tcp"),
        "max_connect_attempts": 3,
    }})
}

fn http_filter() -> Value {
    let hosts: Vec<Value> = [SHOP, TAKER].iter().map(|service| site(service)).collect();
    let router = json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"});
    json!({"name": "http", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "http",
        "stream_idle_timeout": "0s",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "http_filters": [{"name": "router", "typed_config": router}],
        "route_config": {"virtual_hosts": hosts},
    }})
}

fn site(service: &str) -> Value {
    let retried = |on: &str| {
        json!({
            "retry_on": on,
            "num_retries": 3,
            "retry_host_predicate": [{"name": "previous", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"}}],
            "host_selection_retry_max_attempts": 5,
        })
    };
    let unsent = "connect-failure,refused-stream,reset-before-request";
    let is_get = json!([{"name": ":method", "string_match": {"exact": "GET"}}]);
    let to = |part: &str, on: &str| json!({"cluster": format!("{service}{part}"), "timeout": "0s", "retry_policy": retried(on)});
    json!({"name": service, "domains": [host(service)], "routes": [
        {"match": {"prefix": "/tidegate.Rollout/"}, "route": to("-grpc", unsent)},
        {"match": {"prefix": "/", "headers": is_get}, "route": to("", &format!("reset,{unsent}"))},
        {"match": {"prefix": "/"}, "route": to("", unsent)},
    ]})
}
