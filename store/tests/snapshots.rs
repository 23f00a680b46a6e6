//! What every snapshotter keeps, run on each of them: on our own, and on those of a containerd. Overlay is skipped
//! where this process cannot mount it, containerd where there is none to start.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "everything here is a test, its helpers too")]

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use slipway_containerd::{Client, ContainerdSnapshotter};
use slipway_store::mounted::{Mounted, overlay_xattr_prefix};
use slipway_store::snapshot::{Bin, Native, Overlay, SnapshotId, Snapshotter};
use slipway_tests::Containerd;

type Law = fn(&dyn Snapshotter);

const LAWS: &[(&str, Law)] = &[
    ("a child sees its parent and changes stay its own", child_and_parent),
    ("siblings do not see each other", siblings),
    ("what is deleted is hidden, and can come back", deletion),
    ("the root keeps its attributes", root_attributes),
    ("everything a file is survives a child", fidelity),
    ("a name may have any byte", names),
    ("a file may be larger than any disk here", large_file),
    ("a child gives another name to what its parent has", link_across),
    ("a directory that replaces another shows nothing of it, however deep", replaced_directory),
    ("what is removed is gone", removal),
    ("usage counts as du does", usage),
    ("a deep stack works", deep),
];

#[test]
fn native() {
    let place = tempfile::tempdir().unwrap();
    let native =
        Native::open(&place.path().join("s"), Bin::open(&place.path().join("bin")).unwrap()).unwrap();
    check(&native);
    deep_directory(&native);
}

#[test]
fn overlay() {
    let place = tempfile::tempdir().unwrap();
    let bin = Bin::open(&place.path().join("bin")).unwrap();
    match Overlay::open(&place.path().join("s"), bin) {
        Ok(overlay) => {
            check(&overlay);
            deep_directory(&overlay);
        }
        Err(error) => eprintln!("skipped: {error:?}"),
    }
}

fn on_containerd(name: &str) {
    let Some(containerd) = Containerd::start() else { return };
    let place = tempfile::tempdir().unwrap();
    let client = Client::new(&containerd.address(), "laws", "of-snapshots").unwrap();
    let server = client.server().unwrap();
    check(&ContainerdSnapshotter::open(client, &server, name, place.path()).unwrap());
}

#[test]
fn overlayfs_of_containerd() {
    on_containerd("overlayfs");
}

#[test]
fn native_of_containerd() {
    on_containerd("native");
}

fn check(snapshotter: &dyn Snapshotter) {
    for (name, law) in LAWS {
        eprintln!("{}: {name}", snapshotter.name());
        law(snapshotter);
    }
}

/// A snapshot under test: its id and the stack below it.
struct Made {
    id: SnapshotId,
    parents: Vec<SnapshotId>,
}

fn make(snapshotter: &dyn Snapshotter, parent: Option<&Made>, write: impl FnOnce(&Path)) -> Made {
    let parents: Vec<_> = parent
        .map(|parent| std::iter::once(parent.id).chain(parent.parents.clone()).collect())
        .unwrap_or_default();
    let id = SnapshotId::random().unwrap();
    snapshotter.prepare(&id, &parents).unwrap();
    {
        let mounted = Mounted::new(&snapshotter.tree(&id, &parents, true)).unwrap();
        write(&path(&mounted));
    }
    snapshotter.commit(&id).unwrap();
    Made { id, parents }
}

fn path(mounted: &Mounted) -> PathBuf {
    use std::os::fd::AsRawFd as _;
    format!("/proc/self/fd/{}", mounted.root().as_raw_fd()).into()
}

fn look<T>(snapshotter: &dyn Snapshotter, made: &Made, read: impl FnOnce(&Path) -> T) -> T {
    let tree = snapshotter.tree(&made.id, &made.parents, false);
    assert!(tree.is_readonly());
    let mounted = Mounted::new(&tree).unwrap();
    read(&path(&mounted))
}

fn text(path: PathBuf) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| error.kind().to_string())
}

