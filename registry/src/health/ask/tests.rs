use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use config::filter::Line;
use config::object::{HttpCheck, Probe};
use hyper::body::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::super::{PodName, Subject};
use super::*;

/// Asks `address` for this.
async fn asked(address: SocketAddr, check: Check, timeout_s: u32) -> Result<(), Failure> {
    let probe = Probe { container: "c".into(), check, initial_delay_s: 0, period_s: 1, timeout_s, successes: 1, failures: 1 };
    let subject = Subject { met: 1, ip: address.ip(), probes: vec![probe].into(), ready: false, at_once: false };
    let pod = PodName { namespace: "a".into(), name: "b".into() };
    ask(&Job { pod, subject: Arc::new(subject), at: 0, began: Duration::ZERO }).await
}

fn get(address: SocketAddr, path: &str) -> HttpCheck {
    HttpCheck { tls: false, port: address.port(), host: None, path: path.into(), fields: [].into() }
}

/// Answers each connection's request by its path, and then closes; counts them and keeps the last head.
struct Server {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    last: Arc<std::sync::Mutex<String>>,
}

impl Server {
    async fn start(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, last) = (Arc::<AtomicUsize>::default(), Arc::<std::sync::Mutex<String>>::default());
        let (count, keep) = (requests.clone(), last.clone());
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.is_ok_and(|read| read > 0) {}
                let head = String::from_utf8(head).unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                *keep.lock().unwrap() = head;
                let _ = stream.write_all(&answer(&path)).await;
            }
        });
        Server { address, requests, last }
    }

    async fn get(&self, path: &str) -> Result<(), Failure> {
        asked(self.address, Check::Http(get(self.address, path)), 5).await
    }
}

fn status(status: u16) -> Vec<u8> {
    format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

fn redirect(to: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 x\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn statuses_from_200_to_399_are_good() {
    let server = Server::start(|path| status(path[1..].parse().unwrap())).await;
    for good in [200, 204, 299, 304, 399] {
        assert_eq!(server.get(&format!("/{good}")).await, Ok(()), "{good}");
    }
    for bad in [400, 404, 500, 503] {
        assert_eq!(server.get(&format!("/{bad}")).await, Err(Failure::Status(bad)));
    }
}

#[tokio::test]
async fn what_is_sent_is_a_get_with_the_fields_of_the_probe() {
    let server = Server::start(|_| status(200)).await;
    server.get("/ready?full=1").await.unwrap();
    let head = server.last.lock().unwrap().to_ascii_lowercase();
    assert!(head.starts_with("get /ready?full=1 http/1.1\r\n"), "{head}");
    for line in [format!("host: {}", server.address), "connection: close".into(), "accept: */*".into(), format!("user-agent: {USER_AGENT}")]
    {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} is not in\n{head}");
    }
    let line = |name: &str, value: &str| Line { name: name.into(), value: value.into() };
    let fields = [line("Host", "shop.example"), line("User-Agent", "me"), line("X-A", "1"), line("X-A", "2"), line("Content-Length", "9")];
    let check = HttpCheck { fields: fields.into(), ..get(server.address, "/") };
    assert_eq!(asked(server.address, Check::Http(check), 5).await, Ok(()));
    let head = server.last.lock().unwrap().to_ascii_lowercase();
    for line in ["host: shop.example", "user-agent: me", "x-a: 1", "x-a: 2"] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} is not in\n{head}");
    }
    assert!(!head.contains("content-length") && head.matches("\r\nhost:").count() == 1, "{head}");
}

#[tokio::test]
async fn redirects_are_followed_where_the_probe_was_sent_and_nowhere_else() {
    let elsewhere = Server::start(|_| status(500)).await;
    let other = elsewhere.address;
    let server = Server::start(move |path| match path {
        "/a/first" => redirect("second?x=1"),
        "/a/second?x=1" => redirect("/third"),
        "/third" => status(503),
        "/loop" => redirect("/loop"),
        "/port" => redirect(&format!("http://{other}/")),
        "/scheme" => redirect("https://127.0.0.1/"),
        "/host" => redirect("http://metadata.example/secret"),
        "/short" => redirect("//metadata.example/secret"),
        "/none" => b"HTTP/1.1 302 x\r\nContent-Length: 0\r\n\r\n".to_vec(),
        _ => status(404),
    })
    .await;
    assert_eq!(server.get("/a/first").await, Err(Failure::Status(503)), "the end of the way counts");
    assert_eq!(server.requests.load(Ordering::SeqCst), 3);
    assert_eq!(server.get("/loop").await, Err(Failure::Redirects));
    assert_eq!(server.requests.load(Ordering::SeqCst), 3 + 11);
    for passes in ["/port", "/scheme", "/host", "/short", "/none"] {
        assert_eq!(server.get(passes).await, Ok(()), "{passes}");
    }
    assert_eq!(elsewhere.requests.load(Ordering::SeqCst), 0, "nobody else was asked");
    let to = Arc::<std::sync::Mutex<String>>::default();
    let now = to.clone();
    let absolute = Server::start(move |path| if path == "/" { redirect(&now.lock().unwrap()) } else { status(410) }).await;
    let check = Check::Http(HttpCheck { host: Some("Me.example".into()), ..get(absolute.address, "/") });
    for (port, said) in [(absolute.address.port(), Err(Failure::Status(410))), (80, Ok(()))] {
        *to.lock().unwrap() = format!("HTTP://me.example:{port}/gone");
        assert_eq!(asked(absolute.address, check.clone(), 5).await, said, "by its own name, at port {port}");
    }
}

