//! Files that are written in all the ways that programs write them.

use super::*;

const WAIT: Duration = Duration::from_secs(10);

struct Watched {
    dir: tempfile::TempDir,
    items: mpsc::Receiver<Item>,
}

/// A watched folder with these files in it from the start.
fn watched(files: &[(&str, &[u8])]) -> Watched {
    let settle = Settle { quiet: Duration::from_millis(30), max: Duration::from_millis(200) };
    watched_with(settle, files)
}

fn watched_with(settle: Settle, files: &[(&str, &[u8])]) -> Watched {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    let items = watch(dir.path().to_owned(), settle, CancellationToken::new()).unwrap();
    Watched { dir, items }
}

impl Watched {
    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.dir.path().join(name), bytes).unwrap();
    }

    async fn item(&mut self) -> Item {
        let item = tokio::time::timeout(WAIT, self.items.recv()).await.expect("an item");
        item.expect("a watcher that lives")
    }

    /// The next settled item in short: name and content, or what else it is.
    async fn next(&mut self) -> String {
        let mut item = self.item().await;
        while matches!(item, Item::Early(_)) {
            item = self.item().await;
        }
        match item {
            Item::Early(_) => unreachable!("passed over"),
            Item::Found(found) => {
                assert_eq!(found.sha, Version::of(&found.bytes));
                let name = found.path.file_name().unwrap().to_string_lossy();
                format!("{name} {}", String::from_utf8_lossy(&found.bytes))
            }
            Item::Unreadable(error) => format!("unreadable {error}"),
            Item::Initial => "initial".to_owned(),
        }
    }
}

#[tokio::test]
async fn what_is_there_comes_first_in_the_order_of_names() {
    let files: [(&str, &[u8]); 4] =
        [("b.wasm", b"2"), ("a.wasm", b"1"), ("a.wasm~", b"x"), ("notes.txt", b"x")];
    let mut watched = watched(&files);
    assert_eq!(watched.next().await, "a.wasm 1");
    assert_eq!(watched.next().await, "b.wasm 2");
    assert_eq!(watched.next().await, "initial");
}

#[tokio::test]
async fn a_file_is_sent_when_its_content_changes_and_only_then() {
    let mut watched = watched(&[("a.wasm", b"1")]);
    assert_eq!(watched.next().await, "a.wasm 1");
    assert_eq!(watched.next().await, "initial");
    // Written again with the same content, beside one that is new.
    watched.write("a.wasm", b"1");
    watched.write("b.wasm", b"2");
    assert_eq!(watched.next().await, "b.wasm 2");
    watched.write("a.wasm", b"3");
    assert_eq!(watched.next().await, "a.wasm 3");
}

#[tokio::test]
async fn a_changed_file_is_shown_early_and_then_as_it_settled() {
    // Long enough to settle that it is certain to be shown before.
    let settle = Settle { quiet: Duration::from_secs(1), max: Duration::from_secs(5) };
    let mut watched = watched_with(settle, &[("a.wasm", b"1")]);
    assert_eq!(watched.next().await, "a.wasm 1");
    assert_eq!(watched.next().await, "initial");
    watched.write("a.wasm", b"2");
    let Item::Early(early) = watched.item().await else { panic!("not early") };
    let Item::Found(found) = watched.item().await else { panic!("not settled") };
    assert_eq!((&*early.bytes, early.sha), (&*found.bytes, found.sha));
}

#[tokio::test]
async fn a_content_that_has_settled_before_need_not_settle_again() {
    // It never would within the time of the test.
    let settle = Settle { quiet: Duration::from_secs(600), max: Duration::from_secs(600) };
    let mut watched = watched_with(settle, &[("a.wasm", b"1"), ("b.wasm", b"2")]);
    assert_eq!(watched.next().await, "a.wasm 1");
    assert_eq!(watched.next().await, "b.wasm 2");
    assert_eq!(watched.next().await, "initial");
    watched.write("a.wasm", b"2");
    assert_eq!(watched.next().await, "a.wasm 2");
    watched.write("a.wasm", b"1");
    assert_eq!(watched.next().await, "a.wasm 1");
    // One that is not known has to settle.
    watched.write("b.wasm", b"3");
    let Item::Early(early) = watched.item().await else { panic!("it is not known") };
    assert_eq!(&*early.bytes, b"3");
}

