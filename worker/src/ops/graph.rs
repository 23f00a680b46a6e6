//! From a definition to solver vertices.
//!
//! This is also the door for entitlements: what a build may do is checked here, once for every
//! operation of every graph it brings, before anything of it can run. A vertex may be shared with
//! another build that is allowed more, so the check belongs to the graph and not to the operation.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use slipway_model::Platform;
use slipway_model::llb::pb::op::Op as Kind;
use slipway_model::llb::pb::{NetMode, SecurityMode};
use slipway_model::llb::{self, VertexDigest, pb};
use slipway_solver::progress::ProgressGroup;
use slipway_solver::{Edge, Op, Vertex};
use slipway_store::{Ref, Seed, Sharing};

use super::build_op::BuildOp;
use super::cache_key::{self, CacheKey};
use super::diff::DiffOp;
use super::exec::{ExecOp, cache_mounts};
use super::file_op::FileOp;
use super::merge::MergeOp;
use super::passthrough::PassthroughOp;
use super::room::WithRoom;
use super::source;
use crate::devices::DeviceGrants;
use crate::source::of_build::BuildSources;
use crate::{Error, Result, Value, Worker};

/// What one build brings to all of its graphs.
#[derive(Clone, Default)]
pub struct Scope {
    pub allow_host_network: bool,
    pub allow_insecure: bool,
    pub devices: DeviceGrants,
    /// Cache mounts that come from elsewhere, or go there.
    pub mounts: Option<Arc<dyn TravellingMounts>>,
    /// Its policies, and what it knows of sources.
    pub sources: Arc<BuildSources>,
}

impl std::fmt::Debug for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Scope");
        shown.field("allow_host_network", &self.allow_host_network);
        shown.field("allow_insecure", &self.allow_insecure).finish_non_exhaustive()
    }
}

/// Cache mounts of a build that travel with its caches.
#[async_trait]
pub trait TravellingMounts: Send + Sync {
    /// Told of every cache mount in the build's graphs, whether its step runs or not.
    fn uses(&self, id: &str, sharing: Sharing);

    /// What a new mount of `id` that would begin as `base` can begin with instead. `None`: nothing was saved.
    async fn seed(&self, id: &str, base: Option<&Ref>) -> Option<Arc<dyn Seed>>;
}

impl Scope {
    /// The one door: every process that is started for a build has passed here, be it a step or a process
    /// that a frontend asked for.
    pub(crate) fn admit(&self, network: NetMode, security: SecurityMode) -> Result<()> {
        if network == NetMode::Host && !self.allow_host_network {
            return Err(Error::NotAllowed("network.host"));
        }
        if security == SecurityMode::Insecure && !self.allow_insecure {
            return Err(Error::NotAllowed("security.insecure"));
        }
        Ok(())
    }
}

/// The edge that `definition` ends in; `None` is scratch.
pub fn load(
    worker: &Arc<Worker>,
    definition: &llb::Definition,
    scope: &Scope,
) -> Result<Option<Edge<Value>>> {
    let Some((head, output)) = &definition.head else { return Ok(None) };
    let mut known = HashMap::new();
    for vertex in post_order(head) {
        let built = build(worker, &vertex, scope, &known)?;
        known.insert(vertex.digest, built);
    }
    Ok(Some(Edge::new(&known[&head.digest], *output)))
}

/// The key of an operation that is known by its definition; `None` for a source, which has to be resolved
/// first, and for what has no key.
pub fn cache_key_of(vertex: &llb::Vertex) -> Option<CacheKey> {
    let inputs = vertex.inputs.len();
    match vertex.op.op.as_ref()? {
        Kind::Exec(exec) => cache_key::exec(exec, &platform_of(vertex), inputs).ok(),
        Kind::File(file) => cache_key::file(file, inputs).ok(),
        Kind::Merge(merge) => Some(cache_key::merge(merge)),
        Kind::Diff(diff) => cache_key::diff(diff).ok(),
        Kind::Build(build) => Some(cache_key::build(build, inputs)),
        Kind::Passthrough(passthrough) => cache_key::passthrough(passthrough, inputs).ok(),
        Kind::Source(_) => None,
    }
}

