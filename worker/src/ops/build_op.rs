//! A graph that is itself the result of a graph: `pb.BuildOp`.
//!
//! One input holds a file with a definition, as `buildctl debug dump-llb` and the client libraries write it. It is
//! read when the input is there, loaded with the entitlements and policies of the build that brought the operation, and
//! solved in its place. It takes no permit: it only waits for others, which take theirs.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use prost::Message as _;
use slipway_model::llb::{self, pb};
use slipway_solver::{CacheMap, Op, OpContext, OpResult};
use slipway_store::inroot;

use super::cache_key;
use super::content::input_rules;
use super::graph::{Scope, load};
use crate::blocking::blocking;
use crate::policy::{Rules, admit_definition};
use crate::{Error, Result, Value, Worker};

/// The only builder there is.
const LLB: i64 = -1;
/// The input that holds the definition, and where it is unless the operation says otherwise.
const INPUT: &str = "buildkit.llb.definition";
const FILE: &str = "/buildkit.llb.definition";
const FILE_ATTRIBUTE: &str = "llbbuild.filename";
/// As much as a client can send in one message.
const LARGEST: u64 = 64 << 20;

pub(super) struct BuildOp {
    worker: Arc<Worker>,
    build: pb::BuildOp,
    inputs: usize,
    /// The input with the definition.
    definition: usize,
    scope: Scope,
}

impl BuildOp {
    pub(super) fn new(
        worker: Arc<Worker>,
        build: &pb::BuildOp,
        inputs: usize,
        scope: &Scope,
    ) -> Result<Self, String> {
        if build.builder != LLB {
            return Err("only LLB builder is currently allowed".into());
        }
        let named =
            build.inputs.get(INPUT).ok_or_else(|| format!("no llb definition input {INPUT} found"))?;
        let definition = usize::try_from(named.input).ok().filter(|index| *index < inputs);
        let definition =
            definition.ok_or_else(|| format!("the input {INPUT} has invalid index {}", named.input))?;
        Ok(Self { worker, build: build.clone(), inputs, definition, scope: scope.clone() })
    }

    async fn read(&self, value: Value) -> Result<llb::Definition> {
        let path = self.build.attrs.get(FILE_ATTRIBUTE).filter(|path| !path.is_empty());
        let path = path.cloned().unwrap_or_else(|| FILE.into());
        let bytes = blocking(move || {
            let tree = value.mount()?;
            let missing = || Error::Failed(format!("{path}: no such file or directory"));
            Ok(inroot::read_to_limit(tree.ok_or_else(missing)?.root(), Path::new(&path), LARGEST)?)
        })
        .await?;
        let invalid =
            |reason: String| Error::Failed(format!("the definition to build is not valid: {reason}"));
        let wire = pb::Definition::decode(&bytes[..]).map_err(|error| invalid(error.to_string()))?;
        let wire = admit_definition(&self.worker, &self.scope.sources, &Rules::default(), &wire)
            .await
            .map_err(|refused| refused.error)?;
        llb::Definition::decode(&wire).map_err(|error| invalid(error.to_string()))
    }
}

#[async_trait]
impl Op<Value> for BuildOp {
    async fn cache_map(&self, _: &OpContext<Value>, _: usize) -> OpResult<CacheMap<Value>> {
        Ok(input_rules(&self.worker, cache_key::build(&self.build, self.inputs), self.inputs))
    }

    async fn exec(&self, ctx: &OpContext<Value>, inputs: Vec<Value>) -> OpResult<Vec<Value>> {
        let value = inputs.get(self.definition).cloned().unwrap_or(Value::Scratch);
        let definition = self.read(value).await?;
        match load(&self.worker, &definition, &self.scope)? {
            None => Ok(vec![Value::Scratch]),
            Some(edge) => Ok(vec![ctx.build(&edge).await?.value]),
        }
    }
}
