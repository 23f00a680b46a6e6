//! One step that ran: what it differs in from the nearest earlier one, down to the files.

use std::collections::HashMap;
use std::sync::Arc;

use slipway_explain::compare::Materials;
use slipway_explain::nearest::Nearest;
use slipway_explain::{Build, Cause, FileChange, History, Kind, Material, files};
use slipway_solver::KeyId;
use slipway_store::content_hash::Manifest;
use slipway_worker::{Listing, Worker};

use super::graph::Graph;

/// Entries of an input that are listed.
const MOST_LISTED: usize = 20_000;
/// Earlier builds of the same project, and of all, that a step is compared with.
pub(super) const MOST_COMPARED: usize = 8;

/// What a build under way is compared by: its own materials, then those of earlier ones, each read once.
pub(super) struct Known {
    history: History,
    read: parking_lot::Mutex<HashMap<String, Option<Arc<Material>>>>,
}

impl Known {
    pub(super) fn new(history: History, own: &HashMap<String, Arc<Material>>) -> Self {
        let read = own.iter().map(|(id, material)| (id.clone(), Some(material.clone()))).collect();
        Self { history, read: parking_lot::Mutex::new(read) }
    }
}

impl Materials for Known {
    fn material(&self, id: &str) -> Option<Arc<Material>> {
        if let Some(known) = self.read.lock().get(id) {
            return known.clone();
        }
        let found = self.history.material(id);
        self.read.lock().insert(id.to_owned(), found.clone());
        found
    }
}

/// Explains the steps `wanted` of `graph`; blocks.
pub(super) fn explain(
    worker: &Worker,
    history: &History,
    graph: &mut Graph,
    build: &Build,
    earlier: &[Build],
    wanted: &[usize],
) {
    let known = Known::new(history.clone(), &graph.materials);
    let mut nearest = Nearest::new(build, earlier, &known);
    let (made, changed) = (HashMap::new(), HashMap::new());
    let mut listings = Listings { worker, history, contents: &graph.contents, made, changed };
    let mut told = Vec::new();
    for index in wanted {
        let explanation = nearest.explain(*index, &mut |cause| listings.count(cause));
        let compared =
            explanation.compared.and_then(|index| earlier.get(index)).map(|build| build.id.clone());
        let causes: Vec<Cause> =
            explanation.causes.into_iter().map(|cause| listings.with_files(cause)).collect();
        told.push((*index, compared, causes));
        if let Some(step) = build.steps.get(*index) {
            step.inputs.iter().filter_map(|input| input.content.as_ref()).for_each(|key| listings.keep(key));
        }
    }
    for (index, compared, causes) in told {
        if let Some(step) = graph.steps.get_mut(index) {
            (step.compared, step.causes) = (compared, causes);
        }
    }
}

struct Listings<'a> {
    worker: &'a Worker,
    history: &'a History,
    contents: &'a HashMap<String, KeyId>,
    made: HashMap<String, Option<Arc<Listing>>>,
    /// By both keys and where it is read: asked for to find the nearest step, then to tell.
    changed: HashMap<(String, String, Vec<String>), Changed>,
}

/// Changes, and how many more there are; nothing if there are no lists to compare.
type Changed = Option<(Vec<FileChange>, usize)>;

impl Listings<'_> {
    /// What has the content key `key` in this build.
    fn here(&mut self, key: &str) -> Option<Arc<Listing>> {
        if let Some(made) = self.made.get(key) {
            return made.clone();
        }
        let id = self.contents.get(key)?;
        let listed = self.worker.list_content(id, MOST_LISTED).unwrap_or_else(|error| {
            tracing::debug!(%error, key, "what a step reads cannot be listed");
            None
        });
        let listed = listed.map(Arc::new);
        self.made.insert(key.to_owned(), listed.clone());
        listed
    }

    fn earlier(&self, key: &str) -> Option<Manifest> {
        self.history.listing(key).unwrap_or_default()
    }

    /// For when a later build is compared with this one.
    fn keep(&mut self, key: &str) {
        if self.history.has_listing(key).unwrap_or(true) {
            return;
        }
        let Some(listing) = self.here(key) else { return };
        if let Err(error) = self.history.keep_listing(key, &listing.manifest) {
            tracing::warn!(error = %slipway_solver::with_causes(&error), "a list of files is not kept");
        }
    }

    /// In how many things files differ.
    fn count(&mut self, cause: &Cause) -> usize {
        match self.changed(cause) {
            Some((files, more)) => files.iter().map(|file| file.what.len()).sum::<usize>() + more,
            None => usize::MAX,
        }
    }

    /// The files, in place of the keys of what holds them.
    fn with_files(&mut self, cause: Cause) -> Cause {
        if cause.kind != Kind::Files {
            return cause;
        }
        let found = self.changed(&cause);
        let told = Cause { old: None, new: None, bases: Vec::new(), ..cause };
        match found {
            Some((files, more_files)) => Cause { files, more_files, ..told },
            None => Cause { kind: Kind::Content, ..told },
        }
    }

    fn changed(&mut self, cause: &Cause) -> Changed {
        let keys = (cause.old.clone()?, cause.new.clone()?, cause.bases.clone());
        if let Some(known) = self.changed.get(&keys) {
            return known.clone();
        }
        let here = self.here(&keys.1);
        let now = here.as_ref().map(|listing| listing.manifest.clone()).or_else(|| self.earlier(&keys.1));
        let found = self.earlier(&keys.0).zip(now).and_then(|(before, now)| {
            files::changes(&before, &now, &cause.bases, |before, now| match &here {
                Some(listing) => listing.compare(before, now),
                None => Vec::new(),
            })
        });
        self.changed.insert(keys, found.clone());
        found
    }
}
