//! Any bytes as an HTTP/1 message: Tidegate's reader and hyper's agree, or a row of the table of differences says why not.

use super::Target;
use crate::differential::{MESSAGES, compare};

/// See the module.
pub const TARGET: Target = Target { name: "heads", run, seeds, words: WORDS };

fn run(bytes: &[u8]) {
    if let Err(case) = compare(bytes) {
        panic!("an unexplained difference: {case:?}");
    }
}

fn seeds() -> Vec<Vec<u8>> {
    MESSAGES.iter().map(|message| message.as_bytes().to_vec()).collect()
}

const WORDS: &[&[u8]] = &[
    b"GET ",
    b"POST ",
    b" HTTP/1.1\r\n",
    b" HTTP/1.0\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"\r\n ",
    b"http://a/",
    b"https://a:1?x",
    b"Host: a\r\n",
    b"Content-Length: ",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: ",
    b"Connection: close\r\n",
    b"Expect: 100-continue\r\n",
    b"Upgrade: h2c\r\n",
    b" : ",
    b"chunked",
    b"identity",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"0\r\nX: y\r\n\r\n",
    b";ext",
    b"ffffffffffffffff",
    b"18446744073709551615",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];
