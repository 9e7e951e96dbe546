//! What becomes a question, and that nothing else does.

use proptest::prelude::*;

use super::*;

fn get(target: &str) -> Result<Question, Refusal> {
    parse("GET", target)
}

/// The target of the question that is asked of the engine.
fn asked(target: &str) -> String {
    get(target).unwrap_or_else(|refusal| panic!("{target}: {refusal}")).target()
}

const BOTH_TYPES: &str = "filters=%7B%22type%22%3A%5B%22container%22%2C%22network%22%5D%7D";

#[test]
fn the_five_questions_with_and_without_a_version() {
    for prefix in ["", "/v1.24", "/v1.41", "/v1.53", "/v2.0", "/v10.999"] {
        let asked = |target: &str| asked(&format!("{prefix}{target}"));
        assert_eq!(asked("/_ping"), "/_ping");
        assert_eq!(asked("/version"), "/version");
        assert_eq!(asked("/version?"), "/version");
        assert_eq!(asked("/containers/json"), "/containers/json?all=false");
        assert_eq!(asked("/containers/web-1.a_B/json"), "/containers/web-1.a_B/json");
        assert_eq!(asked("/events"), format!("/events?{BOTH_TYPES}"));
        assert_eq!(parse("HEAD", &format!("{prefix}/_ping")), Ok(Question::Ping));
    }
}

