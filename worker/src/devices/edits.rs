//! Devices, given to a process.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

use slipway_model::llb::pb;
use slipway_run::{DeviceNode, Hook, HookPoint, Mount, MountKind, NodeKind, ProcessSpec};

use super::Devices;
use super::specification::{self, ContainerEdits};
use crate::{Error, Result};

impl Devices {
    /// Adds what these devices bring. They have been admitted; here it is only looked what they are. Reads files.
    pub(crate) fn give(&self, wanted: &[pb::CdiDevice], spec: &mut ProcessSpec) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let names = now.find(wanted)?;
        for edits in now.edits(&names) {
            apply(edits, spec).map_err(|reason| {
                Error::Failed(format!("cannot give {} to the step: {reason}", names.join(", ")))
            })?;
        }
        Ok(())
    }
}

fn apply(edits: &ContainerEdits, spec: &mut ProcessSpec) -> Result<(), String> {
    if !edits.net_devices.is_empty() || edits.intel_rdt.is_some() {
        return Err("its specification has netDevices or intelRdt, which are not supported".into());
    }
    spec.env.extend(edits.env.iter().cloned());
    for node in &edits.device_nodes {
        let kind = MountKind::Device(of_host(node)?);
        spec.mounts.push(Mount { destination: node.path.clone(), kind });
    }
    for mount in &edits.mounts {
        spec.mounts.push(bound(mount)?);
    }
    for hook in &edits.hooks {
        spec.hooks.push(Hook {
            point: point(&hook.hook_name)?,
            path: PathBuf::from(&hook.path),
            args: hook.args.clone(),
            env: hook.env.clone(),
            timeout: hook.timeout,
        });
    }
    // Zero is root's, and not meant.
    spec.groups.extend(edits.additional_groups.iter().copied().filter(|group| *group != 0));
    Ok(())
}

/// What the file leaves open is as on the host.
fn of_host(node: &specification::Node) -> Result<DeviceNode, String> {
    let host_path = if node.host_path.is_empty() { &node.path } else { &node.host_path };
    let found = std::fs::metadata(host_path);
    let is_complete = !node.kind.is_empty() && (node.major, node.minor) != (0, 0);
    let found = match found {
        Ok(found) => Some(found),
        Err(_) if is_complete => None,
        Err(error) => return Err(format!("{host_path} of the host: {error}")),
    };
    let kind = match (node.kind.as_str(), &found) {
        ("b", _) => NodeKind::Block,
        ("c" | "u", _) => NodeKind::Character,
        ("p", _) => NodeKind::Pipe,
        ("", Some(found)) if found.file_type().is_block_device() => NodeKind::Block,
        ("", Some(found)) if found.file_type().is_char_device() => NodeKind::Character,
        ("", Some(found)) if found.file_type().is_fifo() => NodeKind::Pipe,
        ("", _) => return Err(format!("{host_path} of the host is no device")),
        (other, _) => return Err(format!("{other:?} is no type of a device: use b, c, u or p")),
    };
    let number = |written: i64, found: u32| -> Result<u32, String> {
        if is_complete {
            u32::try_from(written).map_err(|_| format!("{written} is no number of a device"))
        } else {
            Ok(found)
        }
    };
    let (major, minor) = found.as_ref().map_or((0, 0), |found| {
        let device = found.rdev();
        (rustix::fs::major(device), rustix::fs::minor(device))
    });
    Ok(DeviceNode {
        kind,
        major: number(node.major, major)?,
        minor: number(node.minor, minor)?,
        mode: node.file_mode.or(found.as_ref().map(MetadataExt::mode)).unwrap_or(0o666) & 0o777,
        uid: node.uid,
        gid: node.gid,
        access: if node.permissions.is_empty() { "rwm".into() } else { node.permissions.clone() },
    })
}

fn bound(mount: &specification::Mount) -> Result<Mount, String> {
    if !["", "bind", "none"].contains(&mount.kind.as_str()) {
        return Err(format!("mounts of type {:?} are not supported", mount.kind));
    }
    let readonly = mount.options.iter().any(|option| option == "ro");
    let kind = MountKind::Host { path: PathBuf::from(&mount.host_path), readonly, programs: true };
    Ok(Mount { destination: mount.container_path.clone(), kind })
}

fn point(name: &str) -> Result<HookPoint, String> {
    Ok(match name {
        "prestart" => HookPoint::Prestart,
        "createRuntime" => HookPoint::CreateRuntime,
        "createContainer" => HookPoint::CreateContainer,
        "startContainer" => HookPoint::StartContainer,
        "poststart" => HookPoint::Poststart,
        "poststop" => HookPoint::Poststop,
        other => return Err(format!("{other:?} is no hook")),
    })
}
