//! `config.json` of the OCI runtime specification, for one step, as BuildKit writes it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::execute;
use super::masks::{masked_paths, readonly_paths};
use super::prepare::Prepared;
use super::user::User;
use crate::cgroup::Groups;
use crate::protocol::Order;
use crate::{
    Hook, HookPoint, MountKind, Network, NodeKind, ProcessSpec, Resources, Security, capability, seccomp,
};

/// Old enough for every runtime in use.
const VERSION: &str = "1.0.2";

pub(super) fn config(
    order: &Order,
    prepared: &Prepared,
    root: &Path,
    sources: &[PathBuf],
    cgroup: &str,
) -> Value {
    let spec = &order.spec;
    let sandbox = spec.security == Security::Sandbox;
    json!({
        "ociVersion": VERSION,
        "process": process(order, &prepared.user, &prepared.home),
        "root": { "path": root, "readonly": spec.readonly_root },
        "hostname": spec.hostname(),
        "mounts": mounts(prepared, sources, sandbox),
        "linux": {
            "namespaces": namespaces(spec.network),
            "cgroupsPath": cgroup,
            "resources": resources(&spec.resources, devices(spec)),
            "devices": if sandbox { Vec::new() } else { super::devices::insecure_for_runtime() },
            "seccomp": if sandbox { seccomp::oci_profile() } else { None },
            "maskedPaths": if sandbox { masked_paths() } else { Vec::new() },
            "readonlyPaths": if sandbox { readonly_paths() } else { Vec::new() },
        },
        "hooks": hooks(&spec.hooks),
    })
}

/// The process itself, be it the container's first or one that joins.
pub(super) fn process(order: &Order, user: &User, home: &str) -> Value {
    let spec = &order.spec;
    let all = capability::names(order.capabilities);
    let some = capability::names(order.capabilities & capability::SANDBOX);
    let (given, inherited) = match spec.security {
        Security::Sandbox => (some, Vec::new()),
        Security::Insecure => (all.clone(), all),
    };
    let limit = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
    let rlimits: Vec<Value> = spec
        .ulimits
        .iter()
        .map(|ulimit| {
            let kind = format!("RLIMIT_{}", ulimit.name.to_ascii_uppercase());
            json!({ "type": kind, "soft": limit(ulimit.soft), "hard": limit(ulimit.hard) })
        })
        .collect();
    json!({
        "terminal": false,
        "user": { "uid": user.uid, "gid": user.gid, "additionalGids": user.groups },
        "args": spec.args,
        "env": execute::environment(&spec.env, home),
        "cwd": spec.cwd(),
        "capabilities": {
            "bounding": given, "effective": given, "permitted": given,
            "inheritable": inherited, "ambient": inherited,
        },
        "rlimits": rlimits,
        "noNewPrivileges": false,
    })
}

fn namespaces(network: Network) -> Value {
    let mut kinds = vec!["pid", "ipc", "uts", "mount"];
    if network == Network::None {
        kinds.push("network");
    }
    if Groups::is_host_unified() {
        kinds.push("cgroup");
    }
    kinds.into_iter().map(|kind| json!({ "type": kind })).collect()
}

fn mounts(prepared: &Prepared, sources: &[PathBuf], sandbox: bool) -> Vec<Value> {
    let readonly = if sandbox { "ro" } else { "rw" };
    let standard: [(&str, &str, &[&str]); 7] = [
        ("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        ("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        ("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        ("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        ("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        ("/sys", "sysfs", &["nosuid", "noexec", "nodev", readonly]),
        ("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", readonly]),
    ];
    let mut mounts: Vec<(String, Value)> = standard
        .into_iter()
        .map(|(destination, kind, options)| {
            let mount =
                json!({ "destination": destination, "type": kind, "source": kind, "options": options });
            (destination.to_owned(), mount)
        })
        .collect();
    for (attachment, source) in prepared.attachments.iter().zip(sources) {
        let destination = attachment.destination.clone();
        let options = attachment.options_for_runtime();
        let mount =
            json!({ "destination": destination, "type": "bind", "source": source, "options": options });
        match mounts.iter_mut().find(|(earlier, _)| *earlier == destination) {
            Some(earlier) => earlier.1 = mount,
            None => mounts.push((destination, mount)),
        }
    }
    mounts.into_iter().map(|(_, mount)| mount).collect()
}

/// Which devices may be used: none in the sandbox but those that the process was given (and those that every
/// runtime allows by itself).
fn devices(spec: &ProcessSpec) -> Vec<Value> {
    let mut rules = vec![json!({ "allow": spec.security == Security::Insecure, "access": "rwm" })];
    for mount in &spec.mounts {
        let MountKind::Device(node) = &mount.kind else { continue };
        let kind = match node.kind {
            NodeKind::Block => "b",
            NodeKind::Character => "c",
            NodeKind::Pipe => continue,
        };
        rules.push(json!({
            "allow": true, "type": kind, "major": node.major, "minor": node.minor, "access": node.access,
        }));
    }
    rules
}

/// By the moment at which they run.
fn hooks(hooks: &[Hook]) -> Value {
    let mut points = BTreeMap::<HookPoint, Vec<Value>>::new();
    for Hook { point, path, args, env, timeout } in hooks {
        let mut hook = json!({ "path": path, "args": args, "env": env });
        if let Some(timeout) = timeout {
            hook["timeout"] = json!(timeout);
        }
        points.entry(*point).or_default().push(hook);
    }
    json!(points)
}

fn resources(resources: &Resources, devices: Vec<Value>) -> Value {
    let Resources { memory, memory_swap, cpu_shares, cpu_period, cpu_quota, cpuset_cpus, cpuset_mems } =
        resources;
    let mut limits = json!({ "devices": devices, "memory": {}, "cpu": {} });
    let mut set = |group: &str, name: &str, wanted: bool, value: Value| {
        if wanted {
            limits[group][name] = value;
        }
    };
    set("memory", "limit", *memory != 0, json!(memory));
    set("memory", "swap", *memory_swap != 0, json!(memory_swap));
    set("cpu", "shares", *cpu_shares != 0, json!(cpu_shares));
    set("cpu", "period", *cpu_period != 0, json!(cpu_period));
    set("cpu", "quota", *cpu_quota != 0, json!(cpu_quota));
    set("cpu", "cpus", !cpuset_cpus.is_empty(), json!(cpuset_cpus));
    set("cpu", "mems", !cpuset_mems.is_empty(), json!(cpuset_mems));
    limits
}
