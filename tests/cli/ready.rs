//! `tidegate ready` says by its exit code what `/readyz` says.

use std::net::SocketAddr;
use std::process::Command;

use rustix::process::Signal;
use tidegate_tests::await_until;

use super::*;

fn ready(admin: SocketAddr, more: &[&str]) -> Finished {
    let admin = admin.to_string();
    command(["ready", "--admin", &admin].iter().chain(more))
}

#[test]
fn it_exits_0_when_ready_and_1_while_draining() {
    let net = Net::take();
    let replica = Replica::start(&net, "web-0", Behaviour::Held);
    let setup = Setup::new(&net).manifest("web.yaml", app(&net, "web", "shop.example", &[&replica]));
    let mut gate = setup.flag("--metrics", "127.0.0.1:0").start();
    let finished = ready(gate.admin(), &[]);
    assert_eq!((finished.exited(0), &*finished.stderr), ("", ""), "whoever asks by script reads no words");
    ready(gate.listener("metrics"), &[]).exited(0);
    let mut client = Client::connect(gate.http());
    client.send("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    await_until("the request to reach the replica", || replica.requests() == 1);
    gate.signal(Signal::TERM);
    await_until("the drain to begin", || gate.ask("/readyz").status == 503);
    let finished = ready(gate.admin(), &[]);
    finished.exited(1);
    assert_eq!(finished.stderr, "not ready: draining\n");
    replica.release();
    assert_eq!(client.response().status, 200);
    assert_eq!(gate.await_exit().code(), Some(0));
}

#[test]
fn it_waits_until_the_process_is_ready() {
    let net = Net::take();
    let setup = Setup::new(&net);
    let (folder, away) = (setup.folder(), setup.home().join("away"));
    std::fs::rename(&folder, &away).expect("a folder can be renamed");
    let gate = setup.launch();
    await_until("the admin to answer", || Client::try_connect(gate.admin()).is_ok());
    let finished = ready(gate.admin(), &[]);
    finished.exited(1);
    assert!(finished.stderr.starts_with("not ready: some source"), "{}", finished.stderr);
    let waits = Command::new(binary()).args(["ready", "--wait", "20", "--admin", &gate.admin().to_string()]).spawn();
    let mut waits = waits.expect("the binary can be started");
    std::fs::rename(&away, &folder).expect("a folder can be renamed");
    assert_eq!(waits.wait().expect("a child can be waited for").code(), Some(0));
}

#[test]
fn it_exits_2_when_nobody_or_a_stranger_answers() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    for more in [&[][..], &["--wait", "1"]] {
        let finished = ready(address, more);
        finished.exited(2);
        assert!(finished.stderr.contains(&address.to_string()), "{}", finished.stderr);
    }
    let net = Net::take();
    let replica = Replica::start(&net, "stranger", Behaviour::Named);
    let gate = Setup::new(&net).manifest("web.yaml", app(&net, "web", "shop.example", &[&replica])).start();
    let finished = ready(gate.http(), &[]);
    finished.exited(2);
    assert!(finished.stderr.contains("says 404"), "{}", finished.stderr);
    assert_eq!(command(["ready", "--admin", "none"]).code, 2);
}
