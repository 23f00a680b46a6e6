//! The files that `INCLUDE`s name, read from contexts.

use std::collections::BTreeMap;

use bytes::Bytes;
use slipway_model::lexical::clean_text;
use slipway_model::llb::{Graph, pb};

use super::context::{Entry, MainContext, definition_of};
use super::named_context::{Loaded, NamedContext};
use super::options::Options;
use crate::dockerfile::instruction::Include;
use crate::dockerfile::{Draft, Language, Reading};
use crate::error::Failure;
use crate::gateway::Gateway;
use crate::lower::metadata::internal;
use crate::lower::source::Local;

/// Of one included file, in bytes.
const LARGEST: usize = 1 << 20;

/// Where files come from.
pub(crate) struct Files<'a> {
    pub(crate) gateway: &'a dyn Gateway,
    pub(crate) options: &'a Options,
    pub(crate) inputs: &'a BTreeMap<String, pb::Definition>,
    pub(crate) entry: &'a Entry,
    pub(crate) language: Language,
}

impl Files<'_> {
    /// The file to build with all that it includes. Which files those are does not depend on variables.
    pub(crate) async fn read(&self) -> Result<Reading, Failure> {
        let mut draft = Draft::new(&self.entry.data, self.language);
        let mut place = 0;
        while let Some((at, include)) = draft.next_include(place) {
            place = at;
            match include {
                Ok(include) => {
                    let path = clean_text(&format!("/{}", include.path)).trim_start_matches('/').to_owned();
                    let file = self.file(&include, &path).await?;
                    draft.replace(at, &path, &file, self.language);
                }
                Err(error) => draft.refuse(at, error),
            }
        }
        Ok(draft.finish())
    }

    async fn file(&self, include: &Include, path: &str) -> Result<Bytes, Failure> {
        let about = |failure: Failure| failure.context(format!("failed to include {}", include.path));
        let definition = match include.from.as_str() {
            "" => self.main(path),
            from => self.named(from, path).await,
        };
        let file = match self.gateway.read_file(&definition.map_err(about)?, path).await {
            Ok(Some(file)) => file,
            Ok(None) => return Err(about(Failure::new("no such file in the context"))),
            Err(error) => return Err(about(error.into())),
        };
        if file.len() > LARGEST {
            return Err(about(Failure::new(format!("it is larger than {LARGEST} bytes"))));
        }
        Ok(file)
    }

    fn main(&self, path: &str) -> Result<pb::Definition, Failure> {
        let MainContext::Local(name) = &self.entry.context else {
            let mut graph = Graph::new();
            let head = self.entry.context.add_remote(&mut graph)?;
            return Ok(graph.definition(head, &[]));
        };
        let local = Local {
            name: name.clone(),
            session: self.options.session(name, &self.gateway.facts().session_id).to_owned(),
            shared_key: format!("{name}-include"),
            ..Local::default()
        };
        Ok(one_file(local, path))
    }

    async fn named(&self, name: &str, path: &str) -> Result<pb::Definition, Failure> {
        let Some(context) = NamedContext::find(self.options, name, None)? else {
            return Err(Failure::new(format!("there is no context {name}: give one with --build-context")));
        };
        match context.load(self.gateway, self.options, self.inputs).await? {
            Loaded::Local { local, .. } => Ok(one_file(local, path)),
            Loaded::Remote(node) | Loaded::Image { node, .. } => Ok(definition_of(*node)),
            Loaded::Input { definition, .. } => Ok(definition),
            Loaded::Scratch => Err(Failure::new(format!("the context {name} holds no files"))),
        }
    }
}

/// What `.dockerignore` hides can be included.
fn one_file(local: Local, path: &str) -> pb::Definition {
    let local = Local { follow: vec![path.to_owned()], excludes: Vec::new(), no_differ: true, ..local };
    definition_of(local.node(internal(&format!("load included {path}"))))
}
