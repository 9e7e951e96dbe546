//! What of the engine's answers is told: tables of fields, and what picks by them.
//!
//! Pure. Invariant: only fields that a table names, with values of the kind that it names, are in what leaves; a field that a newer engine
//! adds is not told before it is written here. So the environment, commands, arguments, mounts and the host's configuration of
//! containers, which often hold secrets, stay. Labels leave, since Services select by them. Field names are those of the Docker Engine API.

mod shape;

use serde_json::Value;

use shape::Shape::{self, Bool, First, List, Map, Number, Object, Text};

/// A container in one network.
const NETWORK: Shape = Object(&[("IPAddress", Text), ("GlobalIPv6Address", Text), ("NetworkID", Text)]);
/// The same when it is asked for alone.
const INSPECTED_NETWORK: Shape =
    Object(&[("IPAddress", Text), ("GlobalIPv6Address", Text), ("NetworkID", Text), ("Aliases", List(&Text)), ("DNSNames", List(&Text))]);
/// Where the machine publishes a port.
const BINDING: Shape = Object(&[("HostIp", Text), ("HostPort", Text)]);
const PORT: Shape = Object(&[("IP", Text), ("PrivatePort", Number), ("PublicPort", Number), ("Type", Text)]);

/// `GET /version`.
const VERSION: Shape = Object(&[
    ("Platform", Object(&[("Name", Text)])),
    ("Version", Text),
    ("ApiVersion", Text),
    ("MinAPIVersion", Text),
    ("Os", Text),
    ("Arch", Text),
]);

/// `GET /containers/json`.
const CONTAINERS: Shape = List(&Object(&[
    ("Id", Text),
    ("Names", List(&Text)),
    ("Image", Text),
    ("ImageID", Text),
    ("Created", Number),
    ("Ports", List(&PORT)),
    ("Labels", Map(&Text)),
    ("State", Text),
    ("Status", Text),
    ("HostConfig", Object(&[("NetworkMode", Text)])),
    ("NetworkSettings", Object(&[("Networks", Map(&NETWORK))])),
]));

/// `GET /containers/NAME/json`. `State.Error` and `State.Health.Log` are left out: they quote commands and what these print.
const CONTAINER: Shape = Object(&[
    ("Id", Text),
    ("Name", Text),
    ("Created", Text),
    ("Image", Text),
    ("RestartCount", Number),
    ("State", STATE),
    ("Config", CONFIG),
    ("HostConfig", Object(&[("NetworkMode", Text), ("RestartPolicy", Object(&[("Name", Text), ("MaximumRetryCount", Number)]))])),
    ("NetworkSettings", Object(&[("Networks", Map(&INSPECTED_NETWORK)), ("Ports", Map(&List(&BINDING)))])),
]);
const STATE: Shape = Object(&[
    ("Status", Text),
    ("Running", Bool),
    ("Paused", Bool),
    ("Restarting", Bool),
    ("OOMKilled", Bool),
    ("Dead", Bool),
    ("Pid", Number),
    ("ExitCode", Number),
    ("StartedAt", Text),
    ("FinishedAt", Text),
    ("Health", Object(&[("Status", Text), ("FailingStreak", Number)])),
]);
/// Of a health check, only that there is one: the word before its command.
const CONFIG: Shape = Object(&[
    ("Hostname", Text),
    ("Image", Text),
    ("Labels", Map(&Text)),
    ("ExposedPorts", Map(&Object(&[]))),
    ("StopSignal", Text),
    ("StopTimeout", Number),
    ("Healthcheck", Object(&[("Test", First(&["NONE", "CMD", "CMD-SHELL"]))])),
]);

/// One line of `GET /events`.
const EVENT: Shape = Object(&[
    ("Type", Text),
    ("Action", Text),
    ("Actor", Object(&[("ID", Text), ("Attributes", ATTRIBUTES)])),
    ("scope", Text),
    ("time", Number),
    ("timeNano", Number),
]);

/// Labels are not among them: the engine mixes them in unmarked, with whatever else there is to say.
const ATTRIBUTES: Shape = Object(&[
    ("container", Text),
    ("exitCode", Text),
    ("image", Text),
    ("name", Text),
    ("oldName", Text),
    ("signal", Text),
    ("type", Text),
]);

/// What can happen to a container that matters to a proxy. Those of `exec` are not here: they quote commands.
const CONTAINER_ACTIONS: &[&str] =
    &["create", "destroy", "die", "kill", "oom", "pause", "rename", "restart", "start", "stop", "unpause", "update"];
/// The same of a network.
const NETWORK_ACTIONS: &[&str] = &["connect", "create", "destroy", "disconnect", "remove", "update"];

/// The engine's answer is not what it answers to such a question: never the same as an empty one.
#[derive(Debug, thiserror::Error)]
#[error("the engine's answer is not the JSON that was expected")]
pub struct Unlike;

/// Which engine it is, from its answer.
///
/// # Errors
/// When that is not an object.
pub fn version(answer: &[u8]) -> Result<Value, Unlike> {
    picked(&VERSION, answer)
}

/// The list of containers, from the engine's answer.
///
/// # Errors
/// When that is not a list of objects.
pub fn containers(answer: &[u8]) -> Result<Value, Unlike> {
    picked(&CONTAINERS, answer)
}

/// One container, from the engine's answer.
///
/// # Errors
/// When that is not an object.
pub fn container(answer: &[u8]) -> Result<Value, Unlike> {
    picked(&CONTAINER, answer)
}

/// One event, from the engine's line; `None` for one that is not told.
///
/// # Errors
/// When the line is not an object.
pub fn event(line: &[u8]) -> Result<Option<Value>, Unlike> {
    let event = picked(&EVENT, line)?;
    let text = |field: &str| event[field].as_str().unwrap_or_default();
    let told = match text("Type") {
        "container" => CONTAINER_ACTIONS.contains(&text("Action")) || is_health(text("Action")),
        "network" => NETWORK_ACTIONS.contains(&text("Action")),
        _ => false,
    };
    Ok(told.then_some(event))
}

/// `health_status: healthy`, or the word alone as Podman says it.
fn is_health(action: &str) -> bool {
    action.strip_prefix("health_status").is_some_and(|rest| matches!(rest, "" | ": healthy" | ": unhealthy" | ": starting"))
}

fn picked(shape: &Shape, answer: &[u8]) -> Result<Value, Unlike> {
    serde_json::from_slice(answer).ok().and_then(|answer| shape.pick(answer)).ok_or(Unlike)
}

#[cfg(test)]
mod tests;
