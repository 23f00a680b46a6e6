//! Everything that can be done before the step's first process exists, on the host's side.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::mount::MountAttrFlags;

use super::attempt::{Attempt, Doing};
use super::in_root::{self, Make};
use super::stubs::{self, Stubs};
use super::tree;
use super::user::{self, User};
use super::{devices, standard};
use crate::mount::{DeviceNode, MountKind};
use crate::protocol::{Order, Runtime};
use crate::{Mount, Security};

/// A tree that is open, and what is to be mounted in it.
pub(super) struct Prepared {
    /// The root, detached; writable wherever the tree is.
    pub(super) root: OwnedFd,
    pub(super) user: User,
    /// For `HOME`, where the build has not set it.
    pub(super) home: String,
    pub(super) attachments: Vec<Attachment>,
    /// The files whose bytes came with the order, on a filesystem in memory that only this step has.
    pub(super) memory: OwnedFd,
    pub(super) stubs: Stubs,
}

/// One mount, still detached.
pub(super) struct Attachment {
    pub(super) destination: String,
    pub(super) source: Source,
    pub(super) attributes: MountAttrFlags,
}

impl Attachment {
    /// Of a bind mount, for an OCI runtime; attributes of the source do not reach its clone there by themselves.
    pub(super) fn options_for_runtime(&self) -> Vec<&'static str> {
        let named = [
            (MountAttrFlags::MOUNT_ATTR_RDONLY, "ro"),
            (MountAttrFlags::MOUNT_ATTR_NOSUID, "nosuid"),
            (MountAttrFlags::MOUNT_ATTR_NODEV, "nodev"),
            (MountAttrFlags::MOUNT_ATTR_NOEXEC, "noexec"),
        ];
        let set = named.into_iter().filter(|(flag, _)| self.attributes.contains(*flag));
        std::iter::once("rbind").chain(set.map(|(_, name)| name)).collect()
    }
}

/// Parts are taken after their whole has been attached: kernels before 6.15 do not clone what is detached.
pub(super) enum Source {
    Whole(OwnedFd),
    /// What a path leads to inside a tree.
    Part {
        of: OwnedFd,
        selector: String,
    },
    /// A file of [`Prepared::memory`].
    File {
        name: String,
    },
}

pub(super) fn prepare(order: &Order) -> Attempt<Prepared> {
    let spec = &order.spec;
    let root = tree::open_detached(&spec.root, tree_attributes(order)).doing("mount the root tree")?;
    standard::check_places(&root)?;
    let user = user::resolve(&root, &spec.user)?.with(&spec.groups);
    make_working_directory(order, &root, &user)?;
    let mut files = Files::new()?;
    let attachments = attachments(order, &mut files, &user)?;
    let destinations = attachments.iter().map(|attachment| attachment.destination.as_str());
    let stubs = stubs::find(&root, destinations, spec.remove_mount_stubs_recursive);
    Ok(Prepared { home: user::home(&root, user.uid), root, user, attachments, memory: files.memory, stubs })
}

/// A sandboxed step may make device nodes but must not open them: they would be the host's devices.
/// Attributes stay with the mount, and a step without `CAP_SYS_ADMIN` cannot change them.
///
/// An OCI runtime guards devices itself, with a control group.
fn tree_attributes(order: &Order) -> MountAttrFlags {
    match (order.spec.security, &order.runtime) {
        (Security::Sandbox, Runtime::Builtin) => MountAttrFlags::MOUNT_ATTR_NODEV,
        _ => MountAttrFlags::empty(),
    }
}

/// In the bare tree, before anything is mounted on it, as the reference does.
fn make_working_directory(order: &Order, root: &OwnedFd, user: &User) -> Attempt<()> {
    let cwd = order.spec.cwd();
    let owner = Some((user.uid, user.gid));
    in_root::make_owned(root, cwd, Make::Directory, owner)
        .doing(format!("create working directory {cwd:?}"))?;
    Ok(())
}

/// The files that every step gets, then what the build asks for; equal destinations replace each other.
fn attachments(order: &Order, files: &mut Files, user: &User) -> Attempt<Vec<Attachment>> {
    let mut attachments: Vec<Attachment> = Vec::new();
    let ours = [("/etc/resolv.conf", &order.resolv_conf), ("/etc/hosts", &order.hosts)];
    for (destination, text) in ours {
        if !order.spec.mounts.iter().any(|mount| mount.destination == destination) {
            let mount = files.add(destination, text.as_bytes(), 0o644, (0, 0))?;
            attachments.push(mount);
        }
    }
    for mount in &order.spec.mounts {
        let attachment = attachment(mount, order, files, user)?;
        match attachments.iter_mut().find(|earlier| earlier.destination == attachment.destination) {
            Some(earlier) => *earlier = attachment,
            None => attachments.push(attachment),
        }
    }
    Ok(attachments)
}

