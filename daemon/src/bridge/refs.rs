//! Graphs that a frontend has asked about, by the names under which it may ask again.
//!
//! A reference is lazy: its graph is solved when a file of it is read, when it is evaluated, when it is
//! mounted into a container, or when it is part of what the frontend returns. Frontends that call each other
//! share references, each under names of its own.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use slipway_proto::pb;
use slipway_solver::Built;
use slipway_worker::Value;
use tokio::sync::OnceCell;

use crate::build::Build;
use crate::build::failure::Failure;
use crate::build::solve::{Read, build_definition};
use crate::engine::Engine;

/// More references than this of one frontend are refused.
const MOST: usize = 10_000;

#[derive(Default)]
pub(crate) struct Refs(Mutex<HashMap<String, Arc<Reference>>>);

pub(crate) struct Reference {
    /// Empty for a tree that no graph is known of.
    pub definition: pb::Definition,
    /// Solved, and perhaps lazy.
    built: OnceCell<Built<Value>>,
    /// Solved, and real.
    read: OnceCell<Built<Value>>,
}

impl Reference {
    /// None for an empty graph, which is scratch.
    pub(crate) fn new(definition: pb::Definition) -> Option<Arc<Self>> {
        let has_operations = !definition.def.is_empty();
        has_operations.then(|| Arc::new(Self { definition, built: OnceCell::new(), read: OnceCell::new() }))
    }

    /// Whether it is solved already.
    pub(crate) fn is_built(&self) -> bool {
        self.built.initialized() || self.read.initialized()
    }

    /// A tree that is there already.
    pub(crate) fn of(value: Value) -> Arc<Self> {
        let there = || OnceCell::new_with(Some(Built { value: value.clone(), keys: Vec::new() }));
        Arc::new(Self { definition: pb::Definition::default(), built: there(), read: there() })
    }

    /// The tree, to be read; solved now if it was not before.
    pub(crate) async fn value(&self, engine: &Arc<Engine>, build: &Build) -> Result<Value, Failure> {
        Ok(self.built(engine, build, Read::Now).await?.value)
    }

    /// The tree, with the keys that it is known under; solved now if it was not before.
    pub(crate) async fn built(
        &self,
        engine: &Arc<Engine>,
        build: &Build,
        read: Read,
    ) -> Result<Built<Value>, Failure> {
        let known = match read {
            Read::Never => &self.built,
            Read::Now => &self.read,
        };
        let solving = || build_definition(engine, build, &self.definition, read);
        known.get_or_try_init(solving).await.cloned()
    }
}

impl Refs {
    /// Gives `reference` a name; scratch has the empty one.
    pub(crate) fn name(&self, reference: Option<Arc<Reference>>) -> Result<String, Failure> {
        let Some(reference) = reference else { return Ok(String::new()) };
        let mut known = self.0.lock();
        if known.len() >= MOST {
            return Err(Failure::invalid(format!("a frontend may hold at most {MOST} references")));
        }
        let id = format!("ref-{}", known.len());
        known.insert(id.clone(), reference);
        Ok(id)
    }

    /// What `id` names; the empty name is scratch.
    pub(super) fn get(&self, id: &str) -> Result<Option<Arc<Reference>>, Failure> {
        if id.is_empty() {
            return Ok(None);
        }
        let found = self.0.lock().get(id).cloned();
        found
            .map(Some)
            .ok_or_else(|| Failure::new(tonic::Code::NotFound, format!("no such reference {id:?}")))
    }

    /// The tree behind `id`, to be read.
    pub(super) async fn value(
        &self,
        engine: &Arc<Engine>,
        build: &Build,
        id: &str,
    ) -> Result<Value, Failure> {
        match self.get(id)? {
            None => Ok(Value::Scratch),
            Some(reference) => reference.value(engine, build).await,
        }
    }
}
