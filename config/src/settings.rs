//! `tidegate.yaml`: the settings of one process, each with its unit and default.
//!
//! Invariant: a value of [`Settings`] is valid; an unknown key or a wrong value is a [`Problem`] that names it, never ignored.
//! Flags and environment are laid over it by the command line, not here.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;

use crate::host::HostPattern;
use crate::manifest::document;
use crate::object::ObjectKey;
use crate::problem::Problem;

mod dns;
mod docker;
mod exit_with;
mod live;
mod outlier;
mod read;
pub mod value;

pub use dns::Dns;
pub use docker::Docker;
pub use exit_with::ExitWith;
pub use live::Renewed;
pub use outlier::Outlier;

#[cfg(test)]
mod tests;

/// All settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Folders or files of manifests.
    pub manifests: Vec<PathBuf>,
    /// `docker`: containers as pods.
    pub docker: Docker,
    /// External HTTP listener; `None` switches it off. Default `0.0.0.0:8080`.
    pub http: Option<SocketAddr>,
    /// External HTTPS listener. Default `0.0.0.0:8443`.
    pub https: Option<SocketAddr>,
    /// Internal HTTP listener (Ingresses of class `tidegate-internal`). Default none.
    pub internal_http: Option<SocketAddr>,
    /// Admin listener. Default `127.0.0.1:9901`.
    pub admin: Option<SocketAddr>,
    /// Health and metrics only. Default none.
    pub metrics: Option<SocketAddr>,
    /// VIPs are allocated from here. Default `127.96.0.0/16`.
    pub service_cidr: IpNet,
    /// That range is made local by a route, which needs CAP_NET_ADMIN. Default false.
    pub claim_service_cidr: bool,
    /// Peers that internal listeners accept, and addresses that they may bind. Default loopback alone.
    pub internal_cidrs: Vec<IpNet>,
    /// Peers whose forwarding headers are believed. Default none.
    pub trusted_proxies: Vec<IpNet>,
    /// `external.addresses`: where node ports and load balancers are bound. Default `0.0.0.0`.
    pub external_addresses: Vec<IpAddr>,
    /// `nodeName`: what `Local` traffic policies and `PreferSameNode` call this node. Default none: everything is local, nothing preferred.
    pub node_name: Option<String>,
    /// `zone`: what `spec.trafficDistribution` calls the zone of this node. Default none: no zone is preferred.
    pub zone: Option<String>,
    /// `externalName.allow`: names that an ExternalName service may lead to. Default none.
    pub external_names: Vec<HostPattern>,
    /// `externalName.allowInside`: of those, the ones that may be addresses of the inside for the outside. Default none.
    pub external_names_inside: Vec<HostPattern>,
    /// `dns.servers`: who resolves those names, and the names that are not ours. Default none: as the system says.
    pub dns_servers: Vec<SocketAddr>,
    /// `dns`, but for its servers: how names are answered.
    pub dns: Dns,
    /// Where VIPs, seals and last good objects are kept.
    pub state_dir: Option<PathBuf>,
    /// Worker threads; 0 means the number of cores.
    pub workers: usize,
    /// `exitWith`: the process ends once the app beside it has. Default none: signals alone end it.
    pub exit_with: Option<ExitWith>,
    /// Form of the log.
    pub log: LogFormat,
    /// Where the access log goes.
    pub access_log: AccessLog,
    /// `exposure.mode`
    pub exposure_mode: ExposureMode,
    /// `ingress.classes`: further class names to serve outside, `nginx` for instance.
    pub ingress_classes: Vec<String>,
    /// `tls.defaultSecret`: what a client is shown that names no host, or one without a certificate. Default none.
    pub tls_default_secret: Option<ObjectKey>,
    /// `proxyProtocol`: listeners on which [`Settings::trusted_proxies`] say in a header whom they speak for. Default none.
    pub proxy_protocol: Vec<ProxiedListener>,
    /// `slowStartMs`: a new endpoint, or one that returns, grows to its full share in this time; 0 is at once. Default 0 ms.
    pub slow_start_ms: u64,
    /// `outlier`: who is left out for what its requests come to.
    pub outlier: Outlier,
    /// `limits`
    pub limits: Limits,
}

/// Whether what is not labelled may be carried outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExposureMode {
    /// What an external carrier names is exposed unless it is sealed.
    #[default]
    Standard,
    /// All is sealed that is not labelled `tidegate.dev/exposure: external`.
    Strict,
}

/// A listener that a proxy may stand before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ProxiedListener {
    Http,
    Https,
    InternalHttp,
}

impl ProxiedListener {
    /// All of them, by their keys in `tidegate.yaml`.
    pub const ALL: [(&str, ProxiedListener); 3] =
        [("http", ProxiedListener::Http), ("https", ProxiedListener::Https), ("internalHttp", ProxiedListener::InternalHttp)];
}

/// Form of the log and the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub enum AccessLog {
    #[default]
    Stdout,
    File(PathBuf),
    None,
}

