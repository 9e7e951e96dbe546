//! What a restart keeps: addresses and seals, also when bytes on the disk are damaged.

use std::collections::BTreeMap;
use std::fs;

use tidegate_tests::objects::{app, file, namespace, service, service_at};
use tidegate_tests::{Behaviour, Net, Replica, Setup, Tidegate, await_until};

fn addresses(gate: &Tidegate) -> BTreeMap<String, String> {
    let rows = gate.rows("services");
    rows.iter().filter_map(|row| Some((row["name"].as_str()?.to_owned(), row["vip"].as_str()?.to_owned()))).collect()
}

fn services(names: impl IntoIterator<Item = usize>, port: u16) -> String {
    file(&names.into_iter().map(|number| service(&format!("service-{number}"), port, port)).collect::<Vec<_>>())
}

/// Waits until every address is saved.
fn saved(gate: &Tidegate, names: &[String]) {
    await_until("the addresses to be saved", || {
        fs::read_to_string(gate.state().join("vips")).is_ok_and(|text| names.iter().all(|name| text.contains(name.as_str())))
    });
}

#[test]
fn addresses_stay_across_a_restart_whatever_comes_before_them() {
    let net = Net::take();
    let gate = Setup::new(&net).manifest("b.yaml", services(10..20, net.port())).start();
    let before = addresses(&gate);
    assert_eq!(before.len(), 10);
    saved(&gate, &before.keys().cloned().collect::<Vec<_>>());
    let gate = gate.into_setup().manifest("a.yaml", services(0..10, net.port())).start();
    let after = addresses(&gate);
    assert_eq!(after.len(), 20);
    for (name, address) in &before {
        assert_eq!(after.get(name), Some(address), "{name} moved");
    }
}

#[test]
fn addresses_are_within_the_range_and_as_asked_for() {
    let net = Net::take();
    let text = file(&[services(0..20, net.port()), service_at("asked", net.vip(200), net.port(), net.port())]);
    let gate = Setup::new(&net).manifest("a.yaml", text).start();
    let given = addresses(&gate);
    assert_eq!(given["asked"], net.vip(200).to_string());
    let [a, b, c, _] = net.vip(0).octets();
    assert!(given.values().all(|address| address.starts_with(&format!("{a}.{b}.{c}."))), "{given:?}");
    let distinct: std::collections::BTreeSet<_> = given.values().collect();
    assert_eq!(distinct.len(), 21, "{given:?}");
}

#[test]
fn a_flipped_byte_costs_one_service_its_address_and_is_reported() {
    let net = Net::take();
    let gate = Setup::new(&net).manifest("a.yaml", services(0..12, net.port())).start();
    let before = addresses(&gate);
    saved(&gate, &before.keys().cloned().collect::<Vec<_>>());
    let setup = gate.into_setup();
    let path = setup.state().join("vips");
    let mut bytes = fs::read(&path).expect("the addresses are saved");
    let middle = bytes.len() / 2;
    let at = middle + bytes[middle..].iter().position(|byte| *byte != b'\n').expect("a byte within a line");
    bytes[at] ^= 0x04;
    fs::write(&path, bytes).expect("it can be written");
    let gate = setup.start();
    gate.await_problem(&["StateDamaged", "vips"]);
    let after = addresses(&gate);
    let moved: Vec<_> = before.iter().filter(|(name, address)| after.get(*name) != Some(address)).collect();
    assert!(moved.len() <= 1, "moved: {moved:?}");
    assert_eq!(after.len(), 12, "every service has an address again");
    let aside = fs::read_dir(gate.state().join("damaged")).map(Iterator::count).unwrap_or(0);
    assert!(aside > 0, "the damaged line is set aside");
}

