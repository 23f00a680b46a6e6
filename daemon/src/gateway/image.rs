//! Which image is a frontend, and what is in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use slipway_model::llb::{Graph, Node, pb};
use slipway_model::{BlobDigest, ImageConfig, Reference};
use slipway_worker::Value;

use crate::bridge::Reference as Asked;
use crate::build::failure::Failure;
use crate::build::frontend;
use crate::build::{Build, images};
use crate::engine::Engine;
use crate::provenance::{ImageSource, Inquiry};

pub(super) struct FrontendImage {
    /// As it was asked for.
    pub name: String,
    /// Of what the name means; none for what is no image of a registry.
    pub digest: Option<BlobDigest>,
    pub config: ImageConfig,
    /// The graph that the tree is the result of.
    pub definition: pb::Definition,
    pub tree: Value,
}

/// Resolves the name and fetches the image. A named context stands in for an image here as anywhere.
pub(super) async fn load(
    engine: &Arc<Engine>,
    build: &Arc<Build>,
    inquiry: &Arc<Inquiry>,
    name: &str,
    options: &BTreeMap<String, String>,
    inputs: &BTreeMap<String, pb::Definition>,
) -> Result<FrontendImage, Failure> {
    let gateway = frontend::built_in(engine, build, inquiry.clone());
    let named = slipway_frontend::named_source(&gateway, options, inputs, name).await;
    let (definition, digest, config) = match named.map_err(frontend::failure)? {
        Some(named) => (named.definition, None, named.config.unwrap_or_default()),
        None => {
            let reference: Reference = name
                .parse()
                .map_err(|error| Failure::invalid(format!("invalid frontend image {name:?}: {error}")))?;
            let reference = reference.or_latest();
            let text = reference.to_string();
            let question = images::ImageQuestion { reference: text.clone(), ..Default::default() };
            let resolved = images::resolve(engine, build, question).await;
            let resolved = resolved
                .and_then(|answer| answer.image(&text))
                .map_err(|failure| cannot_load(name, failure))?;
            // A policy may want another image than the one that was named.
            let wanted: Reference = resolved
                .reference
                .parse()
                .map_err(|error| Failure::internal(format!("{}: {error}", resolved.reference)))?;
            let pinned = wanted.with_digest(resolved.digest);
            let digest = resolved.digest;
            let reference = resolved.reference.clone();
            inquiry.image(ImageSource { reference, platform: None, digest, local: false });
            (definition_of(&pinned), Some(resolved.digest), resolved.config)
        }
    };
    let config = match config.is_empty() {
        true => ImageConfig::default(),
        false => serde_json::from_slice(&config).map_err(|error| {
            Failure::invalid(format!("the config of frontend image {name:?} is not valid: {error}"))
        })?,
    };
    let tree = match Asked::new(definition.clone()) {
        None => Value::Scratch,
        Some(reference) => {
            inquiry.graph(&reference);
            reference.value(engine, build).await.map_err(|failure| cannot_load(name, failure))?
        }
    };
    Ok(FrontendImage { name: name.to_owned(), digest, config, definition, tree })
}

fn cannot_load(name: &str, failure: Failure) -> Failure {
    failure.context(format!("cannot load the frontend image {name:?}"))
}

/// Kept as a frontend: `du` tells it from other images.
fn definition_of(image: &Reference) -> pb::Definition {
    let source = pb::SourceOp {
        identifier: format!("docker-image://{image}"),
        attrs: [("image.recordtype".to_owned(), "frontend".to_owned())].into(),
    };
    let op = pb::Op { op: Some(pb::op::Op::Source(source)), ..pb::Op::default() };
    let mut graph = Graph::new();
    let head = graph.add(Node { op, ..Node::default() }).output();
    graph.definition(Some(head), &[])
}