fn child_and_parent(snapshotter: &dyn Snapshotter) {
    let parent = make(snapshotter, None, |at| fs::write(at.join("a"), "parent").unwrap());
    let child = make(snapshotter, Some(&parent), |at| {
        assert_eq!(text(at.join("a")), "parent");
        fs::write(at.join("a"), "child").unwrap();
        fs::write(at.join("b"), "new").unwrap();
    });
    look(snapshotter, &parent, |at| {
        assert_eq!(text(at.join("a")), "parent");
        assert!(!at.join("b").exists());
    });
    look(snapshotter, &child, |at| {
        assert_eq!(text(at.join("a")), "child");
        assert_eq!(text(at.join("b")), "new");
    });
}

fn siblings(snapshotter: &dyn Snapshotter) {
    let parent = make(snapshotter, None, |at| fs::write(at.join("a"), "0").unwrap());
    let one = make(snapshotter, Some(&parent), |at| fs::write(at.join("a"), "1").unwrap());
    let two = make(snapshotter, Some(&parent), |at| fs::write(at.join("a"), "2").unwrap());
    for (made, expected) in [(&parent, "0"), (&one, "1"), (&two, "2")] {
        assert_eq!(look(snapshotter, made, |at| text(at.join("a"))), expected);
    }
}

fn deletion(snapshotter: &dyn Snapshotter) {
    let parent = make(snapshotter, None, |at| {
        fs::create_dir(at.join("dir")).unwrap();
        fs::write(at.join("dir/old"), "").unwrap();
        fs::write(at.join("file"), "").unwrap();
    });
    let deleted = make(snapshotter, Some(&parent), |at| {
        fs::remove_dir_all(at.join("dir")).unwrap();
        fs::remove_file(at.join("file")).unwrap();
        fs::create_dir(at.join("dir")).unwrap();
        fs::write(at.join("dir/new"), "").unwrap();
    });
    let back = make(snapshotter, Some(&deleted), |at| {
        assert!(!at.join("file").exists());
        fs::write(at.join("file"), "again").unwrap();
    });
    look(snapshotter, &deleted, |at| {
        assert!(!at.join("file").exists() && !at.join("dir/old").exists() && at.join("dir/new").exists());
    });
    assert_eq!(look(snapshotter, &back, |at| text(at.join("file"))), "again");
    assert!(look(snapshotter, &parent, |at| at.join("dir/old").exists()));
}

fn root_attributes(snapshotter: &dyn Snapshotter) {
    let parent = make(snapshotter, None, |at| {
        assert_eq!(fs::metadata(at).unwrap().mode() & 0o7777, 0o755);
        fs::set_permissions(at, fs::Permissions::from_mode(0o1711)).unwrap();
    });
    let before = look(snapshotter, &parent, |at| fs::metadata(at).unwrap().mtime_nsec());
    let child = make(snapshotter, Some(&parent), |_| {});
    let grandchild = make(snapshotter, Some(&child), |_| {});
    for made in [&child, &grandchild] {
        let meta = look(snapshotter, made, |at| fs::metadata(at).unwrap());
        assert_eq!((meta.mode() & 0o7777, meta.mtime_nsec()), (0o1711, before));
    }
}

