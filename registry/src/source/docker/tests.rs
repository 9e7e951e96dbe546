//! The source against an engine that answers by halves. What a real one does is in the end-to-end suite.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use config::object::Object;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::*;

/// Two containers.
const LIST: &str = r#"[{"Id":"aa","Names":["/a"],"State":"running"},{"Id":"bb","Names":["/b"],"State":"running"}]"#;

/// Answers at a socket in `folder`; never of container `bb`, and of nothing at all once it is asked for the list when it is not `alive`.
fn engine(folder: &tempfile::TempDir, alive: bool) -> PathBuf {
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            open.push(tokio::spawn(serve(connection, alive)));
        }
    });
    path
}

async fn serve(mut connection: UnixStream, alive: bool) {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = connection.read(&mut buffer).await {
        head.extend_from_slice(&buffer[..read]);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let asked = String::from_utf8(std::mem::take(&mut head)).unwrap();
        let body = match asked.split([' ', '?']).nth(1).unwrap() {
            "/containers/json" => LIST,
            "/containers/aa/json" => r#"{"Id":"aa","Name":"/a","State":{"Running":true,"StartedAt":"x"}}"#,
            "/_ping" if alive => "OK",
            _ => std::future::pending().await,
        };
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        if connection.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn follower(socket: PathBuf) -> Follower {
    let settings = settings::Docker { socket, ..settings::Docker::default() };
    Follower { one: Duration::from_millis(50), ..Follower::new(&settings) }
}

#[tokio::test]
async fn a_container_that_hangs_costs_itself_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut follower = follower(engine(&folder, true));
    follower.look_at_all().await.unwrap();
    let batch = follower.batch(true);
    let manifests: Vec<&Manifest> = batch
        .changes
        .iter()
        .filter_map(|change| if let Content::Manifest(manifest) = &change.content { Some(manifest) } else { None })
        .collect();
    assert!(
        manifests
            .iter()
            .flat_map(|manifest| &manifest.objects)
            .any(|object| matches!(object, Object::Pod(pod) if &*pod.meta.name == "a-aa"))
    );
    let told = manifests.iter().find(|manifest| manifest.broken).unwrap();
    assert!(told.problems[0].to_string().contains("container bb cannot be read: no answer came"), "{:?}", told.problems);
    let bb = ContainerSummary { id: Some("bb".to_owned()), ..ContainerSummary::default() };
    assert!(follower.differs(&bb), "it is asked again");
}

#[tokio::test]
async fn an_engine_that_hangs_is_silent() {
    let folder = tempfile::tempdir().unwrap();
    let mut follower = follower(engine(&folder, false));
    follower.patience_s = 1;
    let problem = follower.look_at_all().await.unwrap_err();
    assert!(problem.to_string().contains("it does not answer"), "{problem}");
}

/// What is asked of an engine of two containers, each time; and what happens, as its stream of events tells it.
async fn asked(mut connection: UnixStream, counts: Counts, happening: Arc<tokio::sync::Mutex<mpsc::Receiver<&'static str>>>) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = connection.read(&mut buffer).await {
        let head = String::from_utf8_lossy(&buffer[..read]).into_owned();
        let path = head.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
        *counts.lock().unwrap().entry(path.clone()).or_default() += 1;
        if path == "/events" {
            connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
            while let Some(event) = happening.lock().await.recv().await {
                let chunk = format!("{:x}\r\n{event}\r\n", event.len());
                connection.write_all(chunk.as_bytes()).await.unwrap();
            }
            return;
        }
        let body = match path.as_str() {
            "/containers/json" => LIST.to_owned(),
            _ => format!(r#"{{"Id":"{}","State":{{"Running":true,"StartedAt":"x"}}}}"#, path.split('/').nth(2).unwrap_or_default()),
        };
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        connection.write_all(answer.as_bytes()).await.unwrap();
    }
}

type Counts = Arc<Mutex<BTreeMap<String, u32>>>;

#[tokio::test]
async fn an_event_costs_one_look_at_one_container_and_what_says_nothing_costs_none() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    let counts = Counts::default();
    let (happens, happening) = mpsc::channel(4);
    let happening = Arc::new(tokio::sync::Mutex::new(happening));
    let counted = counts.clone();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(asked(connection, counted.clone(), happening.clone()));
        }
    });
    let (out, mut told) = mpsc::channel(4);
    let settings = settings::Docker { socket, ..settings::Docker::default() };
    tokio::spawn(watch(settings, out));
    assert!(matches!(told.recv().await, Some(Event::Batch(batch)) if batch.whole));
    let looks = |of: &str| counts.lock().unwrap().get(of).copied().unwrap_or_default();
    assert_eq!(["/containers/json", "/containers/aa/json", "/containers/bb/json"].map(looks), [1, 1, 1]);
    // A healthcheck's command, and then a restart of one of the two.
    happens.send("{\"Type\":\"container\",\"Action\":\"exec_start: x\",\"Actor\":{\"ID\":\"bb\"}}\n").await.unwrap();
    told.recv().await.unwrap();
    happens.send("{\"Type\":\"container\",\"Action\":\"die\",\"Actor\":{\"ID\":\"aa\"}}\n").await.unwrap();
    told.recv().await.unwrap();
    assert_eq!(["/containers/json", "/containers/aa/json", "/containers/bb/json"].map(looks), [1, 2, 1]);
}

#[test]
fn an_error_is_told_with_its_causes() {
    #[derive(Debug, thiserror::Error)]
    #[error("no connection")]
    struct Outer(#[source] std::io::Error);
    #[derive(Debug, thiserror::Error)]
    #[error("no list: {0}")]
    struct Quotes(#[source] Outer);
    let error = Quotes(Outer(std::io::Error::other("not allowed")));
    assert_eq!(whole(&error), "no list: no connection: not allowed");
}