/// The only thing that a root user cannot read as a file is what is none.
#[test]
fn a_file_that_cannot_be_read_is_kept_aside_and_said() {
    let net = Net::take();
    let gate = Setup::new(&net).manifest("a.yaml", services(0..3, net.port())).start();
    let names = addresses(&gate).keys().cloned().collect::<Vec<_>>();
    saved(&gate, &names);
    let objects = gate.state().join("objects");
    let of_origin = || fs::read_dir(&objects).ok()?.flatten().map(|entry| entry.path()).find(|path| path.is_file());
    await_until("the objects to be saved", || of_origin().is_some());
    let of_origin = of_origin().expect("it was there a moment ago");
    let setup = gate.into_setup();
    for file in [setup.state().join("vips"), of_origin.clone()] {
        fs::remove_file(&file).and_then(|()| fs::create_dir(&file)).expect("the state can be changed");
        fs::write(file.join("precious"), "kept").expect("the state can be changed");
    }
    let gate = setup.start();
    for file in ["state/vips", &of_origin.file_name().unwrap_or_default().to_string_lossy()] {
        let problem = gate.await_problem(&["cannot be read", file, "damaged"]);
        assert!(problem["fix"].is_string(), "{problem}");
    }
    assert_eq!(addresses(&gate).len(), 3, "every service has an address");
    saved(&gate, &names);
    let aside = gate.state().join("damaged");
    for name in ["vips".as_ref(), of_origin.file_name().expect("a name")] {
        let kept = aside.join(name).join("precious");
        await_until("it to be aside", || fs::read_to_string(&kept).is_ok_and(|text| text == "kept"));
    }
    let gate = gate.into_setup().start();
    assert!(gate.rows("problems").is_empty(), "the state is whole again: {:?}", gate.rows("problems"));
}

#[test]
fn addresses_that_are_not_text_are_kept_aside_and_said() {
    let net = Net::take();
    let gate = Setup::new(&net).manifest("a.yaml", services(0..3, net.port())).start();
    saved(&gate, &addresses(&gate).keys().cloned().collect::<Vec<_>>());
    let setup = gate.into_setup();
    let bytes = b"\xff\xfe not\x00text\nat all \xc3\x28";
    fs::write(setup.state().join("vips"), bytes).expect("the state can be changed");
    let gate = setup.start();
    gate.await_problem(&["StateDamaged", "vips"]);
    let aside = fs::read(gate.state().join("damaged/vips")).expect("it is kept");
    assert!(bytes.split(|&byte| byte == b'\n').all(|line| aside.split(|&byte| byte == b'\n').any(|kept| kept == line)), "{aside:?}");
}

/// What could not be written is written at the end, as soon as it can be.
#[test]
fn a_stop_waits_for_what_is_still_to_be_written() {
    let net = Net::take();
    let setup = Setup::new(&net).manifest("a.yaml", services(0..3, net.port()));
    let in_the_way = setup.state().join("vips.new");
    fs::create_dir_all(&in_the_way).expect("the state can be made");
    let gate = setup.start();
    gate.await_problem(&["state cannot be written", "vips"]);
    let before = addresses(&gate);
    fs::remove_dir(&in_the_way).expect("the state can be changed");
    let setup = gate.into_setup();
    let text = fs::read_to_string(setup.state().join("vips")).expect("the addresses are saved");
    assert!(before.keys().all(|name| text.contains(name.as_str())), "{text}");
}

#[test]
fn one_state_directory_serves_one_process() {
    let net = Net::take();
    let first = Setup::new(&net).start();
    let other = Net::take();
    let state = first.state().display().to_string();
    let mut arguments = vec!["run", "--http", "127.0.0.1:0", "--https", "none", "--admin", "127.0.0.1:0", "--state-dir", &state];
    let cidr = other.service_cidr();
    let folder = first.folder().display().to_string();
    arguments.extend(["--service-cidr", &cidr, "--manifests", &folder]);
    let second = tidegate_tests::command(arguments);
    assert_eq!(second.code, 2, "{}", second.stderr);
    assert!(second.stderr.contains(&state), "the directory is named: {}", second.stderr);
}

#[test]
fn a_seal_outlives_a_restart_with_a_file_that_broke() {
    let net = Net::take();
    let replica = Replica::start(&net, "db-0", Behaviour::Named);
    let open = Replica::start(&net, "web-0", Behaviour::Named);
    let setup = Setup::new(&net)
        .manifest("seals.yaml", namespace("data", "tidegate.dev/exposure: internal"))
        .manifest("db.yaml", app(&net, "data/db", "db.example", &[&replica]))
        .manifest("web.yaml", app(&net, "web", "web.example", &[&open]));
    let gate = setup.start();
    assert_eq!(gate.get("db.example", "/").status, 404);
    await_until("the seal to be saved", || {
        fs::read_dir(gate.state().join("objects")).is_ok_and(|files| {
            files.flatten().any(|file| fs::read_to_string(file.path()).is_ok_and(|text| text.contains("tidegate.dev/exposure")))
        })
    });
    let gate = gate.into_setup().manifest("seals.yaml", "kind: Namespace\nmetadata: {name: data").start();
    gate.await_problem(&["seals.yaml"]);
    assert_eq!(gate.get("db.example", "/").status, 404, "the last good seal holds");
    assert_eq!(gate.get("web.example", "/").replica(), "web-0", "the rest serves");
    assert_eq!(replica.connections(), 0);
}