fn fidelity(snapshotter: &dyn Snapshotter) {
    let long_ago = rustix::fs::Timespec { tv_sec: 1_000_000_000, tv_nsec: 123_456_789 };
    let times = rustix::fs::Timestamps { last_access: long_ago, last_modification: long_ago };
    // Root of a user namespace has neither other ids nor devices.
    let root = rustix::process::geteuid().is_root() && overlay_xattr_prefix().starts_with("trusted.");
    let parent = make(snapshotter, None, |at| {
        fs::write(at.join("first"), "linked").unwrap();
        fs::hard_link(at.join("first"), at.join("second")).unwrap();
        symlink("/nowhere/else", at.join("symlink")).unwrap();
        let sparse = File::create(at.join("sparse")).unwrap();
        sparse.write_all_at(b"start", 0).unwrap();
        sparse.write_all_at(b"end", 8 << 20).unwrap();
        sparse.set_len(16 << 20).unwrap();
        fs::create_dir(at.join("closed")).unwrap();
        fs::write(at.join("closed/in"), "").unwrap();
        let name = at.join("set-user-id");
        fs::write(&name, "").unwrap();
        if root {
            std::os::unix::fs::chown(&name, Some(1234), Some(5678)).unwrap();
            rustix::fs::mknodat(
                rustix::fs::CWD,
                at.join("device"),
                rustix::fs::FileType::CharacterDevice,
                rustix::fs::Mode::from_raw_mode(0o620),
                rustix::fs::makedev(1, 3),
            )
            .unwrap();
            fs::set_permissions(at.join("device"), fs::Permissions::from_mode(0o620)).unwrap();
        }
        fs::set_permissions(&name, fs::Permissions::from_mode(0o4711)).unwrap();
        rustix::fs::setxattr(&name, "user.note", b"kept", rustix::fs::XattrFlags::empty()).unwrap();
        fs::set_permissions(at.join("closed"), fs::Permissions::from_mode(0o500)).unwrap();
        for name in ["first", "symlink", "closed", "set-user-id"] {
            let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::utimensat(rustix::fs::CWD, at.join(name), &times, flags).unwrap();
        }
    });
    let child = make(snapshotter, Some(&parent), |at| fs::write(at.join("other"), "").unwrap());
    look(snapshotter, &child, |at| {
        let meta = |name: &str| fs::symlink_metadata(at.join(name)).unwrap();
        assert_eq!(meta("first").ino(), meta("second").ino());
        assert_eq!(meta("first").nlink(), 2);
        assert_eq!(fs::read_link(at.join("symlink")).unwrap(), Path::new("/nowhere/else"));
        assert_eq!(meta("sparse").len(), 16 << 20);
        // containerd's own copies are whole.
        let copied_by_others = !snapshotter.is_layered() && snapshotter.name() != "native";
        assert!(copied_by_others || meta("sparse").blocks() * 512 < 1 << 20, "holes stay holes");
        let mut end = [0; 3];
        File::open(at.join("sparse")).unwrap().read_exact_at(&mut end, 8 << 20).unwrap();
        assert_eq!(&end, b"end");
        assert_eq!(meta("closed").mode() & 0o7777, 0o500);
        assert_eq!(meta("set-user-id").mode() & 0o7777, 0o4711);
        for name in ["first", "symlink", "closed", "set-user-id"] {
            assert_eq!((meta(name).mtime(), meta(name).mtime_nsec()), (1_000_000_000, 123_456_789), "{name}");
        }
        let mut note = [0; 16];
        let length = rustix::fs::getxattr(at.join("set-user-id"), "user.note", &mut note[..]).unwrap();
        assert_eq!(&note[..length], b"kept");
        if root {
            assert_eq!((meta("set-user-id").uid(), meta("set-user-id").gid()), (1234, 5678));
            assert!(meta("device").file_type().is_char_device());
            assert_eq!(meta("device").rdev(), rustix::fs::makedev(1, 3));
            assert_eq!(meta("device").mode() & 0o7777, 0o620);
        }
    });
}

