//! A name that the client has given a source of its own, for whoever wants an image of that name.

use std::collections::BTreeMap;

use bytes::Bytes;
use slipway_model::llb::pb;

use crate::error::{Error, Failure};
use crate::gateway::Gateway;
use crate::plan::context::definition_of;
use crate::plan::named_context::{Loaded, NamedContext};
use crate::plan::options::Options;

/// What stands in for an image.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedSource {
    pub definition: pb::Definition,
    /// JSON, where the source has one.
    pub config: Option<Bytes>,
}

/// The source that the option `context:NAME` puts in the place of the image `name`; none where there is no such
/// option.
pub async fn named_source(
    gateway: &dyn Gateway,
    options: &BTreeMap<String, String>,
    inputs: &BTreeMap<String, pb::Definition>,
    name: &str,
) -> Result<Option<NamedSource>, Error> {
    find(gateway, options, inputs, name).await.map_err(|failure| failure.into_error(None))
}

async fn find(
    gateway: &dyn Gateway,
    options: &BTreeMap<String, String>,
    inputs: &BTreeMap<String, pb::Definition>,
    name: &str,
) -> Result<Option<NamedSource>, Failure> {
    // What else the options say is for the frontend in the image.
    let wanted = |key: &str| key.starts_with("context:") || key.starts_with("input-metadata:");
    let options = options.iter().filter(|(key, _)| wanted(key));
    let options = Options::parse(&options.map(|(key, value)| (key.clone(), value.clone())).collect())?;
    let Some(context) = NamedContext::find(&options, name, None)? else { return Ok(None) };
    let (definition, config) = match context.load(gateway, &options, inputs).await? {
        Loaded::Image { node, config } => (definition_of(*node), Some(config)),
        Loaded::Remote(node) => (definition_of(*node), None),
        Loaded::Input { definition, config } => (definition, config),
        Loaded::Scratch | Loaded::Local { .. } => {
            return Err(Failure::new(format!("the context {name} cannot be used as a frontend image")));
        }
    };
    Ok(Some(NamedSource { definition, config }))
}
