use config::exposure::Exposure;
use config::object::{Protocol, ServiceKey};
use proptest::prelude::*;
use registry::snapshot::PortName;

use super::*;
use crate::reason::Reason;

fn service() -> PortName {
    PortName { service: ServiceKey { namespace: "shop".into(), name: "web".into() }, port: 80, protocol: Protocol::Tcp }
}

fn line<'a>(path: &'a [u8], service: Option<&'a PortName>) -> AccessLine<'a> {
    AccessLine {
        exposure: Exposure::External,
        client: b"192.0.2.7",
        method: b"GET",
        host: b"shop.localhost",
        path,
        status: 200,
        bytes: 512,
        duration_us: 1_250,
        service,
        endpoint: Some(([127, 0, 1, 1], 8080).into()),
        attempts: 1,
        request_id: b"abc",
        reason: None,
        note: None,
    }
}

fn formatted(line: &AccessLine<'_>, format: LogFormat) -> String {
    let mut out = Vec::new();
    line::write(line, b"2026-01-31T23:59:58.001Z", format, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_line_of_text_has_every_key_in_order() {
    let service = service();
    assert_eq!(
        formatted(&line(b"/cart", Some(&service)), LogFormat::Text),
        "time=2026-01-31T23:59:58.001Z exposure=external client=192.0.2.7 method=GET host=shop.localhost path=/cart status=200 bytes=512 \
         duration_ms=1.250 service=shop/web:80 endpoint=127.0.1.1:8080 attempts=1 request_id=abc reason=- note=-\n"
    );
}

#[test]
fn a_refusal_says_its_reason_and_note() {
    let refused = AccessLine {
        status: 404,
        reason: Some(Reason::NoRoute),
        note: Some("not-exposed: Service data/db is sealed"),
        endpoint: None,
        ..line(b"/", None)
    };
    let text = formatted(&refused, LogFormat::Text);
    assert!(
        text.contains("service=- endpoint=- ") && text.ends_with(" reason=no-route note=\"not-exposed: Service data/db is sealed\"\n"),
        "{text}"
    );
    let json: serde_json::Value = serde_json::from_str(&formatted(&refused, LogFormat::Json)).unwrap();
    assert_eq!((&json["status"], &json["reason"], &json["service"]), (&404.into(), &"no-route".into(), &serde_json::Value::Null));
}

#[test]
fn the_calendar_is_right() {
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00"),
        (951_782_399, "2000-02-28T23:59:59"),
        (951_782_400, "2000-02-29T00:00:00"),
        (4_107_542_400, "2100-03-01T00:00:00"),
        (1_798_761_599, "2026-12-31T23:59:59"),
    ] {
        assert_eq!(line::date_time(seconds), text);
    }
}

proptest! {
    #[test]
    fn no_client_writes_a_second_line(path in proptest::collection::vec(any::<u8>(), 1..60)) {
        let text = formatted(&line(&path, None), LogFormat::Text);
        prop_assert_eq!(text.bytes().filter(|&byte| byte == b'\n').count(), 1);
        prop_assert!(text.trim_end().bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        let json = formatted(&line(&path, None), LogFormat::Json);
        prop_assert_eq!(json.bytes().filter(|&byte| byte == b'\n').count(), 1);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        if let Ok(path) = std::str::from_utf8(&path) {
            prop_assert_eq!(json["path"].as_str(), Some(path));
        }
    }
}

#[test]
fn every_line_is_in_the_file_after_close() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let sink = AccessLog::open(&Destination::File(file.clone()), LogFormat::Json).unwrap().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let local = sink.local();
            scope.spawn(move || (0..1_000).for_each(|_| local.write(&line(b"/", None))));
        }
    });
    assert_eq!(sink.dropped(), 0);
    sink.close();
    let text = std::fs::read_to_string(file).unwrap();
    assert_eq!(text.lines().count(), 3_000);
    assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
}

#[test]
fn a_writer_that_is_behind_costs_lines_and_never_memory() {
    let (blocks, _never_read) = sync_channel(1);
    let local = LocalAccessLog {
        blocks,
        dropped: Arc::default(),
        format: LogFormat::Text,
        buffer: RefCell::default(),
        lines: Cell::default(),
        clock: RefCell::default(),
    };
    for _ in 0..10_000 {
        local.write(&line(b"/", None));
    }
    assert!(local.buffer.borrow().len() < KEPT + 1024);
    assert!(local.dropped.load(Relaxed) > 0);
    local.buffer.take(); // its drop would wait for a reader
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let error = AccessLog::open(&Destination::File("/nonexistent/access.log".into()), LogFormat::Text).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/access.log"), "{error}");
}
