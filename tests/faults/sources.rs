//! A folder whose writers replay and reorder: old content comes back, files are moved aside, over each other and back, and the same object
//! stands in two of them for a while. The last state counts, nothing of what was is left, and no request fails on the way.
//!
//! A folder knows no versions: what is written last is true, whatever `resourceVersion` it says. That holds as well for what
//! is written again.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::Value;
use tidegate_tests::{Chance, await_until};

use super::*;

/// A step that takes longer than the source waits before it believes that something is gone may be seen half done.
const AT_ONCE: Duration = Duration::from_millis(10);

/// One way to bring a new version of `app.yaml` into a folder, a draft of it beside that being there.
type Way = fn(folder: &Path, draft: &Path);

fn moved(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    fs::rename(from, to).expect("the folder can be written");
}

fn written(to: impl AsRef<Path>, draft: &Path) {
    let text = fs::read(draft).expect("the draft is there");
    fs::write(to, text).expect("the folder can be written");
}

fn removed(path: impl AsRef<Path>) {
    fs::remove_file(path).expect("the folder can be written");
}

fn ways() -> Vec<(&'static str, Way)> {
    vec![
        ("moved over the old one", |folder, draft| moved(draft, folder.join("app.yaml"))),
        ("written in place, and the same again and again", |folder, draft| {
            for _ in 0..20 {
                written(folder.join("app.yaml"), draft);
            }
        }),
        ("the old one again in between", |folder, draft| {
            let old = fs::read(folder.join("app.yaml")).expect("the old one is there");
            written(folder.join("app.yaml"), draft);
            fs::write(folder.join("app.yaml"), old).expect("the folder can be written");
            moved(draft, folder.join("app.yaml"));
        }),
        ("the old one moved aside, and a new one made that takes its time", |folder, draft| {
            let mut new = fs::read(draft).expect("the draft is there");
            moved(folder.join("app.yaml"), folder.join("app.yaml~"));
            let mut file = fs::File::create(folder.join("app.yaml")).expect("the folder can be written");
            new.push(b'\n');
            std::io::Write::write_all(&mut file, &new).and_then(|()| file.sync_all()).expect("the folder can be written");
            drop(file);
            removed(folder.join("app.yaml~"));
        }),
        ("the old one removed, and the new one moved there", |folder, draft| {
            removed(folder.join("app.yaml"));
            moved(draft, folder.join("app.yaml"));
        }),
        ("the old one moved about, and the new one over it", |folder, draft| {
            for (from, to) in [("app.yaml", "b.yaml"), ("b.yaml", "a.yaml"), ("a.yaml", "app.yaml")] {
                moved(folder.join(from), folder.join(to));
            }
            moved(draft, folder.join("app.yaml"));
        }),
        ("under a second name, before the first is gone", |folder, draft| {
            moved(draft, folder.join("app-2.yaml"));
            moved(folder.join("app-2.yaml"), folder.join("app.yaml"));
        }),
    ]
}

/// Asks all the time on one connection, from when this is called until `edit` is through. How many answers there were, and how many were
/// not good; in words, for whoever must know more.
fn asked_meanwhile(gate: &Tidegate, edit: impl FnOnce()) -> (usize, usize, String) {
    struct Ends<'a>(&'a AtomicBool); // also when the edit panics
    impl Drop for Ends<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let done = AtomicBool::new(false);
    let mut client = Client::connect(gate.http());
    assert_eq!(client.get("app.example", "/").status, 200);
    let asked = AtomicUsize::new(0);
    let bad = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut bad = 0;
            while !done.load(Ordering::Relaxed) {
                bad += usize::from(client.get("app.example", "/").status != 200);
                asked.fetch_add(1, Ordering::Relaxed);
            }
            bad
        });
        let ends = Ends(&done);
        await_until("the first answer", || asked.load(Ordering::Relaxed) > 0);
        edit();
        drop(ends);
        asking.join().expect("the client panicked")
    });
    let asked = asked.into_inner();
    (asked, bad, format!("{bad} of {asked} failed: {:?}", gate.metric("tidegate_refusals_total")))
}

