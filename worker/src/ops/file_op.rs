//! Changing files without a process: `pb.FileOp`.
//!
//! Its actions form a small graph of their own: action `i` is known to later ones as input
//! `inputs + i`. An intermediate tree that only one later action wants is passed on and changed in
//! place; one that several want is made a snapshot first.

use std::os::fd::AsFd;
use std::sync::Arc;

use async_trait::async_trait;
use slipway_model::llb::pb;
use slipway_model::llb::pb::file_action::Action;
use slipway_solver::{CacheMap, Op, OpContext, OpResult, Permit};
use slipway_store::{Active, Mounted};

use super::cache_key;
use super::content::input_rules;
use super::file::{self, Owner};
use super::sharing::Sharing;
use crate::blocking::blocking;
use crate::remains::{Part, Remains, Remnant};
use crate::worker::described;
use crate::{Error, Result, Value, Worker};

pub(super) struct FileOp {
    pub worker: Arc<Worker>,
    pub file: pb::FileOp,
    pub inputs: usize,
}

#[async_trait]
impl Op<Value> for FileOp {
    async fn cache_map(&self, _: &OpContext<Value>, _: usize) -> OpResult<CacheMap<Value>> {
        Ok(input_rules(&self.worker, cache_key::file(&self.file, self.inputs)?, self.inputs))
    }

    async fn acquire(&self, _: &OpContext<Value>) -> OpResult<Permit> {
        self.worker.permit().await
    }

    async fn exec(&self, _: &OpContext<Value>, inputs: Vec<Value>) -> OpResult<Vec<Value>> {
        let (worker, file) = (self.worker.clone(), self.file.clone());
        Ok(blocking(move || Actions::new(worker, inputs).run(&file)).await?)
    }
}

/// The trees that exist while the actions run.
struct Actions {
    worker: Arc<Worker>,
    inputs: usize,
    /// The operation's inputs, then what each action made.
    trees: Vec<Made>,
}

enum Made {
    Value(Value),
    /// Still writable: nobody has looked at it yet.
    Writable(Active),
    /// Passed on to the action that wanted it.
    Gone,
}

impl Actions {
    fn new(worker: Arc<Worker>, inputs: Vec<Value>) -> Self {
        Self { worker, inputs: inputs.len(), trees: inputs.into_iter().map(Made::Value).collect() }
    }

    fn run(mut self, file: &pb::FileOp) -> Result<Vec<Value>> {
        let mut outputs: Vec<(usize, usize)> = Vec::new();
        for (index, action) in file.actions.iter().enumerate() {
            if let Err(error) = self.act(file, index, action) {
                return Err(error.with_remains(|| self.into_remains(index, file.actions.len())));
            }
            if let Ok(output) = usize::try_from(action.output) {
                outputs.push((output, self.inputs + index));
            }
        }
        let count = outputs.iter().map(|(output, _)| output + 1).max().unwrap_or(0);
        if count > file.actions.len() {
            return Err(Error::Failed("a file operation names an output that cannot exist".into()));
        }
        let mut values = vec![Value::Scratch; count];
        for (output, tree) in outputs {
            values[output] = self.value(tree)?;
        }
        Ok(values)
    }

    /// Action by action; the one that failed may have changed something by then.
    fn into_remains(self, failed: usize, actions: usize) -> Remains {
        let mut trees = self.trees.into_iter();
        let inputs = trees.by_ref().take(self.inputs).map(|made| match made {
            Made::Value(value) => Some(value),
            Made::Writable(_) | Made::Gone => None,
        });
        let inputs = inputs.collect();
        let mut trees: Vec<Option<Remnant>> = trees
            .map(|made| match made {
                Made::Value(value) => Some(Remnant::finished(value)),
                Made::Writable(active) => Some(Remnant::written(active)),
                Made::Gone => None,
            })
            .collect();
        trees.resize_with(actions, || None);
        Remains { part: Part::Action(failed), inputs, trees }
    }

    /// The tree that the action makes is the last one then, also when the action fails half-way.
    fn act(&mut self, file: &pb::FileOp, index: usize, action: &pb::FileAction) -> Result<()> {
        let wanted_later = file.actions[index + 1..]
            .iter()
            .any(|later| later.input == action.input || later.secondary_input == action.input);
        let is_output = self
            .index(action.input)?
            .and_then(|tree| tree.checked_sub(self.inputs))
            .is_some_and(|earlier| file.actions[earlier].output >= 0);
        let owner = self.owner(action)?;
        let source = match &action.action {
            Some(Action::Copy(_)) => Some(self.read(action.secondary_input)?),
            _ => None,
        };
        let shared = wanted_later || is_output || action.secondary_input == action.input;
        let mut target = self.writable(action.input, shared)?;
        let changed = self.change(&mut target, file, index, action, source, owner);
        self.trees.push(Made::Writable(target));
        changed
    }

