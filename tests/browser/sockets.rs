//! WebSocket from a page, over HTTP/1 and over HTTP/2 (RFC 8441), through changes of what is behind it.

use serde_json::json;
use tidegate_tests::objects::{pod, service};
use tidegate_tests::peers::WebSockets;

use super::*;

/// How a page uses a WebSocket: `open(path)`, `send`, and `next()` for each message. One that ends while it is waited for is an error.
const OPEN: &str = "const open = path => new Promise((give, refuse) => {\n\
                      const socket = new WebSocket(location.origin.replace('http', 'ws') + path);\n\
                      const came = [], waiting = [];\n\
                      socket.binaryType = 'arraybuffer';\n\
                      socket.next = () => new Promise((...two) => came.length ? two[0](came.shift()) : waiting.push(two));\n\
                      socket.onmessage = ({data}) => waiting.length ? waiting.shift()[0](data) : came.push(data);\n\
                      socket.onopen = () => give(socket);\n\
                      socket.onclose = ({code}) => [[give, refuse], ...waiting].forEach(two => two[1](new Error(`closed: ${code}`)));\n\
                    });\n\
                    const say = async (socket, what) => { socket.send(what); return socket.next(); };\n";

/// The Service `chat`, with these as its Pods.
fn chat(net: &Net, replicas: &[&WebSockets]) -> String {
    file(&[service("chat", 80, net.port())].into_iter().chain(replicas.iter().copied().map(member)).collect::<Vec<_>>())
}

fn member(replica: &WebSockets) -> String {
    pod(replica.name(), "chat", replica.address().ip())
}

/// The site with `/chat`, which is one replica of WebSockets.
fn scene() -> Option<(Scene, WebSockets)> {
    let scene = Scene::new(&[])?;
    let replica = WebSockets::start(&scene.net, "chat-0");
    scene.gate.write("chat.yaml", &chat(&scene.net, &[&replica]));
    scene.gate.write("site.yaml", &site("shop.example", "shop", &["chat"]));
    Some((scene, replica))
}

/// Messages of all sizes, there and back, then a close; `method` and `status` are what the access log has of it.
fn echo(scheme: &str, method: &str, status: u16) {
    let Some((scene, replica)) = scene() else { return };
    let script = "const socket = await open('/chat');\n\
                  const name = await socket.next();\n\
                  const sizes = [0, 1, 125, 126, 65535, 65536, 1048576];\n\
                  for (const size of sizes) {\n\
                    const sent = Uint8Array.from({length: size}, (_, at) => at * 31 + size);\n\
                    const back = new Uint8Array(await say(socket, sent));\n\
                    if (back.length !== size || back.some((byte, at) => byte !== sent[at])) throw new Error(`other ${size} bytes`);\n\
                  }\n\
                  for (let turn = 0; turn < 1000; turn++) socket.send(`${turn}`);\n\
                  for (let turn = 0; turn < 1000; turn++) if (await socket.next() !== `${turn}`) throw new Error('another order');\n\
                  await report({name, extensions: socket.extensions});\n\
                  await go();\n\
                  socket.onclose = ({code, wasClean}) => report({code, wasClean});\n\
                  socket.close(1000);";
    let _browser = scene.open(scheme, &format!("{OPEN}{script}"));
    let told = scene.reported(0);
    assert!(told["name"] == "chat-0" && told["extensions"].as_str().is_some_and(|text| text.starts_with("permessage-deflate")), "{told}");
    assert_eq!(scene.gate.sum("tidegate_upgraded_connections_open", &["external"]), 1.0);
    let asked = replica.asked();
    assert_eq!((asked.len(), &asked[0]["origin"]), (1, &json!(scene.url(scheme, "shop.example", ""))));
    scene.go.release();
    assert_eq!(scene.reported(1), json!({"code": 1000, "wasClean": true}));
    let line = &scene.logged("/chat", 1)[0];
    assert_eq!((&line["method"], &line["status"]), (&json!(method), &json!(status)));
}

#[test]
fn a_page_talks_by_websocket_over_http1() {
    echo("http", "GET", 101);
}

#[test]
fn a_page_talks_by_websocket_over_its_connection_of_http2() {
    echo("https", "CONNECT", 200);
}

/// A rollout while a page holds a WebSocket: it stays with its replica, and the next one goes to the new replica.
fn rollout(scheme: &str) {
    let Some((scene, old)) = scene() else { return };
    let script = "const old = await open('/chat');\n\
                  await report({name: await old.next()});\n\
                  await go();\n\
                  const young = await open('/chat');\n\
                  await report({name: await young.next(), said: [await say(old, 'still here'), await say(young, 'here')]});";
    let _browser = scene.open(scheme, &format!("{OPEN}{script}"));
    assert_eq!(scene.reported(0), json!({"name": "chat-0"}));
    let young = WebSockets::start(&scene.net, "chat-1");
    scene.gate.write("chat.yaml", &chat(&scene.net, &[&old, &young]));
    let leaving = member(&old).replace("metadata: {", "metadata: {deletionTimestamp: '2026-01-01T00:00:00Z', ");
    scene.gate.write("chat.yaml", &file(&[chat(&scene.net, &[&young]), leaving]));
    // What leaves is not picked already, so that its end changes no picture; the change of the route behind it does.
    scene.gate.swap("chat.yaml", &chat(&scene.net, &[&young]));
    scene.gate.write("site.yaml", &annotated(&site("shop.example", "shop", &["chat"]), &[("enable-cors", "true")]));
    scene.go.release();
    assert_eq!(scene.reported(1), json!({"name": "chat-1", "said": ["still here", "here"]}));
    assert_eq!(scene.gate.sum("tidegate_upgraded_connections_open", &["external"]), 2.0);
    assert_eq!((old.asked().len(), young.asked().len()), (1, 1));
}

#[test]
fn a_websocket_over_http1_outlives_a_rollout() {
    rollout("http");
}

#[test]
fn a_websocket_over_http2_outlives_a_rollout() {
    rollout("https");
}
