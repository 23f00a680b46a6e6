//! Keys of the operations that combine inputs without looking into them.

use slipway_model::llb::pb;

use super::go_json::object;
use super::{CacheKey, CacheKeyError, InputKey};

const SCRATCH: i64 = -1;

/// The layers of several inputs on top of each other.
pub fn merge(op: &pb::MergeOp) -> CacheKey {
    let preimage = object(|fields| fields.always("Type", "buildkit.merge.v0").always("Merge", op));
    CacheKey::new(preimage, whole(op.inputs.len()))
}

/// What one input adds to another; a side that is scratch is no input.
pub fn diff(op: &pb::DiffOp) -> Result<CacheKey, CacheKeyError> {
    let (Some(lower), Some(upper)) = (&op.lower, &op.upper) else {
        return Err(CacheKeyError::Incomplete("diff op with nil lower or upper input"));
    };
    let inputs = [lower.input, upper.input].iter().filter(|input| **input != SCRATCH).count();
    let preimage = object(|fields| fields.always("Type", "buildkit.diff.v0").always("Diff", op));
    Ok(CacheKey::new(preimage, whole(inputs)))
}

/// A graph inside a file of an input. `inputs` is how many the vertex has.
pub fn build(op: &pb::BuildOp, inputs: usize) -> CacheKey {
    let preimage = object(|fields| fields.always("Type", "buildkit.build.v0").always("Exec", op));
    CacheKey::new(preimage, whole(inputs))
}

/// Inputs handed on under other indexes. `inputs` is how many the vertex has.
pub fn passthrough(op: &pb::PassthroughOp, inputs: usize) -> Result<CacheKey, CacheKeyError> {
    if op.id.is_empty() {
        return Err(CacheKeyError::Incomplete("passthrough op with no id"));
    }
    if op.outputs.is_empty() {
        return Err(CacheKeyError::Incomplete("passthrough op with no outputs"));
    }
    let beyond = |input: &i64| usize::try_from(*input).map_or(true, |input| inputs > 0 && input >= inputs);
    if let Some(input) = op.outputs.iter().find(|input| beyond(input)) {
        return Err(CacheKeyError::PassthroughOutput(*input));
    }
    let preimage =
        object(|fields| fields.always("Type", "buildkit.passthrough.v0").always("Passthrough", op));
    Ok(CacheKey::new(preimage, whole(inputs)))
}

fn whole(inputs: usize) -> Vec<InputKey> {
    vec![InputKey::default(); inputs]
}
