//! `ADD` of archives.

use std::fs;
use std::io::Write as _;

use super::*;

fn unpacking(src: &str) -> pb::FileActionCopy {
    pb::FileActionCopy { attempt_unpack_docker_compatibility: true, ..action(src, "/into") }
}

fn archive(fill: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    fill(&mut builder);
    builder.into_inner().unwrap()
}

fn header(kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o640);
    header.set_mtime(1000);
    let id = if rustix::process::geteuid().is_root() {
        12
    } else {
        u64::from(rustix::process::geteuid().as_raw())
    };
    header.set_uid(id);
    header.set_gid(id);
    header
}

fn file(builder: &mut tar::Builder<Vec<u8>>, name: &str, text: &str) {
    let mut header = header(tar::EntryType::Regular, text.len() as u64);
    // The builder refuses names with `..`, which is what is wanted here.
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_cksum();
    builder.append(&header, text.as_bytes()).unwrap();
}

fn link(builder: &mut tar::Builder<Vec<u8>>, kind: tar::EntryType, name: &str, to: &str) {
    let mut header = header(kind, 0);
    builder.append_link(&mut header, name, to).unwrap();
}

fn unpacked(bytes: &[u8]) -> std::result::Result<Vec<String>, String> {
    let (source, target) = folders(&[]);
    fs::write(source.path().join("archive"), bytes).unwrap();
    run(source.path(), target.path(), &unpacking("/archive")).map_err(|error| error.to_string())?;
    Ok(list(target.path()))
}

#[test]
fn archives_are_told_by_their_bytes() {
    let plain = archive(|builder| file(builder, "dir/file", "text"));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let zstd = zstd::encode_all(plain.as_slice(), 1).unwrap();
    for bytes in [&plain, &gzip.finish().unwrap(), &zstd] {
        assert_eq!(unpacked(bytes).unwrap(), ["into/", "into/dir/", "into/dir/file text"]);
    }
    for bytes in [b"".as_slice(), b"just text", &[0; 2048], &plain[..300]] {
        let (source, target) = folders(&[]);
        fs::write(source.path().join("archive"), bytes).unwrap();
        run(source.path(), target.path(), &unpacking("/archive")).unwrap();
        assert_eq!(fs::read(target.path().join("into")).unwrap(), bytes);
    }
    assert_eq!(
        unpacked(b"\xfd7zXZ\0 and so on").unwrap_err(),
        "cannot unpack /archive: xz is not supported: use gzip, zstd or no compression"
    );
    assert!(unpacked(b"BZh91AY&SY").unwrap_err().contains("bzip2 is not supported"));
}

#[test]
fn attributes_links_and_later_entries_count() {
    let (source, target) = folders(&[]);
    let bytes = archive(|builder| {
        builder.append_data(&mut header(tar::EntryType::Directory, 0), "d/", std::io::empty()).unwrap();
        file(builder, "d/one", "first");
        file(builder, "d/one", "second");
        link(builder, tar::EntryType::Link, "d/two", "d/one");
        link(builder, tar::EntryType::Symlink, "d/three", "one");
    });
    fs::write(source.path().join("archive"), bytes).unwrap();
    write(target.path(), "into/d/one/was/a/directory");
    run(source.path(), target.path(), &unpacking("/archive")).unwrap();
    let into = target.path().join("into");
    assert_eq!(list(&into), ["d/", "d/one second", "d/three -> one", "d/two second"]);
    for path in ["d", "d/one", "d/two"] {
        let metadata = fs::metadata(into.join(path)).unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.mtime()), (0o640, 1000), "{path}");
        assert_eq!(metadata.uid(), header(tar::EntryType::Regular, 0).uid().unwrap() as u32);
    }
    assert_eq!(fs::metadata(into.join("d/one")).unwrap().nlink(), 2);
}

#[test]
fn hostile_archives_stay_inside() {
    let outside = tempfile::tempdir().unwrap();
    write(outside.path(), "victim");
    let out = outside.path().to_str().unwrap();
    let lines = unpacked(&archive(|builder| {
        file(builder, "../../escaped", "x");
        file(builder, "/absolute", "x");
        link(builder, tar::EntryType::Symlink, "out", out);
        file(builder, "out/victim", "changed");
        file(builder, "../.wh.file", "x");
    }))
    .unwrap();
    assert_eq!(fs::read_to_string(outside.path().join("victim")).unwrap(), "victim");
    assert!(lines.contains(&"into/escaped x".to_owned()) && lines.contains(&"into/absolute x".to_owned()));
    assert!(
        lines.contains(&"into/.wh.file x".to_owned()) && lines.contains(&format!("into{out}/victim changed"))
    );
    let stolen = unpacked(&archive(|builder| {
        link(builder, tar::EntryType::Link, "stolen", &format!("{out}/victim"));
    }));
    assert!(stolen.unwrap_err().contains("no such file or directory"));
}

#[test]
fn a_cut_archive_is_an_error() {
    let mut plain = archive(|builder| {
        file(builder, "a", "text");
        file(builder, "b", &"x".repeat(5000));
    });
    plain.truncate(3000);
    assert!(unpacked(&plain).unwrap_err().starts_with("cannot unpack"));
}
