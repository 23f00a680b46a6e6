//! A whole definition, with the sources that the policies want in it, compared with the build's lock.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use futures::future::try_join_all;
use slipway_model::Digest;
use slipway_model::llb::pb::{self, op::Op as Kind};
use slipway_model::llb::replace::{replace, sources};
use slipway_proto::gateway::ResolveSourceMetaRequest;

use super::Rules;
use crate::source::lock::LOCKED;
use crate::source::metadata;
use crate::source::of_build::BuildSources;
use crate::{Result, Worker};

/// `definition` as the build's policies, the rules of `more`, and its lock want it; an error if they do not want it at
/// all. Sources are judged side by side: a session may answer them in any order. Without policies and without a lock
/// this costs nothing.
pub async fn admit_definition<'a>(
    worker: &Arc<Worker>,
    build: &Arc<BuildSources>,
    more: &Rules,
    definition: &'a pb::Definition,
) -> Result<Cow<'a, pb::Definition>, Refused> {
    if !build.has_policies(more) && build.lock().is_none() {
        return Ok(Cow::Borrowed(definition));
    }
    let judging = sources(definition).into_iter().map(async |(index, op)| {
        let Some(Kind::Source(source)) = &op.op else { return Ok(None) };
        let judged = judge(worker, build, more, source, op.platform.as_ref()).await;
        let wanted = judged.map_err(|error| Refused { vertex: vertex(definition, index), error })?;
        let is_other = wanted != *source;
        Ok(is_other.then(|| (index, pb::Op { op: Some(Kind::Source(wanted)), ..op.clone() })))
    });
    let replaced: HashMap<_, _> = try_join_all(judging).await?.into_iter().flatten().collect();
    Ok(match replaced.is_empty() {
        true => Cow::Borrowed(definition),
        false => Cow::Owned(replace(definition, &replaced)),
    })
}

/// A source that may not be used, or could not be looked at.
#[derive(Debug)]
pub struct Refused {
    /// The digest of its operation, as the definition has it.
    pub vertex: String,
    pub error: crate::Error,
}

fn vertex(definition: &pb::Definition, index: usize) -> String {
    definition.def.get(index).map(|bytes| Digest::of(bytes).to_string()).unwrap_or_default()
}

async fn judge(
    worker: &Arc<Worker>,
    build: &Arc<BuildSources>,
    more: &Rules,
    source: &pb::SourceOp,
    platform: Option<&pb::Platform>,
) -> Result<pb::SourceOp> {
    let wanted = build.admit(worker, more, source, platform).await?;
    compare(worker, build, wanted, platform).await
}

/// Looks what `source` is now, if there is a lock, which notes or checks it.
async fn compare(
    worker: &Arc<Worker>,
    build: &Arc<BuildSources>,
    mut source: pb::SourceOp,
    platform: Option<&pb::Platform>,
) -> Result<pb::SourceOp> {
    let Some(lock) = build.lock() else { return Ok(source) };
    if source.identifier.starts_with("local://") || source.identifier.starts_with("oci-layout://") {
        return Ok(source);
    }
    let request = ResolveSourceMetaRequest {
        source: Some(source.clone()),
        platform: platform.cloned(),
        ..Default::default()
    };
    let locked = metadata::resolve(worker, build, &request, build.sessions()).await?.locked;
    if let Some(value) = locked.filter(|_| lock.is_strict()) {
        source.attrs.insert(LOCKED.into(), value);
    }
    Ok(source)
}
