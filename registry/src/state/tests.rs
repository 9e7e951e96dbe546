use proptest::prelude::*;

use super::*;

fn service(name: &str) -> ServiceKey {
    ServiceKey { namespace: "shop".into(), name: name.into() }
}

fn some_vips(count: u8) -> Vec<Grant> {
    (0..count).map(|n| Grant::Vip { service: service(&format!("s{n}")), ip: IpAddr::from([127, 96, 0, 10 + n]) }).collect()
}

fn some_objects() -> Vec<Object> {
    let named = |name: &str| config::object::Meta { name: name.into(), ..Default::default() };
    vec![
        Object::Namespace(config::object::Namespace { meta: named("a") }),
        Object::Namespace(config::object::Namespace { meta: named("b") }),
    ]
}

fn shared() -> Vec<Arc<Object>> {
    some_objects().into_iter().map(Arc::new).collect()
}

fn origin(path: &str) -> Origin {
    Path::new(path).into()
}

#[test]
fn what_was_saved_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/state");
    let state = StateDir::open(&path).unwrap();
    let saved = state.load();
    assert!(saved.grants.is_empty() && saved.origins.is_empty() && saved.problems.is_empty() && !saved.damaged_origins);
    let not_utf8 = origin_of_bytes(b"m/\xff.yaml");
    let origins = [(origin("m/a.yaml"), Some(shared())), (not_utf8.clone(), Some(Vec::new())), (origin("m/gone.yaml"), None)];
    state.save(Some(&some_vips(3)), &origins).unwrap();
    let saved = state.load();
    assert_eq!(saved.grants, some_vips(3));
    assert_eq!(saved.origins[&origin("m/a.yaml")], some_objects());
    assert_eq!(saved.origins[&not_utf8], []);
    assert_eq!(saved.problems, []);
    state.save(None, &[(origin("m/a.yaml"), None)]).unwrap();
    let saved = state.load();
    assert_eq!(saved.grants.len(), 3, "an origin's save leaves the VIPs alone");
    assert!(!saved.origins.contains_key(&origin("m/a.yaml")));
}

fn origin_of_bytes(bytes: &[u8]) -> Origin {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(bytes)).into()
}

#[test]
fn many_origins_are_saved_in_one_go() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    let origins: Vec<_> = (0..FEW * 3).map(|n| (origin(&format!("m/{n}.yaml")), Some(shared()))).collect();
    state.save(None, &origins).unwrap();
    let saved = state.load();
    assert_eq!(saved.origins.len(), FEW * 3);
    assert!(object_files(&dir.path().join(OBJECTS)).unwrap().iter().all(|file| !beside(file).exists()));
}

/// As a version wrote them that knew Secrets alone.
#[test]
fn names_of_secrets_are_read_and_written_as_they_were_before_config_maps() {
    let meta = r#""meta":{"namespace":"a","name":"web","uid":null,"created":null,"deleting":false,"labels":{},"annotations":{}}"#;
    let service = format!(
        r#"{{"Service":{{{meta},"service_type":"ClusterIp","cluster_ip":"Allocate","selector":null,"ports":[],"publish_not_ready":false,"upstream":{{"ca":"authority","name":null,"certificate":"ours"}},"external_ips":[],"unknown_fields":[]}}}}"#
    );
    let ingress = format!(
        r#"{{"Ingress":{{{meta},"class":null,"default_backend":null,"rules":[],"client":{{"namespace":"a","secret":"staff","optional":true}}}}}}"#
    );
    let header = r#"{"tidegate":1,"records":2,"origin":"m/a.yaml"}"#;
    let line = |json: &str| format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
    let before: String = [header, &service, &ingress].map(line).concat();
    let (from, objects, lines) = record::read_objects(before.as_bytes());
    assert!(lines.damage.is_empty() && !lines.lost, "{lines:?}");
    let [Object::Service(read), Object::Ingress(asks)] = &objects[..] else { panic!("{objects:?}") };
    let secret = |name: &str| Some(config::object::CaRef::Secret(name.into()));
    assert_eq!((&read.upstream.ca, asks.client.clone().map(|terms| terms.ca)), (&secret("authority"), secret("staff")));
    let mut after = Vec::new();
    record::write_objects(&from.unwrap(), &objects.into_iter().map(Arc::new).collect::<Vec<_>>(), &mut after).unwrap();
    assert_eq!(String::from_utf8(after).unwrap(), before);
}

