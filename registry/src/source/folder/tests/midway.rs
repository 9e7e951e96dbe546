//! Files that are looked at while somebody writes them: nothing of that is taken for what they say.

use super::*;

/// An editor moves the old file aside, makes a new one by its name and takes its time to write it.
#[tokio::test]
async fn a_file_that_is_made_anew_and_not_written_yet_is_not_gone() {
    let slow = Pace { gather: Duration::from_millis(600), ..QUICK };
    let mut on = Followed::paced(slow, |m| fs::write(m.join("a.yaml"), named("old")).unwrap());
    assert_eq!(on.batch().await, read(&["a.yaml"]));
    tokio::time::sleep(slow.gather * 2).await; // nothing is gathered any more
    let aside = on.path("a.yaml~");
    fs::rename(on.path("a.yaml"), &aside).unwrap();
    // It is looked for a moment later, and then again by whoever does not believe it.
    tokio::time::sleep(slow.gather / 2).await;
    let mut file = File::create(on.path("a.yaml")).unwrap();
    file.write_all(b"# new\n").unwrap();
    tokio::time::sleep(slow.gather * 2).await;
    fs::remove_file(aside).unwrap();
    on.nothing_more().await;
    file.write_all(named("new").as_bytes()).unwrap();
    drop(file);
    assert_eq!(on.batch().await, read(&["a.yaml"]));
    fs::remove_file(on.path("a.yaml")).unwrap();
    assert_eq!(on.batch().await, gone("a.yaml"));
}

/// Each opens the file anew, which empties it, before it writes.
#[tokio::test]
async fn a_file_that_is_written_again_and_again_is_never_read_empty() {
    let mut on = Followed::start(|m| fs::write(m.join("a.yaml"), named("n")).unwrap());
    assert_eq!(on.batch().await, read(&["a.yaml"]));
    let m = on.path("");
    let writer = std::thread::spawn(move || {
        for turn in 0..1000_u64 {
            let mut file = File::create(m.join("a.yaml")).unwrap();
            std::thread::park_timeout(Duration::from_micros(turn % 7 * 300));
            file.write_all(named(&format!("n{turn}")).as_bytes()).unwrap();
            drop(file);
            std::thread::park_timeout(Duration::from_micros(turn % 11 * 300));
        }
        fs::write(m.join("last.yaml"), named("last")).unwrap();
    });
    let mut ended = false;
    while !ended {
        let Event::Batch(batch) = on.event().await else { continue };
        ended = on.told(&batch).iter().any(|(name, _)| name == "last.yaml");
        for change in batch.changes {
            assert!(matches!(&change.content, Content::Manifest(said) if said.objects.len() == 1), "{change:?}");
        }
    }
    writer.join().unwrap();
}

#[tokio::test]
async fn a_file_that_was_emptied_says_nothing_more() {
    let mut on = Followed::start(|m| fs::write(m.join("a.yaml"), named("n")).unwrap());
    assert_eq!(on.batch().await, read(&["a.yaml"]));
    fs::write(on.path("a.yaml"), "").unwrap();
    let Event::Batch(batch) = on.event().await else { panic!("a batch") };
    assert!(matches!(&batch.changes[..], [Change { content: Content::Manifest(said), .. }] if said.objects.is_empty()), "{batch:?}");
    on.nothing_more().await;
}
