//! Content digests of recorded trees against those of the reference.
#![expect(clippy::unwrap_used, reason = "a test whose golden data is malformed should fail loudly")]

use std::ffi::CString;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use serde_json::Value;
use slipway_store::content_hash::{ContentCache, Selector};

#[test]
fn trees_digest_as_recorded() {
    let folder = std::env::var_os("SLIPWAY_GOLDEN")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden"), PathBuf::from);
    let Ok(text) = fs::read_to_string(folder.join("contenthash.json")) else {
        println!("contenthash: skipped, no golden data at {}", folder.display());
        return;
    };
    if !rustix::process::geteuid().is_root() {
        println!("contenthash: skipped, owners and devices need root");
        return;
    }
    let trees: Vec<Value> = serde_json::from_str(&text).unwrap();
    let (mut total, mut failed) = (0, Vec::new());
    for tree in &trees {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        make(&root, tree["entries"].as_array().unwrap());
        // One cache for all questions of a tree must answer as a fresh one does.
        let shared = ContentCache::default();
        for query in tree["queries"].as_array().unwrap() {
            for cache in [&ContentCache::default(), &shared] {
                total += 1;
                let answer = ask(cache, &root, query);
                let expected = query.get("digest").or(query.get("error")).unwrap().as_str().unwrap();
                if answer != expected {
                    failed.push(format!("{}: {query}: {answer}", tree["name"]));
                }
            }
        }
    }
    println!("contenthash: {} of {} (each question fresh and cached)", total - failed.len(), total);
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn ask(cache: &ContentCache, root: &Path, query: &Value) -> String {
    let list = |name: &str| -> Vec<String> {
        query[name].as_array().into_iter().flatten().map(|text| text.as_str().unwrap().into()).collect()
    };
    let flag = |name: &str| query[name].as_bool().unwrap_or(false);
    let selector = Selector {
        path: query["path"].as_str().unwrap().into(),
        wildcard: flag("wildcard"),
        follow_links: flag("followLinks"),
        include: list("includePatterns"),
        exclude: list("excludePatterns"),
        required: list("requiredPaths"),
    };
    let root = fs::File::open(root).unwrap();
    cache.digest(root.as_fd(), &selector).map_or_else(|error| error.to_string(), |digest| digest.to_string())
}

fn make(root: &Path, entries: &[Value]) {
    fs::create_dir(root).unwrap();
    chmod(root, 0o755);
    for entry in entries {
        make_entry(root, entry);
    }
}

fn make_entry(root: &Path, entry: &Value) {
    let text = |name: &str| entry[name].as_str().unwrap_or_default();
    let number = |name: &str| u32::try_from(entry[name].as_u64().unwrap_or_default()).unwrap();
    let path = root.join(text("path").trim_start_matches('/'));
    let device = rustix::fs::makedev(number("major"), number("minor"));
    match text("type") {
        "file" => {
            let times = entry["repeat"].as_u64().unwrap_or(1);
            fs::write(&path, text("content").repeat(usize::try_from(times).unwrap())).unwrap();
        }
        "dir" => fs::create_dir(&path).unwrap(),
        "symlink" => symlink(text("link"), &path).unwrap(),
        "hardlink" => return fs::hard_link(root.join(text("link").trim_start_matches('/')), &path).unwrap(),
        "chardev" => mknod(&path, FileType::CharacterDevice, device),
        "blockdev" => mknod(&path, FileType::BlockDevice, device),
        "fifo" => mknod(&path, FileType::Fifo, 0),
        "socket" => mknod(&path, FileType::Socket, 0),
        other => panic!("unknown entry type {other}"),
    }
    lchown(&path, Some(number("uid")), Some(number("gid"))).unwrap();
    for (name, value) in entry["xattrs"].as_object().into_iter().flatten() {
        let value = decode(value.as_str().unwrap().strip_prefix("base64:").unwrap());
        rustix::fs::lsetxattr(&path, CString::new(name.as_str()).unwrap(), &value, XattrFlags::empty())
            .unwrap();
    }
    if text("type") != "symlink" && !entry["mode"].is_null() {
        chmod(&path, mode_of(&entry["mode"]));
    }
}

fn mode_of(value: &Value) -> u32 {
    match value {
        Value::String(text) => u32::from_str_radix(text, 8).unwrap(),
        number => u32::try_from(number.as_u64().unwrap()).unwrap(),
    }
}

fn chmod(path: &Path, mode: u32) {
    rustix::fs::chmod(path, Mode::from_raw_mode(mode)).unwrap();
}

fn mknod(path: &Path, kind: FileType, device: u64) {
    rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(0o600), device).unwrap();
}

fn decode(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.trim_end_matches('=').bytes().map(value).collect();
    let mut bytes = Vec::new();
    for group in digits.chunks(4) {
        let bits =
            group.iter().fold(0_u32, |bits, digit| bits << 6 | u32::from(*digit)) << (6 * (4 - group.len()));
        bytes.extend(bits.to_be_bytes()[1..group.len()].iter());
    }
    bytes
}
