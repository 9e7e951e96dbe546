use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};

use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::*;

mod midway;

const QUICK: Pace = Pace { young: Duration::from_millis(100), retry: Duration::from_millis(20), ..PACE };
const LONG: Duration = Duration::from_secs(10);
/// Long enough for a wrong batch to show itself.
const QUIET: Duration = Duration::from_millis(400);

struct Followed {
    dir: tempfile::TempDir,
    events: Receiver<Event>,
}

impl Followed {
    fn start(make: impl FnOnce(&Path)) -> Followed {
        Followed::at(make, |dir| dir.join("m"))
    }

    fn paced(pace: Pace, make: impl FnOnce(&Path)) -> Followed {
        Followed::with(pace, make, |dir| dir.join("m"))
    }

    fn at(make: impl FnOnce(&Path), root: impl FnOnce(&Path) -> PathBuf) -> Followed {
        Followed::with(QUICK, make, root)
    }

    fn with(pace: Pace, make: impl FnOnce(&Path), root: impl FnOnce(&Path) -> PathBuf) -> Followed {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("m")).unwrap();
        make(&dir.path().join("m"));
        let (out, events) = mpsc::channel(16);
        tokio::spawn(follow(root(dir.path()), out, pace));
        Followed { dir, events }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("m").join(name)
    }

    async fn event(&mut self) -> Event {
        timeout(LONG, self.events.recv()).await.expect("an event in time").expect("the source runs")
    }

    /// The next batch, as (name below the folder, what), and whether it is whole.
    async fn batch(&mut self) -> Vec<(String, &'static str)> {
        loop {
            match self.event().await {
                Event::Batch(batch) => return self.told(&batch),
                Event::Alive(_) | Event::Settings(_) => {}
                Event::Stale(_, problem) => panic!("stale: {problem}"),
                Event::Resolved(name, _) => panic!("a folder knows nothing of {name}"),
                Event::Judged(verdict) => panic!("a folder knows nothing of {verdict:?}"),
            }
        }
    }

    fn told(&self, batch: &Batch) -> Vec<(String, &'static str)> {
        let names = batch.changes.iter().map(|change| {
            let name = change.origin.strip_prefix(self.dir.path().join("m")).unwrap_or(&change.origin);
            (name.display().to_string(), what(&change.content))
        });
        names.collect()
    }

    async fn nothing_more(&mut self) {
        if let Ok(Some(Event::Batch(batch))) = timeout(QUIET, self.events.recv()).await {
            panic!("one batch too many: {:?}", self.told(&batch));
        }
    }
}

fn what(content: &Content) -> &'static str {
    match content {
        Content::Manifest(_) => "read",
        Content::Unreadable(_) => "unreadable",
        Content::Gone => "gone",
    }
}

fn named(name: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n")
}

fn read(names: &[&str]) -> Vec<(String, &'static str)> {
    names.iter().map(|name| ((*name).to_owned(), "read")).collect()
}

fn gone(name: &str) -> Vec<(String, &'static str)> {
    vec![(name.to_owned(), "gone")]
}

/// In a folder that is busy with what says nothing, as with subfolders that come and go, no poll is ever due.
#[test]
fn a_look_at_everything_shows_that_the_folder_is_alive_whatever_brought_it_about() {
    let dir = tempfile::tempdir().unwrap();
    let (mut folder, mut told) = (Folder::new(dir.path(), PACE, None), Told::default());
    let source = folder.source.clone();
    let first = folder.first();
    assert!(matches!(told.news(first, &source, folder.whole), Some(Event::Batch(_))));
    let looked = folder.again(Look::Everything(Taken::default()));
    assert!(matches!(told.news(looked, &source, folder.whole), Some(Event::Alive(_))));
    let one = folder.again(Look::Files(Taken::default()));
    assert!(told.news(one, &source, folder.whole).is_none(), "who looked at nothing knows nothing");
}

