//! Who is sent where by a cookie, and what they are told.

use config::annotations;
use registry::seed::Seed;

use super::super::hash::tests::{Request, called, service};
use super::*;

fn affinity(change_on_failure: bool) -> Affinity {
    let labels = [
        ("affinity", "cookie"),
        ("session-cookie-name", "sid"),
        ("session-cookie-change-on-failure", if change_on_failure { "true" } else { "false" }),
    ];
    let labels = labels.map(|(name, text)| (format!("tidegate.dev/{name}").into(), text.into()));
    annotations::read(&"a".into(), &labels.into_iter().collect()).filters.affinity.expect("it is asked for")
}

fn seeded(process: u32, numbers: std::ops::Range<u32>) -> Service {
    Service { seed: Seed::of_uid(&"0d6c4f0a-7a0e-4a3c-8a3b-0c5f6f1f2b11".into()), ..service(process, numbers) }
}

/// Where a request with this cookie goes, when whoever has none goes to the last; and what it is told.
fn ask(service: &Service, cookie: &str, avoid: &[EndpointId], change_on_failure: bool) -> (String, Option<String>) {
    let last = || service.endpoints.iter().rev().find(|endpoint| !avoid.contains(&endpoint.id));
    let fields = [("cookie", cookie)];
    let picked = pick(&affinity(change_on_failure), service, &Request("/", &fields), avoid, last);
    let (endpoint, mark) = picked.expect("one is left");
    (called(endpoint).to_string(), mark.map(|mark| format!("sid={mark:016x}")))
}

#[test]
fn a_client_is_told_once_and_then_goes_where_it_was() {
    let here = seeded(1, 0..4);
    let (home, told) = ask(&here, "", &[], false);
    let told = told.expect("it had none");
    assert_eq!((home.as_str(), told.len()), ("shop/web-3", 20));
    for cookie in [told.clone(), format!("a=b; {told}; c=d"), format!("sid=0000000000000000; {told}")] {
        assert_eq!(ask(&here, &cookie, &[], false), (home.clone(), None), "{cookie}");
    }
    let more = seeded(2, 0..9);
    assert_eq!(ask(&more, &told, &[], false), (home, None), "in another process, at another address, among more");
    let gone = seeded(2, 0..3);
    let (other, anew) = ask(&gone, &told, &[], false);
    assert!(other == "shop/web-2" && anew.is_some_and(|anew| anew != told), "its endpoint is gone: another cookie");
}

#[test]
fn what_is_no_mark_is_no_cookie() {
    let here = seeded(1, 0..4);
    let (_, told) = ask(&here, "", &[], false);
    let value = told.expect("it had none")[4..].to_owned();
    for wrong in [
        format!("sid={value}0"),
        format!("sid={}", &value[1..]),
        format!("sid=+{}", &value[1..]),
        format!("sid={}", value.to_uppercase() + "g"),
        format!("SID={value}"),
        "sid=".into(),
    ] {
        assert!(ask(&here, &wrong, &[], false).1.is_some(), "{wrong}");
    }
    let others = Service { seed: Seed::of_uid(&"another".into()), ..service(1, 0..4) };
    assert!(ask(&others, &format!("sid={value}"), &[], false).1.is_some(), "another Service's");
}

#[test]
fn an_endpoint_that_failed_for_one_request_keeps_its_client_unless_that_is_not_wanted() {
    let here = seeded(1, 0..4);
    let (home, told) = ask(&here, "", &[], false);
    let told = told.expect("it had none");
    let failed: Vec<EndpointId> = here.endpoints.iter().filter(|endpoint| *called(endpoint) == *home).map(|endpoint| endpoint.id).collect();
    assert_eq!(ask(&here, &told, &failed, false), ("shop/web-2".to_owned(), None));
    let (other, anew) = ask(&here, &told, &failed, true);
    assert!(other == "shop/web-2" && anew.is_some_and(|anew| anew != told));
    assert!(ask(&here, "", &failed, false).1.is_some(), "whoever had none is told where it got");
}