/// What holds data, not programs or devices.
const DATA: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

fn attachment(mount: &Mount, order: &Order, files: &mut Files, user: &User) -> Attempt<Attachment> {
    let of_trees = tree_attributes(order);
    let destination = absolute(&mount.destination, order.spec.cwd());
    let step = || format!("prepare the mount on {destination}");
    let (source, attributes) = match &mount.kind {
        MountKind::Tree { tree, selector, readonly } => {
            let attributes = of_trees | tree::readonly_if(*readonly);
            let mount = tree::open_detached(tree, attributes).doing(step())?;
            let source = match selector.as_deref() {
                None | Some("" | "/" | ".") => Source::Whole(mount),
                Some(selector) => Source::Part { of: mount, selector: selector.to_owned() },
            };
            (source, attributes)
        }
        MountKind::Tmpfs { size, mode } => {
            let mode = format!("{:o}", mode.unwrap_or(0o1777) & 0o7777);
            let size = size.filter(|size| *size > 0).map(|size| size.to_string());
            let mut options = vec![("mode", mode.as_str())];
            options.extend(size.as_ref().map(|size| ("size", size.as_str())));
            let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | of_trees;
            let mount = tree::new_filesystem("tmpfs", &options, attributes).doing(step())?;
            (Source::Whole(mount), attributes)
        }
        MountKind::File { bytes, mode, uid, gid } => {
            return files.add(&destination, bytes.expose(), *mode, (*uid, *gid));
        }
        MountKind::Device(node) => return files.add_device(&destination, node, user),
        MountKind::Host { path, readonly, programs } => {
            let source = in_root::open_host(path).doing(format!("open {} of the host", path.display()))?;
            let kind = if *programs { DATA.difference(MountAttrFlags::MOUNT_ATTR_NOEXEC) } else { DATA };
            let attributes = kind | tree::readonly_if(*readonly);
            (Source::Whole(tree::bind(&source, attributes).doing(step())?), attributes)
        }
    };
    Ok(Attachment { destination, source, attributes })
}

/// A relative destination is one below the working directory.
fn absolute(destination: &str, cwd: &str) -> String {
    if destination.starts_with('/') {
        return destination.to_owned();
    }
    format!("{}/{destination}", cwd.trim_end_matches('/'))
}

/// Writes the files of [`Prepared::memory`].
struct Files {
    memory: OwnedFd,
    count: usize,
}

impl Files {
    /// Kept out of swap where the kernel can do that (6.4). Nothing but parts of it is ever seen, and each has
    /// attributes of its own: files those of data, devices fewer.
    fn new() -> Attempt<Self> {
        let make = |options: &[(&str, &str)]| {
            tree::new_filesystem("tmpfs", options, MountAttrFlags::MOUNT_ATTR_NOSUID)
        };
        let memory = make(&[("mode", "700"), ("noswap", "")]).or_else(|_| make(&[("mode", "700")]));
        Ok(Self { memory: memory.doing("mount a tmpfs for files")?, count: 0 })
    }

    fn add(&mut self, destination: &str, bytes: &[u8], mode: u32, owner: (u32, u32)) -> Attempt<Attachment> {
        let name = self.count.to_string();
        self.count += 1;
        write(self.memory.as_fd(), &name, bytes, mode, owner)
            .doing(format!("write the file for {destination}"))?;
        let attributes = DATA | MountAttrFlags::MOUNT_ATTR_RDONLY;
        Ok(Attachment { destination: destination.to_owned(), source: Source::File { name }, attributes })
    }

    /// A node of our own, so that owner and mode are the process's business and not the host's.
    fn add_device(&mut self, destination: &str, node: &DeviceNode, user: &User) -> Attempt<Attachment> {
        let name = self.count.to_string();
        self.count += 1;
        let owner = (node.uid.unwrap_or(user.uid), node.gid.unwrap_or(user.gid));
        devices::make(self.memory.as_fd(), &name, node, owner)
            .doing(format!("make the device {destination}"))?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        Ok(Attachment { destination: destination.to_owned(), source: Source::File { name }, attributes })
    }
}

fn write(
    memory: impl AsFd,
    name: &str,
    bytes: &[u8],
    mode: u32,
    (uid, gid): (u32, u32),
) -> std::io::Result<()> {
    use std::io::Write;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::openat(memory, name, flags, Mode::from_raw_mode(0o600))?;
    let mut file = std::fs::File::from(file);
    file.write_all(bytes)?;
    if (uid, gid) != (0, 0) {
        std::os::unix::fs::fchown(&file, Some(uid), Some(gid))?;
    }
    Ok(rustix::fs::fchmod(&file, Mode::from_raw_mode(mode & 0o7777))?)
}
