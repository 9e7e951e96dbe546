use std::fs;
use std::path::Path;

use config::object::ServiceKey;
use tokio::time::timeout;

use super::*;
use crate::view::{EndpointView, ServiceView};

const LONG: Duration = Duration::from_secs(10);

fn settings(dir: &Path) -> Settings {
    Settings { manifests: vec![dir.join("m")], state_dir: Some(dir.join("state")), workers: 2, ..Settings::default() }
}

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("m")).unwrap();
    dir
}

/// Puts a file in place in one step.
fn put(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join(name), text).unwrap();
    fs::rename(dir.join(name), dir.join("m").join(name)).unwrap();
}

fn service(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{selector: {{app: {name}}}, ports: [{{port: 80, targetPort: 8080}}]}}\n"
    )
}

fn pod(name: &str, app: &str, ip: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {app}}}}}\nspec: {{containers: [{{name: c, image: i}}]}}\nstatus: {{podIP: {ip}}}\n"
    )
}

async fn until(started: &mut Started, mut test: impl FnMut(&Snapshot) -> bool) -> Arc<Snapshot> {
    let found = timeout(LONG, started.snapshots.wait_for(|snapshot| test(snapshot))).await;
    found.expect("a snapshot in time").expect("the actor runs").clone()
}

/// Addresses of a service's endpoints on the internal plane.
fn endpoints(snapshot: &Snapshot, name: &str) -> Vec<String> {
    let key = ServiceKey { namespace: "default".into(), name: name.into() };
    let services = snapshot.internal.services.iter().filter(|service| service.name.service == key);
    services.flat_map(|service| &service.endpoints).map(|endpoint| endpoint.replica.address.to_string()).collect()
}

async fn view<T: serde::de::DeserializeOwned>(started: &Started, topic: Topic) -> Vec<T> {
    let (reply, answer) = oneshot::channel();
    started.asks.send(Ask::View(topic, reply)).await.unwrap();
    serde_json::from_value(answer.await.unwrap()).unwrap()
}

async fn ready(started: &Started) -> bool {
    let (reply, answer) = oneshot::channel();
    started.asks.send(Ask::Ready(reply)).await.unwrap();
    answer.await.unwrap()
}

