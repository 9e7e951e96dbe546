//! `Upgrade`: which protocols may be asked for, and which answers may agree.

use super::case::{Case, answered, as_sent, bad_answer, forwarded};

const A: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
/// A WebSocket whose replica ends gets a close frame (`lifecycle/leaving.rs`); any other protocol gets the end and nothing else.
const ASK_FOR_MQTT: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: mqtt\r\n\r\n";
const AGREED_ON_MQTT: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: mqtt\r\n\r\n";
const AGREED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

pub(super) const CASES: &[Case] = &[
    as_sent("upgrade", "RFC 9110 7.8", "one protocol, named by Connection", ASK),
    forwarded(
        "upgrade-case",
        "RFC 9110 7.6.1",
        "options know no case",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, UPGRADE\r\nupgrade: websocket\r\n\r\n",
        &[ASK],
    ),
    as_sent(
        "upgrade-version",
        "RFC 9110 7.8",
        "a protocol may have a version",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x/1.0\r\n\r\n",
    ),
    forwarded(
        "upgrade-h2c",
        "RFC 9113 3.1",
        "a second HTTP would lead past the routes",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        &[A],
    ),
    forwarded(
        "upgrade-h2c-case",
        "RFC 9113 3.1",
        "in any case",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: H2C\r\n\r\n",
        &[A],
    ),
    forwarded(
        "upgrade-http",
        "RFC 9110 7.8",
        "nor HTTP by its name",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: HTTP/2.0\r\n\r\n",
        &[A],
    ),
    forwarded(
        "upgrade-tls",
        "RFC 2817 3",
        "nor TLS from within",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: TLS/1.2\r\n\r\n",
        &[A],
    ),
    forwarded(
        "upgrade-list",
        "RFC 9110 7.8",
        "a list leaves it open which is meant",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket, h2c\r\n\r\n",
        &[A],
    ),
    forwarded(
        "upgrade-two",
        "RFC 9110 5.3",
        "two fields are a list",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n",
        &[A],
    ),
    forwarded(
        "upgrade-empty",
        "RFC 9110 7.8",
        "an empty list asks nothing",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade:\r\n\r\n",
        &[A],
    ),
    forwarded(
        "upgrade-no-token",
        "RFC 9110 7.8",
        "a protocol is a token",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: web socket\r\n\r\n",
        &[A],
    ),
    forwarded(
        "upgrade-1.0",
        "RFC 9110 7.8",
        "HTTP/1.0 cannot ask for it",
        b"GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        &[A],
    )
    .closes(),
    forwarded(
        "upgrade-body",
        "RFC 9110 7.8",
        "where a body ends and the protocol begins is not left to two readers",
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nhi",
        &[b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"],
    ),
    forwarded(
        "upgrade-refused-then-request",
        "RFC 9110 7.8",
        "who is not answered 101 still speaks HTTP",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &[ASK, A],
    ),
    answered("agreed", "RFC 9110 15.2.2", "101 as it was asked for", AGREED_ON_MQTT, &[AGREED_ON_MQTT])
        .to(ASK_FOR_MQTT)
        .then_ends()
        .closes(),
    answered(
        "agreed-case",
        "RFC 9110 7.8",
        "protocols know no case",
        b"HTTP/1.1 101 Yes\r\nUPGRADE: MQTT\r\nconnection: Upgrade\r\n\r\n",
        &[b"HTTP/1.1 101 Yes\r\nConnection: upgrade\r\nUpgrade: MQTT\r\n\r\n"],
    )
    .to(ASK_FOR_MQTT)
    .then_ends()
    .closes(),
    bad_answer("agreed-unasked", "RFC 9110 7.8", "nobody asked to switch", AGREED),
    bad_answer(
        "agreed-other",
        "RFC 9110 7.8",
        "nobody asked for this protocol",
        b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    )
    .to(ASK),
    bad_answer("agreed-silently", "RFC 9110 7.8", "101 must say to what", b"HTTP/1.1 101 X\r\n\r\n").to(ASK),
    bad_answer(
        "agreed-1.0",
        "RFC 9110 7.8",
        "HTTP/1.0 cannot switch",
        b"HTTP/1.0 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    )
    .to(ASK),
    answered(
        "declined",
        "RFC 9110 7.8",
        "a replica may ignore it",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        &[b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"],
    )
    .to(ASK),
    answered(
        "advertised",
        "RFC 9110 7.8",
        "what a replica could switch to is about its connection",
        b"HTTP/1.1 426 No\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n",
        &[b"HTTP/1.1 426 No\r\nContent-Length: 0\r\n\r\n"],
    ),
];
