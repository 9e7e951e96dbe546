//! A range of virtual IPs that is claimed by a route: what the system says of it, and what is said where that is not allowed.

use std::process::Command;

use tidegate_tests::{Net, Setup, await_until};

const RANGE: &str = "10.99.0.0/24";

fn may() -> bool {
    // Who is not root has no network of its own to try it in; `make compose-demo` tries it with containers.
    rustix::process::geteuid().is_root()
}

/// In a network of its own, where nobody is disturbed.
fn claiming(net: &Net, under: &[&str]) -> Setup {
    claiming_on(net, "true", under)
}

/// The same, where this command was run in that network before.
fn claiming_on(net: &Net, made: &str, under: &[&str]) -> Setup {
    let apart = ["unshare", "--net", "sh", "-c", &format!("ip link set lo up && {made} && exec \"$0\" \"$@\"")];
    let setup =
        Setup::new(net).flag("--service-cidr", RANGE).config("claimServiceCidr: true\ninternalCidrs: [127.0.0.0/8, 10.99.0.0/24]\n");
    setup.under(&[&apart, under].concat())
}

#[test]
fn a_claimed_range_is_local_and_its_addresses_are_bound() {
    if !may() {
        return;
    }
    let net = Net::take();
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: db}\nspec: {clusterIP: 10.99.0.5, ports: [{port: 5432}]}\n";
    let mut tidegate = claiming(&net, &["env"]).manifest("db.yaml", service).launch();
    await_until("the claim in the log", || tidegate.log().contains("claimed the range of virtual IPs range=10.99.0.0/24 interface=lo"));
    let inside = |command: &str| {
        let pid = tidegate.pid().to_string();
        let done = Command::new("nsenter").args(["--target", &pid, "--net", "sh", "-c", command]).output().expect("nsenter can be started");
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    assert!(inside("ip route show table local").contains("local 10.99.0.0/24 dev lo"), "{}", inside("ip route show table local"));
    await_until("the virtual IP to be bound", || inside("ss -Hltn").contains("10.99.0.5:5432"));
    assert!(tidegate.stop().success());
}

#[test]
fn without_the_right_the_start_says_what_to_give() {
    if !may() {
        return;
    }
    let net = Net::take();
    let mut tidegate = claiming(&net, &["setpriv", "--bounding-set", "-net_admin"]).launch();
    assert_eq!(tidegate.await_exit().code(), Some(2));
    let log = tidegate.log();
    assert!(log.contains("`10.99.0.0/24` cannot be claimed") && log.contains("cap_add: [NET_ADMIN]"), "{log}");
}

#[test]
fn a_range_with_somebodys_address_is_refused_at_the_start() {
    if !may() {
        return;
    }
    let lan = "ip link add lan type veth peer name far && ip link set far up && ip link set lan up && ip address add";
    for (made, whose) in [
        (format!("{lan} 10.99.0.7/16 dev lan"), "10.99.0.7, the address of lan"),
        (format!("{lan} 10.99.1.7/16 dev lan && ip route add default via 10.99.0.1"), "10.99.0.1, the gateway"),
    ] {
        let net = Net::take();
        let mut tidegate = claiming_on(&net, &made, &["env"]).launch();
        assert_eq!(tidegate.await_exit().code(), Some(2));
        let log = tidegate.log();
        assert!(log.contains(&format!("`10.99.0.0/24` holds {whose}")) && log.contains("fix:"), "{log}");
    }
}
