//! Caches to where they were asked for, all at once.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::try_join_all;
use futures::{StreamExt as _, stream};
use slipway_cache::remote::compose::compose;
use slipway_cache::remote::config::Config;
use slipway_cache::remote::manifest::{config_descriptor, layer_annotations, pack};
use slipway_model::{BlobDigest, Descriptor, Digest};
use slipway_object::CacheStore;
use slipway_solver::{KeyId, with_causes};
use slipway_store::Ref;
use tonic::Code;

use super::mounts;
use super::options::{CacheExport, Place};
use super::select::{Blob, Selection, select};
use super::target::{Lost, Target};
use crate::build::Build;
use crate::build::failure::Failure;
use crate::build::journal::Step;
use crate::build::result::BuildResult;
use crate::build::solve::Response;
use crate::engine::Engine;

/// Blobs on their way at a time; the registry client bounds transfers per host itself.
const AT_ONCE: usize = 8;
/// Tells clients which manifest to list in the index of the folder that a cache went to.
const MANIFEST: &str = "cache.manifest";

/// Exports what `caches` ask for. Inline caches are part of the image, and done with it.
pub(crate) async fn export(
    engine: &Arc<Engine>,
    build: &Arc<Build>,
    caches: &[CacheExport],
    result: &BuildResult,
) -> Result<Response, Failure> {
    let exporting = caches.iter().filter_map(|export| {
        let place = export.place.as_ref()?;
        Some(run(engine, build, export, place, result))
    });
    let written = try_join_all(exporting).await?;
    Ok(written.into_iter().flatten().map(|manifest| (MANIFEST.to_owned(), manifest)).collect())
}

/// The descriptor of the manifest that was written; `None` if there was nothing to write.
async fn run(
    engine: &Arc<Engine>,
    build: &Arc<Build>,
    export: &CacheExport,
    place: &Place,
    result: &BuildResult,
) -> Result<Option<String>, Failure> {
    let step = Arc::new(build.journal.step(match place {
        Place::Registry { .. } => "exporting cache to registry",
        Place::Client { .. } => "exporting cache to client directory",
        Place::Objects(place) => place.exporting(),
    }));
    match write_without_lost(engine, build, export, place, result, &step).await {
        Ok(written) => {
            step.done();
            Ok(written)
        }
        Err(reason) => {
            step.fail(&reason);
            match export.ignore_error {
                true => {
                    step.warn(format!("the cache was not exported: {reason}"));
                    Ok(None)
                }
                false => Err(Failure::new(Code::Unknown, format!("cannot export the cache: {reason}"))),
            }
        }
    }
}

/// Writes; again without what turns out not to be where it was imported from.
async fn write_without_lost(
    engine: &Arc<Engine>,
    build: &Arc<Build>,
    export: &CacheExport,
    place: &Place,
    result: &BuildResult,
    step: &Arc<Step>,
) -> Result<Option<String>, String> {
    let lost = Lost::default();
    loop {
        let known = lost.count();
        match write(engine, build, export, place, result, step, &lost).await {
            Err(reason) if lost.count() > known => {
                step.warn(format!("a result that was imported is not exported: {reason}"));
            }
            written => return written,
        }
    }
}

async fn write(
    engine: &Arc<Engine>,
    build: &Arc<Build>,
    export: &CacheExport,
    place: &Place,
    result: &BuildResult,
    step: &Arc<Step>,
    lost: &Lost,
) -> Result<Option<String>, String> {
    let preparing = step.transfer("preparing build cache for export");
    let selection = {
        let (engine, build, export, lost) = (engine.clone(), build.clone(), export.clone(), lost.clone());
        let (keys, tops) = tops(result);
        tokio::task::spawn_blocking(move || select(&engine, &build.imports, &export, &keys, &tops, &lost))
            .await
            .map_err(|error| error.to_string())??
    };
    preparing.done();
    if selection.forest.is_empty() && export.mounts.is_none() {
        step.warn("there is nothing to export: no result of the build has layers".into());
        return Ok(None);
    }
    let target = Arc::new(Target::open(engine, build, place).await?);
    let Selection { steps, results, forest, mut blobs } = selection;
    let mut config = compose(&steps, &results, &forest);
    let mut layers = Vec::new();
    for layer in &config.layers {
        let digest: BlobDigest = layer.blob.parse().map_err(|error| format!("{error}"))?;
        layers.extend(blobs.remove(&digest));
    }
    let writing = layers.iter().map(|blob| write_blob(&target, blob, step));
    // All come to an end, also after a failure: nothing is left half-written for the next attempt.
    let written = stream::iter(writing.collect::<Vec<_>>()).buffer_unordered(AT_ONCE);
    written.collect::<Vec<_>>().await.into_iter().collect::<Result<(), String>>()?;

    let saved = match &export.mounts {
        Some(wanted) => mounts::save(engine, build, wanted, &target, step).await?,
        None => None,
    };
    config.mounts = saved.as_ref().map(|saved| Box::new(saved.index.clone()));
    if let Target::Objects { store } = &*target {
        return write_config(&**store, config, &layers, step).await.map(|()| None);
    }
    let json = Bytes::from(serde_json::to_vec(&config).map_err(|error| error.to_string())?);
    let config = config_descriptor(&json);
    let line = step.transfer(&format!("writing config {}", config.digest));
    target.blob(&config, Arc::new(json)).await?;
    line.done();

    let mut listed: Vec<Descriptor> = layers.iter().map(|blob| blob.descriptor.clone()).collect();
    if let Some(saved) = saved {
        // Nobody takes them for layers, and a registry keeps what a manifest names.
        listed.push(saved.index);
        listed.extend(saved.packs);
    }
    let (json, media_type) = pack(export.form, listed, config).map_err(|error| with_causes(&error))?;
    let digest = BlobDigest(Digest::of(&json));
    let manifest = Descriptor::new(media_type, digest, json.len() as u64);
    let line = step.transfer(&format!("writing cache manifest {digest}"));
    target.manifest(&manifest, json.into()).await?;
    line.done();
    serde_json::to_string(&manifest).map(Some).map_err(|error| error.to_string())
}

/// Where there are no manifests, the config says what its layers are, and is the last to be written.
async fn write_config(
    store: &dyn CacheStore,
    mut config: Config,
    layers: &[Blob],
    step: &Arc<Step>,
) -> Result<(), String> {
    let told: HashMap<String, _> = layers
        .iter()
        .map(|blob| (blob.descriptor.digest.to_string(), layer_annotations(&blob.descriptor)))
        .collect();
    for layer in &mut config.layers {
        layer.annotations = told.get(&layer.blob).cloned();
    }
    let json = Bytes::from(serde_json::to_vec(&config).map_err(|error| error.to_string())?);
    let line = step.transfer("writing config");
    store.write_config(json).await.map_err(|error| with_causes(&error))?;
    line.done();
    Ok(())
}

async fn write_blob(target: &Target, blob: &Blob, step: &Arc<Step>) -> Result<(), String> {
    let line = step.transfer(&format!("writing layer {}", blob.descriptor.digest));
    target.blob(&blob.descriptor, blob.source.clone()).await?;
    line.done();
    Ok(())
}

/// All keys of a build's results, and their trees.
fn tops(result: &BuildResult) -> (Vec<KeyId>, Vec<Ref>) {
    let keys = result.outputs.iter().flat_map(|output| output.keys.iter().copied()).collect();
    let tops = result.outputs.iter().filter_map(|output| output.value.snapshot().cloned()).collect();
    (keys, tops)
}
