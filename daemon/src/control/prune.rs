//! `Prune`: removes what nothing needs, within the bounds that the caller gives, and tells what goes as it goes.
//!
//! A caller that hangs up ends it; what was begun is removed whole.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use slipway_proto::control::{PruneRequest, UsageRecord};
use slipway_store::{PruneOptions, Store};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::Answers;
use super::disk_usage::{check_filters, wire_record};
use crate::engine::Engine;

/// Records on their way to a caller that reads slowly.
const WAITING: usize = 256;

type Sender = mpsc::Sender<Result<UsageRecord, Status>>;

pub(super) fn prune(engine: &Arc<Engine>, request: PruneRequest) -> Result<Answers<UsageRecord>, Status> {
    check_filters(&request.filter)?;
    let options = PruneOptions {
        all: request.all,
        filters: request.filter,
        keep_duration: Duration::from_nanos(positive(request.keep_duration)),
        reserved_space: positive(request.reserved_space),
        max_used_space: positive(request.max_used_space),
        min_free_space: positive(request.min_free_space),
    };
    let (told, answers) = mpsc::channel(WAITING);
    let store = engine.store.clone();
    tokio::task::spawn_blocking(move || {
        let pruned = run(&store, &options, &told);
        if let Err(error) = pruned {
            // Who hung up does not hear of it.
            let _ = told.blocking_send(Err(Status::internal(slipway_solver::with_causes(&error))));
        }
    });
    Ok(ReceiverStream::new(answers).boxed())
}

fn run(store: &Store, options: &PruneOptions, told: &Sender) -> slipway_store::Result<()> {
    store.prune_to(options, |removed| {
        for record in removed {
            if told.blocking_send(Ok(wire_record(record))).is_err() {
                return ControlFlow::Break(());
            }
        }
        if told.is_closed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    store.flush()
}

/// Zero means that the bound is not set.
fn positive(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
