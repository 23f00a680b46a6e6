//! Control groups: one per step, for limits and to learn of deaths by want of memory.
//!
//! | layout | group | enters by |
//! |---|---|---|
//! | unified (v2) | always one; where it cannot be made, a step without limits goes without | `CLONE_INTO_CGROUP` |
//! | per controller (v1, hybrid) | in the controllers that a limit needs, and in `memory` where a parent is named | writing its id |
//!
//! Groups are made at `<root>/<parent>/slipway/<id>` and removed after the step. `slipway` stays until the
//! daemon asks for its removal ([`remove_ours`]): steps come and go in parallel, and a runtime that is just
//! making its group there must not lose the ground. Nothing else of the hierarchy is ever removed.

mod v1;
mod v2;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::helper::{Attempt, Doing, failure};
use crate::{OutOfMemory, Resources, Usage};

const ROOT: &str = "/sys/fs/cgroup";
const OURS: &str = "slipway";

/// The groups of one step.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    unified: Option<PathBuf>,
    /// Controller and directory.
    separate: Vec<(&'static str, PathBuf)>,
}

impl Groups {
    /// Makes the step's groups and sets its limits.
    pub(crate) fn create(parent: &str, id: &str, resources: &Resources) -> Attempt<Self> {
        let below = relative(parent)?.join(OURS).join(id);
        let root = Path::new(ROOT);
        let mut groups = Self::default();
        let made = if is_unified(root) {
            v2::create(root, &below, resources).map(|path| groups.unified = Some(path))
        } else {
            v1::create(root, &below, resources, !parent.is_empty(), &mut groups.separate)
        };
        match made {
            Err(_) if resources.is_unlimited() && parent.is_empty() => {}
            Err(error) => {
                groups.remove();
                return Err(error).doing("set the step's resource limits");
            }
            Ok(()) => return Ok(groups),
        }
        groups.remove();
        Ok(Self::default())
    }

    /// Where an OCI runtime is to make the step's group: an absolute path in the hierarchy, or a systemd
    /// slice as the build has written it.
    pub(crate) fn path_for_runtime(parent: &str, id: &str) -> Attempt<String> {
        if parent.contains(".slice") && parent.ends_with(':') {
            return Ok(format!("{parent}{id}"));
        }
        Ok(Path::new("/").join(relative(parent)?).join(OURS).join(id).to_string_lossy().into_owned())
    }

    /// A group that an OCI runtime has made at such a path, only to be read.
    pub(crate) fn of_runtime(path: &str) -> Self {
        let (root, below) = (Path::new(ROOT), path.trim_start_matches('/'));
        if is_unified(root) {
            Self { unified: Some(root.join(below)), separate: Vec::new() }
        } else {
            Self { unified: None, separate: vec![("memory", root.join("memory").join(below))] }
        }
    }

    /// Those of a step that runs, as far as it has any, whoever has made them.
    pub(crate) fn of_running(parent: &str, id: &str) -> Attempt<Self> {
        let below = relative(parent)?.join(OURS).join(id);
        let root = Path::new(ROOT);
        if is_unified(root) {
            return Ok(Self {
                unified: Some(root.join(below)).filter(|path| path.is_dir()),
                separate: Vec::new(),
            });
        }
        let groups = v1::CONTROLLERS.map(|controller| (controller, root.join(controller).join(&below)));
        let separate = groups.into_iter().filter(|(_, path)| path.is_dir()).collect();
        Ok(Self { unified: None, separate })
    }

    pub(crate) fn is_host_unified() -> bool {
        is_unified(Path::new(ROOT))
    }

    pub(crate) fn unified(&self) -> bool {
        self.unified.is_some()
    }

    /// The group to be born into.
    pub(crate) fn directory(&self) -> io::Result<Option<OwnedFd>> {
        let open = |path: &PathBuf| fs::File::open(path).map(OwnedFd::from);
        self.unified.as_ref().map(open).transpose()
    }

    /// Puts the calling process into the groups that it was not born into.
    pub(crate) fn enter_processes(&self) -> Attempt<()> {
        for (controller, path) in &self.separate {
            fs::write(path.join("cgroup.procs"), "0")
                .doing(format!("enter the {controller} control group"))?;
        }
        Ok(())
    }

    /// Called by the step's process itself, before it loses sight of the host.
    pub(crate) fn enter(&self) -> Attempt<()> {
        self.enter_processes()?;
        if self.unified() {
            // SAFETY: a plain flag; what the namespace shows begins at the group we are in.
            if unsafe { libc::unshare(libc::CLONE_NEWCGROUP) } != 0 {
                return Err(failure("make a control group namespace", io::Error::last_os_error()));
            }
        }
        Ok(())
    }

    /// Kills all that is in them just now; whether something was.
    pub(crate) fn kill(&self) -> bool {
        let separate = self.separate.iter().map(|(_, path)| path);
        let lists = self.unified.iter().chain(separate).map(|path| path.join("cgroup.procs"));
        let mut found = false;
        for list in lists {
            for pid in listed(&list) {
                // The number may mean another process by now: that one is not listed.
                let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
                if listed(&list).contains(&pid) {
                    found = true;
                    let _ = pidfd_send_signal(&process, Signal::KILL);
                }
            }
        }
        found
    }

