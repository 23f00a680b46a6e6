//! Graphs that a frontend has asked about, by the names under which it may ask again.
//!
//! A reference is lazy: its graph is solved when a file of it is read, when it is evaluated, when it is
//! mounted into a container, or when it is part of what the frontend returns. Frontends that call each other
//! share references, each under names of its own.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use slipway_proto::pb;
use slipway_solver::Built;
use slipway_worker::Value;
use slipway_worker::policy::Rules;
use tokio::sync::OnceCell;

use crate::build::Build;
use crate::build::failure::Failure;
use crate::build::solve::{Read, admit, build_definition};
use crate::engine::Engine;

/// More references than this of one frontend are refused.
const MOST: usize = 10_000;

#[derive(Default)]
pub(crate) struct Refs(Mutex<HashMap<String, Arc<Reference>>>);

pub(crate) struct Reference {
    /// Empty for a tree that no graph is known of.
    pub definition: pb::Definition,
    /// That came with it.
    rules: Rules,
    /// What policies made of the definition, if that is another one.
    admitted: OnceCell<Option<pb::Definition>>,
    /// Solved, and perhaps lazy.
    built: OnceCell<Built<Value>>,
    /// Solved, and real.
    read: OnceCell<Built<Value>>,
}

impl Reference {
    /// None for an empty graph, which is scratch.
    pub(crate) fn new(definition: pb::Definition) -> Option<Arc<Self>> {
        Self::with_rules(definition, Rules::default())
    }

    /// Of a graph whose sources obey `rules` beside those of the build.
    pub(crate) fn with_rules(definition: pb::Definition, rules: Rules) -> Option<Arc<Self>> {
        let has_operations = !definition.def.is_empty();
        let new = || Self {
            definition,
            rules,
            admitted: OnceCell::new(),
            built: OnceCell::new(),
            read: OnceCell::new(),
        };
        has_operations.then(|| Arc::new(new()))
    }

    /// Whether it is solved already.
    pub(crate) fn is_built(&self) -> bool {
        self.built.initialized() || self.read.initialized()
    }

    /// A tree that is there already.
    pub(crate) fn of(value: Value) -> Arc<Self> {
        let there = || OnceCell::new_with(Some(Built { value: value.clone(), keys: Vec::new() }));
        let (definition, rules) = (pb::Definition::default(), Rules::default());
        Arc::new(Self { definition, rules, admitted: OnceCell::new(), built: there(), read: there() })
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
        let solving = async || {
            let admitting = async || {
                let admitted = admit(engine, build, &self.definition, &self.rules).await?;
                Ok::<_, Failure>(match admitted {
                    Cow::Borrowed(_) => None,
                    Cow::Owned(other) => Some(other),
                })
            };
            self.admitted.get_or_try_init(admitting).await?;
            build_definition(engine, build, self.solved(), read).await
        };
        known.get_or_try_init(solving).await.cloned()
    }

    /// The graph that is solved in fact: what policies have made of the definition.
    pub(crate) fn solved(&self) -> &pb::Definition {
        self.admitted.get().and_then(Option::as_ref).unwrap_or(&self.definition)
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
