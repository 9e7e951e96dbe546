//! What is kept of a container: who it is, how it is, and where it can be reached.
//!
//! Read from the engine's answer to `inspect`, of which most is optional and some differs between versions: what is missing is nothing,
//! never a failure. It decides nothing.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerSummary, ContainerSummaryStateEnum, EndpointSettings, Health as Reported,
    HealthStatusEnum, NetworkSettings, RestartPolicyNameEnum,
};
use config::object::Protocol;

/// The engine's name for a container: 64 hexadecimal digits.
pub(super) type Id = Box<str>;

/// One container.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Container {
    pub(super) id: Id,
    /// Without the slash that the engine puts before it.
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    /// Seconds since 1970.
    pub(super) created: Option<i64>,
    pub(super) state: State,
    /// What its image or its command line says that it listens on.
    pub(super) ports: Vec<(u16, Protocol)>,
    /// Where the engine itself carries others to it, but for those on the machine: `0.0.0.0:5432`.
    pub(super) published: Vec<SocketAddr>,
    pub(super) place: Place,
}

/// How it is.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct State {
    /// Its process runs, and is not paused.
    pub(super) running: bool,
    pub(super) health: Health,
    /// When its process was started last, as the engine writes it: another start is another process.
    pub(super) started: String,
    /// It did what it was for: it ended well, and nobody wants it to run again.
    pub(super) done: bool,
}

/// What its healthcheck says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Health {
    /// It has none.
    #[default]
    Unsaid,
    /// Healthy.
    Good,
    /// Starting or unhealthy.
    Bad,
}

/// Where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On these networks, by name.
    Networks(BTreeMap<String, Attached>),
    /// In the network of another container (`network_mode: service:NAME`).
    Of(Id),
    /// In the machine's own.
    Host,
    /// In none, by its own will (`network_mode: none`).
    Nowhere,
}

impl Default for Place {
    fn default() -> Place {
        Place::Networks(BTreeMap::new())
    }
}

/// Its addresses on one network: none while it does not run.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Attached {
    pub(super) addresses: Vec<IpAddr>,
}

impl Container {
    /// The first twelve digits, as the engine's own tools show them.
    pub(super) fn short(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }

    /// A label's value, when it says something.
    pub(super) fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The compose project that it belongs to.
    pub(super) fn project(&self) -> Option<&str> {
        self.label("com.docker.compose.project")
    }

    /// The compose service that it is a replica of.
    pub(super) fn service(&self) -> Option<&str> {
        self.label("com.docker.compose.service")
    }

    /// A single command that somebody runs in place of a replica (`compose run`): its labels are those of the replicas.
    pub(super) fn one_off(&self) -> bool {
        self.label("com.docker.compose.oneoff").is_some_and(|said| said.eq_ignore_ascii_case("true"))
    }
}

/// What the engine says of it; `None` when it does not even say who it is.
pub(super) fn read(said: ContainerInspectResponse) -> Option<Container> {
    let id: Id = said.id.filter(|id| !id.is_empty())?.into();
    let host = said.host_config.unwrap_or_default();
    let kept = host.restart_policy.and_then(|policy| policy.name);
    let restarts =
        !matches!(kept, None | Some(RestartPolicyNameEnum::EMPTY | RestartPolicyNameEnum::NO | RestartPolicyNameEnum::ON_FAILURE));
    let published = said.network_settings.as_ref().map(published).unwrap_or_default();
    let networks = said.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let place = match host.network_mode.as_deref() {
        Some("host") => Place::Host,
        Some("none") => Place::Nowhere,
        Some(mode) if mode.starts_with("container:") => Place::Of(mode["container:".len()..].into()),
        _ => Place::Networks(networks.into_iter().map(|(name, at)| (name, attached(&at))).collect()),
    };
    let config = said.config.unwrap_or_default();
    let mut ports: Vec<_> = config.exposed_ports.iter().flatten().filter_map(|port| exposed(port)).collect();
    ports.sort_unstable_by_key(|(port, protocol)| (*port, protocol.as_str()));
    Some(Container {
        name: said.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        created: said.created.as_deref().and_then(seconds),
        state: said.state.map(|said| state(said, restarts)).unwrap_or_default(),
        ports,
        published,
        place,
        id,
    })
}