#[test]
fn one_look_reads_everything_in_path_order() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at("b/deep")).unwrap();
    fs::create_dir_all(at("..hidden")).unwrap();
    for name in ["z.yaml", "a.json", "b/deep/x.yml", "b/c.yaml", "readme.md", "..hidden/n.yaml", "..y.yaml", ".#a.yaml"] {
        fs::write(at(name), named("x")).unwrap();
    }
    symlink("nowhere", at("dangling.yaml")).unwrap();
    symlink(".", at("b/loop")).unwrap();
    symlink("..", at("b/up")).unwrap();
    symlink("self.yaml", at("self.yaml")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, at("pipe.yaml"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let batch = read_once(dir.path());
    let told: Vec<_> = batch
        .changes
        .iter()
        .map(|change| (change.origin.strip_prefix(dir.path()).unwrap().display().to_string(), what(&change.content)))
        .collect();
    let expected = [
        ("a.json", "read"),
        ("b/c.yaml", "read"),
        ("b/deep/x.yml", "read"),
        ("dangling.yaml", "unreadable"),
        ("pipe.yaml", "unreadable"),
        ("self.yaml", "unreadable"),
        ("z.yaml", "read"),
    ];
    assert_eq!(told, expected.map(|(name, what)| (name.to_owned(), what)));
}

#[test]
fn one_file_is_a_source_too_and_a_missing_one_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("all.txt");
    fs::write(&file, named("x")).unwrap();
    let batch = read_once(&file);
    assert!(batch.whole);
    assert_eq!((&*batch.changes[0].origin, what(&batch.changes[0].content)), (file.as_path(), "read"));
    let batch = read_once(&dir.path().join("missing"));
    assert_eq!(&*batch.changes[0].origin, dir.path().join("missing"));
    let Content::Unreadable(problem) = &batch.changes[0].content else { panic!("{batch:?}") };
    assert!(problem.fix.as_deref().unwrap().contains("--manifests"), "{problem}");
}

#[tokio::test]
async fn a_write_is_read_when_it_is_closed_and_not_before() {
    let mut on = Followed::start(|m| fs::write(m.join("a.yaml"), named("a")).unwrap());
    assert_eq!(on.batch().await, read(&["a.yaml"]));
    let mut file = File::create(on.path("a.yaml")).unwrap();
    file.write_all(b"apiVersion: v1\nkind: Name").unwrap();
    file.flush().unwrap();
    // Another file's event, and a look at everything, must not pull it in either.
    fs::write(on.path("b.yaml"), named("b")).unwrap();
    assert_eq!(on.batch().await, read(&["b.yaml"]));
    fs::create_dir(on.path("new")).unwrap();
    on.nothing_more().await;
    file.write_all(b"space\nmetadata:\n  name: other\n").unwrap();
    drop(file);
    assert_eq!(on.batch().await, read(&["a.yaml"]));
    on.nothing_more().await;
}

#[tokio::test]
async fn the_same_bytes_again_are_no_news() {
    let mut on = Followed::start(|m| fs::write(m.join("a.yaml"), named("a")).unwrap());
    on.batch().await;
    fs::write(on.path("a.yaml"), named("a")).unwrap();
    on.nothing_more().await;
}

#[tokio::test]
async fn delete_and_rename_are_one_batch_each() {
    let mut on = Followed::start(|m| fs::write(m.join("a.yaml"), named("a")).unwrap());
    on.batch().await;
    fs::rename(on.path("a.yaml"), on.path("b.yaml")).unwrap();
    assert_eq!(on.batch().await, [("a.yaml".to_owned(), "gone"), ("b.yaml".to_owned(), "read")]);
    fs::remove_file(on.path("b.yaml")).unwrap();
    assert_eq!(on.batch().await, gone("b.yaml"));
    fs::write(on.path("tmp"), named("c")).unwrap();
    fs::rename(on.path("tmp"), on.path("c.yaml")).unwrap();
    assert_eq!(on.batch().await, read(&["c.yaml"]));
    on.nothing_more().await;
}

fn config_map(m: &Path, version: &str, names: &[&str]) {
    let folder = m.join(format!("..{version}"));
    fs::create_dir(&folder).unwrap();
    for name in names {
        fs::write(folder.join(name), named(version)).unwrap();
    }
    symlink(format!("..{version}"), m.join("..data_tmp")).unwrap();
    fs::rename(m.join("..data_tmp"), m.join("..data")).unwrap();
}

