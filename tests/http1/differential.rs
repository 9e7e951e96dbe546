//! Tidegate's HTTP/1 reader beside hyper's: the tricks of request smuggling, and messages generated around them. Each difference is
//! explained by a row of the table, and each row by a message that needs it.

use proptest::prelude::*;
use tidegate_tests::differential::{Case, DIFFERENCES, Verdict, compare};

/// Messages, each as a head and a body that the readers could cut differently.
const CORPUS: &[&str] = &[
    // Plain ones: both accept.
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /p?q HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5\r\n\r\nhelloGET /smuggled HTTP/1.1\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\nExpect: 100-continue\r\n\r\nA;x=\"y\"\r\n0123456789\r\n00\r\nX: y\r\n\r\n",
    "GET http://b/x?y HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET HTTPS://b:8080?y HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://b HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://b:+2/ HTTP/1.0\r\n\r\n",
    "DELETE //b/x HTTP/1.1\r\nHost: a\r\nConnection: Transfer-Encoding, Content-Length\r\n\r\n",
    "HEAD / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 1\r\n\r\nx",
    // Framing that has two meanings.
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nG",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: x\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    // Lines.
    "GET / HTTP/1.1\nHost: a\n\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
    "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
    "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
    "GET /\tx HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    "GET /\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\x16\x03\x01\x02\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n",
    "",
    // Hosts and targets.
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
    "GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET a/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
    "GET /x#y HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /<x> HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /{x}|\\^ HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /..%2f%00 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a\r\n\r\n",
    // Chunks and trailers.
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a\x01\r\nhello\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000005\r\nhello\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX : y\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\nZ: a\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n x\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\nX: y\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nHost: b\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
];

fn check(bytes: &[u8]) {
    if let Err(case) = compare(bytes) {
        panic!("an unexplained difference on\n{case:?}");
    }
}

#[test]
fn every_trick_is_judged_alike_or_the_table_says_why_not() {
    let failed: Vec<String> = CORPUS.iter().filter_map(|text| compare(text.as_bytes()).err()).map(|case| format!("{case:?}")).collect();
    assert!(failed.is_empty(), "{} unexplained differences:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn every_row_of_the_table_is_needed() {
    let cases: Vec<Case<'_>> = CORPUS.iter().map(|text| Case::of(text.as_bytes())).collect();
    for difference in DIFFERENCES {
        assert!(!difference.why.is_empty());
        let shown = cases.iter().any(|case| !case.agree() && (difference.explains)(case));
        assert!(shown, "no message of the corpus shows `{}`: take the row out, or add one", difference.name);
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
