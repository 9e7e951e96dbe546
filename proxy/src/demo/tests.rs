use super::*;

#[test]
fn the_operators_file_is_read_without_a_complaint() {
    let text = include_str!("site.yaml").replace("HTTP_PORT", "8080").replace("LINES_PORT", "5432");
    let manifest = config::manifest::parse(text.as_bytes());
    assert_eq!(manifest.problems, []);
    assert_eq!(manifest.objects.len(), 8);
}

/// The whole demo, short: the verdict must be good.
#[test]
fn a_short_run_has_a_good_verdict() {
    let verdict = play(&DemoArgs { seconds: 4, forever: false }, &Screen::hidden()).expect("the demo runs");
    assert!(verdict.good(), "{verdict:#?}");
}

mod replicas {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::super::replica::{End, Protocol, Replica};

    fn start(protocol: Protocol) -> Replica {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Replica::start("shop-1".to_owned(), "shop", protocol, listener).expect("it starts")
    }

    fn ask(replica: &Replica, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(replica.address).expect("it listens");
        stream.write_all(request.as_bytes()).expect("it is sent");
        stream
    }

    async fn read(mut stream: TcpStream) -> std::io::Result<String> {
        let read = move || {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer)
        };
        tokio::task::spawn_blocking(read).await.expect("it does not panic")
    }

    #[tokio::test]
    async fn one_that_finishes_serves_even_what_it_has_not_accepted_yet() {
        let replica = start(Protocol::Http);
        let stream = ask(&replica, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); // nothing was polled yet: it waits in the queue
        let (_, answer) = tokio::join!(replica.end(End::Finish), read(stream));
        assert!(answer.expect("no reset").ends_with("shop from shop-1\n"));
    }

    #[tokio::test]
    async fn one_that_dies_resets_and_answers_nothing() {
        let replica = start(Protocol::Http);
        let stream = ask(&replica, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let address = replica.address;
        tokio::task::yield_now().await;
        let (_, answer) = tokio::join!(replica.end(End::Reset), read(stream));
        assert_eq!(answer.expect_err("a reset").kind(), std::io::ErrorKind::ConnectionReset);
        assert!(TcpStream::connect(address).is_err(), "nobody listens");
    }

    #[tokio::test]
    async fn the_database_tells_its_secret_by_line_and_by_http() {
        let replica = start(Protocol::Lines);
        for request in ["hello\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"] {
            let stream = ask(&replica, request);
            stream.shutdown(std::net::Shutdown::Write).expect("half of it closes");
            let answer = read(stream).await.expect("an answer");
            assert!(answer.contains(super::SECRET), "{request:?}: {answer:?}");
        }
    }
}