#[tokio::test]
async fn the_swap_of_a_mounted_config_map_is_one_batch() {
    let names = ["a.yaml", "b.yaml"];
    let mut on = Followed::start(|m| {
        config_map(m, "1", &names);
        names.iter().for_each(|name| symlink(format!("..data/{name}"), m.join(name)).unwrap());
    });
    assert_eq!(on.batch().await, read(&names));
    for version in 2..8 {
        config_map(&on.path(""), &version.to_string(), &names);
        fs::remove_dir_all(on.path(&format!("..{}", version - 1))).unwrap();
        assert_eq!(on.batch().await, read(&names), "swap to {version}");
    }
    on.nothing_more().await;
}

#[tokio::test]
async fn links_to_files_elsewhere_are_followed() {
    let mut on = Followed::start(|m| {
        fs::create_dir(m.parent().unwrap().join("other")).unwrap();
        fs::write(m.parent().unwrap().join("other/real.yaml"), named("a")).unwrap();
        symlink("../other/real.yaml", m.join("a.yaml")).unwrap();
    });
    assert_eq!(on.batch().await, read(&["a.yaml"]));
    fs::write(on.dir.path().join("other/real.yaml"), named("b")).unwrap();
    assert_eq!(on.batch().await, read(&["a.yaml"]));
    fs::write(on.dir.path().join("other/more.yaml"), named("c")).unwrap();
    symlink("../other", on.path("sub")).unwrap();
    let mut found = Vec::new();
    while found.len() < 2 {
        found.extend(on.batch().await);
    }
    found.sort();
    assert_eq!(found, read(&["sub/more.yaml", "sub/real.yaml"]));
    fs::remove_file(on.path("sub")).unwrap();
    assert_eq!(on.batch().await, [("sub/more.yaml".to_owned(), "gone"), ("sub/real.yaml".to_owned(), "gone")]);
}

#[tokio::test]
async fn files_made_before_their_new_folder_is_watched_are_found() {
    let mut on = Followed::start(|_| {});
    assert_eq!(on.batch().await, []);
    for round in 0..10 {
        fs::create_dir_all(on.path(&format!("{round}/deep"))).unwrap();
        fs::write(on.path(&format!("{round}/deep/a.yaml")), named("a")).unwrap();
        assert_eq!(on.batch().await, read(&[&format!("{round}/deep/a.yaml")]));
    }
    fs::rename(on.path("0"), on.path("moved")).unwrap();
    assert_eq!(on.batch().await, gone("0/deep/a.yaml").into_iter().chain(read(&["moved/deep/a.yaml"])).collect::<Vec<_>>());
    fs::write(on.path("moved/deep/a.yaml"), named("b")).unwrap();
    assert_eq!(on.batch().await, read(&["moved/deep/a.yaml"]));
    fs::remove_dir_all(on.path("1")).unwrap();
    assert_eq!(on.batch().await, gone("1/deep/a.yaml"));
    fs::create_dir_all(on.path("1/deep")).unwrap();
    fs::write(on.path("1/deep/a.yaml"), named("c")).unwrap();
    assert_eq!(on.batch().await, read(&["1/deep/a.yaml"]));
    fs::write(on.path("1/deep/a.yaml"), named("d")).unwrap();
    assert_eq!(on.batch().await, read(&["1/deep/a.yaml"]));
}

#[tokio::test]
async fn a_folder_that_vanishes_is_stale_and_nothing_is_gone() {
    let mut on = Followed::start(|m| fs::write(m.join("a.yaml"), named("a")).unwrap());
    on.batch().await;
    let away = on.dir.path().join("away");
    fs::rename(on.path(""), &away).unwrap();
    let Event::Stale(source, problem) = on.event().await else { panic!("not stale") };
    assert_eq!(source, name(&on.dir.path().join("m")));
    assert!(problem.fix.is_some(), "{problem}");
    fs::write(away.join("b.yaml"), named("b")).unwrap();
    fs::rename(&away, on.path("")).unwrap();
    assert_eq!(on.batch().await, read(&["b.yaml"]), "a.yaml never was gone");
    fs::write(on.path("a.yaml"), named("c")).unwrap();
    assert_eq!(on.batch().await, read(&["a.yaml"]), "it is followed again");
}

