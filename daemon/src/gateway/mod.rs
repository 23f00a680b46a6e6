//! Frontends in images: `gateway.v0`.
//!
//! The image named by the option `source` is run as a container whose standard input and output are an HTTP/2
//! connection; on it, the container is the client and [`crate::bridge`] the server. It asks what it must know, hands
//! in a result with `Return`, and ends.
//!
//! | module | holds |
//! |---|---|
//! | [`image`] | which image is meant, and its tree |
//! | [`capability`] | what the frontend must be able to do, by its own word |
//! | [`process`] | how it is started: arguments, variables, files |
//! | [`connection`] | its standard streams as a connection |
//! | [`watch`] | its life, from the start to the answer |
//!
//! A frontend is foreign code. Its container has no privileges beyond those of a plain step; what it asks for is
//! checked like what a client asks for, with the entitlements of the build. When it is done, or goes wrong in
//! whatever way, its process, the containers that it made and its tree are gone before anybody hears of it; a build
//! that is stopped meanwhile kills them all the same.

mod capability;
mod connection;
mod image;
mod process;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;

use slipway_model::llb::pb;
use slipway_worker::container::Container;
use slipway_worker::ops::Scope;
use tonic::Code;

use crate::bridge::{Answer, Conversation, Guest};
use crate::build::Build;
use crate::build::failure::Failure;
use crate::engine::Engine;
use crate::provenance::Inquiry;

/// Runs the frontend in the image that `options` name. `asking` is whoever wants its answer.
pub(crate) async fn run(
    engine: &Arc<Engine>,
    build: &Arc<Build>,
    asking: &Conversation,
    inquiry: Arc<Inquiry>,
    options: &BTreeMap<String, String>,
    inputs: &BTreeMap<String, pb::Definition>,
) -> Result<Answer, Failure> {
    let source = source(engine, options)?;
    let conversation = Arc::new(asking.below(inputs.clone(), inquiry.clone())?);
    let image = image::load(engine, build, &inquiry, source, options, inputs).await?;
    capability::check(&image, options, inputs)?;
    let guest = Guest { build: build.clone(), conversation: conversation.clone() };
    let request = process::container(&image, &build.session);
    let container = Container::open(engine.worker.clone(), request, Scope::default()).await;
    let container = container.map_err(Failure::from_worker)?;
    let process = process::process(engine, &image, options, &build.session);
    let answer = watch::run(engine, &image.name, guest, &container, process).await;
    conversation.containers.release_all().await;
    container.release().await;
    answer
}

/// The image that is asked for, if the configuration allows it.
fn source<'a>(engine: &Engine, options: &'a BTreeMap<String, String>) -> Result<&'a str, Failure> {
    if !engine.frontends.gateway.enabled {
        return Err(Failure::new(Code::PermissionDenied, "frontends in images are disabled on this daemon"));
    }
    if options.contains_key("gateway-devel") {
        return Err(Failure::invalid("development gateway is no longer supported"));
    }
    let source = options.get("source").filter(|source| !source.is_empty());
    let source = source.ok_or_else(|| Failure::invalid("no source specified for gateway"))?;
    if !engine.frontends.is_allowed(source) {
        let message = format!("'{source}' is not an allowed gateway source");
        return Err(Failure::new(Code::PermissionDenied, message));
    }
    Ok(source)
}
