//! What plugins have made, in a file per namespace, with all that it takes to have it removed: so that the next
//! daemon can, whatever its own configuration says, when this one is killed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::PluginList;
use super::plugin::Call;

/// The files of one daemon.
#[derive(Clone, Debug)]
pub(super) struct Remembered(PathBuf);

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Remembrance {
    pub(super) call: Call,
    pub(super) list: PluginList,
    /// None until all plugins have answered.
    pub(super) result: Option<Value>,
}

impl Remembered {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    pub(super) fn keep(&self, remembrance: &Remembrance) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        let path = self.0.join(&remembrance.call.container);
        let fresh = path.with_extension("new");
        fs::write(&fresh, serde_json::to_vec(remembrance)?)?;
        fs::rename(fresh, path)
    }

    pub(super) fn of(&self, container: &str) -> io::Result<Remembrance> {
        read(&self.0.join(container))
    }

    /// Has it removed, and forgets it; what cannot be removed now, never can.
    pub(super) fn settle_one(&self, remembrance: &Remembrance) {
        let _ = remembrance.list.remove(&remembrance.call, remembrance.result.as_ref());
        let _ = fs::remove_file(self.0.join(&remembrance.call.container));
    }

    /// All that an earlier daemon has left, beside what this one does.
    pub(super) fn settle(&self) {
        let left: Vec<PathBuf> =
            fs::read_dir(&self.0).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        if left.is_empty() {
            return;
        }
        let this = self.clone();
        let settling = move || {
            for path in left {
                match read(&path) {
                    Ok(remembrance) => this.settle_one(&remembrance),
                    Err(_) => drop(fs::remove_file(path)),
                }
            }
        };
        // Without a thread they are left to the next.
        let _ = std::thread::Builder::new().name("networks".into()).spawn(settling);
    }
}

fn read(path: &Path) -> io::Result<Remembrance> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}