#[tokio::test]
async fn a_folder_that_comes_later_is_read_whole() {
    let mut on = Followed::at(|_| {}, |dir| dir.join("later"));
    assert!(matches!(on.event().await, Event::Stale(..)));
    let made = on.dir.path().join("made");
    fs::create_dir(&made).unwrap();
    fs::write(made.join("a.yaml"), named("a")).unwrap();
    fs::rename(&made, on.dir.path().join("later")).unwrap();
    let Event::Batch(batch) = on.event().await else { panic!("no batch") };
    assert!(batch.whole);
    assert_eq!(batch.changes.len(), 1);
}

#[tokio::test]
async fn the_link_that_is_the_folder_may_be_moved() {
    let mut on = Followed::at(
        |m| {
            fs::write(m.join("a.yaml"), named("a")).unwrap();
            fs::create_dir(m.parent().unwrap().join("n")).unwrap();
            fs::write(m.parent().unwrap().join("n/a.yaml"), named("b")).unwrap();
            symlink("m", m.parent().unwrap().join("now")).unwrap();
        },
        |dir| dir.join("now"),
    );
    assert_eq!(on.batch().await.len(), 1);
    symlink("n", on.dir.path().join("next")).unwrap();
    fs::rename(on.dir.path().join("next"), on.dir.path().join("now")).unwrap();
    assert_eq!(on.batch().await, read(&[on.dir.path().join("now/a.yaml").to_str().unwrap()]));
}

#[tokio::test]
async fn one_file_is_followed() {
    let mut on = Followed::at(|m| fs::write(m.join("a.yaml"), named("a")).unwrap(), |dir| dir.join("m/a.yaml"));
    assert_eq!(on.batch().await, read(&["a.yaml"]));
    fs::write(on.path("a.yaml"), named("b")).unwrap();
    assert_eq!(on.batch().await, read(&["a.yaml"]));
    fs::write(on.path("new"), named("c")).unwrap();
    fs::rename(on.path("new"), on.path("a.yaml")).unwrap();
    assert_eq!(on.batch().await, read(&["a.yaml"]));
    fs::remove_file(on.path("a.yaml")).unwrap();
    assert!(matches!(on.event().await, Event::Stale(..)), "a file that vanished is not an empty one");
}

#[tokio::test]
async fn what_may_not_be_read_keeps_what_it_said() {
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: root may read everything");
        return;
    }
    let mut on = Followed::start(|m| {
        fs::create_dir(m.join("sub")).unwrap();
        fs::write(m.join("a.yaml"), named("a")).unwrap();
        fs::write(m.join("sub/b.yaml"), named("b")).unwrap();
    });
    on.batch().await;
    for (name, shut, open) in [("a.yaml", 0o000, 0o644), ("sub", 0o000, 0o755)] {
        fs::set_permissions(on.path(name), fs::Permissions::from_mode(shut)).unwrap();
        assert_eq!(on.batch().await, [(name.to_owned(), "unreadable")]);
        fs::set_permissions(on.path(name), fs::Permissions::from_mode(open)).unwrap();
        let again = if name == "sub" { vec![("sub".to_owned(), "gone"), ("sub/b.yaml".to_owned(), "read")] } else { read(&[name]) };
        assert_eq!(on.batch().await, again, "{name} can be read again");
    }
}

#[tokio::test]
async fn a_folder_made_anew_in_the_same_breath_is_followed() {
    let mut on = Followed::start(|_| {});
    on.batch().await;
    for round in 0..20 {
        if round > 0 {
            fs::remove_dir_all(on.path("d")).unwrap();
        }
        fs::create_dir(on.path("d")).unwrap();
        fs::write(on.path("d/a.yaml"), named(&format!("n{round}"))).unwrap();
        // The old file may be seen to go before the new one is seen to come.
        while !on.batch().await.contains(&("d/a.yaml".to_owned(), "read")) {}
        fs::write(on.path("d/a.yaml"), named(&format!("m{round}"))).unwrap();
        assert_eq!(on.batch().await, read(&["d/a.yaml"]), "round {round}");
    }
}

