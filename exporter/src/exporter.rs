//! The exporters, by name.

mod archives;
mod image;
mod trees;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use slipway_model::Descriptor;
use slipway_registry::Client;
use slipway_store::Store;

use crate::archive::Variant;
use crate::error::{Error, Result};
use crate::image::Committed;
use crate::images::Images;
use crate::options::{ImageOptions, OptionMap, TreeOptions};
use crate::sink::Outputs;
use crate::source::ExportSource;

/// What an exporter works with.
#[derive(Clone)]
pub struct Context {
    pub store: Store,
    /// For `image`: with the credentials of the client who asked.
    pub registry: Option<Client>,
    /// For `image` with a name; `None` keeps no names.
    pub images: Option<Images>,
    /// The client who asked.
    pub outputs: Arc<dyn Outputs>,
}

/// What the client is told.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// `containerimage.digest`, `containerimage.config.digest`, `containerimage.descriptor`, `image.name`.
    pub metadata: BTreeMap<String, String>,
    /// The exported image.
    pub descriptor: Option<Descriptor>,
}

/// A configured exporter.
#[async_trait]
pub trait Exporter: Send + Sync {
    /// What it does, for the progress display: `exporting to image`.
    fn title(&self) -> &'static str;

    /// Gives `source` out.
    async fn export(&self, source: &ExportSource, context: &Context) -> Result<Response>;
}

/// The exporter that a client calls `kind`, with its options checked.
pub fn exporter(kind: &str, options: &OptionMap) -> Result<Box<dyn Exporter>> {
    Ok(match kind {
        // `moby` is what dockerd's own builder calls its image store.
        "image" | "moby" => {
            let (image, store) = ImageOptions::parse(options)?;
            Box::new(image::ImageExporter { image, store })
        }
        "oci" => {
            let options = ImageOptions::parse_archive("oci", options)?;
            Box::new(archives::ArchiveExporter { options, variant: Variant::Oci })
        }
        "docker" => {
            let options = ImageOptions::parse_archive("docker", options)?;
            Box::new(archives::ArchiveExporter { options, variant: Variant::Docker })
        }
        "local" => Box::new(trees::LocalExporter { options: TreeOptions::parse("local", options)? }),
        "tar" => Box::new(trees::TarExporter { options: TreeOptions::parse("tar", options)? }),
        other => return Err(Error::UnknownExporter(other.to_owned())),
    })
}

fn response(image: &Committed) -> Result<Response> {
    let descriptor = serde_json::to_vec(&image.root).map_err(Error::json("a descriptor"))?;
    let mut metadata = BTreeMap::from([
        ("containerimage.digest".to_owned(), image.root.digest.to_string()),
        (
            "containerimage.descriptor".to_owned(),
            base64::engine::general_purpose::STANDARD.encode(descriptor),
        ),
    ]);
    if let Some(config) = image.config_digest() {
        metadata.insert("containerimage.config.digest".to_owned(), config.to_string());
    }
    Ok(Response { metadata, descriptor: Some(image.root.clone()) })
}
