//! Tidegate's HTTP/1 reader beside hyper's: the tricks of request smuggling, and messages generated around them. Each difference is
//! explained by a row of the table, and each row by a message that needs it.

use proptest::prelude::*;
use tidegate_tests::differential::{Case, DIFFERENCES, MESSAGES, Verdict, compare};

fn check(bytes: &[u8]) {
    if let Err(case) = compare(bytes) {
        panic!("an unexplained difference on\n{case:?}");
    }
}

#[test]
fn every_trick_is_judged_alike_or_the_table_says_why_not() {
    let failed: Vec<String> = MESSAGES.iter().filter_map(|text| compare(text.as_bytes()).err()).map(|case| format!("{case:?}")).collect();
    assert!(failed.is_empty(), "{} unexplained differences:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn every_row_of_the_table_is_needed() {
    let cases: Vec<Case<'_>> = MESSAGES.iter().map(|text| Case::of(text.as_bytes())).collect();
    for difference in DIFFERENCES {
        assert!(!difference.why.is_empty());
        let shown = cases.iter().any(|case| !case.agree() && (difference.explains)(case));
        assert!(shown, "no message shows `{}`: take the row out, or add one", difference.name);
    }
    assert!(cases.iter().filter(|case| case.agree()).all(|case| case.explained().next().is_none()), "a row must not cover agreement");
}

#[test]
fn a_difference_without_a_row_is_found() {
    let mut case = Case::of(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(case.agree());
    for why in ["BareLf", "SeveralHosts", "TargetByte", "Host(Empty)", "LengthAndEncoding", "SeveralLengths"] {
        case.ours = Verdict::Refused(why.to_owned());
        assert!(!case.agree() && case.explained().next().is_none(), "{why} without evidence must not be explained");
    }
}

#[test]
fn both_take_as_many_trailers_and_no_more() {
    for (count, taken) in [(99, true), (100, true), (101, false)] {
        let lines = "X: y\r\n".repeat(count);
        let message = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{lines}\r\n");
        let case = Case::of(message.as_bytes());
        assert!(case.agree(), "{count}: {case:?}");
        assert!(matches!(&case.ours, Verdict::Accepted(head) if head.body.is_ok() == taken), "{count}: {case:?}");
    }
}

/// Pieces that readers differ on, with whole and broken messages between them.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "Host: a\r\n",
        "Host: b:8\r\n",
        "Host: \r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 05\r\n",
        "content-length:0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, Chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Expect: 100-continue\r\n",
        "Connection: close\r\n",
        "Connection: keep-alive, x\r\n",
        "Upgrade: x\r\n",
        "X: y\r\n",
        "X:\t y \t\r\n",
        "X: \u{e9}\r\n",
        "X-Z:\r\n",
        "X: y\n",
        " z\r\n",
        "X : y\r\n",
        "X: \r y\r\n",
        "X: \0\r\n",
        "\r\n",
        "\n",
        "\r",
        ": y\r\n",
        "Host: a",
    ]);
    let first = prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "POST /a?b HTTP/1.1\r\n",
        "POST / HTTP/1.0\r\n",
        "GET http://c:1/d HTTP/1.1\r\n",
        "PUT http://c?d HTTP/1.1\r\n",
        "get /%zz HTTP/1.1\r\n",
        "\r\nGET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\n",
        "GET  / HTTP/1.1\r\n",
        "GET x HTTP/1.1\r\n",
        "GET / HTTP/3.0\r\n",
    ]);
    let body = prop::sample::select(vec![
        "hello",
        "",
        "5\r\nhello\r\n0\r\n\r\n",
        "5;x\r\nhello\r\n0\r\nX: y\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "0\r\n\r\n",
        "0\r\nhost: b\r\n\r\n",
        "1\r\na\r\n1\r\n",
        "g\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "0\r\nX\r\n\r\n",
        "00\r\nX: \x01\r\n\r\n",
        "0;\r\n\r\n",
        "5;\n\r\nhello\r\n0\r\n\r\n",
    ]);
    let swap = (any::<prop::sample::Index>(), prop_oneof![any::<u8>(), prop::sample::select(b"\r\n :;,0@#%/\t\0".to_vec())]);
    (first, prop::collection::vec(piece, 0..6), body, prop::collection::vec(swap, 0..3)).prop_map(|(first, pieces, body, swaps)| {
        let mut bytes = [first, &pieces.concat(), "\r\n", body].concat().into_bytes();
        for (at, byte) in swaps {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generated_messages_are_judged_alike_or_the_table_says_why_not(bytes in message()) {
        check(&bytes);
    }

    #[test]
    fn any_target_is_judged_alike_or_the_table_says_why_not(target in "[!-~]{1,12}", host in "[!-~]{0,6}", url in any::<bool>()) {
        let target = if url { format!("http://{target}") } else { format!("/{target}") };
        check(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        check(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    }

    #[test]
    fn any_chunks_are_judged_alike_or_the_table_says_why_not(body in "[0-9a-fA-FxX;: \t\n]{0,12}(\r\n)?[0-9a-fA-FxX;: \t\r\n]{0,12}") {
        check(format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}").as_bytes());
        check(format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{body}\r\n\r\n").as_bytes());
    }
}
