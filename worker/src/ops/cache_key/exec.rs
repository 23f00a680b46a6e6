//! The key of running a command.
//!
//! Whether the content of a mounted input may stand in for it: only if nothing else of that input
//! can end up in a result. A mount without output is never seen again; a read-only one cannot
//! change; one of the whole input has no part that was not digested. Otherwise a step that writes
//! beside the selected folder would later be found for an input with other files beside it. The
//! root mount could be digested but is not: it is large and rarely equal. Where one input is
//! mounted twice, the last mount decides.

use slipway_model::llb::pb;
use slipway_model::{Digest, Platform, lexical};
use slipway_store::content_hash::Selector;

use super::go_json::{Object, object};
use super::{CacheKey, CacheKeyError, InputKey, without_nested};

const ROOT: &str = "/";
const SCRATCH: i64 = -1;
const NO_OUTPUT: i64 = -1;

/// `platform` is the normalised one of the vertex; `inputs` how many inputs it has.
pub fn exec(op: &pb::ExecOp, platform: &Platform, inputs: usize) -> Result<CacheKey, CacheKeyError> {
    validate(op)?;
    let counted = counted(op);
    let preimage = object(|fields| {
        let fields = fields.always("Type", "buildkit.exec.v0").always("Exec", &counted);
        platform_fields(fields, platform)
    });
    Ok(CacheKey::new(preimage, mounted_parts(op, inputs)?))
}

/// `OS`, `Arch` and what more there is of a platform, as several keys print it.
pub(super) fn platform_fields<'a>(fields: Object<'a>, platform: &Platform) -> Object<'a> {
    fields
        .always("OS", &platform.os)
        .always("Arch", &platform.architecture)
        .some("Variant", &platform.variant)
        .some("OSVersion", &platform.os_version)
        .some("OSFeatures", &platform.os_features)
}

fn validate(op: &pb::ExecOp) -> Result<(), CacheKeyError> {
    let meta = op.meta.as_ref().ok_or(CacheKeyError::Incomplete("exec op with no meta"))?;
    if meta.args.is_empty() {
        return Err(CacheKeyError::Incomplete("exec op with no args"));
    }
    if op.mounts.is_empty() {
        return Err(CacheKeyError::Incomplete("exec op with no mounts"));
    }
    if !op.mounts.iter().any(|mount| mount.dest == ROOT) {
        return Err(CacheKeyError::Incomplete("exec op with no rootfs"));
    }
    Ok(())
}

/// The operation without what does not count.
fn counted(op: &pb::ExecOp) -> pb::ExecOp {
    let mut op = op.clone();
    if let Some(meta) = &mut op.meta {
        meta.proxy_env = None;
        meta.extra_hosts.iter_mut().for_each(|host| host.ip.clear());
    }
    for mount in &mut op.mounts {
        mount.selector.clear();
        let default = has_default_cache_id(mount);
        if let Some(cache) = mount.cache_opt.as_mut().filter(|_| !default) {
            cache.id.clear();
            cache.sharing = 0;
        }
    }
    // Old versions forgot the mounts; for the plain root mount their keys are kept alive.
    if let [only] = op.mounts.as_slice()
        && is_plain_root(only)
    {
        op.mounts.clear();
    }
    op
}

/// The id a Dockerfile's cache mount has by itself: its target, perhaps behind a namespace.
fn has_default_cache_id(mount: &pb::Mount) -> bool {
    mount.cache_opt.as_ref().is_some_and(|cache| {
        let namespaced = cache.id.split_once('/').is_some_and(|(_, rest)| rest == mount.dest);
        cache.sharing == pb::CacheSharingOpt::Shared as i32 && (cache.id == mount.dest || namespaced)
    })
}

fn is_plain_root(mount: &pb::Mount) -> bool {
    mount.dest == ROOT
        && !mount.readonly
        && mount.mount_type == pb::MountType::Bind as i32
        && mount.cache_opt.is_none()
        && mount.ssh_opt.is_none()
        && mount.secret_opt.is_none()
        && mount.result_id.is_empty()
}

fn mounted_parts(op: &pb::ExecOp, inputs: usize) -> Result<Vec<InputKey>, CacheKeyError> {
    let mut parts = vec![(Vec::new(), false); inputs];
    for mount in &op.mounts {
        let special = [pb::MountType::Secret, pb::MountType::Ssh, pb::MountType::Tmpfs];
        if special.iter().any(|kind| mount.mount_type == *kind as i32) || mount.input == SCRATCH {
            continue;
        }
        let (paths, by_content) = usize::try_from(mount.input)
            .ok()
            .and_then(|input| parts.get_mut(input))
            .ok_or_else(|| CacheKeyError::MountInput(describe(mount)))?;
        let path = lexical::absolute(mount.selector.as_bytes());
        *by_content = is_content_based(mount, &path)?;
        // Cleaning only drops whole elements, so this stays UTF-8.
        paths.push(String::from_utf8_lossy(&path).into_owned());
    }
    Ok(parts.into_iter().map(|(paths, by_content)| input_key(&paths, by_content)).collect())
}

fn input_key(paths: &[String], by_content: bool) -> InputKey {
    InputKey {
        selector: (!paths.is_empty()).then(|| Digest::of(paths.join("\0"))),
        content: by_content.then(|| selectors(&without_nested(paths))),
    }
}

/// One selector for each path; none at all if one of them is the whole tree.
fn selectors(paths: &[String]) -> Vec<Selector> {
    if paths.iter().any(|path| path == ROOT) {
        return Vec::new();
    }
    paths
        .iter()
        .map(|path| Selector { path: path.clone(), follow_links: true, ..Selector::default() })
        .collect()
}

fn is_content_based(mount: &pb::Mount, path: &[u8]) -> Result<bool, CacheKeyError> {
    let safe = mount.output == NO_OUTPUT || mount.readonly || path == ROOT.as_bytes();
    match pb::MountContentCache::try_from(mount.content_cache) {
        Ok(pb::MountContentCache::Off) => Ok(false),
        Ok(pb::MountContentCache::On) if !safe => Err(CacheKeyError::ContentCache(describe(mount))),
        Ok(pb::MountContentCache::Default) => Ok(safe && mount.dest != ROOT),
        Ok(pb::MountContentCache::On) | Err(_) => Ok(safe),
    }
}

/// A mount for an error text.
fn describe(mount: &pb::Mount) -> String {
    let mut text = format!("input:{} dest:{:?} output:{}", mount.input, mount.dest, mount.output);
    if !mount.selector.is_empty() {
        text.push_str(&format!(" selector:{:?}", mount.selector));
    }
    text
}
