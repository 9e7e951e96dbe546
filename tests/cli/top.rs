//! `tidegate top`: the picture, plain lines, and a terminal that is as it was afterwards.

use std::process::Command;

use super::*;

fn scene() -> (Tidegate, Replica, Net) {
    let net = Net::take();
    let replica = Replica::start(&net, "web-0", Behaviour::Named);
    let gate = Setup::new(&net)
        .manifest("web.yaml", app(&net, "web", "shop.example", &[&replica]))
        .manifest("deployment.yaml", deployment("web", 2));
    (gate.start(), replica, net)
}

#[test]
fn one_picture_for_scripts() {
    let (gate, _replica, _net) = scene();
    assert_eq!(gate.get("shop.example", "/").status, 200);
    let shown = command(["top", "--once", "--admin", &gate.admin().to_string()]);
    let text = shown.exited(0);
    assert!(text.starts_with("requests/s ") && text.contains("endpoints: 1 Ready"), "{text}");
    for word in ["default/web:80", "external", "Deployment default/web"] {
        assert!(text.contains(word), "{word} in\n{text}");
    }
    let traffic = gate.rows("traffic");
    let row = traffic.iter().find(|row| row["service"] == "default/web:80").unwrap_or_else(|| panic!("{traffic:?}"));
    assert_eq!((&row["requests"], &row["failures"]), (&1.into(), &0.into()), "{row}");
}

#[test]
fn a_line_for_each_interval_where_there_is_no_terminal() {
    let (gate, _replica, _net) = scene();
    let admin = gate.admin().to_string();
    let watched =
        Command::new("timeout").args(["--preserve-status", "-s", "TERM", "4"]).arg(binary()).args(["top", "--admin", &admin]).output();
    let watched = watched.expect("the binary can be started");
    assert!(watched.status.success(), "{watched:?}");
    let text = String::from_utf8_lossy(&watched.stdout);
    assert!(text.lines().count() >= 2 && text.lines().all(|line| line.starts_with("requests/s ")), "{text}");
    assert!(!text.contains('\x1b'), "{text:?}");
}

#[test]
fn a_terminal_is_drawn_on_and_given_back() {
    let (gate, _replica, _net) = scene();
    let top = format!("timeout --foreground -s INT 4 {} top --admin {}", binary().display(), gate.admin());
    let watched = Command::new("script").args(["-qfec", &top, "/dev/null"]).stdin(std::process::Stdio::null()).output();
    let watched = watched.expect("script (util-linux) is installed");
    let text = String::from_utf8_lossy(&watched.stdout);
    assert!(text.matches("default/web:80").count() >= 2, "it is drawn again: {text:?}");
    for left_behind in ["\x1b[?1049h", "\x1b[?25l"] {
        assert!(!text.contains(left_behind), "{left_behind:?} in {text:?}");
    }
    assert!(text.ends_with('\n'), "the shell's prompt starts a line of its own: {text:?}");
}

#[test]
fn nobody_to_ask_is_an_error() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address");
    let asked = command(["top", "--once", "--admin", &free.to_string()]);
    assert!(asked.code == 2 && asked.stderr.contains("--admin"), "{}", asked.stderr);
}
