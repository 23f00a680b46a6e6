//! File actions on small trees, some of them hostile.

mod actions;
mod against_cp;
mod archives;
mod linking;
mod placement;
mod selection;

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use slipway_model::llb::pb;

use super::*;

/// A copy as the Dockerfile frontend asks for it.
fn action(src: &str, dest: &str) -> pb::FileActionCopy {
    pb::FileActionCopy {
        src: src.into(),
        dest: dest.into(),
        mode: -1,
        timestamp: -1,
        create_dest_path: true,
        dir_copy_contents: true,
        follow_symlink: true,
        ..pb::FileActionCopy::default()
    }
}

fn run(source: &Path, target: &Path, action: &pb::FileActionCopy) -> Result<()> {
    run_as(source, target, action, None, false)
}

fn run_as(
    source: &Path,
    target: &Path,
    action: &pb::FileActionCopy,
    owner: Option<Owner>,
    may_link: bool,
) -> Result<()> {
    let (source, target) = (File::open(source).unwrap(), File::open(target).unwrap());
    let roots = || vec![source.as_fd().try_clone_to_owned().unwrap()];
    let permit = |_: &[u8], _: &[u8]| may_link.then(|| Layers { roots: roots(), few: true });
    let link = Link::Behind { directory: target.as_fd(), permit: &permit, begin: &|_| true };
    copy(source.as_fd(), target.as_fd(), action, owner, link)
}

/// Two folders; `files` of the first hold their own path.
fn folders(files: &[&str]) -> (tempfile::TempDir, tempfile::TempDir) {
    let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for file in files {
        write(source.path(), file);
    }
    (source, target)
}

fn write(root: &Path, file: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, file).unwrap();
}

/// All paths below `root`, sorted; directories end in a slash, files show their content.
fn list(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    walk(root, root, &mut |relative, path, metadata| {
        lines.push(if metadata.is_dir() {
            format!("{relative}/")
        } else if metadata.is_symlink() {
            format!("{relative} -> {}", fs::read_link(path).unwrap().display())
        } else {
            format!("{relative} {}", fs::read_to_string(path).unwrap_or_default())
        });
    });
    lines
}

/// Everything a copy keeps, except access times.
fn describe(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut first_names = std::collections::HashMap::new();
    walk(root, root, &mut |relative, path, metadata| {
        let content = match metadata.file_type() {
            kind if kind.is_file() => slipway_model::Digest::of(fs::read(path).unwrap()).short(),
            kind if kind.is_symlink() => fs::read_link(path).unwrap().display().to_string(),
            kind if kind.is_fifo() => "fifo".into(),
            kind if kind.is_char_device() => format!("device {}", metadata.rdev()),
            _ => String::new(),
        };
        let linked = metadata.nlink() > 1 && !metadata.is_dir();
        let first = if linked {
            first_names.entry(metadata.ino()).or_insert_with(|| relative.to_owned()).clone()
        } else {
            String::new()
        };
        let size = if metadata.is_dir() { 0 } else { metadata.size() };
        let mut buffer = [0; 4096];
        let xattrs = rustix::fs::llistxattr(path, buffer.as_mut_slice()).unwrap_or(0);
        let mut xattrs: Vec<String> = String::from_utf8_lossy(&buffer[..xattrs])
            .split_terminator('\0')
            .map(|name| {
                let mut value = [0; 256];
                let length = rustix::fs::lgetxattr(path, name, value.as_mut_slice()).unwrap();
                format!("{name}={:?}", &value[..length])
            })
            .collect();
        xattrs.sort();
        lines.push(format!(
            "{relative} {:o} {}:{} {}.{:09} {size} {content} {first} {xattrs:?}",
            metadata.mode(),
            metadata.uid(),
            metadata.gid(),
            metadata.mtime(),
            metadata.mtime_nsec(),
        ));
    });
    lines
}

fn walk(root: &Path, folder: &Path, see: &mut impl FnMut(&str, &Path, &fs::Metadata)) {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let metadata = fs::symlink_metadata(&path).unwrap();
        see(&path.strip_prefix(root).unwrap().to_string_lossy(), &path, &metadata);
        if metadata.is_dir() {
            walk(root, &path, see);
        }
    }
}
