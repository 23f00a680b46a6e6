//! What containerd answers when asked how to mount a snapshot, read as directories of this host.
//!
//! | snapshotter | first of a stack | on others |
//! |---|---|---|
//! | overlayfs, and those that look like it | `bind`, its directory | `overlay`: `upperdir`, `workdir`, `lowerdir` |
//! | native | `bind`, its directory | the same: a full copy |
//!
//! Others (devices with filesystems of their own) are refused by name: their snapshots are no directories before they
//! are mounted.

use std::path::PathBuf;

use slipway_proto::containerd::types::Mount;

use crate::{Error, Result};

/// One active snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// What is its own: an upper directory, or all of it.
    pub(crate) directory: PathBuf,
    /// Only of an overlay.
    pub(crate) work: Option<PathBuf>,
    /// Whether overlayfs writes its marks where a user may.
    pub(crate) userxattr: bool,
}

impl Place {
    pub(crate) fn of(snapshotter: &str, mounts: &[Mount]) -> Result<Self> {
        let unsupported = |kind: String| Error::Mounts { snapshotter: snapshotter.to_owned(), kind };
        let [mount] = mounts else {
            return Err(unsupported(format!("{} mounts", mounts.len())));
        };
        let option = |name: &str| {
            mount
                .options
                .iter()
                .find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
                .map(PathBuf::from)
        };
        match mount.r#type.as_str() {
            "bind" => Ok(Self { directory: PathBuf::from(&mount.source), work: None, userxattr: false }),
            "overlay" => {
                let directory = option("upperdir").ok_or(Error::Incomplete { what: "an upper directory" })?;
                let work = option("workdir").ok_or(Error::Incomplete { what: "a work directory" })?;
                let userxattr = mount.options.iter().any(|option| option == "userxattr");
                Ok(Self { directory, work: Some(work), userxattr })
            }
            other => Err(unsupported(format!("{other:?}"))),
        }
    }

    pub(crate) fn is_overlay(&self) -> bool {
        self.work.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(kind: &str, source: &str, options: &[&str]) -> Mount {
        Mount {
            r#type: kind.into(),
            source: source.into(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            ..Mount::default()
        }
    }

    #[test]
    fn directories_are_read_from_mounts() {
        let bind = Place::of("native", &[mount("bind", "/s/1/fs", &["rw", "rbind"])]).unwrap();
        assert_eq!((bind.directory.to_str(), bind.is_overlay()), (Some("/s/1/fs"), false));
        let options = ["index=off", "userxattr", "workdir=/s/2/work", "upperdir=/s/2/fs", "lowerdir=/s/1/fs"];
        let overlay = Place::of("overlayfs", &[mount("overlay", "overlay", &options)]).unwrap();
        assert_eq!(overlay.work, Some("/s/2/work".into()));
        assert!(overlay.userxattr && overlay.directory.ends_with("2/fs"));
    }

    #[test]
    fn what_is_no_directory_is_refused_by_name() {
        let refused = Place::of("devmapper", &[mount("ext4", "/dev/mapper/x", &[])]).unwrap_err().to_string();
        assert!(refused.contains("devmapper") && refused.contains("ext4"), "{refused}");
        assert!(Place::of("x", &[]).is_err());
        assert!(Place::of("x", &[mount("overlay", "overlay", &["lowerdir=/a:/b"])]).is_err());
    }
}
