//! Which request made a graph.
//!
//! A client may build one Dockerfile, and give its result to the next as a named context. All that reaches the second
//! request is a graph; what it was made for is remembered here, by the vertex it ends in, for as long as its build
//! runs. If different requests made the same graph, none of them is named.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use slipway_model::llb::pb;
use slipway_model::llb::{VertexDigest, marshal};

use super::inquiry::Inquiry;

#[derive(Default)]
pub(crate) struct Producers(Mutex<HashMap<VertexDigest, Vec<Weak<Inquiry>>>>);

impl Producers {
    /// `inquiry` has made `definition`.
    pub(crate) fn add(&self, definition: &pb::Definition, inquiry: &Arc<Inquiry>) {
        let Some(head) = head_of(definition) else { return };
        let mut known = self.0.lock();
        let makers = known.entry(head).or_default();
        makers.retain(|maker| maker.strong_count() > 0);
        if !makers.iter().any(|maker| std::ptr::eq(maker.as_ptr(), Arc::as_ptr(inquiry))) {
            makers.push(Arc::downgrade(inquiry));
        }
    }

    /// Those that have made `definition` and whose build still runs.
    pub(super) fn of(&self, definition: &pb::Definition) -> Vec<Arc<Inquiry>> {
        let Some(head) = head_of(definition) else { return Vec::new() };
        let known = self.0.lock();
        known.get(&head).into_iter().flatten().filter_map(Weak::upgrade).collect()
    }

    /// Forgets those whose build has ended.
    pub(crate) fn sweep(&self) {
        self.0.lock().retain(|_, makers| {
            makers.retain(|maker| maker.strong_count() > 0);
            !makers.is_empty()
        });
    }
}

fn head_of(definition: &pb::Definition) -> Option<VertexDigest> {
    let last = marshal::unmarshal(definition.def.last()?)?;
    last.inputs.first()?.digest.parse().ok()
}
