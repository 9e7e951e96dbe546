use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::*;
use crate::explain::worlds;

/// The admin server over a small picture, with a registry that answers every view with an empty list.
struct Served {
    address: SocketAddr,
    draining: watch::Sender<bool>,
    acks: Arc<[AtomicU64]>,
    /// The server ends when this does.
    _lives: oneshot::Sender<()>,
}

fn serve(build: fn(AdminState) -> axum::Router) -> Served {
    let (send, served) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (asks, asked) = mpsc::channel(4);
            tokio::spawn(answer(asked));
            let (_snapshots, seen) = watch::channel(Arc::new(worlds::shop()));
            let (draining, drains) = watch::channel(false);
            let acks: Arc<[AtomicU64]> = Arc::from([AtomicU64::new(0)]);
            let workers = vec![Arc::default()];
            let state = AdminState {
                asks,
                snapshots: seen,
                workers,
                acks: acks.clone(),
                draining: drains,
                started: Instant::now(),
                unbound: Arc::default(),
                dns: None,
            };
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let router = build(state);
            tokio::spawn(async move { axum::serve(listener, router).await });
            let (lives, ended) = oneshot::channel();
            send.send(Served { address, draining, acks, _lives: lives }).unwrap();
            let _ = ended.await;
        });
    });
    served.recv().unwrap()
}

async fn answer(mut asked: mpsc::Receiver<Ask>) {
    while let Some(ask) = asked.recv().await {
        match ask {
            Ask::View(_, answer) => drop(answer.send(Value::Array(Vec::new()))),
            Ask::Counts(answer) => drop(answer.send(Default::default())),
            Ask::Ready(answer) => drop(answer.send(true)),
        }
    }
}

fn ask(address: SocketAddr, head: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn status(address: SocketAddr, head: &str) -> u16 {
    ask(address, head).split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn it_is_ready_between_the_first_picture_and_the_drain() {
    let served = serve(router);
    let ready = || status(served.address, "GET /readyz HTTP/1.1\r\nHost: 127.0.0.1");
    assert_eq!(ready(), 503, "no worker runs a picture yet");
    served.acks[0].store(1, Relaxed);
    assert_eq!(ready(), 200);
    served.draining.send_replace(true);
    assert_eq!(ready(), 503);
    assert_eq!(status(served.address, "GET /healthz HTTP/1.1\r\nHost: [::1]:9901"), 200);
}

#[test]
fn names_and_writers_are_refused() {
    let served = serve(router);
    for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "a..b", "2130706433"] {
        assert_eq!(status(served.address, &format!("GET /api/v1/services HTTP/1.1\r\nHost: {host}")), 403, "{host}");
    }
    assert_eq!(status(served.address, "GET http://evil.example/metrics HTTP/1.1\r\nHost: 127.0.0.1"), 403);
    assert_eq!(status(served.address, "GET /api/v1/services HTTP/1.1\r\nHost: LocalHost:1"), 200);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        assert_eq!(status(served.address, &format!("{method} /healthz HTTP/1.1\r\nHost: 127.0.0.1")), 405, "{method}");
    }
}

#[test]
fn the_metrics_listener_answers_by_any_name_and_shows_nothing_else() {
    let served = serve(metrics_router);
    let text = ask(served.address, "GET /metrics HTTP/1.1\r\nHost: tidegate.monitoring");
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("tidegate_snapshot_version 1"), "{text}");
    assert_eq!(status(served.address, "GET /api/v1/services HTTP/1.1\r\nHost: 127.0.0.1"), 404);
}

#[test]
fn explain_answers_over_http_what_it_answers_in_process() {
    let served = serve(router);
    let answer = ask(served.address, "GET /api/v1/explain?url=http%3A%2F%2Fdb.example%2F&from=external HTTP/1.1\r\nHost: 127.0.0.1");
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    let said: crate::explain::Explanation = serde_json::from_str(body).unwrap();
    assert_eq!((said.status, said.reason.as_deref()), (Some(404), Some("no-route")));
    let question = Question::new("http://db.example/", config::exposure::Exposure::External, "GET", &[]).unwrap();
    assert_eq!(said, explain(&worlds::shop(), &[], &question));
    for wrong in ["url=http://a/&from=outside", "url=ftp://a/", "from=external"] {
        assert_eq!(status(served.address, &format!("GET /api/v1/explain?{wrong} HTTP/1.1\r\nHost: 127.0.0.1")), 400, "{wrong}");
    }
}