/// The app, and a host by which this version of it can be told from others.
fn version(net: &Net, number: usize, replica: &Replica) -> String {
    let marked = ingress("mark", &format!("v{number}.example"), &[path("Prefix", "/", "app", 80)]);
    file(&[app(net, "app", "app.example", &[replica]), marked])
}

fn await_version(gate: &Tidegate, number: usize) {
    await_until(&format!("version {number}"), || gate.get(&format!("v{number}.example"), "/").status == 200);
}

#[test]
fn whatever_way_a_file_is_replaced_no_request_fails_and_nothing_of_the_old_one_is_left() {
    let net = Net::take();
    let replica = Replica::start(&net, "app-0", Behaviour::Named);
    let gate = Setup::new(&net).config("limits: {endpointWaitMs: 0}\n").manifest("app.yaml", version(&net, 0, &replica)).start();
    for (number, (name, way)) in ways().into_iter().enumerate().map(|(at, way)| (at + 1, way)) {
        let draft = gate.home().join("next.yaml");
        fs::write(&draft, version(&net, number, &replica)).expect("the temporary folder can be written");
        let mut took = Duration::ZERO;
        let (asked, bad, told) = asked_meanwhile(&gate, || {
            let began = Instant::now();
            way(&gate.folder(), &draft);
            took = began.elapsed();
            await_version(&gate, number);
        });
        assert!(asked > 0 && (bad == 0 || took > AT_ONCE), "{name}, in {took:?}: {told}");
        assert_eq!(gate.get(&format!("v{}.example", number - 1), "/").status, 404, "{name}: nothing of the version before");
        assert_eq!(gate.rows("endpoints").len(), 1, "{name}");
        assert_eq!(gate.rows("problems"), Vec::<Value>::new(), "{name}");
    }
}

#[test]
fn the_swap_of_a_mounted_config_map_back_to_the_old_one_fails_no_request() {
    let net = Net::take();
    let (old, new) = (Replica::start(&net, "app-0", Behaviour::Named), Replica::start(&net, "app-1", Behaviour::Named));
    let setup = Setup::new(&net).config("limits: {endpointWaitMs: 0}\n");
    let folder = setup.folder();
    for (name, replica) in [("..old", &old), ("..new", &new)] {
        fs::create_dir(folder.join(name)).expect("the folder can be written");
        fs::write(folder.join(name).join("app.yaml"), app(&net, "app", "app.example", &[replica])).expect("the folder can be written");
    }
    // As the kubelet does it.
    let swap = |to: &str| {
        symlink(to, folder.join("..data_tmp")).expect("the folder can be written");
        moved(folder.join("..data_tmp"), folder.join("..data"));
    };
    swap("..old");
    symlink("..data/app.yaml", folder.join("app.yaml")).expect("the folder can be written");
    let gate = setup.start();
    for (to, replica) in [("..new", &new), ("..old", &old), ("..new", &new), ("..old", &old)] {
        let (asked, bad, told) = asked_meanwhile(&gate, || {
            swap(to);
            await_until("the swap to count", || gate.get("app.example", "/").replica() == replica.name());
        });
        assert!(asked > 0 && bad == 0, "{to}: {told}");
        assert_eq!(gate.rows("endpoints").len(), 1, "{to}");
    }
}

