use super::*;

fn pretended(boot_id: &str) -> MetadataOptions {
    MetadataOptions { durability: Durability::Pretended, boot_id: Some(boot_id.into()) }
}

fn open(root: &Path, boot_id: &str) -> Metadata {
    let metadata = Metadata::open(root, pretended(boot_id)).unwrap();
    metadata.migrate("test", &["CREATE TABLE item (name TEXT PRIMARY KEY, epoch INTEGER)"]).unwrap();
    metadata
}

fn add(metadata: &Metadata, name: &str) {
    metadata.with_epoch(|db, epoch| db.execute("INSERT INTO item VALUES (?1, ?2)", (name, epoch))).unwrap();
}

fn items(metadata: &Metadata) -> Vec<String> {
    metadata
        .with(|db| {
            db.prepare("SELECT name FROM item ORDER BY name")?.query_map([], |row| row.get(0))?.collect()
        })
        .unwrap()
}

/// The files as a kill -9 at this moment leaves them: what was committed, and nothing of the process.
fn killed(root: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in ["metadata.db", "metadata.db-wal"] {
        if root.join(name).exists() {
            std::fs::copy(root.join(name), copy.path().join(name)).unwrap();
        }
    }
    copy
}

#[test]
fn reads_see_what_was_written_before() {
    let root = tempfile::tempdir().unwrap();
    let metadata = open(root.path(), "a");
    add(&metadata, "one");
    assert_eq!(items(&metadata), ["one"]);
}

#[test]
fn a_failed_or_panicking_write_leaves_nothing_and_harms_no_other() {
    let root = tempfile::tempdir().unwrap();
    let metadata = open(root.path(), "a");
    add(&metadata, "one");
    let failed = metadata.with(|db| {
        db.execute("INSERT INTO item VALUES ('half', 0)", [])?;
        db.execute("INSERT INTO item VALUES ('one', 0)", [])
    });
    assert!(matches!(failed, Err(Error::Database { .. })));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        metadata.with(|db| -> rusqlite::Result<()> {
            db.execute("INSERT INTO item VALUES ('half', 0)", [])?;
            panic!("in the middle");
        })
    }));
    assert!(panicked.is_err());
    add(&metadata, "two");
    metadata.flush().unwrap();
    assert_eq!(items(&metadata), ["one", "two"]);
}

#[test]
fn a_kill_loses_nothing_that_was_flushed_and_no_rows_on_the_same_boot() {
    let root = tempfile::tempdir().unwrap();
    let metadata = open(root.path(), "a");
    add(&metadata, "flushed");
    metadata.flush().unwrap();
    let copy = killed(root.path());
    let reopened = open(copy.path(), "a");
    assert_eq!(items(&reopened), ["flushed"]);
    assert_eq!(reopened.recovery(), Recovery { unclean: true, drop_after: None });
}

#[test]
fn writes_are_committed_without_a_flush() {
    let root = tempfile::tempdir().unwrap();
    let metadata = open(root.path(), "a");
    for number in 0..=COMMIT_WRITES {
        add(&metadata, &number.to_string());
    }
    let copy = killed(root.path());
    assert!(items(&open(copy.path(), "a")).len() as u64 >= COMMIT_WRITES);
    loop {
        let copy = killed(root.path());
        if items(&open(copy.path(), "a")).len() as u64 > COMMIT_WRITES {
            break;
        }
        std::thread::sleep(COMMIT_DELAY);
    }
}

#[test]
fn after_a_power_loss_only_durable_epochs_count() {
    let root = tempfile::tempdir().unwrap();
    let metadata = open(root.path(), "a");
    add(&metadata, "old");
    metadata.make_durable().unwrap();
    add(&metadata, "new");
    metadata.flush().unwrap();
    let copy = killed(root.path());

    let reopened = open(copy.path(), "b");
    let drop_after = reopened.recovery().drop_after.unwrap();
    assert!(reopened.recovery().unclean);
    let kept: Vec<String> = reopened
        .with(|db| {
            db.prepare("SELECT name FROM item WHERE epoch <= ?1")?
                .query_map([drop_after], |row| row.get(0))?
                .collect()
        })
        .unwrap();
    assert_eq!(kept, ["old"]);
    assert_eq!(items(&reopened), ["new", "old"]);
}

#[test]
fn an_unknown_boot_counts_as_another_one() {
    let root = tempfile::tempdir().unwrap();
    let metadata = open(root.path(), "");
    let copy = killed(root.path());
    assert!(open(copy.path(), "").recovery().drop_after.is_some());
    drop(metadata);
}

#[test]
fn a_synced_stop_needs_no_recovery_on_any_boot() {
    let root = tempfile::tempdir().unwrap();
    let metadata = open(root.path(), "a");
    let clone = metadata.clone();
    drop(metadata);
    add(&clone, "one");
    drop(clone);
    let reopened = open(root.path(), "b");
    assert_eq!(reopened.recovery(), Recovery::default());
    assert_eq!(items(&reopened), ["one"]);
}

#[test]
fn leftovers_are_looked_for_but_rows_are_trusted() {
    let root = tempfile::tempdir().unwrap();
    let metadata = open(root.path(), "a");
    add(&metadata, "one");
    metadata.expect_leftovers();
    drop(metadata);
    let reopened = open(root.path(), "b");
    assert_eq!(reopened.recovery(), Recovery { unclean: true, drop_after: None });
}

#[test]
fn a_volatile_stop_is_trusted_only_on_the_same_boot() {
    let root = tempfile::tempdir().unwrap();
    let volatile = |boot: &str| {
        let options = MetadataOptions { durability: Durability::Volatile, boot_id: Some(boot.into()) };
        Metadata::open(root.path(), options).unwrap().recovery()
    };
    volatile("a");
    assert_eq!(volatile("a"), Recovery::default());
    assert_eq!(volatile("b"), Recovery { unclean: true, drop_after: Some(0) });
}