fn published(said: &NetworkSettings) -> Vec<SocketAddr> {
    let bound = said.ports.iter().flatten().flat_map(|(_, at)| at.iter().flatten());
    let address = bound.filter_map(|at| {
        let ip: IpAddr = at.host_ip.as_deref().filter(|ip| !ip.is_empty()).unwrap_or("0.0.0.0").parse().ok()?;
        Some(SocketAddr::new(ip, at.host_port.as_deref()?.parse().ok()?))
    });
    let mut addresses: Vec<SocketAddr> = address.filter(|at| !at.ip().is_loopback()).collect();
    addresses.sort_unstable();
    addresses
}

fn state(said: ContainerState, restarts: bool) -> State {
    let is = |flag: Option<bool>| flag.unwrap_or_default();
    let running = is(said.running) && !is(said.paused) && !is(said.restarting) && !is(said.dead);
    let started = said.started_at.unwrap_or_default();
    let done = !is(said.running) && said.exit_code == Some(0) && !restarts && !is(said.restarting) && !started.starts_with("0001-");
    State { running, health: said.health.map(health).unwrap_or_default(), started, done }
}

fn health(said: Reported) -> Health {
    match said.status {
        None | Some(HealthStatusEnum::EMPTY | HealthStatusEnum::NONE) => Health::Unsaid,
        Some(HealthStatusEnum::HEALTHY) => Health::Good,
        Some(HealthStatusEnum::STARTING | HealthStatusEnum::UNHEALTHY) => Health::Bad,
    }
}

/// Whether the engine's list says something else of a container than what is known. It tells of health in words for people alone.
pub(super) fn differs(known: &Container, listed: &ContainerSummary) -> bool {
    let running = listed.state == Some(ContainerSummaryStateEnum::RUNNING);
    let status = listed.status.as_deref().unwrap_or_default();
    let health = match status.rsplit_once('(').map(|(_, word)| word) {
        Some("healthy)") => Health::Good,
        Some("unhealthy)" | "health: starting)") => Health::Bad,
        _ => Health::Unsaid,
    };
    let networks = listed.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    let moved = match (&known.place, networks) {
        (Place::Networks(known), Some(listed)) if !known.is_empty() => {
            known.len() != listed.len() || listed.iter().any(|(name, at)| known.get(name).is_none_or(|known| *known != attached(at)))
        }
        _ => false,
    };
    let named = listed.names.iter().flatten().any(|name| name.trim_start_matches('/') == known.name);
    running != known.state.running || (running && health != known.state.health) || moved || !named
}

fn attached(at: &EndpointSettings) -> Attached {
    let texts = [&at.ip_address, &at.global_ipv6_address];
    Attached { addresses: texts.into_iter().flatten().filter_map(|text| text.parse().ok()).collect() }
}

/// `8080/tcp`.
fn exposed(text: &str) -> Option<(u16, Protocol)> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    port.parse().ok().filter(|port| *port > 0).map(|port| (port, protocol))
}

/// Seconds since 1970 of an RFC 3339 time.
fn seconds(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn where_it_is_published_is_read_but_for_loopback() {
        let ports = json!({
            "5432/tcp": [{"HostIp": "0.0.0.0", "HostPort": "5432"}, {"HostIp": "::", "HostPort": "5432"}, {"HostIp": "127.0.0.1", "HostPort": "1"}],
            "80/tcp": [{"HostIp": "", "HostPort": "8080"}],
            "9/tcp": null,
            "7/tcp": [{"HostIp": "0.0.0.0"}, {"HostPort": "many"}],
        });
        let said = json!({"Id": "a", "NetworkSettings": {"Ports": ports}});
        let container = read(serde_json::from_value(said).unwrap()).unwrap();
        let published: Vec<String> = container.published.iter().map(ToString::to_string).collect();
        assert_eq!(published, ["0.0.0.0:5432", "0.0.0.0:8080", "[::]:5432"]);
    }
}
