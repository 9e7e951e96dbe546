//! The source against an engine that answers by halves. What a real one does is in the end-to-end suite.

use std::path::PathBuf;

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