#[test]
fn a_root_has_one_user() {
    let root = tempfile::tempdir().unwrap();
    let metadata = open(root.path(), "a");
    let second = Metadata::open(root.path(), pretended("a"));
    let own = std::process::id();
    assert!(matches!(second, Err(Error::Locked { pid: Some(pid), .. }) if pid == own), "{second:?}");
    drop(metadata);
    Metadata::open(root.path(), pretended("a")).unwrap();
}

#[test]
fn steps_run_once_and_a_newer_database_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let steps = ["CREATE TABLE a (x)", "INSERT INTO a VALUES (1)", "INSERT INTO a VALUES (2)"];
    let metadata = Metadata::open(root.path(), pretended("a")).unwrap();
    metadata.migrate("room", &steps[..2]).unwrap();
    metadata.migrate("room", &steps).unwrap();
    metadata.migrate("room", &steps).unwrap();
    let rows: i64 = metadata.with(|db| db.query_row("SELECT count(*) FROM a", [], |row| row.get(0))).unwrap();
    assert_eq!(rows, 2);
    let older = metadata.migrate("room", &steps[..1]);
    assert!(matches!(older, Err(Error::Newer { found: 3, known: 1, .. })));
    let broken = metadata.migrate("other", &["CREATE TABLE b (x)", "NONSENSE"]);
    assert!(broken.is_err());
    let table = metadata.with(|db| db.execute("INSERT INTO b VALUES (1)", []));
    assert!(table.is_err(), "a broken migration leaves nothing");
}

#[test]
fn a_damaged_database_is_set_aside() {
    let damages: [&dyn Fn(&Path); 3] = [
        &|path| {
            std::fs::write(path, "this is not a database, but it is long enough to be read".repeat(100))
                .unwrap()
        },
        &|path| {
            let mut bytes = std::fs::read(path).unwrap();
            for byte in bytes.iter_mut().skip(4096).step_by(7) {
                *byte ^= 0x5a;
            }
            std::fs::write(path, bytes).unwrap();
        },
        &|path| std::fs::write(path.with_file_name("metadata.damaged"), "").unwrap(),
    ];
    for damage in damages {
        let root = tempfile::tempdir().unwrap();
        let metadata = open(root.path(), "a");
        add(&metadata, "one");
        metadata.with(|db| db.execute("UPDATE note SET value = 'running' WHERE key = 'stop'", [])).unwrap();
        drop(metadata);
        damage(&root.path().join("metadata.db"));
        // Not closed in order, so that the whole file is looked at.
        let unclean = root.path().join("metadata.db-wal");
        let _ = std::fs::remove_file(unclean);
        let reopened = Metadata::open(root.path(), pretended("b"));
        let reopened = match reopened {
            Ok(reopened) => reopened,
            Err(error) => panic!("{error:?}"),
        };
        let _ = reopened.migrate("test", &["CREATE TABLE item (name TEXT PRIMARY KEY, epoch INTEGER)"]);
        drop(reopened);
        let aside = std::fs::read_dir(root.path())
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("damaged-"))
            .count();
        assert!(aside >= 1);
    }
}

#[test]
fn many_threads_write_at_once() {
    let root = tempfile::tempdir().unwrap();
    let metadata = open(root.path(), "a");
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let metadata = &metadata;
            scope.spawn(move || {
                for number in 0..200 {
                    add(metadata, &format!("{thread}-{number}"));
                    if number % 50 == 0 {
                        metadata.flush().unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(items(&metadata).len(), 1600);
}

#[test]
fn a_loss_is_told_to_each_whose_writes_were_lost_and_to_no_other() {
    let root = tempfile::tempdir().unwrap();
    let metadata = open(root.path(), "a");
    let before = metadata.mark();
    add(&metadata, "kept");
    metadata.flush().unwrap();
    let (one, two) = (metadata.mark(), metadata.mark());
    add(&metadata, "lost");
    // What SQLite does on its own when the disk is full.
    let ended = metadata.with(|db| {
        db.execute_batch("ROLLBACK")?;
        db.execute("INSERT INTO item VALUES ('kept', 0)", [])
    });
    assert!(ended.is_err());
    let after = metadata.mark();
    add(&metadata, "later");
    metadata.flush_since(after).unwrap();
    for mark in [one, two, before, one] {
        assert!(matches!(metadata.flush_since(mark), Err(Error::WritesLost { .. })), "{mark:?}");
    }
    metadata.flush().unwrap();
    assert_eq!(items(&metadata), ["kept", "later"]);
}

#[test]
fn a_damaged_page_costs_the_rows_that_are_on_it() {
    let mut left = Vec::new();
    for part in 3..9 {
        let root = tempfile::tempdir().unwrap();
        let metadata = open(root.path(), "a");
        for number in 0..2000 {
            add(&metadata, &format!("{number:040}"));
        }
        drop(metadata);
        let path = root.path().join("metadata.db");
        let mut bytes = std::fs::read(&path).unwrap();
        // With its head, so that it cannot be read.
        let page = bytes.len() / 4096 * part / 10 * 4096;
        bytes[page..page + 64].fill(0xa5);
        std::fs::write(&path, bytes).unwrap();
        left.push(items(&open(root.path(), "a")).len());
    }
    // Pages of the index cost nothing.
    assert!(left.iter().all(|left| (1800..=2000).contains(left)), "{left:?}");
    assert!(left.iter().any(|left| *left < 2000), "{left:?}");
}
