//! Network namespaces as descriptors: nothing of them is in the filesystem, so nothing of them is left when the
//! daemon dies.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use super::link;
use super::netlink::Socket;

/// A network namespace, alive as long as this is, or a process in it.
#[derive(Debug)]
pub(super) struct Namespace {
    descriptor: OwnedFd,
    /// For what is inside.
    socket: Socket,
}

impl Namespace {
    /// A new one, in which `lo` is up.
    ///
    /// It takes a thread: a namespace is a thread's own, and whoever has unshared one does not come back.
    pub(super) fn make() -> io::Result<Self> {
        let made = std::thread::spawn(|| {
            // SAFETY: concerns this thread alone, which has nothing to do with networks and ends here.
            if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(Self { descriptor: File::open("/proc/thread-self/ns/net")?.into(), socket: Socket::open()? })
        });
        let namespace = made.join().map_err(|_| io::Error::other("the thread has panicked"))??;
        if let Some(lo) = link::find(&namespace.socket, "lo")? {
            link::bring_up(&namespace.socket, lo.index)?;
        }
        Ok(namespace)
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// A path by which other processes of the host can open it, while it is open here.
    pub(super) fn path(&self) -> io::Result<PathBuf> {
        // What this process is called in the /proc that is mounted.
        let process = std::fs::read_link("/proc/self")?;
        let descriptor = self.descriptor.as_raw_fd().to_string();
        Ok(PathBuf::from("/proc").join(process).join("fd").join(descriptor))
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