fn platform_of(vertex: &llb::Vertex) -> Platform {
    let platform = vertex.op.platform.as_ref();
    platform.map_or_else(Platform::host, |wire| Platform::from(wire).normalized())
}

/// The cache mount `id` of a step that is to run whatever is cached.
pub struct RenewedCache {
    pub step: VertexDigest,
    pub id: String,
    /// It begins with an input.
    pub has_base: bool,
}

/// Cache mounts that steps of `definition` are to find empty: whoever wants a step anew does not want what earlier
/// runs left there.
pub fn renewed_caches(definition: &llb::Definition) -> Vec<RenewedCache> {
    let vertices = definition.head.iter().flat_map(|(head, _)| post_order(head));
    let mut renewed = Vec::new();
    for vertex in vertices.filter(|vertex| vertex.metadata.ignore_cache) {
        let Some(Kind::Exec(exec)) = &vertex.op.op else { continue };
        let caches = exec.mounts.iter().filter(|mount| mount.mount_type() == pb::MountType::Cache);
        renewed.extend(caches.map(|mount| RenewedCache {
            step: vertex.digest,
            id: super::exec::mounts::cache_id(mount).to_owned(),
            has_base: mount.input >= 0,
        }));
    }
    renewed
}

/// Every vertex after its inputs; a loop, since graphs may be deep.
pub fn post_order(head: &Arc<llb::Vertex>) -> Vec<Arc<llb::Vertex>> {
    let (mut order, mut seen) = (Vec::new(), std::collections::HashSet::from([head.digest]));
    let mut stack = vec![(head.clone(), 0)];
    while let Some((vertex, next)) = stack.pop() {
        match vertex.inputs.get(next).map(|(input, _)| input.clone()) {
            Some(input) => {
                stack.push((vertex, next + 1));
                if seen.insert(input.digest) {
                    stack.push((input, 0));
                }
            }
            None => order.push(vertex),
        }
    }
    order
}

fn build(
    worker: &Arc<Worker>,
    vertex: &llb::Vertex,
    scope: &Scope,
    known: &HashMap<VertexDigest, Arc<Vertex<Value>>>,
) -> Result<Arc<Vertex<Value>>> {
    let op = Arc::new(WithRoom { worker: worker.clone(), op: operation(worker, vertex, scope)? });
    let metadata = &vertex.metadata;
    Ok(Arc::new(Vertex {
        digest: slipway_solver::VertexDigest(vertex.digest.0),
        name: name_of(vertex),
        inputs: vertex
            .inputs
            .iter()
            .map(|(input, output)| Edge::new(&known[&input.digest], *output))
            .collect(),
        ignore_cache: metadata.ignore_cache,
        progress_group: metadata.progress_group.clone().map(|group| ProgressGroup {
            id: group.id,
            name: group.name,
            weak: group.weak,
        }),
        op,
    }))
}