    /// Whether the kernel has killed for want of memory, and whose.
    pub(crate) fn out_of_memory(&self) -> Option<OutOfMemory> {
        let v1 = self.separate.iter().find(|(controller, _)| *controller == "memory");
        match (&self.unified, v1) {
            (Some(group), _) => v2::out_of_memory(group),
            (None, Some((_, group))) => v1::out_of_memory(group),
            (None, None) => None,
        }
    }

    /// What all processes have used that ever were in the group which an OCI runtime has made at such a path; nothing
    /// where the kernel does not count it.
    pub(crate) fn usage_of_runtime(path: &str) -> Usage {
        let (root, below) = (Path::new(ROOT), path.trim_start_matches('/'));
        let number = |file: PathBuf| number(&file);
        if is_unified(root) {
            let group = root.join(below);
            let time = |name: &str| Duration::from_micros(count(&group.join("cpu.stat"), name));
            return Usage {
                user: time("user_usec"),
                system: time("system_usec"),
                peak_memory: number(group.join("memory.peak")).unwrap_or_default(),
            };
        }
        let time = |name: &str| number(root.join("cpuacct").join(below).join(name)).map(Duration::from_nanos);
        Usage {
            user: time("cpuacct.usage_user").unwrap_or_default(),
            system: time("cpuacct.usage_sys").unwrap_or_default(),
            peak_memory: number(root.join("memory").join(below).join("memory.max_usage_in_bytes"))
                .unwrap_or_default(),
        }
    }

    /// Everything in them is gone already; the kernel may take a moment to notice.
    pub(crate) fn remove(self) {
        let separate = self.separate.into_iter().map(|(_, path)| path);
        for path in self.unified.into_iter().chain(separate) {
            for _ in 0..50 {
                match fs::remove_dir(&path) {
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    _ => break,
                }
            }
        }
    }
}

/// Removes the empty `slipway` below a parent; while a step has its group in it, that does nothing.
pub(crate) fn remove_ours(parent: &str) {
    let Ok(below) = relative(parent).map(|parent| parent.join(OURS)) else { return };
    let root = Path::new(ROOT);
    let controllers = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    let hierarchies: Vec<_> = if is_unified(root) { vec![root.to_owned()] } else { controllers.collect() };
    for hierarchy in hierarchies {
        // It is not in every hierarchy.
        let _ = fs::remove_dir(hierarchy.join(&below));
    }
}

fn listed(file: &Path) -> Vec<Pid> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().filter_map(|line| Pid::from_raw(line.trim().parse().ok()?)).collect()
}

/// How often something has happened: `name value` lines, as in `memory.events`.
fn count(file: &Path, name: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(found, _)| *found == name).and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0)
}

/// A file with one number; one that says `max` has none.
fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn is_unified(root: &Path) -> bool {
    rustix::fs::statfs(root).is_ok_and(|found| found.f_type as u64 == CGROUP2_MAGIC)
}

/// `CGROUP2_SUPER_MAGIC` of `linux/magic.h`.
const CGROUP2_MAGIC: u64 = 0x6367_7270;

/// A parent comes from the build: it may go down from the root of the hierarchy, not up.
fn relative(parent: &str) -> Attempt<PathBuf> {
    if parent.contains(':') {
        return Err(failure(
            format!("use control group parent {parent:?}"),
            "systemd slices need an OCI runtime; name a path instead",
        ));
    }
    let mut path = PathBuf::new();
    for component in Path::new(parent).components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => path.push(name),
            _ => {
                return Err(failure(format!("use control group parent {parent:?}"), "it contains \"..\""));
            }
        }
    }
    Ok(path)
}

/// Makes a group and what is missing above it.
fn make(root: &Path, below: &Path) -> io::Result<PathBuf> {
    let path = root.join(below);
    fs::create_dir_all(&path)?;
    Ok(path)
}

fn set(group: &Path, file: &str, value: &str) -> io::Result<()> {
    let explain =
        |error: io::Error| io::Error::new(error.kind(), format!("cannot set {file} to {value}: {error}"));
    fs::write(group.join(file), value).map_err(explain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_found_by_their_whole_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "low 0\noom 3\noom_kill 2\noom_group_kill 1\n").unwrap();
        assert_eq!([count(file.path(), "oom"), count(file.path(), "oom_kill")], [3, 2]);
        assert_eq!([count(file.path(), "kill"), count(Path::new("/nonesuch"), "oom")], [0, 0]);
    }

    #[test]
    fn a_parent_cannot_lead_up() {
        assert_eq!(relative("/a//b/").unwrap(), Path::new("a/b"));
        assert_eq!(relative("").unwrap(), Path::new(""));
        for parent in ["..", "/a/../../b", "system.slice:x:"] {
            assert!(relative(parent).is_err(), "{parent}");
        }
    }
}
