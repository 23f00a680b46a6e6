//! What is mounted into a process's tree besides the standard `/proc`, `/dev` and `/sys`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use slipway_model::Redacted;
use slipway_model::mount::Tree;

use crate::{Error, Result};

/// One mount. The mount point is made where it is missing and removed after the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mount {
    /// Where, inside the tree; links in it are followed inside the tree, never out of it.
    pub destination: String,
    pub kind: MountKind,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum MountKind {
    /// A tree, or the directory or file at `selector` inside it (resolved inside that tree).
    Tree { tree: Tree, selector: Option<String>, readonly: bool },
    /// Memory; `size` in bytes where limited, `mode` of its root directory (1777 where not said).
    Tmpfs { size: Option<u64>, mode: Option<u32> },
    /// One read-only file with these bytes, such as a secret: it rests in memory only and is never printed.
    File {
        #[serde(with = "exposed")]
        bytes: Redacted<Vec<u8>>,
        mode: u32,
        uid: u32,
        gid: u32,
    },
    /// A file, directory or socket of the host, read-only where asked (sockets stay connectable), and no place for
    /// programs unless asked.
    Host { path: PathBuf, readonly: bool, programs: bool },
    /// A device of the host.
    Device(DeviceNode),
}

/// A device, by its numbers. What the host has at its place, and who owns it there, does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceNode {
    pub kind: NodeKind,
    pub major: u32,
    pub minor: u32,
    pub mode: u32,
    /// The process's, where not said.
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// Letters of `rwm`. The built-in runtime gives `rw` or nothing: see [`crate::BuiltinExecutor`].
    pub access: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeKind {
    Block,
    Character,
    /// A named pipe; it has no numbers.
    Pipe,
}

impl Mount {
    pub(crate) fn validate(&self) -> Result<()> {
        let invalid = |what: String| Err(Error::InvalidSpec { what });
        if self.destination.is_empty() || self.destination.contains('\0') {
            return invalid(format!("mount destination {:?} is not a path", self.destination));
        }
        match &self.kind {
            MountKind::Host { path, .. } if !path.is_absolute() => invalid(format!(
                "host path {} of the mount on {} is not absolute",
                path.display(),
                self.destination
            )),
            MountKind::Tree { selector: Some(selector), .. } if selector.contains('\0') => invalid(format!(
                "selector {selector:?} of the mount on {} contains a zero byte",
                self.destination
            )),
            _ => Ok(()),
        }
    }
}

/// A secret on its way to the helper: through a socket pair, never to a disk. Hexadecimal, since JSON has no bytes.
mod exposed {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use slipway_model::Redacted;

    pub(super) fn serialize<S: Serializer>(
        bytes: &Redacted<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let bytes = bytes.expose();
        let mut text = String::with_capacity(bytes.len() * 2);
        for byte in bytes {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        serializer.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Redacted<Vec<u8>>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let pairs = text.as_bytes().chunks(2);
        let decode = |pair: &[u8]| {
            let text = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
            u8::from_str_radix(text, 16).ok()
        };
        let bytes: Option<Vec<u8>> = pairs.map(decode).collect();
        bytes.map(Redacted::new).ok_or_else(|| D::Error::custom("not hexadecimal"))
    }
}
