//! What leaves, out of answers of a real engine whose every secret holds one word.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// What no answer may hold.
const SECRET: &str = "hunter2";
const INSPECT: &str = include_str!("../../../../tests/docker_proxy/answers/inspect.json");
const LIST: &str = include_str!("../../../../tests/docker_proxy/answers/list.json");
const EVENTS: &str = include_str!("../../../../tests/docker_proxy/answers/events.jsonl");
const VERSION_TEXT: &str = include_str!("../../../../tests/docker_proxy/answers/version.json");

#[test]
fn an_inspected_container_tells_what_a_proxy_needs_and_nothing_secret() {
    assert!(INSPECT.matches(SECRET).count() >= 8, "environment, command, arguments, mounts, binds, hosts, health check and its log");
    let told = container(INSPECT.as_bytes()).expect("an answer");
    assert!(!told.to_string().contains(SECRET), "{told}");
    assert_eq!(
        told,
        json!({
            "Id": "5a1ef1911a6ac1a50912b24a35fee3aec62e9f846f7a6db368f4cba3530fdd9e",
            "Name": "/shop-web-1",
            "Created": "2026-11-27T00:55:49.454768186Z",
            "Image": "sha256:275740aad9b5c6d40b81d5f399877531c822d073d17a35d6af99fa4ca47cd1bd",
            "RestartCount": 0,
            "State": {
                "Status": "running", "Running": true, "Paused": false, "Restarting": false, "OOMKilled": false, "Dead": false,
                "Pid": 11702, "ExitCode": 0, "StartedAt": "2026-11-27T00:56:07.865450144Z", "FinishedAt": "0001-01-01T00:00:00Z",
                "Health": {"Status": "healthy", "FailingStreak": 0},
            },
            "Config": {
                "Hostname": "web", "Image": "web:1.0", "Labels": {"app": "web", "tidegate.dev/x": "y"}, "ExposedPorts": {"8080/tcp": {}},
                "StopSignal": "SIGTERM", "StopTimeout": 5, "Healthcheck": {"Test": ["CMD-SHELL"]},
            },
            "HostConfig": {"NetworkMode": "shop_default", "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}},
            "NetworkSettings": {"Networks": {"shop_default": {
                "IPAddress": "172.18.0.2", "GlobalIPv6Address": "",
                "NetworkID": "b5b193327b1a8b3de7dd9b47978b654ad1907739ca77cac1dd4bfa55c026841a", "Aliases": ["web", "5a1ef1911a6a"],
            }}, "Ports": {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "32769"}]}},
        })
    );
}

#[test]
fn a_list_tells_no_command_and_no_mount() {
    assert!(LIST.contains(SECRET));
    let told = containers(LIST.as_bytes()).expect("an answer");
    assert!(!told.to_string().contains(SECRET), "{told}");
    let fields: Vec<_> = told[0].as_object().expect("a container").keys().map(String::as_str).collect();
    assert_eq!(
        fields,
        ["Created", "HostConfig", "Id", "Image", "ImageID", "Labels", "Names", "NetworkSettings", "Ports", "State", "Status"]
    );
    assert_eq!(told[0]["NetworkSettings"]["Networks"]["shop_default"]["IPAddress"], "172.18.0.2");
    assert_eq!(told[0]["Ports"], json!([{"IP": "127.0.0.1", "PrivatePort": 8080, "PublicPort": 32769, "Type": "tcp"}]));
}

#[test]
fn events_of_exec_are_not_told_and_the_others_are() {
    assert!(EVENTS.contains(SECRET));
    let told: Vec<_> = EVENTS.lines().filter_map(|line| event(line.as_bytes()).expect("an event")).collect();
    assert!(!json!(told).to_string().contains(SECRET));
    let actions: Vec<_> = told.iter().map(|event| event["Action"].as_str().expect("an action")).collect();
    assert_eq!(actions, ["disconnect", "connect", "kill", "kill", "die"]);
    assert_eq!(
        told[2],
        json!({
            "Type": "container", "Action": "kill", "scope": "local", "time": 1_795_740_980, "timeNano": 1_795_740_980_501_408_110_i64,
            "Actor": {
                "ID": "5a1ef1911a6ac1a50912b24a35fee3aec62e9f846f7a6db368f4cba3530fdd9e",
                "Attributes": {"image": "web:1.0", "name": "shop-web-1", "signal": "1"},
            },
        })
    );
}