    fn change(
        &self,
        target: &mut Active,
        file: &pb::FileOp,
        index: usize,
        action: &pb::FileAction,
        source: Option<Value>,
        owner: Option<Owner>,
    ) -> Result<()> {
        let root = target.mount()?;
        match &action.action {
            Some(Action::Copy(copy)) => {
                let source = source.unwrap_or(Value::Scratch);
                let later = file.actions.get(index + 1..).unwrap_or_default();
                let sharing = Sharing::of(&source, self.worker.store.is_layered(), later);
                let source = source.mount()?;
                let empty = self.worker.store.prepare(None, described("nothing"))?;
                let source = source.map_or_else(|| empty.mount(), Ok)?;
                sharing.copy(&source, (target, &root), copy, owner)?;
            }
            Some(Action::Mkfile(mkfile)) => file::mkfile(root.root(), mkfile, owner)?,
            Some(Action::Mkdir(mkdir)) => file::mkdir(root.root(), mkdir, owner)?,
            Some(Action::Rm(rm)) => file::rm(root.root(), rm)?,
            Some(Action::Symlink(link)) => file::symlink(root.root(), link, owner)?,
            None => return Err(Error::Failed("a file operation has an empty action".into())),
        }
        Ok(())
    }

    /// Who is to own what the action makes; names are looked up in the trees that it says.
    fn owner(&mut self, action: &pb::FileAction) -> Result<Option<Owner>> {
        let Some(wanted) = wanted_owner(action) else { return Ok(None) };
        let (user, group) = (self.named_in(wanted.user.as_ref())?, self.named_in(wanted.group.as_ref())?);
        let root =
            |tree: &Option<Mounted>| tree.as_ref().map(Mounted::root).map(|fd| fd.try_clone_to_owned());
        let clone = |tree| match root(tree) {
            Some(Ok(fd)) => Ok(Some(fd)),
            Some(Err(error)) => Err(Error::io("cannot open a tree", error)),
            None => Ok(None),
        };
        let (user, group) = (clone(&user)?, clone(&group)?);
        Ok(file::owner(Some(wanted), user.as_ref().map(AsFd::as_fd), group.as_ref().map(AsFd::as_fd))?)
    }

    fn named_in(&mut self, user: Option<&pb::UserOpt>) -> Result<Option<Mounted>> {
        match user.and_then(|user| user.user.as_ref()) {
            Some(pb::user_opt::User::ByName(named)) => self.read(named.input)?.mount(),
            _ => Ok(None),
        }
    }

    /// The place of a tree; `None` is scratch.
    fn index(&self, input: i64) -> Result<Option<usize>> {
        match usize::try_from(input) {
            Err(_) => Ok(None),
            Ok(index) if index < self.trees.len() => Ok(Some(index)),
            Ok(_) => Err(Error::Failed(format!("a file action names input {input}, which is not before it"))),
        }
    }

    /// A tree to change: what the input made, if nobody else wants it, or a new one on top of it.
    fn writable(&mut self, input: i64, shared: bool) -> Result<Active> {
        if let Some(index) = self.index(input)?
            && !shared
            && let made @ Made::Writable(_) = &mut self.trees[index]
            && let Made::Writable(active) = std::mem::replace(made, Made::Gone)
        {
            return Ok(active);
        }
        let base = self.read(input)?;
        let base = self.worker.snapshot_of(&base)?;
        Ok(self.worker.store.prepare(base.as_ref(), described("file operation"))?)
    }

    /// A tree to read: what is still writable becomes a snapshot.
    fn read(&mut self, input: i64) -> Result<Value> {
        match self.index(input)? {
            None => Ok(Value::Scratch),
            Some(index) => self.value(index),
        }
    }

    fn value(&mut self, index: usize) -> Result<Value> {
        let value = match std::mem::replace(&mut self.trees[index], Made::Gone) {
            Made::Value(value) => value,
            Made::Writable(active) => Value::Snapshot(active.commit()?),
            Made::Gone => return Err(Error::Failed("a file action's result is used twice".into())),
        };
        self.trees[index] = Made::Value(value.clone());
        Ok(value)
    }
}

fn wanted_owner(action: &pb::FileAction) -> Option<&pb::ChownOpt> {
    match action.action.as_ref()? {
        Action::Copy(copy) => copy.owner.as_ref(),
        Action::Mkfile(mkfile) => mkfile.owner.as_ref(),
        Action::Mkdir(mkdir) => mkdir.owner.as_ref(),
        Action::Symlink(link) => link.owner.as_ref(),
        Action::Rm(_) => None,
    }
}