#[test]
fn a_second_holder_is_refused_and_told_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let first = StateDir::open(dir.path()).unwrap();
    let problem = StateDir::open(dir.path()).unwrap_err();
    assert_eq!(problem.reason, Reason::Conflict);
    assert!(problem.found.contains(&std::process::id().to_string()), "{problem}");
    drop(first);
    StateDir::open(dir.path()).unwrap();
}

#[test]
fn reading_only_takes_no_lock_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    assert!(read_only(&missing).problems.is_empty());
    assert!(!missing.exists());
    let state = StateDir::open(dir.path()).unwrap();
    state.save(Some(&some_vips(2)), &[]).unwrap();
    let mut bytes = fs::read(dir.path().join(GRANTS)).unwrap();
    bytes.truncate(bytes.len() - 5);
    fs::write(dir.path().join(GRANTS), &bytes).unwrap();
    assert!(!read_only(dir.path()).problems.is_empty());
    assert_eq!(fs::read(dir.path().join(GRANTS)).unwrap(), bytes);
    assert_eq!(fs::read_dir(dir.path().join(DAMAGED)).unwrap().count(), 0);
}

#[test]
fn a_file_that_stands_in_the_way_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("state");
    fs::write(&file, "").unwrap();
    let problem = StateDir::open(&file).unwrap_err();
    assert_eq!(problem.place.file.as_deref(), Some(file.as_path()));
    let state = StateDir::open(dir.path().join("good")).unwrap();
    fs::create_dir(state.path.join("vips.new")).unwrap();
    assert_eq!(state.save(Some(&[]), &[]).unwrap_err().reason, Reason::Unreadable, "a failed write is a problem, not a panic");
}

#[test]
fn a_cut_objects_file_is_damage_even_at_a_line_end() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    state.save(None, &[(origin("m/a.yaml"), Some(shared()))]).unwrap();
    let file = dir.path().join(OBJECTS).join(record::file_name(Path::new("m/a.yaml")));
    let bytes = fs::read(&file).unwrap();
    let cut = bytes[..bytes.len() - 1].iter().rposition(|&byte| byte == b'\n').unwrap();
    fs::write(&file, &bytes[..=cut]).unwrap();
    let saved = state.load();
    assert!(saved.damaged_origins && !saved.problems.is_empty());
    assert_eq!(saved.origins[&origin("m/a.yaml")].len(), 1);
    assert!(state.load().damaged_origins, "the damage is known until the origin is saved anew");
}

#[test]
fn damage_is_set_aside_once_and_mended() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    state.save(Some(&some_vips(3)), &[]).unwrap();
    let mut bytes = fs::read(dir.path().join(GRANTS)).unwrap();
    let at = bytes.len() - 10;
    bytes[at] ^= 1;
    fs::write(dir.path().join(GRANTS), &bytes).unwrap();
    assert_eq!(state.load().grants, some_vips(2));
    let damaged = fs::read(dir.path().join(DAMAGED).join(GRANTS)).unwrap();
    assert_eq!(damaged.iter().filter(|&&byte| byte == b'\n').count(), 1);
    assert!(bytes.windows(damaged.len()).any(|window| window == damaged), "the very bytes are kept");
    assert_eq!(state.load().problems, [], "the file itself is whole again");
}

/// A folder where a file should be is what even root cannot read as one.
fn unread(dir: &Path, name: &str) -> PathBuf {
    let file = dir.join(name);
    let _ = fs::remove_file(&file);
    fs::create_dir(&file).unwrap();
    fs::write(file.join("precious"), name).unwrap();
    file
}