/// Limits and time-outs; times in milliseconds, sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Largest request or response head. Default 65,536 bytes.
    pub head_bytes: usize,
    /// Most header fields in a head. Default 100.
    pub headers: usize,
    /// A request head must be whole after this. Default 10,000 ms.
    pub head_timeout_ms: u64,
    /// A client connection without a request, or a body that does not move on the client's side, ends after this. Default 75,000 ms.
    pub idle_timeout_ms: u64,
    /// A connection to a replica must stand after this. Default 5,000 ms.
    pub connect_timeout_ms: u64,
    /// After SIGTERM, what is in flight may take this long. Default 8,000 ms.
    pub drain_deadline_ms: u64,
    /// A request whose service has nobody to answer for a moment waits so long. Default 5,000 ms; 0: not at all.
    pub endpoint_wait_ms: u64,
    /// The same for a connection through a Service's own listener. Default 0: it is reset at once.
    pub connection_wait_ms: u64,
    /// So many requests and connections may wait on each worker. Default 1,024.
    pub waiting_requests: usize,
    /// Connections to a replica that has left end after this. Default 30,000 ms.
    pub replica_drain_ms: u64,
    /// A machine that acknowledges, or takes, nothing of what was sent to it for so long is taken for gone. Default 30,000 ms.
    pub vanished_ms: u64,
    /// Of a service's requests so many in a hundred may be sent again after something of them was sent. Default 20.
    pub retry_budget_percent: u64,
    /// Client connections of each worker; 0 is no bound. Default 100,000.
    pub connections: usize,
    /// Connections of one client, over all workers; 0 is no bound, which is the default.
    pub connections_per_client: u32,
    /// A worker that is so late answers a part of its new requests with 503; 0: never. Default 500 ms.
    pub shed_lag_ms: u64,
    /// Idle connections kept for each replica and worker. Default 1,024.
    pub idle_per_replica: usize,
    /// A UDP flow that carries nothing ends after this. Default 30,000 ms.
    pub udp_idle_timeout_ms: u64,
    /// UDP flows at once, for each worker. Default 16,384.
    pub udp_flows: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            head_bytes: 64 * 1024,
            headers: 100,
            head_timeout_ms: 10_000,
            idle_timeout_ms: 75_000,
            connect_timeout_ms: 5_000,
            drain_deadline_ms: 8_000,
            endpoint_wait_ms: 5_000,
            connection_wait_ms: 0,
            waiting_requests: 1024,
            replica_drain_ms: 30_000,
            vanished_ms: 30_000,
            retry_budget_percent: 20,
            connections: 100_000,
            connections_per_client: 0,
            shed_lag_ms: 500,
            idle_per_replica: 1024,
            udp_idle_timeout_ms: 30_000,
            udp_flows: 16_384,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        let loopback = [
            IpNet::from(ipnet::Ipv4Net::new_assert([127, 0, 0, 0].into(), 8)),
            IpNet::from(ipnet::Ipv6Net::new_assert(std::net::Ipv6Addr::LOCALHOST, 128)),
        ];
        Settings {
            manifests: Vec::new(),
            docker: Docker::default(),
            http: Some(SocketAddr::from(([0, 0, 0, 0], 8080))),
            https: Some(SocketAddr::from(([0, 0, 0, 0], 8443))),
            internal_http: None,
            admin: Some(SocketAddr::from(([127, 0, 0, 1], 9901))),
            metrics: None,
            service_cidr: IpNet::from(ipnet::Ipv4Net::new_assert([127, 96, 0, 0].into(), 16)),
            claim_service_cidr: false,
            internal_cidrs: loopback.to_vec(),
            trusted_proxies: Vec::new(),
            external_addresses: vec![Ipv4Addr::UNSPECIFIED.into()],
            node_name: None,
            zone: None,
            external_names: Vec::new(),
            external_names_inside: Vec::new(),
            dns_servers: Vec::new(),
            dns: Dns::default(),
            state_dir: None,
            workers: 0,
            exit_with: None,
            log: LogFormat::Text,
            access_log: AccessLog::Stdout,
            exposure_mode: ExposureMode::Standard,
            ingress_classes: Vec::new(),
            tls_default_secret: None,
            proxy_protocol: Vec::new(),
            slow_start_ms: 0,
            outlier: Outlier::default(),
            limits: Limits::default(),
        }
    }
}

impl Settings {
    /// Reads `tidegate.yaml`. Keys are the flags' names in camelCase (`http`, `internalHttp`, `serviceCidr`, ...) and
    /// `exposure.mode`, `ingress.classes`, `tls.defaultSecret`, `internalCidrs`, `trustedProxies`, `proxyProtocol`,
    /// `external.addresses`, `nodeName`, `zone`, `externalName.*`, `docker.*`, `dns.*`, `slowStartMs`, `outlier.*`, `limits.*`. `none` switches a
    /// listener off.
    ///
    /// # Errors
    /// Every unknown key and wrong value, as [`Problem`]s without a file.
    pub fn parse(text: &str) -> Result<Settings, Vec<Problem>> {
        let documents = document::read(text.as_bytes()).map_err(|problem| vec![problem])?;
        read::settings(documents)
    }
}

impl From<&str> for AccessLog {
    /// `-` is standard output, `none` is off, everything else is a path.
    fn from(text: &str) -> AccessLog {
        match text {
            "-" => AccessLog::Stdout,
            "none" => AccessLog::None,
            path => AccessLog::File(path.into()),
        }
    }
}
