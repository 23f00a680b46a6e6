//! All devices that there are, and which of them a name means.
//!
//! | name | devices |
//! |---|---|
//! | `VENDOR/CLASS=NAME` | that one |
//! | `VENDOR/CLASS` | the first of that kind, by name |
//! | `VENDOR/CLASS=*` | all of that kind |
//! | any other, or one that nothing answers to | all whose annotation `org.mobyproject.buildkit.device.class` is that |
//!
//! A later folder goes over an earlier one. A device that two files of one folder describe is none: nobody can say
//! which is meant.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use slipway_model::llb::pb;

use super::specification::{ContainerEdits, Specification};
use crate::{Error, Result};

/// What the configuration says.
#[derive(Clone, Debug)]
pub struct DeviceOptions {
    pub disabled: bool,
    pub folders: Vec<PathBuf>,
    /// Devices, or kinds of them, that every build may have.
    pub auto_allowed: Vec<String>,
}

impl Default for DeviceOptions {
    fn default() -> Self {
        let folders = ["/etc/cdi", "/var/run/cdi", "/etc/buildkit/cdi"].map(PathBuf::from).into();
        Self { disabled: false, folders, auto_allowed: Vec::new() }
    }
}

/// The devices of a worker.
#[derive(Clone, Debug, Default)]
pub struct Devices(DeviceOptions);

/// What is told of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRecord {
    pub name: String,
    pub auto_allowed: bool,
    pub annotations: BTreeMap<String, String>,
}

/// All of them at one moment, by name.
pub(super) struct Snapshot<'a> {
    devices: BTreeMap<String, Known>,
    options: &'a DeviceOptions,
}

struct Known {
    annotations: BTreeMap<String, String>,
    /// The file's own first, for that file once.
    common: (PathBuf, ContainerEdits),
    own: ContainerEdits,
}

const CLASS: &str = "org.mobyproject.buildkit.device.class";
const AUTO_ALLOW: &str = "org.mobyproject.buildkit.device.autoallow";
/// Files that are larger, or more than these, are none of this kind.
const LARGEST: u64 = 4 << 20;
const MOST: usize = 1000;

impl Devices {
    pub fn new(options: DeviceOptions) -> Self {
        Self(options)
    }

    /// All there are now; reads files.
    pub fn list(&self) -> Vec<DeviceRecord> {
        let now = self.now();
        now.devices.keys().filter_map(|name| now.record(name)).collect()
    }

    pub(super) fn now(&self) -> Snapshot<'_> {
        let mut devices = BTreeMap::new();
        if !self.0.disabled {
            for folder in &self.0.folders {
                devices.append(&mut devices_in(folder));
            }
        }
        Snapshot { devices, options: &self.0 }
    }
}

impl Snapshot<'_> {
    pub(super) fn record(&self, name: &str) -> Option<DeviceRecord> {
        let known = self.devices.get(name)?;
        let kind = name.split('=').next().unwrap_or_default();
        let configured = self.options.auto_allowed.iter().any(|allowed| allowed == name || allowed == kind);
        let annotated = known
            .annotations
            .get(AUTO_ALLOW)
            .is_some_and(|value| matches!(value.as_str(), "1" | "t" | "T" | "true" | "TRUE" | "True"));
        Some(DeviceRecord {
            name: name.to_owned(),
            auto_allowed: configured || annotated,
            annotations: known.annotations.clone(),
        })
    }

    /// The devices that are asked for, each once; an optional one that is not there is left out.
    pub(super) fn find<'a>(
        &self,
        wanted: impl IntoIterator<Item = &'a pb::CdiDevice>,
    ) -> Result<Vec<String>> {
        let mut found: Vec<String> = Vec::new();
        for device in wanted {
            let names = self.meant(&device.name);
            if names.is_empty() && !device.optional {
                let what = format!("required device {:?} is not registered", device.name);
                return Err(Error::Failed(what));
            }
            for name in names {
                if !found.contains(&name) {
                    found.push(name);
                }
            }
        }
        Ok(found)
    }

    /// What a process gets with these devices, in order; what a file says for all of its devices once.
    pub(super) fn edits(&self, names: &[String]) -> Vec<&ContainerEdits> {
        let (mut edits, mut seen): (Vec<&ContainerEdits>, Vec<&Path>) = (Vec::new(), Vec::new());
        for known in names.iter().filter_map(|name| self.devices.get(name)) {
            if !seen.contains(&known.common.0.as_path()) {
                seen.push(&known.common.0);
                edits.push(&known.common.1);
            }
            edits.push(&known.own);
        }
        edits
    }

    fn meant(&self, wanted: &str) -> Vec<String> {
        let (kind, name) = wanted.split_once('=').unwrap_or((wanted, ""));
        let of_kind = || {
            let prefix = format!("{kind}=");
            self.devices.keys().filter(move |device| device.starts_with(&prefix)).cloned()
        };
        let named: Vec<String> = match name {
            _ if !kind.contains('/') => Vec::new(),
            "" => of_kind().take(1).collect(),
            "*" => of_kind().collect(),
            _ => self.devices.keys().filter(|device| *device == wanted).cloned().collect(),
        };
        if !named.is_empty() {
            return named;
        }
        let of_class = self
            .devices
            .iter()
            .filter(|(_, known)| known.annotations.get(CLASS).is_some_and(|class| class == wanted));
        of_class.map(|(name, _)| name.clone()).collect()
    }
}

