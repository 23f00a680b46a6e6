//! Who asked whom for what: a tree that grows while a build runs.
//!
//! The root is the client's. Every frontend that runs, in the daemon or in a container, has one below whoever asked
//! for it, once it has answered. What a result was made for is the request of the lowest one that knows it.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use slipway_model::llb::pb;
use slipway_model::{BlobDigest, Platform};

use crate::bridge::Reference;

/// More graphs than this of one frontend are not remembered.
const MOST: usize = 10_000;

/// What a frontend is asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Question {
    /// Its name; empty for the client itself.
    pub frontend: String,
    pub options: BTreeMap<String, String>,
    pub inputs: BTreeMap<String, pb::Definition>,
}

impl Question {
    pub(super) fn says_anything(&self) -> bool {
        !self.frontend.is_empty() || !self.options.is_empty() || !self.inputs.is_empty()
    }
}

/// A name that was looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageSource {
    pub reference: String,
    pub platform: Option<Platform>,
    pub digest: BlobDigest,
    /// Of a client's OCI layout.
    pub local: bool,
}

#[derive(Default)]
pub(crate) struct Inquiry {
    /// `None` for the client itself.
    pub(super) question: Option<Arc<Question>>,
    /// What the user asked for, if that says anything.
    pub(super) root: Option<Arc<Question>>,
    asked: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    graphs: Vec<Arc<Reference>>,
    below: Vec<Arc<Inquiry>>,
    images: Vec<ImageSource>,
}

impl Inquiry {
    /// Lets go of the trees that were asked for: what is to be said of them is said.
    pub(crate) fn forget(&self) {
        let asked = std::mem::take(&mut *self.asked.lock());
        asked.below.iter().for_each(|inquiry| inquiry.forget());
    }

    /// The client's own.
    pub(crate) fn of_client(question: Question) -> Arc<Self> {
        Arc::new(Self { root: Some(Arc::new(question)), ..Self::default() })
    }

    /// For a frontend that this one asks; it counts when it has answered ([`Self::answered`]).
    pub(crate) fn below(&self, question: Question) -> Arc<Self> {
        let root = self.root.clone().filter(|root| root.says_anything());
        let root = root.or_else(|| self.question.clone());
        Arc::new(Self { question: Some(Arc::new(question)), root, ..Self::default() })
    }

    /// A frontend below this one has answered.
    pub(crate) fn answered(&self, below: Arc<Self>) {
        self.asked.lock().below.push(below);
    }

    /// A graph that was asked about, or is part of the answer.
    pub(crate) fn graph(&self, reference: &Arc<Reference>) {
        let mut asked = self.asked.lock();
        if asked.graphs.len() < MOST && !asked.graphs.iter().any(|known| Arc::ptr_eq(known, reference)) {
            asked.graphs.push(reference.clone());
        }
    }

    /// A name that was looked up.
    pub(crate) fn image(&self, image: ImageSource) {
        let mut asked = self.asked.lock();
        if asked.images.len() < MOST {
            asked.images.push(image);
        }
    }

    /// The lowest one that knows `reference`.
    pub(super) fn find(self: &Arc<Self>, reference: &Arc<Reference>) -> Option<Arc<Self>> {
        let (below, knows) = {
            let asked = self.asked.lock();
            (asked.below.clone(), asked.graphs.iter().any(|known| Arc::ptr_eq(known, reference)))
        };
        let lower = below.iter().find_map(|inquiry| inquiry.find(reference));
        lower.or_else(|| knows.then(|| self.clone()))
    }

    /// The one whose question `reference` was made for, if it was made for one.
    pub(crate) fn maker_of(self: &Arc<Self>, reference: &Arc<Reference>) -> Option<Arc<Self>> {
        self.find(reference).filter(|inquiry| inquiry.question.is_some())
    }

    /// All graphs of this one and those below.
    pub(super) fn graphs(&self) -> Vec<Arc<Reference>> {
        let (mut graphs, below) = {
            let asked = self.asked.lock();
            (asked.graphs.clone(), asked.below.clone())
        };
        graphs.extend(below.iter().flat_map(|inquiry| inquiry.graphs()));
        graphs
    }

    /// All names that this one and those below have looked up.
    pub(super) fn images(&self) -> Vec<ImageSource> {
        let (mut images, below) = {
            let asked = self.asked.lock();
            (asked.images.clone(), asked.below.clone())
        };
        images.extend(below.iter().flat_map(|inquiry| inquiry.images()));
        images
    }
}
