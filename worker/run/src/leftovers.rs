//! What a helper leaves when it is killed, or when the whole daemon is.
//!
//! A process of the built-in runtime dies with its helper, and with it its mounts; its control groups stay. A
//! container of an OCI runtime knows neither helper nor daemon: it would go on, so the runtime is told to end it.

use std::fs;
use std::process::Stdio;

use crate::cgroup::Groups;
use crate::helper::runtime_command;
use crate::protocol::{OciRuntime, Order, Runtime};

/// After a helper that has not done it itself.
pub(crate) fn remove(order: &Order) {
    match &order.runtime {
        Runtime::Builtin => {
            if let Ok(groups) = Groups::of_running(&order.cgroup_parent, &order.spec.id) {
                groups.remove();
            }
        }
        Runtime::Oci(runtime) => delete(runtime, &order.spec.id),
        // The container is somebody else's, who sees to it.
        Runtime::Join(_) | Runtime::OciJoin(..) | Runtime::Outside(_) => {}
    }
}

/// Containers of an earlier daemon with the same state; who holds it now is the only one there is.
pub(crate) fn remove_containers(runtime: &OciRuntime) {
    let known = fs::read_dir(runtime.state.join("runtime")).into_iter().flatten().flatten();
    for container in known {
        if let Some(id) = container.file_name().to_str() {
            delete(runtime, id);
        }
    }
}

fn delete(runtime: &OciRuntime, id: &str) {
    let mut command = runtime_command::command(runtime);
    command.args(["delete", "--force", id]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // There is nothing more to be done where that fails.
    let _ = command.status();
    let _ = fs::remove_dir(runtime.state.join(id));
}