#[tokio::test]
async fn an_answer_must_come_whole_up_to_a_bound() {
    let server = Server::start(|path| match path {
        "/cut" => b"HTTP/1.1 200 x\r\nContent-Length: 9\r\n\r\nabc".to_vec(),
        "/long" => [b"HTTP/1.1 200 x\r\nContent-Length: 99999999\r\n\r\n".to_vec(), vec![b'x'; MANY]].concat(),
        "/head" => [b"HTTP/1.1 200 x\r\nX: ".to_vec(), vec![b'x'; 1 << 20]].concat(),
        "/other" => b"220 mail ready\r\n".to_vec(),
        _ => Vec::new(),
    })
    .await;
    const MANY: usize = 64 * 1024;
    assert_eq!(server.get("/cut").await, Err(Failure::Cut));
    assert_eq!(server.get("/long").await, Ok(()), "nobody waits for all of a long one");
    assert_eq!(server.get("/head").await, Err(Failure::Protocol));
    assert_eq!(server.get("/other").await, Err(Failure::Protocol));
    assert_eq!(server.get("/nothing").await, Err(Failure::Cut));
}

#[tokio::test]
async fn a_stall_ends_with_the_timeout_wherever_it_is() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 200 x\r\nContent-Length: 9\r\n\r\n").await;
            held.push(stream);
        }
    });
    for check in [Check::Http(get(address, "/")), Check::Grpc { port: address.port(), service: "".into() }] {
        let said = asked(address, check.clone(), 1).await.unwrap_err();
        assert!(said == Failure::Timeout(1) || said == Failure::Protocol, "{check:?}: {said}");
    }
    assert_eq!(asked(address, Check::Tcp { port: address.port() }, 1).await, Ok(()));
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for check in [Check::Http(get(gone, "/")), Check::Grpc { port: gone.port(), service: "".into() }, Check::Tcp { port: gone.port() }] {
        assert_eq!(asked(gone, check, 1).await, Err(Failure::Refused));
    }
}

/// In TLS nobody is verified, and whoever does not speak it fails.
#[tokio::test]
async fn https_is_asked_whoever_is_there() {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["expired.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.is_ok_and(|read| read > 0) {}
            let answer = if head.starts_with(b"GET /good ") { status(200) } else { status(503) };
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
        }
    });
    let check = |path| Check::Http(HttpCheck { tls: true, ..get(address, path) });
    assert_eq!(asked(address, check("/good"), 5).await, Ok(()));
    assert_eq!(asked(address, check("/bad"), 5).await, Err(Failure::Status(503)));
    let plain = Server::start(|_| status(200)).await;
    let check = HttpCheck { tls: true, ..get(plain.address, "/") };
    assert!(asked(plain.address, Check::Http(check), 1).await.is_err());
}

/// A health service, by h2: answers with this status of the call and, where that is 0, this status of the service.
async fn health(call: &'static str, serving: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                    assert_eq!(request.headers()["te"], "trailers");
                    let fields = hyper::Response::builder().header("content-type", "application/grpc");
                    if call != "0" {
                        let _ = respond.send_response(fields.header("grpc-status", call).body(()).unwrap(), true);
                        continue;
                    }
                    let mut content = respond.send_response(fields.body(()).unwrap(), false).unwrap();
                    let _ = content.send_data(Bytes::from_static(serving), false);
                    let trailers = [(hyper::header::HeaderName::from_static("grpc-status"), hyper::header::HeaderValue::from_static("0"))];
                    let _ = content.send_trailers(trailers.into_iter().collect());
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_health_service_must_say_serving() {
    let ask = async |call, serving| {
        let address = health(call, serving).await;
        asked(address, Check::Grpc { port: address.port(), service: "shop".into() }, 5).await
    };
    assert_eq!(ask("0", b"\0\0\0\0\x02\x08\x01").await, Ok(()));
    assert_eq!(ask("0", b"\0\0\0\0\x02\x08\x02").await, Err(Failure::Serving(2)));
    assert_eq!(ask("0", b"\0\0\0\0\0").await, Err(Failure::Serving(0)));
    assert_eq!(ask("12", b"").await, Err(Failure::Call(12)));
    assert_eq!(ask("0", &[b'x'; 2000]).await, Err(Failure::Protocol));
    let http1 = Server::start(|_| status(200)).await;
    let said = asked(http1.address, Check::Grpc { port: http1.address.port(), service: "".into() }, 1).await;
    assert!(matches!(said, Err(Failure::Protocol | Failure::Cut | Failure::Timeout(_))), "{said:?}");
}
