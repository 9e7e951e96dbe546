//! Any bytes as a question to the Docker engine, and as its answer: one of five questions or none, and nothing told that is not in a table.
//!
//! The input's first line is a method, a space and a target; the rest is what the engine answers to each question.

use proxy::docker_proxy::answer;
use proxy::docker_proxy::question::{Question, parse};
use serde_json::Value;

use super::Target;

/// See the module.
pub const TARGET: Target = Target { name: "docker", run, seeds, words: WORDS };

/// Names of fields that hold secrets, none of which may be told outside of maps, whose keys are the operator's.
const UNTOLD: &[&str] =
    &["Env", "Cmd", "Args", "Path", "Command", "Entrypoint", "Mounts", "Binds", "Log", "Error", "Volumes", "LogPath", "GraphDriver"];
/// Maps: labels, networks by name, ports.
const MAPS: &[&str] = &["Labels", "Networks", "ExposedPorts"];

fn run(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |&byte| byte == b'\n');
    let (request, answer) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if let Some((method, target)) = std::str::from_utf8(request).ok().and_then(|request| request.split_once(' ')) {
        asked(method, target);
    }
    type Read = fn(&[u8]) -> Option<Value>;
    let reads: [Read; 4] = [
        |bytes| answer::version(bytes).ok(),
        |bytes| answer::containers(bytes).ok(),
        |bytes| answer::container(bytes).ok(),
        |bytes| answer::event(bytes).ok().flatten(),
    ];
    for read in reads {
        let Some(told) = read(answer) else { continue };
        assert_eq!(read(told.to_string().as_bytes()).as_ref(), Some(&told), "what is told is not what is told of it");
        no_secret(&told);
    }
}

/// A question is asked by one of five paths, and it is the same question again.
fn asked(method: &str, target: &str) {
    let Ok(question) = parse(method, target) else { return };
    assert!(method == "GET" || (method == "HEAD" && question == Question::Ping), "{method}");
    let anew = question.target();
    assert!(is_allowed(&anew), "{} became {anew}", target.escape_debug());
    assert_eq!(parse("GET", &anew), Ok(question), "{anew} is another question");
}

/// Whether this is a target that may be asked of the engine, by a reading of its own.
fn is_allowed(target: &str) -> bool {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let name = path.strip_prefix("/containers/").and_then(|rest| rest.strip_suffix("/json"));
    let keys: &[&str] = match path {
        "/_ping" | "/version" => &[],
        "/containers/json" => &["all", "filters"],
        "/events" => &["since", "until", "filters"],
        _ if name.is_some_and(is_name) => &[],
        _ => return false,
    };
    let value = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte));
    let pair = |pair: &str| pair.split_once('=').is_some_and(|(key, text)| keys.contains(&key) && value(text));
    query.is_empty() || query.split('&').all(pair)
}

/// The engine's own rule: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`.
fn is_name(text: &str) -> bool {
    let (first, rest) = text.split_at(usize::from(text.is_char_boundary(1)).min(text.len()));
    let letters = |text: &str, more: &[u8]| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte));
    !first.is_empty() && letters(first, b"") && letters(rest, b"_.-")
}

fn no_secret(told: &Value) {
    match told {
        Value::Array(values) => values.iter().for_each(no_secret),
        Value::Object(fields) => {
            for (name, value) in fields {
                assert!(!UNTOLD.contains(&name.as_str()), "{name} is told in {told}");
                match value {
                    Value::Object(entries) if MAPS.contains(&name.as_str()) => entries.values().for_each(no_secret),
                    value => no_secret(value),
                }
            }
        }
        _ => {}
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let (inspect, list) = (include_str!("../../docker_proxy/answers/inspect.json"), include_str!("../../docker_proxy/answers/list.json"));
    let one_line = |json: &str| serde_json::from_str::<Value>(json).map(|json| json.to_string()).unwrap_or_default();
    let events = include_str!("../../docker_proxy/answers/events.jsonl").lines();
    let answers = [one_line(inspect), one_line(list), include_str!("../../docker_proxy/answers/version.json").to_owned()];
    let requests = [
        "GET /_ping",
        "HEAD /v1.41/_ping",
        "GET /v1.24/version",
        "GET /containers/json?all=1&filters={\"label\":{\"a=b\":true},\"name\":{}}",
        "GET /v1.41/containers/json?all=true&size=false&filters=%7B%22label%22%3A%5B%22a%3Db+c%22%5D%7D",
        "GET /containers/shop-web-1/json?size=0",
        "GET /events?since=1700000000.5&until=1700000001&filters={\"type\":[\"container\"],\"event\":[\"die\"]}",
        "POST /v1.41/containers/create?name=x",
        "GET /v1.41/../containers/x/archive?path=/etc",
        "GET http://docker//containers/%2e%2e/json#x",
    ];
    let answers = answers.into_iter().chain(events.map(str::to_owned)).cycle();
    requests.iter().zip(answers).map(|(request, answer)| format!("{request}\n{answer}").into_bytes()).collect()
}

const WORDS: &[&[u8]] = &[
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"/v1.41",
    b"/_ping",
    b"/version",
    b"/containers/",
    b"/json",
    b"/containers/json",
    b"/events",
    b"/exec",
    b"/archive",
    b"/..",
    b"//",
    b"%2e",
    b"%2F",
    b"%00",
    b"?",
    b"&",
    b"all=1",
    b"size=0",
    b"since=1",
    b"until=1.5",
    b"filters=",
    b"{\"label\":[\"a\"]}",
    b"{\"type\":{\"container\":true}}",
    b"{\"volume\":[\"/\"]}",
    b"\"Env\":",
    b"\"Cmd\":",
    b"\"Labels\":",
    b"\"Config\":",
    b"\"Healthcheck\":{\"Test\":[\"CMD\"]}",
    b"\"exec_create: \"",
    b"null",
    b"[]",
    b"{}",
];