#[test]
fn clients_may_spell_a_question_as_they_do() {
    // bollard, the command line's client, and the older form of filters that the latter sends.
    assert_eq!(asked("/containers/json?all=true&size=false"), "/containers/json?all=true");
    assert_eq!(asked("/containers/json?all=1&size=0&filters="), "/containers/json?all=true");
    let label = "/containers/json?all=true&filters=%7B%22label%22%3A%5B%22a%3Db%20c%22%5D%7D";
    assert_eq!(asked("/containers/json?all=1&filters=%7B%22label%22%3A%5B%22a%3Db+c%22%5D%7D"), label);
    assert_eq!(asked("/containers/json?filters=%7B%22label%22%3A%7B%22a%3Db+c%22%3Atrue%7D%7D&all=1"), label);
    assert_eq!(asked(r#"/containers/json?filters={"label":["a=b%20c"],"name":[]}&all=1"#), label);
    assert_eq!(asked("/containers/x/json?size=false"), "/containers/x/json");
    assert_eq!(asked("/events?since=1700000000&until=1700000001.5"), format!("/events?since=1700000000&until=1700000001.5&{BOTH_TYPES}"));
    assert_eq!(
        asked(r#"/events?filters={"type":["container"],"event":["die"]}"#),
        "/events?filters=%7B%22event%22%3A%5B%22die%22%5D%2C%22type%22%3A%5B%22container%22%5D%7D"
    );
}

#[test]
fn what_changes_something_or_tells_more_is_refused() {
    for (method, target) in [
        ("POST", "/containers/create"),
        ("POST", "/v1.41/containers/create?name=x"),
        ("POST", "/containers/json"),
        ("POST", "/_ping"),
        ("POST", "/containers/x/exec"),
        ("POST", "/containers/x/start"),
        ("POST", "/exec/x/start"),
        ("POST", "/build"),
        ("POST", "/images/create?fromImage=x"),
        ("POST", "/containers/prune"),
        ("POST", "/grpc"),
        ("POST", "/session"),
        ("PUT", "/containers/x/archive?path=/etc"),
        ("DELETE", "/containers/x"),
        ("DELETE", "/containers/x/json"),
        ("HEAD", "/containers/json"),
        ("HEAD", "/containers/x/archive?path=/etc"),
        ("OPTIONS", "/_ping"),
        ("OPTIONS", "*"),
        ("TRACE", "/_ping"),
        ("PATCH", "/containers/x/json"),
        ("get", "/_ping"),
        ("GET ", "/_ping"),
        ("", "/_ping"),
    ] {
        assert_eq!(parse(method, target), Err(Refusal::Method), "{method} {target}");
    }
    for target in [
        "/containers/x/archive?path=/etc",
        "/containers/x/logs?stdout=1",
        "/containers/x/attach/ws",
        "/containers/x/export",
        "/containers/x/top",
        "/containers/x/stats",
        "/containers/x/changes",
        "/containers/x",
        "/containers/",
        "/containers",
        "/exec/x/json",
        "/images/json",
        "/images/x/json",
        "/networks",
        "/volumes",
        "/secrets",
        "/configs",
        "/swarm",
        "/swarm/unlockkey",
        "/nodes",
        "/services",
        "/tasks",
        "/plugins",
        "/info",
        "/system/df",
        "/distribution/x/json",
        "/",
    ] {
        assert_eq!(get(target), Err(Refusal::Path), "{target}");
        assert_eq!(get(&format!("/v1.41{target}")), Err(Refusal::Path), "{target} with a version");
    }
}

#[test]
fn a_path_is_never_put_straight() {
    for target in [
        "/v1.41/../containers/create",
        "/v1.41/../containers/json",
        "/v1.41/v1.41/containers/json",
        "/v1.41",
        "/v1.41/",
        "/v1/containers/json",
        "/v1./containers/json",
        "/v.41/containers/json",
        "/v1.4111/containers/json",
        "/v111.4/containers/json",
        "/v1.41x/containers/json",
        "/V1.41/containers/json",
        "/v1.41//containers/json",
        "//containers/json",
        "//_ping",
        "/containers//json",
        "/containers/json/",
        "/containers/json/../../exec",
        "/containers/../json",
        "/containers/./json",
        "/containers/../../secrets/json",
        "/containers/x/../y/json",
        "/containers/x//json",
        "/containers/x/json/json",
        "/containers/x/exec/json",
        "/containers/%2e%2e/json",
        "/containers/x%2f..%2fy/json",
        "/containers/%78/json",
        "/containers/x%00/json",
        "/%5fping",
        "/_ping/",
        "/_ping;a",
        "/_PING",
        "/containers/.x/json",
        "/containers/-x/json",
        "/containers/_x/json",
        "/containers/x y/json",
        "/containers/x\r\nHost: y/json",
        "/containers/x\\y/json",
        "/containers/é/json",
        "/containers/x#/json",
        "/containers/x@y/json",
        "/containers/x:y/json",
    ] {
        assert_eq!(get(target), Err(Refusal::Path), "{target}");
    }
    assert_eq!(get(&format!("/containers/{}/json", "x".repeat(256))), Err(Refusal::Path));
    for target in ["", "*", "_ping", "containers/json", "http://docker/_ping", "docker:80", "unix:///var/run/docker.sock", "?/_ping"] {
        assert_eq!(get(target), Err(Refusal::Form), "{target}");
    }
}

#[test]
fn queries_are_read_strictly() {
    for (target, refusal) in [
        ("/containers/x/json?size=1", Refusal::Size),
        ("/containers/x/json?size=true", Refusal::Size),
        ("/containers/json?size=1", Refusal::Size),
        ("/containers/json?size=yes", Refusal::Switch),
        ("/containers/json?all=2", Refusal::Switch),
        ("/containers/json?all=TRUE", Refusal::Switch),
        ("/containers/json?limit=1", Refusal::Parameter),
        ("/containers/json?ALL=1", Refusal::Parameter),
        ("/containers/json?%61ll=1", Refusal::Parameter),
        ("/containers/x/json?all=1", Refusal::Parameter),
        ("/_ping?x=", Refusal::Parameter),
        ("/version?all=1", Refusal::Parameter),
        ("/events?stream=1", Refusal::Parameter),
        ("/containers/json?all", Refusal::Query),
        ("/containers/json?all=1&", Refusal::Query),
        ("/containers/json?&all=1", Refusal::Query),
        ("/containers/json?all=1&all=1", Refusal::Query),
        ("/containers/json?all=1&all=", Refusal::Query),
        ("/containers/json?all=%3", Refusal::Query),
        ("/containers/json?all=%", Refusal::Query),
        ("/containers/json?all=%zz", Refusal::Query),
        ("/containers/json?all=%+1", Refusal::Query),
        ("/containers/json?filters=%ff", Refusal::Query),
        ("/containers/json?filters=x", Refusal::Filters),
        ("/containers/json?filters=[]", Refusal::Filters),
        ("/containers/json?filters={}x", Refusal::Filters),
        (r#"/containers/json?filters={"label":"a"}"#, Refusal::Filters),
        (r#"/containers/json?filters={"label":[1]}"#, Refusal::Filters),
        (r#"/containers/json?filters={"label":{"a":1}}"#, Refusal::Filters),
        (r#"/containers/json?filters={"label":{"a":false}}"#, Refusal::Filters),
        (r#"/containers/json?filters={"volume":["/etc"]}"#, Refusal::ListFilter),
        (r#"/containers/json?filters={"type":["container"]}"#, Refusal::ListFilter),
        (r#"/events?filters={"daemon":["x"]}"#, Refusal::EventFilter),
        (r#"/events?filters={"type":["image"]}"#, Refusal::EventType),
        (r#"/events?filters={"type":["container","secret"]}"#, Refusal::EventType),
        ("/events?since=now", Refusal::Moment),
        ("/events?since=-1", Refusal::Moment),
        ("/events?since=1.", Refusal::Moment),
        ("/events?since=.5", Refusal::Moment),
        ("/events?since=1e9", Refusal::Moment),
        ("/events?since=1.0000000000", Refusal::Moment),
        ("/events?until=1234567890123", Refusal::Moment),
        ("/events?until=1%00", Refusal::Moment),
    ] {
        assert_eq!(get(target), Err(refusal), "{target}");
        assert!(matches!(refusal.status(), 400 | 403));
    }
}

#[test]
fn a_refusal_says_what_is_allowed() {
    for refusal in [Refusal::Method, Refusal::Path, Refusal::Body] {
        assert!(refusal.to_string().contains("/containers/NAME/json"), "{refusal}");
    }
    assert!(Refusal::ListFilter.to_string().contains("health, id, label, name, network, status"), "{}", Refusal::ListFilter);
}

/// Whether this is a target that we write, by a reading of its own: the whole list, with names and encoded values as holes.
fn is_ours(target: &str) -> bool {
    let letters = |text: &str, more: &str| !text.is_empty() && text.chars().all(|at| at.is_ascii_alphanumeric() || more.contains(at));
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let keys: &[&str] = match path {
        "/_ping" | "/version" => &[],
        "/containers/json" => &["all", "filters"],
        "/events" => &["since", "until", "filters"],
        _ => {
            let name = path.strip_prefix("/containers/").and_then(|rest| rest.strip_suffix("/json"));
            return query.is_none() && name.is_some_and(|name| letters(name, "_.-") && letters(&name[..1], ""));
        }
    };
    let pair = |pair: &str| pair.split_once('=').is_some_and(|(key, value)| keys.contains(&key) && letters(value, "-._~%"));
    query.is_none_or(|query| query.split('&').all(pair))
}

/// Targets that are near to good ones: their pieces, in any order.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/",
        "//",
        "/v1.41",
        "/_ping",
        "/version",
        "/containers",
        "/json",
        "/x",
        "/..",
        "/.",
        "%2e",
        "%2F",
        "?",
        "&",
        "=",
        "all=1",
        "size=0",
        "filters=",
        "{\"label\":[\"a\"]}",
        "%7B%22type%22%3A%5B%22container%22%5D%7D",
        "/events",
        "since=1",
        "until=2.5",
        "/exec",
        "/create",
        "#",
        ";",
        "\\",
        "\0",
        "\r\n",
        " ",
        "http://a",
        "é",
    ]);
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn anything() -> impl Strategy<Value = String> {
    prop_oneof![pieces(), "\\PC*", "/(v1\\.[0-9]{1,3}/)?(containers|events|_ping|version)(/[a-zA-Z0-9_.%-]*)?(/json)?(\\?[a-z0-9=&%{}]*)?"]
}

proptest! {
    #[test]
    fn nothing_else_becomes_a_question(method in prop_oneof![Just("GET".to_owned()), Just("HEAD".to_owned()), "[A-Z]{1,7}"], target in anything()) {
        if let Ok(question) = parse(&method, &target) {
            prop_assert!(method == "GET" || (method == "HEAD" && question == Question::Ping));
            let anew = question.target();
            prop_assert!(is_ours(&anew), "{target} became {anew}");
            prop_assert_eq!(get(&anew), Ok(question), "{} is another question", anew);
        }
    }

    #[test]
    fn any_filter_reaches_the_engine_as_it_was_meant(values in prop::collection::btree_set("\\PC{0,20}", 1..4), all: bool) {
        let question = Question::List { all, filters: Filters::of_list(&serde_json::json!({"label": values}).to_string()).unwrap() };
        let target = question.target();
        prop_assert!(is_ours(&target), "{}", target);
        prop_assert_eq!(get(&target), Ok(question));
        let (_, json) = target.split_once("filters=").unwrap();
        let json = json.split('%').enumerate().fold(Vec::new(), |mut bytes, (at, part)| {
            let skip = if at == 0 { 0 } else { bytes.push(u8::from_str_radix(&part[..2], 16).unwrap()); 2 };
            bytes.extend_from_slice(&part.as_bytes()[skip..]);
            bytes
        });
        prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&json).unwrap(), serde_json::json!({"label": values}));
    }

    #[test]
    fn a_name_is_what_the_engine_calls_one(text in prop_oneof!["[a-zA-Z0-9_.-]{0,300}", "\\PC{0,8}"]) {
        let first = text.chars().next().is_some_and(|at| at.is_ascii_alphanumeric());
        let good = first && text.len() <= 255 && text.chars().all(|at| at.is_ascii_alphanumeric() || at == '_' || at == '.' || at == '-');
        prop_assert_eq!(Name::parse(&text).is_some(), good);
    }
}
