//! Which keys there are, and what becomes of each.
//!
//! Keys are found as the reference finds them, whatever their case. A key whose value says nothing
//! (`false`, `0`, `""`, an empty list) has no effect there and is never an error here.

use toml::{Table, Value};

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Honoured,
    /// It tunes what works differently here: a warning that says why nothing comes of it.
    Unused(&'static str),
    /// What it asks for would be missing from builds: an error.
    Refused(&'static str),
}

use Standing::{Honoured, Refused, Unused};

const OTHER_NETWORKS: &str = "tasks of containerd's use the host's network or none";

/// Names are joined by `/`, since some have dots; `*` is any name. A table with a row of its own is taken or left as a
/// whole.
#[rustfmt::skip]
pub(super) const KEYS: &[(&str, Standing)] = &[
    ("debug", Honoured),
    ("trace", Honoured),
    ("root", Honoured),
    ("insecure-entitlements", Honoured),
    ("proxyNetwork", Refused("builds have no proxy network")),
    ("provenanceEnvDir", Honoured),
    ("log/format", Honoured),
    ("log/level", Honoured),
    ("grpc/address", Honoured),
    ("grpc/debugAddress", Honoured),
    ("grpc/uid", Honoured),
    ("grpc/gid", Honoured),
    ("grpc/securityDescriptor", Unused("it is for Windows")),
    ("grpc/tls/cert", Honoured),
    ("grpc/tls/key", Honoured),
    ("grpc/tls/ca", Honoured),
    ("otel/socketPath", Honoured),
    ("cdi/disabled", Honoured),
    ("cdi/specDirs", Honoured),
    ("cdi/autoAllowed", Honoured),
    ("dns/nameservers", Honoured),
    ("dns/options", Honoured),
    ("dns/searchDomains", Honoured),
    ("history/maxAge", Honoured),
    ("history/maxEntries", Honoured),
    ("system/platformsCacheMaxAge", Unused("platforms are found out once, at the start")),
    ("system/maxRegistryConcurrency", Unused("how much is fetched at once is not configurable")),
    ("worker/oci/enabled", Honoured),
    ("worker/oci/labels", Honoured),
    ("worker/oci/platforms", Honoured),
    ("worker/oci/snapshotter", Honoured),
    ("worker/oci/rootless", Unused("a daemon that is not root finds out by itself")),
    ("worker/oci/noProcessSandbox", Unused("steps keep process namespaces of their own")),
    ("worker/oci/gc", Honoured),
    ("worker/oci/gckeepstorage", Honoured),
    ("worker/oci/reservedSpace", Honoured),
    ("worker/oci/maxUsedSpace", Honoured),
    ("worker/oci/minFreeSpace", Honoured),
    ("worker/oci/gcpolicy/all", Honoured),
    ("worker/oci/gcpolicy/filters", Honoured),
    ("worker/oci/gcpolicy/keepDuration", Honoured),
    ("worker/oci/gcpolicy/keepBytes", Honoured),
    ("worker/oci/gcpolicy/reservedSpace", Honoured),
    ("worker/oci/gcpolicy/maxUsedSpace", Honoured),
    ("worker/oci/gcpolicy/minFreeSpace", Honoured),
    ("worker/oci/networkMode", Honoured),
    ("worker/oci/cniConfigPath", Honoured),
    ("worker/oci/cniBinaryPath", Honoured),
    ("worker/oci/cniPoolSize", Honoured),
    ("worker/oci/bridgeName", Honoured),
    ("worker/oci/bridgeSubnet", Honoured),
    ("worker/oci/userRemapUnsupported", Refused("ids of snapshots are not mapped")),
    ("worker/oci/binary", Honoured),
    ("worker/oci/proxySnapshotterPath", Refused("snapshotters of other processes are not supported")),
    ("worker/oci/defaultCgroupParent", Honoured),
    ("worker/oci/stargzSnapshotter", Unused("there is no stargz snapshotter")),
    ("worker/oci/apparmor-profile", Refused("steps get no AppArmor profile")),
    ("worker/oci/selinux", Refused("steps get no SELinux labels")),
    ("worker/oci/max-parallelism", Honoured),
    ("worker/containerd/enabled", Honoured),
    ("worker/containerd/address", Honoured),
    ("worker/containerd/namespace", Honoured),
    ("worker/containerd/labels", Honoured),
    ("worker/containerd/platforms", Honoured),
    ("worker/containerd/snapshotter", Honoured),
    ("worker/containerd/runtime/name", Honoured),
    ("worker/containerd/runtime/path", Refused("containerd finds its runtimes by name")),
    ("worker/containerd/runtime/options/BinaryName", Honoured),
    ("worker/containerd/runtime/options/*", Refused("of a runtime's options only BinaryName can be set")),
    ("worker/containerd/gc", Honoured),
    ("worker/containerd/gckeepstorage", Honoured),
    ("worker/containerd/reservedSpace", Honoured),
    ("worker/containerd/maxUsedSpace", Honoured),
    ("worker/containerd/minFreeSpace", Honoured),
    ("worker/containerd/gcpolicy/all", Honoured),
    ("worker/containerd/gcpolicy/filters", Honoured),
    ("worker/containerd/gcpolicy/keepDuration", Honoured),
    ("worker/containerd/gcpolicy/keepBytes", Honoured),
    ("worker/containerd/gcpolicy/reservedSpace", Honoured),
    ("worker/containerd/gcpolicy/maxUsedSpace", Honoured),
    ("worker/containerd/gcpolicy/minFreeSpace", Honoured),
    ("worker/containerd/networkMode", Honoured),
    ("worker/containerd/cniConfigPath", Unused(OTHER_NETWORKS)),
    ("worker/containerd/cniBinaryPath", Unused(OTHER_NETWORKS)),
    ("worker/containerd/cniPoolSize", Unused(OTHER_NETWORKS)),
    ("worker/containerd/bridgeName", Unused(OTHER_NETWORKS)),
    ("worker/containerd/bridgeSubnet", Unused(OTHER_NETWORKS)),
    ("worker/containerd/defaultCgroupParent", Honoured),
    ("worker/containerd/max-parallelism", Honoured),
    ("worker/containerd/apparmor-profile", Refused("steps get no AppArmor profile")),
    ("worker/containerd/selinux", Refused("steps get no SELinux labels")),
    ("worker/containerd/rootless", Unused("a daemon that is not root finds out by itself")),
    ("registryHosts", Honoured),
    ("registry/*/mirrors", Honoured),
    ("registry/*/http", Honoured),
    ("registry/*/insecure", Honoured),
    ("registry/*/ca", Honoured),
    ("registry/*/keypair/key", Honoured),
    ("registry/*/keypair/cert", Honoured),
    ("registry/*/tlsconfigdir", Honoured),
    ("frontend/dockerfile.v0/enabled", Honoured),
    ("frontend/dockerfile.v0/builtinRepositories", Honoured),
    ("frontend/gateway.v0/enabled", Honoured),
    ("frontend/gateway.v0/allowedRepositories", Honoured),
    ("cache/gha/sign", Refused("caches are not signed")),
    ("cache/gha/verify", Refused("signatures of caches are not checked")),
];

/// What is left of a file when each of its keys was looked at.
pub(super) struct Checked {
    /// Honoured keys only, in the case in which [`KEYS`] has them.
    pub table: Table,
    pub warnings: Vec<String>,
}

pub(super) fn check(table: Table) -> Result<Checked, String> {
    let mut warnings = Vec::new();
    let table = walk(table, &Place::top(), &mut warnings)?;
    Ok(Checked { table, warnings })
}

/// A table in the file: its row's beginning in [`KEYS`], and how the file spells it.
struct Place {
    row: String,
    spelled: String,
}

impl Place {
    fn top() -> Self {
        Self { row: String::new(), spelled: String::new() }
    }

    fn below(&self, name: &str, key: &str) -> Self {
        Self { row: format!("{}{name}/", self.row), spelled: format!("{}{key}.", self.spelled) }
    }

    /// The name in [`KEYS`] that `key` matches here, and what becomes of it; `None` is a table.
    fn find(&self, key: &str) -> Option<(&'static str, Option<Standing>)> {
        KEYS.iter().find_map(|(path, standing)| {
            let rest = path.strip_prefix(self.row.as_str())?;
            let (name, deeper) = rest.split_once('/').map_or((rest, false), |(name, _)| (name, true));
            let matches = name == "*" || name.eq_ignore_ascii_case(key);
            matches.then_some((name, (!deeper).then_some(*standing)))
        })
    }
}

fn walk(table: Table, place: &Place, warnings: &mut Vec<String>) -> Result<Table, String> {
    let mut kept = Table::new();
    for (key, value) in table {
        let path = format!("{}{key}", place.spelled);
        let Some((name, standing)) = place.find(&key) else {
            return Err(format!("{path} is not a key of this file"));
        };
        match standing {
            Some(Honoured) => {
                kept.insert(name.to_owned(), value);
            }
            Some(Unused(_) | Refused(_)) if says_nothing(&value) => {}
            Some(Unused(why)) => warnings.push(format!("{path} has no effect: {why}")),
            Some(Refused(why)) => return Err(format!("{path} is not supported: {why}")),
            None => {
                let kept_name = if name == "*" { key.clone() } else { name.to_owned() };
                kept.insert(kept_name, below(value, &place.below(name, &key), warnings)?);
            }
        }
    }
    Ok(kept)
}

/// A table, or a list of tables.
fn below(value: Value, place: &Place, warnings: &mut Vec<String>) -> Result<Value, String> {
    match value {
        Value::Table(table) => walk(table, place, warnings).map(Value::Table),
        Value::Array(values) => {
            let tables: Result<_, _> =
                values.into_iter().map(|value| below(value, place, warnings)).collect();
            tables.map(Value::Array)
        }
        _ => Err(format!("{} is a table, not a value", place.spelled.trim_end_matches('.'))),
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Integer(number) => *number == 0,
        Value::Boolean(yes) => !yes,
        Value::Array(values) => values.is_empty(),
        Value::Table(table) => table.values().all(says_nothing),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<Checked, String> {
        check(text.parse().unwrap())
    }

    #[test]
    fn what_tunes_is_warned_about_and_what_means_something_is_refused() {
        let warned = checked(
            "[system]\nmaxRegistryConcurrency = 2\n[worker.oci]\nnoProcessSandbox = true\n\
             [worker.containerd]\nrootless = true",
        )
        .unwrap();
        assert_eq!(warned.warnings.len(), 3, "{:?}", warned.warnings);
        assert!(warned.warnings.iter().any(|warning| warning.contains("worker.oci.noProcessSandbox")));
        for (text, name) in [
            ("proxyNetwork = true", "proxyNetwork"),
            ("[worker.oci]\nselinux = true", "worker.oci.selinux"),
            ("[worker.containerd.runtime]\npath = \"/x\"", "worker.containerd.runtime.path"),
            ("[cache.gha.verify]\nrequired = true", "cache.gha.verify"),
            ("[worker.oci.gcpolicy]\nx = 1", "worker.oci.gcpolicy.x"),
            ("[registry.\"a.b\"]\nx = 1", "registry.a.b.x"),
            ("[registry.\"a.b\".keypair]\nx = 1", "registry.a.b.keypair.x"),
            ("worker = 1", "worker"),
        ] {
            let error = checked(text).err().unwrap_or_else(|| panic!("{text} is accepted"));
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn what_says_nothing_is_no_error() {
        let nothing = checked("proxyNetwork = false\n[worker.oci]\nselinux = false\napparmor-profile = \"\"");
        assert!(nothing.unwrap().warnings.is_empty());
    }

    #[test]
    fn case_does_not_count() {
        let table = checked("[Worker.OCI]\nnetworkmode = \"host\"").unwrap().table;
        assert_eq!(table["worker"]["oci"]["networkMode"].as_str(), Some("host"));
    }

    #[test]
    fn the_documentation_has_every_key() {
        let page = include_str!("../../../docs/buildkitd.md");
        for (key, standing) in KEYS {
            let name = key.rsplit_once('/').map_or(*key, |(_, name)| name);
            let is_row = |line: &&str| line.starts_with('|') && line.contains(&format!("`{name}`"));
            let rows: Vec<&str> = page.lines().filter(is_row).collect();
            assert!(!rows.is_empty(), "docs/buildkitd.md has no row with `{name}` ({key})");
            let word = match standing {
                Honoured => "yes",
                Unused(_) => "warning",
                Refused(_) => "error",
            };
            // The same name may stand in several tables.
            let is_told = rows.iter().any(|row| row.contains(word));
            assert!(is_told, "{key} is {standing:?}, docs/buildkitd.md says {rows:?}");
        }
    }
}