#[test]
fn an_event_of_another_type_or_action_is_not_told() {
    let told =
        |kind: &str, action: &str| event(json!({"Type": kind, "Action": action}).to_string().as_bytes()).expect("an event").is_some();
    for action in ["start", "die", "destroy", "rename", "health_status: healthy", "health_status: unhealthy", "health_status"] {
        assert!(told("container", action), "{action}");
    }
    for action in ["exec_create: sh", "exec_start", "exec_die", "health_status: hunter2", "attach", "archive-path", "start: hunter2", ""] {
        assert!(!told("container", action), "{action}");
    }
    assert!(told("network", "connect") && !told("network", "start") && !told("image", "pull") && !told("", "start"));
}

#[test]
fn a_version_tells_no_build() {
    let told = version(VERSION_TEXT.as_bytes()).expect("an answer");
    let expected = json!({
        "Platform": {"Name": ""}, "Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12", "Os": "linux", "Arch": "amd64",
    });
    assert_eq!(told, expected);
}

#[test]
fn an_answer_of_another_kind_is_an_error_and_never_an_empty_list() {
    for wrong in ["", "nonsense", "{}", "null", "\"x\"", "[{}", "[1]", "[{}, null]", r#"{"message": "x"}"#] {
        assert!(containers(wrong.as_bytes()).is_err(), "{wrong}");
    }
    assert_eq!(containers(b"[]").expect("an answer"), json!([]));
    for wrong in ["", "[]", "null", "1"] {
        assert!(container(wrong.as_bytes()).is_err() && version(wrong.as_bytes()).is_err() && event(wrong.as_bytes()).is_err(), "{wrong}");
    }
}

#[test]
fn a_secret_in_the_place_of_a_value_of_another_kind_stays() {
    let disguised = json!({
        "Id": {"hunter2": 1},
        "Name": ["hunter2"],
        "RestartCount": "hunter2",
        "State": {"Status": {"hunter2": "hunter2"}, "Running": "hunter2", "Health": ["hunter2"]},
        "Config": {"Labels": ["hunter2"], "ExposedPorts": {"80/tcp": {"hunter2": 1}}, "Healthcheck": {"Test": ["hunter2", "CMD"]}},
        "NetworkSettings": {"Networks": {"a": {"Aliases": ["b", {"hunter2": 1}], "MacAddress": "hunter2"}}},
    });
    let told = container(disguised.to_string().as_bytes()).expect("an answer");
    assert!(!told.to_string().contains(SECRET), "{told}");
}

/// Found by fuzzing: read again, such a number was another one.
#[test]
fn a_number_that_is_not_whole_is_not_told() {
    let created = |number: &str| containers(format!(r#"[{{"Created":{number}}}]"#).as_bytes()).expect("a list").to_string();
    let long = format!("17{}", "6".repeat(90));
    for number in [long.as_str(), "1.5", "1e300", "18446744073709551616"] {
        assert_eq!(created(number), "[{}]", "{number}");
    }
    for number in ["0", "-1", "18446744073709551615"] {
        assert_eq!(created(number), format!(r#"[{{"Created":{number}}}]"#));
    }
}

/// JSON of any form whose field names are those that answers have and some that they have not, and whose words are all secret.
fn secret_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(json!(SECRET)), Just(json!(null))];
    let name = prop::sample::select(vec![
        "Id",
        "State",
        "Config",
        "Env",
        "Cmd",
        "HostConfig",
        "Binds",
        "NetworkSettings",
        "Networks",
        "Health",
        "Log",
        "Actor",
        "Mounts",
    ]);
    leaf.prop_recursive(5, 64, 6, move |inner| {
        let fields = prop::collection::btree_map(name.clone().prop_map(str::to_owned), inner.clone(), 0..6);
        prop_oneof![prop::collection::vec(inner, 0..4).prop_map(Value::from), fields.prop_map(|fields| json!(fields))]
    })
}

proptest! {
    /// Where a table names text, text is told: so secrets are put everywhere but there.
    #[test]
    fn what_no_table_names_never_leaves(any in secret_json()) {
        let mut answer: Value = serde_json::from_str(INSPECT).expect("an answer");
        for path in ["/Args", "/Mounts", "/GraphDriver", "/HostConfig/Binds", "/State/Health/Log", "/State/Error", "/Config/Env", "/Config/Cmd",
            "/Config/Healthcheck/Test/1", "/Config/ExposedPorts/8080~1tcp", "/Path", "/LogPath", "/NetworkSettings/SandboxKey"] {
            *answer.pointer_mut(path).expect("a field of the answer") = any.clone();
        }
        let told = container(answer.to_string().as_bytes()).expect("an answer").to_string();
        prop_assert!(!told.contains(SECRET), "{}", told);
    }
}