fn devices_in(folder: &Path) -> BTreeMap<String, Known> {
    let mut devices: BTreeMap<String, Option<Known>> = BTreeMap::new();
    for path in files_in(folder) {
        let specification = match read(&path).and_then(|text| Specification::parse(&text)) {
            Ok(specification) => specification,
            Err(reason) => {
                tracing::warn!(file = %path.display(), reason, "the CDI specification is left out");
                continue;
            }
        };
        let Specification { kind, annotations, devices: described, container_edits, .. } = specification;
        for device in described {
            let mut annotations = annotations.clone();
            annotations.extend(device.annotations);
            let common = (path.clone(), container_edits.clone());
            let known = Known { annotations, common, own: device.container_edits };
            let name = format!("{kind}={}", device.name);
            match devices.entry(name) {
                Entry::Vacant(entry) => {
                    entry.insert(Some(known));
                }
                Entry::Occupied(mut entry) => {
                    let device = entry.key();
                    tracing::warn!(device, file = %path.display(), "two CDI specifications describe it");
                    entry.insert(None);
                }
            }
        }
    }
    devices.into_iter().filter_map(|(name, known)| Some((name, known?))).collect()
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_one = |path: &PathBuf| {
        path.extension()
            .is_some_and(|extension| ["json", "yaml", "yml"].iter().any(|known| extension == *known))
    };
    let mut files: Vec<PathBuf> = entries.filter(is_one).take(MOST).collect();
    files.sort();
    files
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(LARGEST).read_to_string(&mut text).map_err(|error| error.to_string())?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(name: &str) -> pb::CdiDevice {
        pb::CdiDevice { name: name.into(), ..pb::CdiDevice::default() }
    }

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn devices(folders: &[&tempfile::TempDir]) -> Devices {
        let folders = folders.iter().map(|folder| folder.path().to_owned()).collect();
        Devices::new(DeviceOptions { folders, ..DeviceOptions::default() })
    }

    const GPUS: &str = "cdiVersion: '0.6.0'\nkind: acme.com/gpu\nannotations: {org.mobyproject.buildkit.device.autoallow: true}\ndevices: [{name: b}, {name: a, annotations: {org.mobyproject.buildkit.device.class: fast}}, {name: c}]\n";

    #[test]
    fn a_name_means_devices() {
        let folder = folder(&[("gpu.yaml", GPUS), ("broken.yaml", "kind: ["), ("note.txt", GPUS)]);
        let devices = devices(&[&folder]);
        let now = devices.now();
        for (name, meant) in [
            ("acme.com/gpu=b", vec!["acme.com/gpu=b"]),
            ("acme.com/gpu", vec!["acme.com/gpu=a"]),
            ("acme.com/gpu=*", vec!["acme.com/gpu=a", "acme.com/gpu=b", "acme.com/gpu=c"]),
            ("fast", vec!["acme.com/gpu=a"]),
        ] {
            assert_eq!(now.find([&wanted(name)]).unwrap(), meant, "{name}");
        }
        assert!(now.find([&wanted("acme.com/gpu=z")]).unwrap_err().to_string().contains("not registered"));
        let optional = pb::CdiDevice { optional: true, ..wanted("slow") };
        assert!(now.find([&optional]).unwrap().is_empty());
        assert_eq!(now.find([&wanted("fast"), &wanted("acme.com/gpu=a")]).unwrap().len(), 1);
        assert!(devices.list().iter().all(|device| device.auto_allowed));
    }

    #[test]
    fn a_later_folder_counts_and_a_conflict_is_nobodys() {
        let one =
            "cdiVersion: '0.6.0'\nkind: a.com/x\ndevices: [{name: n, containerEdits: {env: [FROM=one]}}]\n";
        let two = one.replace("one", "two");
        let (first, second) = (folder(&[("x.yaml", one)]), folder(&[("x.yaml", &two)]));
        let both = devices(&[&first, &second]);
        let now = both.now();
        assert_eq!(now.edits(&["a.com/x=n".into()])[1].env, ["FROM=two"]);
        let torn = folder(&[("x.yaml", one), ("y.json", &two)]);
        assert!(devices(&[&torn]).list().is_empty());
        assert!(Devices::new(DeviceOptions { disabled: true, ..DeviceOptions::default() }).list().is_empty());
    }
}