fn names(snapshotter: &dyn Snapshotter) {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let bytes: Vec<u8> = (1..=255).filter(|byte| *byte != b'/').collect();
    // One of the full length, and one for each byte; none of them is "." or "..".
    let mut all: Vec<Vec<u8>> = bytes.iter().map(|byte| vec![b'n', *byte]).collect();
    all.push(bytes);
    let written = all.clone();
    let parent = make(snapshotter, None, |at| {
        for name in &written {
            fs::write(at.join(OsStr::from_bytes(name)), name).unwrap();
        }
    });
    let child = make(snapshotter, Some(&parent), |at| {
        fs::remove_file(at.join(OsStr::from_bytes(&all[9]))).unwrap();
        fs::write(at.join(OsStr::from_bytes(&all[10])), "changed").unwrap();
    });
    look(snapshotter, &child, |at| {
        let mut seen = 0;
        for (index, name) in all.iter().enumerate() {
            let read = fs::read(at.join(OsStr::from_bytes(name)));
            match index {
                9 => assert!(read.is_err()),
                10 => assert_eq!(read.unwrap(), b"changed"),
                _ => assert_eq!(read.unwrap(), *name, "{name:?}"),
            }
            seen += usize::from(index != 9);
        }
        assert_eq!(fs::read_dir(at).unwrap().count(), seen);
    });
}

/// Its data is at both ends and in the middle, beyond 4 GiB and 8 GiB.
fn large_file(snapshotter: &dyn Snapshotter) {
    const ENDS: [u64; 3] = [0, (4 << 30) + 5, (9 << 30) - 4];
    if snapshotter.name().ends_with("/native") {
        eprintln!("skipped: containerd copies holes as zeros");
        return;
    }
    let parent = make(snapshotter, None, |at| {
        let file = File::create(at.join("large")).unwrap();
        for end in ENDS {
            file.write_all_at(b"data", end).unwrap();
        }
    });
    // Changing its mode copies it up, where there is an overlay.
    let child = make(snapshotter, Some(&parent), |at| {
        fs::set_permissions(at.join("large"), fs::Permissions::from_mode(0o600)).unwrap();
    });
    for (made, mode) in [(&parent, 0o644), (&child, 0o600)] {
        look(snapshotter, made, |at| {
            let meta = fs::metadata(at.join("large")).unwrap();
            assert_eq!((meta.len(), meta.mode() & 0o777), (9 << 30, mode));
            // An overlay copies by the MiB.
            assert!(meta.blocks() * 512 < 8 << 20, "holes stay holes: {} blocks", meta.blocks());
            let file = File::open(at.join("large")).unwrap();
            for end in ENDS {
                let mut data = [0; 4];
                file.read_exact_at(&mut data, end).unwrap();
                assert_eq!(&data, b"data", "{end}");
            }
        });
    }
}

fn link_across(snapshotter: &dyn Snapshotter) {
    let parent = make(snapshotter, None, |at| fs::write(at.join("first"), "text").unwrap());
    let child = make(snapshotter, Some(&parent), |at| {
        fs::create_dir(at.join("dir")).unwrap();
        fs::hard_link(at.join("first"), at.join("dir/second")).unwrap();
    });
    let grandchild = make(snapshotter, Some(&child), |at| fs::remove_file(at.join("first")).unwrap());
    look(snapshotter, &child, |at| {
        let inode = |name: &str| fs::metadata(at.join(name)).unwrap().ino();
        assert_eq!(inode("first"), inode("dir/second"));
        assert_eq!(text(at.join("dir/second")), "text");
    });
    look(snapshotter, &grandchild, |at| {
        assert!(!at.join("first").exists());
        assert_eq!(text(at.join("dir/second")), "text");
    });
    assert!(!look(snapshotter, &parent, |at| at.join("dir").exists()));
}

fn replaced_directory(snapshotter: &dyn Snapshotter) {
    let parent = make(snapshotter, None, |at| {
        fs::create_dir_all(at.join("a/b/c")).unwrap();
        fs::write(at.join("a/b/c/old"), "old").unwrap();
        fs::write(at.join("a/top"), "old").unwrap();
    });
    let replaced = make(snapshotter, Some(&parent), |at| {
        fs::remove_dir_all(at.join("a")).unwrap();
        fs::create_dir_all(at.join("a/b/c")).unwrap();
        rustix::fs::setxattr(at.join("a"), "user.mark", b"new", rustix::fs::XattrFlags::empty()).unwrap();
    });
    let grown = make(snapshotter, Some(&replaced), |at| fs::write(at.join("a/b/c/new"), "new").unwrap());
    look(snapshotter, &grown, |at| {
        assert!(!at.join("a/b/c/old").exists() && !at.join("a/top").exists());
        assert_eq!(text(at.join("a/b/c/new")), "new");
        let mut mark = [0; 8];
        let length = rustix::fs::getxattr(at.join("a"), "user.mark", &mut mark[..]).unwrap();
        assert_eq!(&mark[..length], b"new");
    });
    assert_eq!(look(snapshotter, &parent, |at| text(at.join("a/b/c/old"))), "old");
}