#[tokio::test]
async fn a_content_that_was_taken_while_it_changed_has_to_settle_again() {
    // No file is ever quiet for so long, and a second is certain to be enough to be shown before.
    let settle = Settle { quiet: Duration::from_secs(600), max: Duration::from_secs(1) };
    let mut watched = watched_with(settle, &[("a.wasm", b"1")]);
    assert_eq!(watched.next().await, "a.wasm 1");
    assert_eq!(watched.next().await, "initial");
    for _ in 0..2 {
        watched.write("a.wasm", b"half");
        let mut early = Vec::new();
        while let Item::Early(found) = watched.item().await {
            early.push(found.bytes);
        }
        assert!(early.iter().any(|bytes| &**bytes == b"half"), "it counts as whole");
        watched.write("a.wasm", b"1");
        assert_eq!(watched.next().await, "a.wasm 1");
    }
}

#[tokio::test]
async fn a_file_moved_over_another_one_is_noticed() {
    let mut watched = watched(&[("a.wasm", b"1")]);
    assert_eq!(watched.next().await, "a.wasm 1");
    assert_eq!(watched.next().await, "initial");
    watched.write("a.tmp", b"2");
    let dir = watched.dir.path();
    std::fs::rename(dir.join("a.tmp"), dir.join("a.wasm")).unwrap();
    assert_eq!(watched.next().await, "a.wasm 2");
}

#[tokio::test]
async fn a_file_that_was_deleted_says_nothing_and_may_come_back() {
    let mut watched = watched(&[("a.wasm", b"1")]);
    assert_eq!(watched.next().await, "a.wasm 1");
    assert_eq!(watched.next().await, "initial");
    std::fs::remove_file(watched.dir.path().join("a.wasm")).unwrap();
    watched.write("b.wasm", b"2");
    assert_eq!(watched.next().await, "b.wasm 2");
    watched.write("a.wasm", b"3");
    assert_eq!(watched.next().await, "a.wasm 3");
}

#[tokio::test]
async fn folders_pipes_and_dead_links_are_no_plugins_and_a_link_to_a_file_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::create_dir(path("folder.wasm")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(path("pipe.wasm")).status().unwrap();
    assert!(made.success());
    std::os::unix::fs::symlink("nowhere", path("dead.wasm")).unwrap();
    std::fs::write(path("target"), b"1").unwrap();
    std::os::unix::fs::symlink("target", path("link.wasm")).unwrap();
    let items = watch(path(""), Settle::default(), CancellationToken::new()).unwrap();
    let mut watched = Watched { dir, items };
    assert_eq!(watched.next().await, "link.wasm 1");
    assert_eq!(watched.next().await, "initial");
}

#[tokio::test]
async fn the_watcher_ends_when_it_is_cancelled() {
    let dir = tempfile::tempdir().unwrap();
    let cancel = CancellationToken::new();
    let mut items = watch(dir.path().to_owned(), Settle::default(), cancel.clone()).unwrap();
    assert!(matches!(items.recv().await, Some(Item::Initial)));
    cancel.cancel();
    assert!(tokio::time::timeout(WAIT, items.recv()).await.unwrap().is_none());
}

#[test]
fn a_folder_that_is_not_there_is_an_error_that_names_it() {
    let error = watch("/nowhere/at/all".into(), Settle::default(), CancellationToken::new());
    assert!(format!("{:#}", error.unwrap_err()).contains("/nowhere/at/all"));
}
