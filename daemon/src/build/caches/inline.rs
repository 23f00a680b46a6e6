//! The cache that an image carries in its own config: records whose results are layers of the image.
//!
//! A result is told by the number of its topmost layer, so this needs no blob and nothing packed: the image's
//! layers are those of its snapshots, one by one.

use std::collections::HashMap;
use std::sync::Arc;

use slipway_cache::remote::compose::{Top, compose_inline};
use slipway_exporter::ExportSource;
use slipway_store::Ref;
use slipway_store::snapshot::SnapshotId;

use super::import::Imports;
use super::select::{Found, KnownLayers, results_of};
use crate::build::Build;
use crate::build::failure::Failure;
use crate::build::result::{BuildResult, PlatformOutput};
use crate::engine::Engine;

/// Gives each image of `source`, which is `result` for exporters, the records that lead to its layers.
pub(crate) async fn carry_inline(
    engine: &Arc<Engine>,
    build: &Arc<Build>,
    result: &BuildResult,
    source: &mut ExportSource,
) -> Result<(), Failure> {
    for (output, image) in result.outputs.iter().zip(&mut source.images) {
        let Some(top) = image.reference.clone() else { continue };
        let (engine, build, output) = (engine.clone(), build.clone(), output.clone());
        let made = tokio::task::spawn_blocking(move || records(&engine, &build.imports, &output, &top));
        let made = made.await.map_err(|error| Failure::internal(error.to_string()))?;
        image.inline_cache = made.map_err(|error| Failure::internal(error.to_string()))?.into();
    }
    Ok(())
}

/// JSON; empty if no result is a part of the image.
fn records(
    engine: &Engine,
    imports: &Imports,
    output: &PlatformOutput,
    top: &Ref,
) -> serde_json::Result<Vec<u8>> {
    let layers: HashMap<SnapshotId, usize> =
        top.chain().iter().enumerate().map(|(layer, snapshot)| (snapshot.id(), layer)).collect();
    let known = KnownLayers::of(top);
    let (steps, found) = results_of(engine, imports, &output.keys);
    let results: Vec<Option<Top>> = found
        .into_iter()
        .map(|found| match found? {
            (record, Found::Here(snapshot)) => {
                Some(Top { layer: *layers.get(&snapshot.id())?, created: record.created })
            }
            // Imported and not read: it is a part of the image all the same, and the next build may want it.
            (record, Found::There(remote, _)) => {
                let layer = remote.len().checked_sub(1).filter(|_| known.begin_with(&remote))?;
                Some(Top { layer, created: record.created })
            }
        })
        .collect();
    if results.iter().all(Option::is_none) {
        return Ok(Vec::new());
    }
    serde_json::to_vec(&compose_inline(&steps, &results))
}
