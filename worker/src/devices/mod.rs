//! Devices that the host's administrator describes for containers: CDI, the Container Device Interface
//! (<https://github.com/cncf-tags/container-device-interface>).
//!
//! | file | holds |
//! |---|---|
//! | `specification` | what a file says: devices, and what of each goes into a container |
//! | `registry` | all files of the configured folders; which device a name means |
//! | `grants` | which of them a build may have |
//! | `edits` | what becomes of a process that gets some |
//!
//! Files are read whenever somebody asks: they are few, and an administrator changes them while the daemon runs. One
//! that is wrong is named in the log, and the rest counts.

mod edits;
mod grants;
mod registry;
mod specification;

pub use grants::DeviceGrants;
pub use registry::{DeviceOptions, DeviceRecord, Devices};