fn operation(worker: &Arc<Worker>, vertex: &llb::Vertex, scope: &Scope) -> Result<Arc<dyn Op<Value>>> {
    let invalid = |reason: &str| Error::Invalid { vertex: vertex.digest, reason: reason.into() };
    let worker = worker.clone();
    let inputs = vertex.inputs.len();
    Ok(match &vertex.op.op {
        Some(Kind::Exec(exec)) => {
            check_exec(exec, inputs, scope).map_err(|error| match error {
                Error::Failed(reason) => invalid(&reason),
                other => other,
            })?;
            if let Some(travelling) = &scope.mounts {
                cache_mounts(exec).for_each(|(id, sharing)| travelling.uses(id, sharing));
            }
            // The key of the operation has what it gets, not what it asks for.
            let cdi_devices = scope.devices.admit(&worker.devices, &exec.cdi_devices)?;
            Arc::new(ExecOp {
                worker,
                exec: pb::ExecOp { cdi_devices, ..exec.clone() },
                platform: platform_of(vertex),
                resources: vertex.metadata.linux_resources.clone(),
                inputs,
                travelling: scope.mounts.clone(),
            })
        }
        Some(Kind::File(file)) => {
            if file.actions.is_empty() {
                return Err(invalid("a file operation has no actions"));
            }
            Arc::new(FileOp { worker, file: file.clone(), inputs })
        }
        Some(Kind::Source(op)) => {
            if inputs != 0 {
                return Err(invalid("a source has no inputs"));
            }
            source::load(worker, scope.sources.clone(), op, vertex.op.platform.as_ref())?
        }
        Some(Kind::Merge(merge)) => {
            Arc::new(MergeOp::new(worker, merge, inputs).map_err(|reason| invalid(&reason))?)
        }
        Some(Kind::Diff(diff)) => {
            Arc::new(DiffOp::new(worker, diff, inputs).map_err(|reason| invalid(&reason))?)
        }
        Some(Kind::Build(build)) => {
            Arc::new(BuildOp::new(worker, build, inputs, scope).map_err(|reason| invalid(&reason))?)
        }
        Some(Kind::Passthrough(passthrough)) => {
            Arc::new(PassthroughOp::new(worker, passthrough, inputs).map_err(|reason| invalid(&reason))?)
        }
        None => return Err(invalid("it says nothing to do")),
    })
}

fn check_exec(exec: &pb::ExecOp, inputs: usize, scope: &Scope) -> Result<()> {
    let invalid = |reason: &str| Err(Error::Failed(reason.to_owned()));
    let Ok(network) = NetMode::try_from(exec.network) else {
        return invalid(&format!("invalid network mode {}", exec.network));
    };
    let Ok(security) = SecurityMode::try_from(exec.security) else {
        return invalid(&format!("invalid security mode {}", exec.security));
    };
    scope.admit(network, security)?;
    if exec.meta.as_ref().is_none_or(|meta| meta.args.is_empty()) {
        return invalid("an exec operation has no arguments");
    }
    if exec.mounts.is_empty() {
        return invalid("an exec operation has no mounts");
    }
    let outputs = exec.mounts.len() as i64;
    for mount in &exec.mounts {
        if mount.input >= inputs as i64 {
            return invalid("a mount names an input that does not exist");
        }
        if mount.output >= outputs {
            return invalid("a mount names an output that cannot exist");
        }
    }
    Ok(())
}

/// What progress calls it.
pub fn name_of(vertex: &llb::Vertex) -> String {
    let custom = vertex.metadata.description.get("llb.customname").filter(|name| !name.is_empty());
    custom.cloned().unwrap_or_else(|| default_name(&vertex.op))
}

fn default_name(op: &pb::Op) -> String {
    match &op.op {
        Some(Kind::Source(source)) => source.identifier.clone(),
        Some(Kind::Exec(exec)) => exec.meta.as_ref().map(|meta| meta.args.join(" ")).unwrap_or_default(),
        Some(Kind::File(file)) => file_name(file),
        Some(Kind::Merge(_)) => "merge".into(),
        Some(Kind::Diff(_)) => "diff".into(),
        Some(Kind::Build(_)) => "build".into(),
        Some(Kind::Passthrough(_)) | None => "passthrough".into(),
    }
}

fn file_name(file: &pb::FileOp) -> String {
    use pb::file_action::Action;
    let names = file.actions.iter().map(|action| match &action.action {
        Some(Action::Copy(copy)) => format!("copy {} {}", copy.src, copy.dest),
        Some(Action::Mkfile(file)) => format!("mkfile {}", file.path),
        Some(Action::Mkdir(directory)) => format!("mkdir {}", directory.path),
        Some(Action::Rm(rm)) => format!("rm {}", rm.path),
        Some(Action::Symlink(link)) => format!("symlink {} {}", link.oldpath, link.newpath),
        None => "nothing".into(),
    });
    names.collect::<Vec<_>>().join(", ")
}