/// Starts on a state directory that an actor which was just dropped may hold for a moment more.
async fn restart(settings: &Settings) -> Started {
    let began = Instant::now();
    loop {
        match start(settings, None, OwnAddresses::default()) {
            Ok(started) => return started,
            Err(problem) if began.elapsed() > LONG => panic!("{problem}"),
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn an_edit_of_the_folder_becomes_a_snapshot() {
    let dir = folder();
    put(dir.path(), "web.yaml", &service("web"));
    put(dir.path(), "pod.yaml", &pod("web-1", "web", "127.0.1.1"));
    let mut on = start(&settings(dir.path()), None, OwnAddresses::default()).unwrap();
    let first = until(&mut on, |snapshot| snapshot.version > 0).await;
    assert_eq!(first.version, 1);
    assert_eq!(endpoints(&first, "web"), ["127.0.1.1:8080"], "the first picture is whole");
    assert!(ready(&on).await);
    put(dir.path(), "pod.yaml", &pod("web-1", "web", "127.0.1.2"));
    // Pictures may come for other reasons, too; what none may show is a folder in the middle of an edit.
    let mut between = Vec::new();
    until(&mut on, |snapshot| {
        between.push(endpoints(snapshot, "web"));
        between.last().is_some_and(|now| now == &["127.0.1.2:8080"])
    })
    .await;
    assert!(between.iter().all(|seen| seen.len() == 1), "one edit is one step: {between:?}");
    put(dir.path(), "pod.yaml", "apiVersion: v1\nkind: [");
    put(dir.path(), "more.yaml", &service("more"));
    let third = until(&mut on, |snapshot| snapshot.internal.services.len() == 2).await;
    assert_eq!(endpoints(&third, "web"), ["127.0.1.2:8080"], "a broken file keeps its last good objects");
    let problems: Vec<serde_json::Value> = view(&on, Topic::Problems).await;
    assert!(problems.iter().any(|problem| problem["file"].as_str().is_some_and(|file| file.ends_with("pod.yaml"))), "{problems:?}");
}

#[tokio::test]
async fn nothing_is_published_before_every_source_has_spoken() {
    let dir = tempfile::tempdir().unwrap();
    let mut on = start(&settings(dir.path()), None, OwnAddresses::default()).unwrap();
    assert!(!ready(&on).await);
    assert_eq!(on.snapshots.borrow_and_update().version, 0);
    fs::create_dir(dir.path().join("made")).unwrap();
    fs::write(dir.path().join("made/web.yaml"), service("web")).unwrap();
    fs::rename(dir.path().join("made"), dir.path().join("m")).unwrap();
    let first = until(&mut on, |snapshot| snapshot.version > 0).await;
    assert_eq!(first.internal.services.len(), 1);
    assert!(ready(&on).await);
}

#[tokio::test]
async fn without_any_source_it_is_ready_at_once() {
    let on = start(&Settings { workers: 1, ..Settings::default() }, None, OwnAddresses::default()).unwrap();
    assert!(ready(&on).await);
}

#[tokio::test]
async fn an_endpoint_drains_until_every_worker_has_acknowledged() {
    let dir = folder();
    put(dir.path(), "web.yaml", &service("web"));
    put(dir.path(), "pod.yaml", &pod("web-1", "web", "127.0.1.1"));
    let mut on = start(&settings(dir.path()), None, OwnAddresses::default()).unwrap();
    until(&mut on, |snapshot| !endpoints(snapshot, "web").is_empty()).await;
    fs::remove_file(dir.path().join("m/pod.yaml")).unwrap();
    let version = until(&mut on, |snapshot| snapshot.version > 1 && endpoints(snapshot, "web").is_empty()).await.version;
    let draining = |rows: &[EndpointView]| rows.iter().filter(|row| row.state == "Draining").count();
    assert_eq!(draining(&view(&on, Topic::Endpoints).await), 1);
    on.reports.send(Report::Acknowledged { worker: 0, version }).unwrap();
    assert_eq!(draining(&view(&on, Topic::Endpoints).await), 1, "one worker may use it still");
    on.reports.send(Report::Acknowledged { worker: 1, version }).unwrap();
    let gone = async {
        while draining(&view(&on, Topic::Endpoints).await) > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, gone).await.expect("it is gone when both have acknowledged");
}

#[tokio::test]
async fn addresses_and_last_good_objects_survive_a_restart() {
    let dir = folder();
    for name in ["web", "db", "api"] {
        put(dir.path(), &format!("{name}.yaml"), &service(name));
    }
    let settings = settings(dir.path());
    let vips = async |on: &Started| -> Vec<_> {
        let rows: Vec<ServiceView> = view(on, Topic::Services).await;
        rows.into_iter().map(|row| (row.name, row.vip.unwrap())).collect()
    };
    let mut on = start(&settings, None, OwnAddresses::default()).unwrap();
    until(&mut on, |snapshot| snapshot.version > 0).await;
    let before = vips(&on).await;
    assert_eq!(before.len(), 3);
    drop(on);
    // Another order of arrival, and a file that broke while nobody looked.
    put(dir.path(), "aa.yaml", &service("aa"));
    put(dir.path(), "db.yaml", "kind: [");
    let mut on = restart(&settings).await;
    until(&mut on, |snapshot| snapshot.version > 0).await;
    let after = vips(&on).await;
    assert_eq!(after.len(), 4);
    assert!(before.iter().all(|row| after.contains(row)), "{before:?} became {after:?}");
}

/// The runtime ends after it, and with it whatever is not written.
#[test]
fn told_to_end_it_writes_what_is_left() {
    let dir = folder();
    put(dir.path(), "web.yaml", &service("web"));
    let settings = settings(dir.path());
    let in_the_way = dir.path().join("state/vips.new");
    fs::create_dir_all(&in_the_way).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let kept = runtime.block_on(async {
        let mut on = start(&settings, None, OwnAddresses::default()).unwrap();
        until(&mut on, |snapshot| snapshot.version > 0).await;
        let failed = async { while view::<serde_json::Value>(&on, Topic::Problems).await.is_empty() {} };
        timeout(LONG, failed).await.expect("what is in the way is a problem");
        fs::remove_dir(&in_the_way).unwrap();
        assert!(on.ending.end(LONG).await);
        assert!(on.ending.end(LONG).await, "it has ended");
        on.snapshots.clone()
    });
    drop(runtime);
    assert_eq!(state::read_only(&dir.path().join("state")).grants.len(), 1);
    drop(kept); // a worker may hold pictures longer than the actor lives
}

#[tokio::test]
async fn one_state_directory_serves_one_process() {
    let dir = folder();
    let settings = settings(dir.path());
    let _on = start(&settings, None, OwnAddresses::default()).unwrap();
    let problem = start(&settings, None, OwnAddresses::default()).unwrap_err();
    assert_eq!(problem.reason, Reason::Conflict);
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_used_is_a_problem_and_serving_goes_on() {
    let dir = folder();
    fs::write(dir.path().join("state"), "").unwrap();
    put(dir.path(), "web.yaml", &service("web"));
    let mut on = start(&settings(dir.path()), None, OwnAddresses::default()).unwrap();
    until(&mut on, |snapshot| snapshot.internal.services.len() == 1).await;
    let problems: Vec<serde_json::Value> = view(&on, Topic::Problems).await;
    assert!(problems.iter().any(|problem| problem["file"].as_str().is_some_and(|file| file.ends_with("state"))), "{problems:?}");
}

#[test]
fn loopback_is_among_the_local_addresses() {
    assert!(local_addresses().iter().any(IpAddr::is_loopback));
}
