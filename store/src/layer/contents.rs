//! A directory that is no snapshot (a cache mount, say) as a stream of bytes, and back.
//!
//! The stream is a tar, like a layer, but nothing in it means "deleted", and times are exact to the nanosecond. Equal
//! directories give equal streams, and a changed file changes the stream where it is and nowhere else, so that
//! streams can be told apart by pieces. Sockets are left out. The directory itself is not part of it.

use std::io::{Read, Write};
use std::os::fd::BorrowedFd;

use super::LayerError;
use super::apply::{ApplyOptions, Limits, Target, apply};
use super::diff::{DiffOptions, Difference, Form, write_diff};
use super::error::Expected;

/// Writes what is in `directory`, and gives `out` back. Fails if somebody changes it meanwhile.
pub fn write<W: Write>(directory: BorrowedFd<'_>, out: W) -> Result<W, LayerError> {
    let difference = Difference { upper: directory, lower: None, form: Form::Literal };
    write_diff(difference, DiffOptions::default(), out)
}

/// Makes of `stream` what it says, inside of `directory` and nowhere else, whoever wrote it.
pub fn read(stream: &mut (dyn Read + Send), directory: BorrowedFd<'_>) -> Result<(), LayerError> {
    let (limits, expected) = (Limits::default(), Expected::default());
    apply(stream, directory, ApplyOptions { target: Target::Literal, limits, expected }).map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, Permissions};
    use std::os::fd::AsFd;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::time::{Duration, SystemTime};

    use super::*;

    fn bytes(folder: &std::path::Path) -> Vec<u8> {
        write(File::open(folder).unwrap().as_fd(), Vec::new()).unwrap()
    }

    #[test]
    fn everything_comes_back_as_it_was() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = from.path();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/.wh.no-whiteout"), "kept").unwrap();
        fs::write(root.join("a/.wh..wh..opq"), "").unwrap();
        fs::write(root.join("a/one"), "hello").unwrap();
        fs::hard_link(root.join("a/one"), root.join("a/two")).unwrap();
        symlink("/etc/passwd", root.join("link")).unwrap();
        fs::set_permissions(root.join("a/one"), Permissions::from_mode(0o4751)).unwrap();
        fs::set_permissions(root.join("a"), Permissions::from_mode(0o1777)).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
        File::options().write(true).open(root.join("a/one")).unwrap().set_modified(time).unwrap();
        File::open(root.join("a")).unwrap().set_modified(time).unwrap();

        let stream = bytes(root);
        read(&mut &stream[..], File::open(to.path()).unwrap().as_fd()).unwrap();
        assert_eq!(stream, bytes(to.path()));
        let found = |name: &str| fs::symlink_metadata(to.path().join(name)).unwrap();
        assert_eq!(found("a/one").ino(), found("a/two").ino());
        assert_eq!((found("a/one").mode() & 0o7777, found("a").mode() & 0o7777), (0o4751, 0o1777));
        assert_eq!((found("a/one").mtime_nsec(), found("a").mtime_nsec()), (123_456_789, 123_456_789));
        assert!(found("a/b/.wh.no-whiteout").is_file() && found("a/.wh..wh..opq").is_file());
        assert!(found("link").is_symlink());
    }

    #[test]
    fn a_hostile_stream_stays_inside() {
        use crate::layer::tar::{Entry, Kind, Writer};
        let world = tempfile::tempdir().unwrap();
        let inside = world.path().join("inside");
        fs::create_dir(&inside).unwrap();
        let mut writer = Writer::new(Vec::new());
        let mut link = Entry::new(Kind::Symlink, "up");
        link.link = world.path().to_string_lossy().into_owned().into_bytes();
        writer.header(&link).unwrap();
        for name in ["up/through", "../outside", "/absolute", "x/../../also"] {
            let mut file = Entry::new(Kind::File, name);
            file.size = 2;
            writer.append(&file, &mut &b"no"[..]).unwrap();
        }
        let stream = writer.finish().unwrap();
        // Whether it is refused or bent, nothing of it is outside.
        let _ = read(&mut &stream[..], File::open(&inside).unwrap().as_fd());
        let outside: Vec<_> =
            fs::read_dir(world.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(outside, ["inside"]);
    }
}
