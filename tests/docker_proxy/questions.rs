//! The five questions, asked by bollard and without it.

use std::collections::HashMap;

use bollard::errors::Error;
use bollard::models::{ContainerStateStatusEnum, HealthStatusEnum};
use bollard::query_parameters::{EventsOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder};
use futures_util::StreamExt;

use super::*;
use crate::engine::{INSPECT, LIST};

fn labels(value: &str) -> HashMap<&str, Vec<&str>> {
    HashMap::from([("label", vec![value])])
}

#[tokio::test]
async fn bollard_is_answered() {
    let (engine, guard) = both();
    let docker = guard.bollard();
    assert_eq!(docker.ping().await.expect("an answer"), "OK");
    assert_eq!(docker.version().await.expect("an answer").api_version.as_deref(), Some("1.41"));
    let options = ListContainersOptionsBuilder::default().all(true).filters(&labels("app=web app")).build();
    let list = docker.list_containers(Some(options)).await.expect("an answer");
    let networks = list[0].network_settings.clone().and_then(|settings| settings.networks).expect("networks");
    assert_eq!(networks["shop_default"].ip_address.as_deref(), Some("172.18.0.2"));
    assert_eq!(list[0].labels.as_ref().map(|labels| labels["app"].as_str()), Some("web"));
    let one = docker.inspect_container("shop-web-1", None::<InspectContainerOptions>).await.expect("an answer");
    let state = one.state.clone().expect("a state");
    assert_eq!(state.status, Some(ContainerStateStatusEnum::RUNNING));
    assert_eq!(state.health.and_then(|health| health.status), Some(HealthStatusEnum::HEALTHY));
    let config = one.config.clone().expect("a configuration");
    assert_eq!(config.exposed_ports, Some(vec!["8080/tcp".to_owned()]));
    assert!(!format!("{list:?} {one:?}").contains(SECRET), "{one:?}");
    // Versioned or not for the client, it is asked of the engine in the same words.
    let asked = [
        "GET /_ping",
        "GET /version",
        "GET /containers/json?all=true&filters=%7B%22label%22%3A%5B%22app%3Dweb%20app%22%5D%7D",
        "GET /containers/shop-web-1/json",
    ];
    assert_eq!(engine.targets(), asked);
}

#[tokio::test]
async fn bollard_may_settle_on_a_version_first() {
    let (engine, guard) = both();
    let docker = guard.bollard().negotiate_version().await.expect("an answer");
    assert_eq!(docker.client_version().to_string(), "1.41");
    assert_eq!(docker.list_containers(None).await.expect("an answer").len(), 1);
    assert_eq!(engine.targets(), ["GET /version", "GET /containers/json?all=false"]);
}

#[tokio::test]
async fn a_container_that_is_not_there_is_told_so_in_our_words() {
    let (_engine, guard) = both();
    let error = guard.bollard().inspect_container("nobody", None::<InspectContainerOptions>).await.expect_err("nobody");
    let Error::DockerResponseServerError { status_code, message } = error else { panic!("{error}") };
    assert_eq!((status_code, message.as_str()), (404, "No such container: nobody"));
}

#[tokio::test]
async fn what_is_newer_than_the_client_where_nobody_looks_costs_nothing() {
    let (_engine, guard) = both();
    let ask = async |docker: bollard::Docker| docker.inspect_container("newer", None::<InspectContainerOptions>).await;
    let straight = bollard::Docker::connect_with_unix(&guard.engine().display().to_string(), 20, bollard::API_DEFAULT_VERSION);
    let error = ask(straight.expect("its socket is there")).await.expect_err("bollard knows no such value");
    assert!(error.to_string().contains("newer"), "{error}");
    assert_eq!(ask(guard.bollard()).await.expect("an answer").name.as_deref(), Some("/shop-web-1"));
}

/// The fake's answers are a real engine's, but its manners are ours: a real one is asked where this machine has one.
#[tokio::test]
async fn a_real_engine_is_asked_where_there_is_one() {
    const REAL: &str = "/var/run/docker.sock";
    if std::os::unix::net::UnixStream::connect(REAL).is_err() {
        eprintln!("*** SKIPPED: no Docker engine answers at {REAL}. ***");
        return;
    }
    let home = tempfile::tempdir().expect("a temporary folder");
    std::os::unix::fs::symlink(REAL, home.path().join("engine.sock")).expect("the temporary folder can be written");
    let guard = Guard::start(home);
    let docker = guard.bollard().negotiate_version().await.expect("an answer");
    assert_eq!(docker.ping().await.expect("an answer"), "OK");
    let options = ListContainersOptionsBuilder::default().all(true).filters(&labels("tidegate.dev/nobody=has")).build();
    assert_eq!(docker.list_containers(Some(options)).await.expect("an answer"), []);
    let nobody = docker.inspect_container("tidegate-nobody", None::<InspectContainerOptions>).await;
    assert!(matches!(nobody, Err(Error::DockerResponseServerError { status_code: 404, .. })), "{nobody:?}");
    let past = EventsOptionsBuilder::default().since("1000000000").until("1000000001.5").filters(&labels("a")).build();
    assert!(docker.events(Some(past)).next().await.is_none(), "nothing happened then, and the stream ends");
}

#[test]
fn with_and_without_a_version() {
    let (_engine, guard) = both();
    for prefix in ["", "/v1.24", "/v1.41", "/v1.53"] {
        assert_eq!(guard.get(&format!("{prefix}/_ping")), (200, "OK".to_owned()));
        for target in ["/version", "/containers/json", "/containers/shop-web-1/json"] {
            let (status, body) = guard.get(&format!("{prefix}{target}"));
            assert_eq!(status, 200, "{prefix}{target}: {body}");
            assert!(!body.contains(SECRET), "{body}");
        }
    }
    assert!(INSPECT.contains(SECRET) && LIST.contains(SECRET), "the engine told secrets");
}

#[test]
fn a_ping_tells_the_version_of_the_api_to_clients_that_ask_for_no_body() {
    let (_engine, guard) = both();
    let answer = guard.exchange("HEAD /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n").to_lowercase();
    assert!(answer.starts_with("http/1.1 200") && answer.contains("\r\napi-version: 1.41\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "no body: {answer}");
    assert!(!answer.contains(SECRET), "{answer}");
}

#[test]
fn an_engine_that_answers_oddly_is_502_and_its_words_stay() {
    let (_engine, guard) = both();
    for name in ["broken", "list"] {
        let (status, body) = guard.get(&format!("/containers/{name}/json"));
        assert_eq!(status, 502, "{body}");
        assert!(body.starts_with("{\"message\":\"") && !body.contains(SECRET), "{body}");
    }
}

#[test]
fn no_secret_is_logged_however_much_is_logged() {
    let (_engine, guard) = both();
    for target in ["/containers/json?all=1", "/containers/shop-web-1/json", "/containers/broken/json"] {
        guard.get(target);
    }
    guard.await_logged("/containers/broken/json");
    assert!(!guard.log().contains(SECRET), "{}", guard.log());
}