/// At each moment the file has one of its names: whoever applies the batches must never see it go.
#[tokio::test]
async fn a_file_that_is_renamed_again_and_again_is_never_missed() {
    let mut on = Followed::start(|m| fs::write(m.join("a.yaml"), named("seal")).unwrap());
    let mut there = BTreeSet::new();
    let m = on.path("");
    assert_eq!(on.batch().await, read(&["a.yaml"]));
    there.insert("a.yaml".to_owned());
    let writer = std::thread::spawn(move || {
        for turn in 0..3000_u32 {
            let (from, to) = if turn % 2 == 0 { ("a.yaml", "b.yaml") } else { ("b.yaml", "a.yaml") };
            fs::rename(m.join(from), m.join(to)).unwrap();
            if turn % 5 == 0 {
                std::thread::park_timeout(Duration::from_millis(u64::from(turn % 9)));
            }
        }
        fs::rename(m.join("a.yaml"), m.join("last.yaml")).unwrap();
    });
    while there.len() != 1 || !there.contains("last.yaml") {
        for (name, what) in on.batch().await {
            if what == "gone" {
                there.remove(&name)
            } else {
                there.insert(name)
            };
        }
        assert!(!there.is_empty(), "it is in the folder under some name");
    }
    writer.join().unwrap();
}

#[tokio::test]
async fn a_storm_of_edits_is_gathered_and_ends_in_the_last_state() {
    let mut on = Followed::start(|_| {});
    on.batch().await;
    let began = Instant::now();
    let m = on.path("");
    let writer = std::thread::spawn(move || {
        for n in 0..2000 {
            fs::write(m.join(format!("{}.yaml", n % 50)), named(&format!("n{n}"))).unwrap();
        }
        fs::write(m.join("last.yaml"), named("last")).unwrap();
    });
    let mut batches = 1;
    while !on.batch().await.iter().any(|(name, _)| name == "last.yaml") {
        batches += 1;
    }
    writer.join().unwrap();
    let most = began.elapsed().as_millis() / QUICK.gather.as_millis() + 1;
    assert!(batches <= most, "{batches} batches where {most} fit: bursts must be gathered");
}

#[tokio::test]
async fn the_source_ends_when_nobody_listens() {
    let dir = tempfile::tempdir().unwrap();
    let (out, mut events) = mpsc::channel(1);
    let running = tokio::spawn(follow(dir.path().to_owned(), out, QUICK));
    events.recv().await.unwrap();
    drop(events);
    timeout(LONG, running).await.expect("it ends").unwrap().unwrap();
}

#[tokio::test]
async fn a_watch_that_falls_silent_is_noticed_and_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.yaml"), named("a")).unwrap();
    let notices = Arc::new(Notices::default());
    let pace = Pace { young: Duration::ZERO, ..PACE };
    let mut folder = Folder::new(dir.path(), pace, Some(notices.clone()));
    assert_eq!(folder.first().unwrap().changes.len(), 1);
    assert!(folder.again(Look::Poll).unwrap().changes.is_empty() && !folder.silent, "nothing happened, and nothing was told");
    folder.watcher.as_mut().unwrap().fall_silent();
    fs::write(dir.path().join("a.yaml"), named("b")).unwrap();
    assert!(notices.is_quiet(), "nobody is told of it");
    assert_eq!(folder.again(Look::Poll).unwrap().changes.len(), 1, "it is found all the same");
    assert!(folder.silent);
    assert!(folder.due <= Instant::now() + pace.blind_poll, "and the next is not waited for for long");
    fs::write(dir.path().join("a.yaml"), named("c")).unwrap();
    timeout(LONG, notices.some()).await.expect("the new watch speaks");
    assert_eq!(folder.again(Look::Files(notices.take())).unwrap().changes.len(), 1);
    assert!(!folder.silent, "it is believed again");
}

#[tokio::test]
async fn a_change_that_was_told_and_found_first_is_no_silence() {
    let dir = tempfile::tempdir().unwrap();
    let notices = Arc::new(Notices::default());
    let mut folder = Folder::new(dir.path(), Pace { young: Duration::ZERO, ..PACE }, Some(notices.clone()));
    folder.first().unwrap();
    fs::write(dir.path().join("a.yaml"), named("a")).unwrap();
    timeout(LONG, notices.some()).await.expect("it is told");
    assert_eq!(folder.again(Look::Poll).unwrap().changes.len(), 1);
    assert!(!folder.silent);
}
