//! A step through an OCI runtime: mount what it needs, tell it what to do, run it, clean up after it.
//!
//! Here the helper does enter a mount namespace, one of its own. In it a filesystem in memory covers the
//! bundle's directory, and everything is mounted below that: the runtime, started from here, sees it and makes
//! the step's namespace out of it; the host never does. All that is left on the host's disk is an empty
//! directory, removed at the end, and the runtime's own state.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::fs::Mode;
use rustix::mount::{MountAttrFlags, UnmountFlags, unmount};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::attempt::{Attempt, Doing, failure};
use super::container::part;
use super::in_root::Make;
use super::prepare::{Prepared, Source, prepare};
use super::{devices, runtime_command, runtime_config, supervise, tree};
use crate::Exit;
use crate::cgroup::Groups;
use crate::protocol::{self, OciRuntime, Order, Report};

pub(super) fn run(order: &Order, runtime: &OciRuntime, daemon: &UnixStream) -> Attempt<Report> {
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let prepared = prepare(order)?;
    let cgroup = Groups::path_for_runtime(&order.cgroup_parent, &order.spec.id)?;
    tree::enter_own_namespace().doing("make the bundle")?;
    let bundle = Bundle::make(&runtime.state, &order.spec.id).doing("make the bundle")?;
    let sources = bundle.mount(&prepared)?;
    let config = runtime_config::config(order, &prepared, &bundle.rootfs(), &sources, &cgroup);
    let config = serde_json::to_vec(&config).doing("write the runtime's configuration")?;
    fs::write(bundle.path.join("config.json"), config).doing("write the runtime's configuration")?;

    let invocation = Invocation { runtime, bundle: &bundle, id: &order.spec.id, cgroup: &cgroup };
    let report = invocation.run(daemon);
    invocation.delete();
    if !prepared.stubs.is_empty() {
        prepared.stubs.remove(&prepared.root);
    }
    report
}

const ROOTFS: &str = "rootfs";

/// A directory of the host that is covered by memory, in the mount namespace that the helper is in.
pub(super) struct Bundle {
    pub(super) path: PathBuf,
}

impl Bundle {
    pub(super) fn make(state: &Path, id: &str) -> io::Result<Self> {
        let path = state.join(id);
        fs::create_dir_all(&path)?;
        let bundle = Self { path };
        let memory = tree::new_filesystem("tmpfs", &[("mode", "711")], MountAttrFlags::empty())?;
        tree::attach_at(memory, &bundle.path)?;
        fs::create_dir(bundle.rootfs())?;
        fs::create_dir(bundle.path.join("mounts"))?;
        fs::create_dir(bundle.path.join("whole"))?;
        fs::create_dir(bundle.path.join("memory"))?;
        Ok(bundle)
    }

    /// A directory in place of the root of another helper's bundle, for a runtime that starts from there although it
    /// is about to enter the container.
    pub(super) fn stand_in(state: &Path, id: &str) -> io::Result<()> {
        let path = state.join(id);
        let memory = tree::new_filesystem("tmpfs", &[("mode", "711")], MountAttrFlags::empty())?;
        tree::attach_at(memory, &path)?;
        fs::create_dir(path.join(ROOTFS))
    }

    pub(super) fn rootfs(&self) -> PathBuf {
        self.path.join(ROOTFS)
    }

    /// Mounts the root and everything that goes into it; answers with the sources, in the order of the mounts.
    pub(super) fn mount(&self, prepared: &Prepared) -> Attempt<Vec<PathBuf>> {
        tree::attach_at(&prepared.root, self.rootfs()).doing("mount the root tree")?;
        tree::attach_at(&prepared.memory, self.path.join("memory")).doing("mount the files of the step")?;
        let mut sources = Vec::new();
        for (number, attachment) in prepared.attachments.iter().enumerate() {
            let step = || format!("mount on {:?}", attachment.destination);
            let source = self.path.join("mounts").join(number.to_string());
            self.mount_source(&attachment.source, attachment.attributes, prepared, &source).doing(step())?;
            sources.push(source);
        }
        Ok(sources)
    }

