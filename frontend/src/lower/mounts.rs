//! `RUN --mount`.

use slipway_model::lexical::{absolute_text, clean_text};
use slipway_model::llb::{NodeOutput, pb};

use super::exec::{Exec, Mounted, Secret};
use super::metadata::Metadata;
use super::stage::{Planned, StageState};
use super::{Lowering, file};
use crate::dockerfile::instruction::{Mount, MountKind, MountSharing};
use crate::error::Failure;
use slipway_model::quote::quoted;

/// Where an owned cache keeps its files.
const CACHE_FOLDER: &str = "/cache";

impl Lowering<'_> {
    pub(super) fn add_mounts(
        &mut self,
        stage: &mut StageState,
        planned: &Planned,
        mounts: &[Mount],
        exec: &mut Exec,
    ) -> Result<(), Failure> {
        for (mount, source) in mounts.iter().zip(&planned.sources) {
            self.check_source(mount, *source)?;
            match mount.kind {
                MountKind::Secret => {
                    let secret = secret(mount)?;
                    if let Some(outline) = &mut stage.outline {
                        outline.add_secret(&secret.options.id, mount.required, &planned.instruction.ranges);
                    }
                    exec.secrets.push(secret);
                }
                MountKind::Ssh => {
                    let socket = socket(mount)?;
                    if let Some(outline) = &mut stage.outline {
                        outline.add_ssh(&mount.id, mount.required, &planned.instruction.ranges);
                    }
                    exec.ssh.push(socket);
                }
                MountKind::Bind | MountKind::Cache | MountKind::Tmpfs => {
                    let mounted = self.files(stage, mount, *source)?;
                    exec.mounts.push(mounted);
                }
            }
        }
        Ok(())
    }

    fn check_source(&self, mount: &Mount, source: usize) -> Result<(), Failure> {
        if mount.from.is_empty() || self.stages[source].is_dispatched {
            return Ok(());
        }
        Err(Failure::new(format!(
            "cannot mount from stage {} to {}, stage needs to be defined before current command",
            quoted(&mount.from),
            quoted(&mount.target)
        )))
    }

    fn files(&mut self, stage: &mut StageState, mount: &Mount, source: usize) -> Result<Mounted, Failure> {
        let is_of_stage = !mount.from.is_empty() || mount.kind == MountKind::Cache;
        let mut from = match mount.kind {
            MountKind::Tmpfs => None,
            _ if is_of_stage => self.stages[source].state.output,
            _ => self.context,
        };
        let mut wire = pb::Mount { readonly: mount.read_only, ..pb::Mount::default() };
        match mount.kind {
            MountKind::Tmpfs => {
                wire.mount_type = pb::MountType::Tmpfs.into();
                wire.tmpfs_opt = Some(pb::TmpfsOpt { size: mount.size_limit });
            }
            MountKind::Cache => {
                wire.mount_type = pb::MountType::Cache.into();
                wire.cache_opt = Some(self.cache(mount));
            }
            _ => {}
        }
        wire.dest = target(&stage.state.folder, &mount.target)?;
        let folder = absolute_text(&mount.source);
        if folder != "/" {
            wire.selector.clone_from(&folder);
        } else if mount.uid.is_some() || mount.gid.is_some() || mount.mode.is_some() {
            from = Some(self.owned_cache(mount, from));
            wire.selector = CACHE_FOLDER.to_owned();
        }
        if is_of_stage {
            let paths = self.stages[source].paths;
            self.path_sets[paths].insert(folder);
        } else {
            stage.context_paths.insert(folder);
        }
        let discards = !mount.read_only && mount.kind == MountKind::Bind;
        Ok(Mounted { from, mount: wire, discards })
    }

    fn cache(&self, mount: &Mount) -> pb::CacheOpt {
        let id = if mount.id.is_empty() { clean_text(&mount.target) } else { mount.id.clone() };
        pb::CacheOpt {
            id: format!("{}/{id}", self.request.options.cache_namespace),
            sharing: match mount.sharing {
                None | Some(MountSharing::Shared) => pb::CacheSharingOpt::Shared,
                Some(MountSharing::Private) => pb::CacheSharingOpt::Private,
                Some(MountSharing::Locked) => pb::CacheSharingOpt::Locked,
            }
            .into(),
        }
    }

    /// A new cache starts as a copy of its source, so its owner and mode are those of a folder there.
    fn owned_cache(&mut self, mount: &Mount, base: Option<NodeOutput>) -> NodeOutput {
        let folder = pb::FileActionMkDir {
            path: CACHE_FOLDER.to_owned(),
            mode: mount.mode.unwrap_or(0o755).cast_signed(),
            timestamp: -1,
            ..pb::FileActionMkDir::default()
        };
        let owner = format!("{}:{}", mount.uid.unwrap_or(0), mount.gid.unwrap_or(0));
        let metadata = Metadata::named("[internal] setting cache mount permissions");
        self.graph.add(file::make_folder(base, folder, &owner, metadata)).output()
    }
}

/// Relative to the stage's folder; a mount over the root would hide everything.
fn target(folder: &str, written: &str) -> Result<String, Failure> {
    let target = if written.starts_with('/') {
        written.to_owned()
    } else {
        absolute_text(&[folder, "/", written].concat())
    };
    if target == "/" {
        return Err(Failure::new(format!("invalid mount target {}", quoted(target))));
    }
    Ok(target)
}

fn secret(mount: &Mount) -> Result<Secret, Failure> {
    let mut id = if mount.source.is_empty() { mount.id.clone() } else { mount.source.clone() };
    if id.is_empty() {
        if mount.target.is_empty() {
            return Err(Failure::new("one of source, target required"));
        }
        id = last_name(&mount.target);
    }
    let target = match (mount.target.as_str(), &mount.env) {
        ("", Some(_)) => None,
        ("", None) => Some(format!("/run/secrets/{}", last_name(&id))),
        (target, _) => Some(target.to_owned()),
    };
    let options = pb::SecretOpt {
        id,
        uid: mount.uid.unwrap_or(0),
        gid: mount.gid.unwrap_or(0),
        mode: mount.mode.unwrap_or(0o400),
        optional: !mount.required,
    };
    Ok(Secret { options, target, variable: mount.env.clone() })
}

fn socket(mount: &Mount) -> Result<pb::Mount, Failure> {
    if !mount.source.is_empty() {
        return Err(Failure::new("ssh does not support source"));
    }
    Ok(pb::Mount {
        input: -1,
        dest: mount.target.clone(),
        mount_type: pb::MountType::Ssh.into(),
        ssh_opt: Some(pb::SshOpt {
            id: mount.id.clone(),
            uid: mount.uid.unwrap_or(0),
            gid: mount.gid.unwrap_or(0),
            mode: mount.mode.unwrap_or(0o600),
            optional: !mount.required,
        }),
        ..pb::Mount::default()
    })
}

fn last_name(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    trimmed.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("/").to_owned()
}
