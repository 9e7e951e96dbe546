//! Headers that we send to replicas which ask for them.

use super::*;

/// Service `db` over an echo, with this annotation, or `""`.
fn database(net: &Net, annotation: &str, replica: &Replica) -> String {
    let annotated = format!("name: db, annotations: {{{annotation}}}}}");
    tcp(net, "db", net.port(), &[replica]).replacen("name: db}", &annotated, 1)
}

#[test]
fn replicas_that_ask_for_it_are_told_who_connects() {
    let net = Net::take();
    let replica = Replica::start(&net, "db-0", Behaviour::TcpEcho);
    let with = |version: &str| database(&net, &format!("tidegate.dev/proxy-protocol: {version}"), &replica);
    let gate = Setup::new(&net).manifest("db.yaml", with("v1")).start();
    let address = vip(&gate, "db", net.port());
    let connect = || {
        let client = Client::connect_from([127, 0, 8, 1].into(), address);
        let from = client.stream.local_addr().expect("a connected socket has an address");
        (client, from)
    };
    let (mut client, from) = connect();
    client.send("ping");
    let line = format!("PROXY TCP4 127.0.8.1 {} {} {}\r\n", address.ip(), from.port(), address.port());
    assert_eq!(String::from_utf8_lossy(&client.exactly(line.len() + 4).expect("the echo")), format!("{line}ping"));
    gate.write("db.yaml", &with("v2"));
    let (mut client, from) = connect();
    let mut expected = v2([127, 0, 8, 1], from.port());
    expected[20..24].copy_from_slice(&match address.ip() {
        std::net::IpAddr::V4(ip) => ip.octets(),
        other => panic!("{other}"),
    });
    expected[26..28].copy_from_slice(&address.port().to_be_bytes());
    assert_eq!(client.exactly(expected.len()).expect("the echo, before the client says a word"), expected);
    gate.write("db.yaml", &database(&net, "", &replica));
    let (mut client, _) = connect();
    client.send("ping");
    assert_eq!(client.exactly(4).expect("the echo"), b"ping", "nobody asks for it any more");
    assert_eq!(gate.rows("problems"), Vec::<serde_json::Value>::new());
}

#[test]
fn another_word_is_an_error_and_the_last_good_one_stays() {
    let net = Net::take();
    let replica = Replica::start(&net, "db-0", Behaviour::TcpEcho);
    let with = |version: &str| database(&net, &format!("tidegate.dev/proxy-protocol: {version}"), &replica);
    let gate = Setup::new(&net).manifest("db.yaml", with("v1")).start();
    let before = gate.rows("services");
    gate.swap("db.yaml", &with("v3"));
    gate.await_problem(&["tidegate.dev/proxy-protocol", "`v3`", "`v1` or `v2`"]);
    assert_eq!(gate.rows("services"), before);
}
