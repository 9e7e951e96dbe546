//! What `get`, `check` and the admin API show: plain records, the same offline and from a running process.
//!
//! Field names are a contract with scripts. Nothing secret is ever put in here.

use std::net::{IpAddr, SocketAddr};

use config::annotations::Verdict;
use config::problem::Problem;
use serde::{Deserialize, Serialize};

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Topic {
    Services,
    Endpoints,
    Routes,
    Listeners,
    Workloads,
    Sources,
    Problems,
    Exposure,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceView {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `spec.type`
    pub r#type: String,
    /// `spec.ports[].port`
    pub port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// `appProtocol`, as written.
    #[serde(default)]
    pub app_protocol: Option<String>,
    /// Its virtual IP, when it has one.
    pub vip: Option<IpAddr>,
    /// Its node port, when it has one; closed when a seal covers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_port: Option<u16>,
    /// Where its listeners outside are: `node-port ADDRESS`, `load-balancer ADDRESS`, with ` (not bound)` while they are not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outside: Vec<String>,
    /// `external` when an external carrier reaches it, else `internal`.
    pub exposure: String,
    /// Whether a seal covers it.
    pub sealed: bool,
    /// Endpoints that are Ready.
    pub ready: usize,
    /// All endpoints.
    pub endpoints: usize,
}

/// One endpoint of a service port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointView {
    /// [`crate::snapshot::EndpointId`]
    pub id: u64,
    /// [`crate::snapshot::ReplicaId`]
    pub replica: u64,
    /// `NAMESPACE/NAME:PORT` of the service port.
    pub service: String,
    /// Where it answers.
    pub address: SocketAddr,
    /// `NAMESPACE/NAME` of the pod.
    pub pod: Option<String>,
    /// How it is spoken to: `http/1.1`, `h2c` or `tls`.
    #[serde(default)]
    pub speaks: String,
    /// `Pending`, `Ready`, `Ejected`, `Draining` or `Gone`.
    pub state: String,
    /// Requests or connections in flight.
    pub in_flight: u32,
    /// Latency estimate, in microseconds; 0 while unmeasured.
    pub latency_us: u32,
    /// Why it is not picked: `probe: HTTP 503`, where its pod's probes are why; `outlier: 5 failures in a row, 12 s left`, although it says
    /// that it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// When that ends, or changes, in milliseconds from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_ms: Option<u64>,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteView {
    /// `external` or `internal`.
    pub exposure: String,
    /// Host pattern; `*` is every host.
    pub host: String,
    /// `Exact`, `Prefix` or `Default`.
    pub path_type: String,
    /// Path.
    pub path: String,
    /// `NAMESPACE/NAME:PORT`, empty when it leads nowhere.
    pub service: String,
    /// The object that wrote it.
    pub owner: String,
    /// Ready endpoints behind it.
    pub ready: usize,
    /// Why it does not serve, when it does not: refused exposure or a missing service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// What annotations ask of its requests and answers, a line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<String>,
}

/// One Deployment, ReplicaSet or StatefulSet, and the pods that it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadView {
    /// `Deployment`, `ReplicaSet` or `StatefulSet`.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `spec.replicas`
    pub desired: u32,
    /// Pods that are ready.
    pub ready: u32,
    /// Pods that are there, have not finished and are not on their way out, and are not ready.
    pub unhealthy: u32,
    /// Pods on their way out (`metadata.deletionTimestamp`).
    pub leaving: u32,
}

/// One source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceView {
    /// `folder:PATH`
    pub name: String,
    /// `ok` or `stale`.
    pub state: String,
    /// Seconds since it was last known to be true.
    pub age_s: f64,
    /// Objects that it gives.
    pub objects: usize,
    /// Kinds that it holds and that are not read, with how many of each.
    pub skipped: std::collections::BTreeMap<String, usize>,
    /// Problems that it has.
    pub problems: usize,
}

/// One line of the exposure table: what can be reached from outside, and by which path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ExposureView {
    /// `NAMESPACE/NAME:PORT`
    pub service: String,
    /// `external` or `internal`.
    pub exposure: String,
    /// Ways in: `http HOST PATH (Ingress NAMESPACE/NAME)`, `node-port IP:PORT`, `load-balancer IP:PORT from CIDR` from outside; `vip IP:PORT`, `internal-http ...` from inside.
    pub by: Vec<String>,
    /// `Namespace x`, `Service x/y` or `strict mode` when a seal covers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_by: Option<String>,
}

/// One annotation of an Ingress or Service, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnnotationView {
    /// `Ingress NAMESPACE/NAME`, `Service NAMESPACE/NAME`
    pub owner: String,
    /// Its key.
    pub key: String,
    /// `honoured`, `differs`, `not-supported` or `wrong`.
    pub verdict: Verdict,
    /// How it differs, or why it does nothing; empty when it does what it says.
    pub how: String,
}

/// What `tidegate check -o json` prints.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CheckView {
    /// Everything found, errors first.
    pub problems: Vec<Problem>,
    /// Who can be reached, and how.
    pub exposure: Vec<ExposureView>,
    /// Annotations for filters and about how endpoints are picked, by object and key.
    pub annotations: Vec<AnnotationView>,
    /// Kinds that are not read yet, with how many of each.
    pub skipped: std::collections::BTreeMap<String, usize>,
    /// Objects read.
    pub objects: usize,
    /// Pods whose probes a running process asks whether they are ready; here they count as ready.
    pub probed: usize,
}