#[test]
fn what_cannot_be_read_is_moved_aside_before_its_place_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    let objects = Path::new(OBJECTS).join(record::file_name(Path::new("m/a.yaml")));
    for turn in ["", ".1", ".2"] {
        let files = [GRANTS.as_ref(), objects.as_path()].map(|name| unread(dir.path(), name.to_str().unwrap()));
        let saved = state.load();
        assert!(saved.damaged_origins, "nobody knows what seals it held");
        let told: Vec<&Path> = saved.problems.iter().filter_map(|problem| problem.place.file.as_deref()).collect();
        assert_eq!(told, files.iter().map(PathBuf::as_path).collect::<Vec<_>>());
        assert!(files.iter().all(|file| file.is_dir()), "until then it can be mended where it is");
        state.save(Some(&some_vips(2)), &[(origin("m/a.yaml"), Some(shared()))]).unwrap();
        for file in &files {
            let name = file.file_name().unwrap().to_str().unwrap();
            assert!(dir.path().join(DAMAGED).join(format!("{name}{turn}")).join("precious").exists(), "{name}{turn}");
        }
        let saved = state.load();
        assert_eq!((saved.grants, saved.problems), (some_vips(2), vec![]));
        assert_eq!(saved.origins[&origin("m/a.yaml")], some_objects());
    }
}

#[test]
fn what_can_be_neither_read_nor_moved_is_not_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    let vips = unread(dir.path(), GRANTS);
    state.load();
    fs::remove_dir(dir.path().join(DAMAGED)).unwrap();
    fs::write(dir.path().join(DAMAGED), "a file, so that nothing can be moved there").unwrap();
    let problem = state.save(Some(&some_vips(1)), &[]).unwrap_err();
    assert_eq!(problem.place.file.as_deref(), Some(vips.as_path()));
    assert!(problem.fix.is_some() && vips.join("precious").exists(), "{problem}");
    state.save(None, &[(origin("m/a.yaml"), Some(shared()))]).unwrap();
    fs::remove_file(dir.path().join(DAMAGED)).unwrap();
    fs::create_dir(dir.path().join(DAMAGED)).unwrap();
    state.save(Some(&some_vips(1)), &[]).unwrap();
    assert_eq!(state.load().grants, some_vips(1));
}

#[test]
fn removing_an_origin_does_not_remove_what_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(dir.path()).unwrap();
    let name = record::file_name(Path::new("m/a.yaml"));
    unread(&dir.path().join(OBJECTS), &name);
    state.load();
    state.save(None, &[(origin("m/a.yaml"), None)]).unwrap();
    assert!(dir.path().join(DAMAGED).join(name).join("precious").exists());
}

/// Every bit of every byte, so that nothing is left to luck.
#[test]
fn any_flipped_bit_costs_at_most_its_own_service_and_is_reported() {
    let vips = some_vips(4);
    let mut good = Vec::new();
    record::write_grants(&vips, &mut good).unwrap();
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << bit;
            let (read, lines) = record::read_grants(&bytes);
            assert!(!lines.damage.is_empty(), "byte {at} bit {bit} was not noticed");
            assert!(read.iter().all(|vip| vips.contains(vip)), "byte {at} bit {bit} made something up");
            let missing = vips.len() - read.len();
            let allowed = usize::from(good[at] != b'\n');
            assert!(missing <= allowed, "byte {at} bit {bit} lost {missing}");
        }
    }
}

proptest! {
    #[test]
    fn any_changed_byte_on_disk_costs_at_most_its_own_service(count in 1u8..20, at: prop::sample::Index, change in 1u8..) {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let vips = some_vips(count);
        state.save(Some(&vips), &[]).unwrap();
        let mut bytes = fs::read(dir.path().join(GRANTS)).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        fs::write(dir.path().join(GRANTS), &bytes).unwrap();
        let saved = state.load();
        prop_assert!(saved.problems.iter().any(|problem| problem.reason == Reason::StateDamaged));
        prop_assert!(saved.grants.len() + 1 >= vips.len());
        prop_assert!(saved.grants.iter().all(|vip| vips.contains(vip)));
        prop_assert!(fs::metadata(dir.path().join(DAMAGED).join(GRANTS)).unwrap().len() > 0);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        record::read_grants(&bytes);
        record::read_objects(&bytes);
    }
}
