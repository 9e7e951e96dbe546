//! The file of the socket, whatever is there before.

use std::io::Read;

use super::*;

fn place() -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().expect("a temporary folder");
    let path = home.path().join("run/tidegate/docker.sock");
    (home, path)
}

#[test]
fn it_is_made_with_its_folder_and_mode_and_is_gone_at_the_end() {
    let (_home, path) = place();
    let (listener, file) = claim(&path).expect("a free path");
    assert_eq!(fs::symlink_metadata(&path).expect("the file").permissions().mode() & 0o777, 0o660);
    let mut client = UnixStream::connect(&path).expect("somebody listens");
    drop(listener.accept().expect("a client"));
    assert_eq!(client.read(&mut [0]).expect("the end"), 0);
    let entries = fs::read_dir(path.parent().expect("a folder")).expect("the folder").count();
    assert_eq!(entries, 1, "nothing is left of how it was made");
    drop(file);
    assert!(!path.exists());
}

#[test]
fn a_stale_one_is_replaced_and_a_live_one_is_not() {
    let (_home, path) = place();
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
    drop(UnixListener::bind(&path).expect("a free path"));
    let (_listener, _file) = claim(&path).expect("nobody answers there");
    let problem = claim(&path).expect_err("somebody answers there");
    assert_eq!(problem.reason, Reason::Conflict);
    assert!(problem.to_string().contains("another process answers"), "{problem}");
    assert!(UnixStream::connect(&path).is_ok(), "it is left alone");
}

#[test]
fn a_file_that_is_no_socket_is_never_deleted() {
    let (_home, path) = place();
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
    fs::write(&path, "precious").expect("a file can be written");
    assert!(claim(&path).expect_err("a file is there").to_string().contains("no socket"));
    let link = path.with_file_name("link.sock");
    std::os::unix::fs::symlink(&path, &link).expect("a link can be made");
    assert!(claim(&link).expect_err("a link is there").to_string().contains("no socket"));
    assert_eq!(fs::read_to_string(&path).expect("the file"), "precious");
}

#[test]
fn the_file_of_a_successor_stays() {
    let (_home, path) = place();
    let (listener, file) = claim(&path).expect("a free path");
    drop(listener);
    let (_successor, _its) = claim(&path).expect("nobody answers there");
    drop(file);
    assert!(UnixStream::connect(&path).is_ok());
}

#[test]
fn a_path_that_cannot_be_bound_is_a_problem_with_its_fix() {
    let (home, _) = place();
    let long = home.path().join("x".repeat(120));
    for path in [long.as_path(), Path::new("/proc/tidegate/docker.sock")] {
        let problem = claim(path).expect_err("it cannot be bound");
        assert_eq!(problem.reason, Reason::BindFailed);
        assert!(problem.fix.is_some());
    }
}
