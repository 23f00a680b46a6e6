//! One execution of an operation on given inputs, for all vertices that need it.
//!
//! Equal work is found not by comparing vertices but when it is about to run: by the key computed
//! from the operation and its finished inputs. Who comes second joins, and the execution then serves
//! both: it may use both jobs' sessions, its output goes to both, and it stops when both have left.
//!
//! Only when it runs does it show what graphs the operation asks for. If one of them needs a vertex that
//! has joined, neither could end: that vertex is shown out, and needs an execution of its own.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::Value;
use crate::error::Error;
use crate::executor::Executor;
use crate::graph::Vertex;
use crate::interest::Interest;
use crate::job::JobState;
use crate::keys::VertexDigest;
use crate::load::{FreshRun, Outcome};
use crate::memo::{Memo, Memos};
use crate::node::Node;
use crate::permit::JobPermit;
use crate::progress::journal::Journal;

pub(crate) struct Flight<V> {
    /// Forced, or on inputs that are known by nothing but the fresh run they came from.
    pub(crate) fresh: Option<FreshRun>,
    pub(crate) interest: Arc<Interest>,
    pub(crate) journal: Journal,
    /// Where the operation runs, by the measure of jobs.
    pub(crate) permit: JobPermit,
    pub(crate) values: Memo<Vec<V>>,
    pub(crate) saved: Memos<usize, Outcome<V>>,
    members: Mutex<Vec<Weak<Node<V>>>>,
    /// Told when a vertex is shown out.
    shown_out: Notify,
    /// Graphs that the running operation asked for.
    children: Mutex<Vec<Arc<Node<V>>>>,
    /// The vertices in whose name it ran: one, and another after each cancelled attempt.
    leaders: Mutex<Vec<VertexDigest>>,
}

impl<V: Value> Flight<V> {
    pub(crate) fn new(executor: &Arc<dyn Executor>, fresh: Option<FreshRun>) -> Self {
        Self {
            fresh,
            interest: Interest::new(executor),
            journal: Journal::default(),
            permit: JobPermit::default(),
            values: Memo::default(),
            saved: Memos::default(),
            members: Mutex::default(),
            shown_out: Notify::new(),
            children: Mutex::default(),
            leaders: Mutex::default(),
        }
    }

    /// Makes `node` one that this execution serves.
    pub(crate) fn add_member(&self, node: &Arc<Node<V>>) {
        let mut members = self.members.lock();
        members.retain(|member| member.strong_count() > 0);
        if !members.iter().any(|member| std::ptr::eq(member.as_ptr(), Arc::as_ptr(node))) {
            members.push(Arc::downgrade(node));
            drop(members);
            self.journal.pass_on_to(&node.journal);
        }
    }

    /// Makes `node` one that must run by itself, because this execution needs it.
    pub(crate) fn show_out(self: &Arc<Self>, node: &Arc<Node<V>>) {
        node.leave_flight(self);
        self.members.lock().retain(|member| !std::ptr::eq(member.as_ptr(), Arc::as_ptr(node)));
        self.journal.pass_on_no_more_to(&node.journal);
        self.shown_out.notify_waiters();
    }

    /// Returns when `node` takes no part in this execution any more.
    pub(crate) async fn end_of_membership(self: &Arc<Self>, node: &Node<V>) {
        loop {
            let shown_out = self.shown_out.notified(); // made before the look, so that none is missed
            if !node.flies_in(self) {
                return;
            }
            shown_out.await;
        }
    }

    pub(crate) fn run_in_the_name_of(&self, vertex: &Vertex<V>) {
        self.leaders.lock().push(vertex.digest);
    }

    /// To everyone who waits it is their own vertex that failed: they may never have heard of the
    /// one in whose name it ran.
    pub(crate) fn failure_of(&self, vertex: &Vertex<V>, error: Error) -> Error {
        match error {
            Error::Op { vertex: failed, source, .. } if self.leaders.lock().contains(&failed) => {
                Error::Op { vertex: vertex.digest, name: vertex.name.as_str().into(), source }
            }
            other => other,
        }
    }

    pub(crate) fn add_child(&self, node: &Arc<Node<V>>) {
        self.children.lock().push(node.clone());
    }

    pub(crate) fn children(&self) -> Vec<Arc<Node<V>>> {
        self.children.lock().clone()
    }

    /// The jobs that want any of the vertices that wait for this execution.
    pub(crate) fn live_jobs(&self) -> Vec<Arc<JobState<V>>> {
        let members: Vec<_> = self.members.lock().iter().filter_map(Weak::upgrade).collect();
        let mut jobs: Vec<Arc<JobState<V>>> = Vec::new();
        for job in members.iter().flat_map(|node| node.live_jobs()) {
            if !jobs.iter().any(|known| Arc::ptr_eq(known, &job)) {
                jobs.push(job);
            }
        }
        jobs
    }
}
