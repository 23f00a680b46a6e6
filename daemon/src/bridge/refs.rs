//! Graphs that a client has asked about, by the names under which it may ask again.
//!
//! A reference is lazy: its graph is solved when a file of it is read, when it is evaluated, or when it
//! is part of what the client returns.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use slipway_proto::pb;
use slipway_worker::Value;
use tokio::sync::OnceCell;

use crate::build::Build;
use crate::build::failure::Failure;
use crate::build::solve::solve_definition;
use crate::engine::Engine;

/// More references than this in one build are refused.
const MOST: usize = 10_000;

#[derive(Default)]
pub(crate) struct Refs(Mutex<HashMap<String, Arc<Reference>>>);

pub(crate) struct Reference {
    definition: pb::Definition,
    value: OnceCell<Value>,
}

impl Refs {
    /// Keeps `definition`; an empty one is scratch and needs no name.
    pub(crate) fn add(&self, definition: pb::Definition) -> Result<String, Failure> {
        if definition.def.is_empty() {
            return Ok(String::new());
        }
        let mut known = self.0.lock();
        if known.len() >= MOST {
            return Err(Failure::invalid(format!("a build may hold at most {MOST} references")));
        }
        let id = format!("ref-{}", known.len());
        known.insert(id.clone(), Arc::new(Reference { definition, value: OnceCell::new() }));
        Ok(id)
    }

    fn get(&self, id: &str) -> Result<Arc<Reference>, Failure> {
        let found = self.0.lock().get(id).cloned();
        found.ok_or_else(|| Failure::new(tonic::Code::NotFound, format!("no such reference {id:?}")))
    }
}

/// The tree behind `id`, solved now if it was not before; an empty name is scratch.
pub(super) async fn value(engine: &Arc<Engine>, build: &Build, id: &str) -> Result<Value, Failure> {
    if id.is_empty() {
        return Ok(Value::Scratch);
    }
    let reference = build.refs.get(id)?;
    let solving = || solve_definition(engine, build, &reference.definition);
    reference.value.get_or_try_init(solving).await.cloned()
}