    fn mount_source(
        &self,
        source: &Source,
        attributes: MountAttrFlags,
        prepared: &Prepared,
        place: &Path,
    ) -> io::Result<()> {
        let attach = |mount: &OwnedFd| -> io::Result<()> {
            match devices::kind_to_make(mount)? {
                Make::Directory => fs::create_dir(place)?,
                Make::File => drop(fs::File::create_new(place)?),
            }
            tree::attach_at(mount, place)
        };
        match source {
            Source::Whole(mount) => attach(mount),
            Source::File { name } => attach(&part(&prepared.memory, name, attributes)?),
            Source::Part { of, selector } => {
                tree::attach_at(of, self.path.join("whole"))?;
                attach(&part(of, selector, attributes)?)
            }
        }
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        // The directory itself is empty; where unmounting failed, so does this, and nothing is lost.
        let _ = unmount(&self.path, UnmountFlags::DETACH);
        let _ = fs::remove_dir(&self.path);
    }
}

/// One container, by its runtime's command line.
struct Invocation<'a> {
    runtime: &'a OciRuntime,
    bundle: &'a Bundle,
    id: &'a str,
    cgroup: &'a str,
}

/// How often a runtime is asked to kill what may not have started yet.
const KILL_INTERVAL: Duration = Duration::from_millis(50);

impl Invocation<'_> {
    fn run(&self, daemon: &UnixStream) -> Attempt<Report> {
        let mut command = self.command();
        command.arg("--log").arg(self.log()).args(["--log-format", "json", "run"]);
        if self.runtime.can_keep {
            command.arg("--keep");
        }
        command.arg("--bundle").arg(&self.bundle.path).arg(self.id);
        let child = command.spawn().doing(format!("start {}", self.runtime.binary.display()))?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| failure("watch the runtime", "it has no process id"))?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).doing("watch the runtime")?;
        // A daemon that has gone is noticed by the first poll.
        let _ = protocol::write_message(&mut &*daemon, &Report::Started)
            .and_then(|()| protocol::send_descriptor(daemon, pidfd.as_fd()));
        self.watch(&pidfd, daemon).doing("watch the runtime")?;
        let (status, usage) = supervise::wait(pid.as_raw_pid()).doing("wait for the runtime")?;
        if let Some(refused) = runtime_command::refusal(self.runtime, &self.log(), status) {
            return Ok(refused);
        }
        let out_of_memory = Groups::of_runtime(self.cgroup).out_of_memory();
        Ok(Report::Exited(Exit { status, out_of_memory, usage }))
    }

    /// Until the runtime has ended; from the daemon's hanging up on, its container is killed.
    fn watch(&self, runtime: &OwnedFd, daemon: &UnixStream) -> io::Result<()> {
        loop {
            match runtime_command::wait(runtime, Some(daemon), None)? {
                (true, _) => return Ok(()),
                (false, true) => break,
                (false, false) => {}
            }
        }
        let interval = Timespec { tv_sec: 0, tv_nsec: KILL_INTERVAL.subsec_nanos().into() };
        loop {
            // Fails while there is no container yet, and where somebody has removed the runtime's state.
            self.quietly(&["kill", self.id, "KILL"]);
            Groups::of_runtime(self.cgroup).kill();
            if runtime_command::wait(runtime, None, Some(&interval))?.0 {
                return Ok(());
            }
        }
    }

    /// Removes what the runtime still knows of the container, its control group included.
    fn delete(&self) {
        self.quietly(&["delete", "--force", self.id]);
    }

    fn quietly(&self, arguments: &[&str]) {
        let mut command = self.command();
        // What it has to say is of no use to the step's reader.
        let _ =
            command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }

    fn command(&self) -> Command {
        runtime_command::command(self.runtime)
    }

    fn log(&self) -> PathBuf {
        self.bundle.path.join("log.json")
    }
}