fn removal(snapshotter: &dyn Snapshotter) {
    let made = make(snapshotter, None, |at| {
        fs::create_dir_all(at.join("a/b/c")).unwrap();
        fs::set_permissions(at.join("a/b"), fs::Permissions::from_mode(0o000)).unwrap();
        symlink("/etc", at.join("a/link")).unwrap();
    });
    assert!(snapshotter.list().unwrap().contains(&made.id));
    snapshotter.remove(&made.id).unwrap();
    snapshotter.remove(&made.id).unwrap();
    assert!(!snapshotter.list().unwrap().contains(&made.id));
    assert!(Path::new("/etc/passwd").exists());
    let id = SnapshotId::random().unwrap();
    snapshotter.prepare(&id, &[]).unwrap();
    snapshotter.remove(&id).unwrap();
    assert!(!snapshotter.list().unwrap().contains(&id));
    snapshotter.collect().unwrap();
}

fn usage(snapshotter: &dyn Snapshotter) {
    let made = make(snapshotter, None, |at| {
        fs::create_dir(at.join("dir")).unwrap();
        fs::write(at.join("dir/file"), vec![1; 100_000]).unwrap();
        fs::hard_link(at.join("dir/file"), at.join("again")).unwrap();
        symlink("x".repeat(200), at.join("long")).unwrap();
    });
    let counted = |what: &str| -> u64 {
        let directory = snapshotter.changes(&made.id, &[]).directory().to_owned();
        // Ours has a directory around it.
        let own = if directory.parent().unwrap().ends_with(made.id.as_str()) {
            directory.parent().unwrap()
        } else {
            &directory
        };
        let du = std::process::Command::new("du").args(["-s", what]).arg(own).output().unwrap();
        String::from_utf8(du.stdout).unwrap().split_whitespace().next().unwrap().parse().unwrap()
    };
    let usage = snapshotter.usage(&made.id).unwrap();
    assert_eq!((usage.bytes, usage.inodes), (counted("-B1"), counted("--inodes")));
}

fn deep(snapshotter: &dyn Snapshotter) {
    let mut top = make(snapshotter, None, |at| fs::write(at.join("0"), "0").unwrap());
    for number in 1..20 {
        let name = number.to_string();
        top = make(snapshotter, Some(&top), |at| fs::write(at.join(&name), &name).unwrap());
    }
    let names = look(snapshotter, &top, |at| fs::read_dir(at).unwrap().count());
    assert_eq!(names, 20);
}

/// Deeper than a path can be long and descriptors open by default. Of our own only: containerd measures what it commits,
/// by paths.
fn deep_directory(snapshotter: &dyn Snapshotter) {
    let depth = 3000;
    let made = make(snapshotter, None, |at| {
        let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::RDONLY;
        let none = rustix::fs::Mode::empty();
        let mut directory = rustix::fs::open(at, flags, none).unwrap();
        for _ in 0..depth {
            rustix::fs::mkdirat(&directory, "d", rustix::fs::Mode::RWXU).unwrap();
            directory = rustix::fs::openat(&directory, "d", flags, none).unwrap();
        }
    });
    let inodes = snapshotter.usage(&made.id).unwrap().inodes;
    assert!(inodes == depth + 1 || inodes == depth + 2, "{inodes}");
    snapshotter.remove(&made.id).unwrap();
    assert!(!snapshotter.list().unwrap().contains(&made.id));
}