#[test]
fn old_versions_of_pods_and_slices_that_come_back_in_any_order_are_true_again_and_the_last_ones_count() {
    let net = Net::take();
    let replicas = ["app-0", "app-1", "app-2"].map(|name| Replica::start(&net, name, Behaviour::Named));
    let versioned = |text: String, version: usize| text.replace("metadata: {", &format!("metadata: {{resourceVersion: '{version}', "));
    // Each has several versions; in each of them somebody answers.
    let pods = |version: usize| {
        let each = replicas.iter().enumerate().map(|(at, replica)| {
            let pod = pod(replica.name(), "app", replica.ip());
            // The first is Ready in each of them.
            let ready = at == 0 || version & at != 0;
            versioned(if ready { pod } else { pod.replace("status: 'True'", "status: 'False'") }, version)
        });
        file(&each.collect::<Vec<_>>())
    };
    let slice = |version: usize| {
        let ready = |at: usize| at == 0 || version & at != 0;
        let endpoints = replicas
            .iter()
            .enumerate()
            .map(|(at, replica)| format!("{{addresses: ['{}'], conditions: {{ready: {}}}}}", replica.ip(), ready(at)));
        let text = format!(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: sliced-1, labels: {{kubernetes.io/service-name: sliced}}}}\n\
             addressType: IPv4\nports: [{{port: {}}}]\nendpoints: [{}]\n",
            net.port(),
            endpoints.collect::<Vec<_>>().join(", ")
        );
        versioned(text, version)
    };
    let sliced = service("sliced", 80, net.port()).replace("selector: {app: sliced}, ", "");
    let both = [path("Prefix", "/", "app", 80), path("Prefix", "/sliced", "sliced", 80)];
    let site = file(&[service("app", 80, net.port()), sliced, ingress("app", "app.example", &both)]);
    let gate = Setup::new(&net)
        .config("limits: {endpointWaitMs: 0}\n")
        .manifest("site.yaml", site)
        .manifest("pods.yaml", pods(3))
        .manifest("slice.yaml", slice(3))
        .start();
    let mut chance = Chance::of(Chance::seed());
    let (asked, bad, told) = asked_meanwhile(&gate, || {
        for _ in 0..200 {
            let version = chance.below(4);
            match chance.below(3) {
                0 => gate.swap("pods.yaml", &pods(version)),
                1 => gate.swap("slice.yaml", &slice(version)),
                // In place, where nobody asks meanwhile: a writer that is held up between emptying and writing may be read empty.
                _ => fs::write(gate.folder().join("slice.yaml"), slice(version)).expect("the folder can be written"),
            }
        }
        // The oldest come last.
        gate.swap("slice.yaml", &slice(1));
        gate.swap("pods.yaml", &pods(0));
        await_until("the last state", || {
            let rows = gate.rows("endpoints");
            let ready = |service: &str| {
                let of =
                    rows.iter().filter(|row| row["service"].as_str().is_some_and(|name| name.contains(service)) && row["state"] == "Ready");
                of.map(|row| row["address"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
            };
            let at = |replicas: &[Replica]| replicas.iter().map(|replica| replica.address().to_string()).collect::<Vec<_>>();
            ready("app") == at(&replicas[..1]) && ready("sliced") == at(&replicas[..2])
        });
    });
    assert!(asked > 0 && bad == 0, "{told}");
    assert_eq!(gate.rows("problems"), Vec::<Value>::new());
    gate.await_newer(0);
    let before = replicas.each_ref().map(Replica::requests);
    for _ in 0..20 {
        assert_eq!(gate.get("app.example", "/").replica(), "app-0");
        assert_ne!(gate.get("app.example", "/sliced").replica(), "app-2");
    }
    assert_eq!(replicas[2].requests(), before[2], "nobody asks who is not Ready any more");
}

#[test]
fn a_pod_under_a_new_name_before_the_old_file_is_gone_is_refused_there_by_both_names_and_then_is_the_same_replica() {
    let net = Net::take();
    let replica = Replica::start(&net, "app-0", Behaviour::Named);
    let site = file(&[service("app", 80, net.port()), ingress("app", "app.example", &[path("Prefix", "/", "app", 80)])]);
    let one = pod("app-0", "app", replica.ip());
    let gate = Setup::new(&net).config("limits: {endpointWaitMs: 0}\n").manifest("site.yaml", site).manifest("old.yaml", &one).start();
    let id = || gate.rows("endpoints")[0]["replica"].clone();
    let before = id();
    let (asked, bad, told) = asked_meanwhile(&gate, || {
        for (from, to) in [("old.yaml", "new.yaml"), ("new.yaml", "old.yaml")] {
            gate.swap(to, &one);
            let problem = gate.await_problem(&["Pod default/app-0", "old.yaml", "new.yaml"]);
            assert_eq!(problem["reason"], "Conflict", "{problem}");
            assert_eq!(gate.rows("endpoints").len(), 1, "it counts once");
            removed(gate.folder().join(from));
            await_until("no problem", || gate.rows("problems").is_empty());
            assert_eq!(gate.rows("endpoints").len(), 1);
        }
    });
    assert!(asked > 0 && bad == 0, "{told}");
    assert_eq!((id(), replica.connections()), (before, 1), "nothing has changed for it");
}
