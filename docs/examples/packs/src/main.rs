//! `packs`: a frontend that knows no Dockerfiles. See `README.md`.
#![allow(unreachable_pub, reason = "nothing of a binary is reachable")]
#![allow(clippy::print_stderr, reason = "the builder shows it where there is no other way to say it")]

mod graph;
mod manifest;

use std::collections::BTreeMap;
use std::process::ExitCode;

use bytes::Bytes;
use serde_json::json;
use slipway_frontend_image::{Builder, Error, Output, Result, Solved};
use slipway_model::{ImageConfig, Platform, Reference};

use manifest::Manifest;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("packs: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let builder = Builder::connect().await?;
    let outcome = build(&builder).await;
    builder.finish(outcome).await
}

async fn build(builder: &Builder) -> Result<Solved> {
    let file = builder.options.get("filename").map_or("packs.toml", String::as_str);
    let bytes = builder.read_file(&graph::manifest_source(file), file).await?;
    let bytes = bytes.ok_or_else(|| Error::plain(format!("there is no {file}")))?;
    let manifest = Manifest::parse(&String::from_utf8_lossy(&bytes));
    let manifest = manifest.map_err(|reason| Error::plain(format!("{file}: {reason}")))?;
    let base: Reference = manifest
        .base
        .parse()
        .map_err(|error| Error::plain(format!("{file}: base {:?}: {error}", manifest.base)))?;
    let base = base.or_latest().to_string();
    let mut config = builder.image_config(&base).await?;
    let definition = graph::image(&manifest, &base, &config.config.env);
    config.config.working_dir = graph::APP.into();
    config.config.cmd = Some(manifest.launch.clone()).filter(|launch| !launch.is_empty());
    let output = Output { id: Platform::host().to_string(), definition };
    builder.outputs(vec![output], false, metadata(&config)).await
}

fn metadata(config: &ImageConfig) -> BTreeMap<String, Bytes> {
    BTreeMap::from([("containerimage.config".to_owned(), json!(config).to_string().into())])
}
