//! Calling what others wrote: failures get the name of their vertex, panics become failures.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Failure, Panicked, Result, SharedFailure};
use crate::graph::Vertex;

/// Runs a call into the operation of `vertex`. What fails after `stop` was pulled was cancelled,
/// whatever it says; what says "cancelled" before is an ordinary failure.
pub(crate) async fn call<V, T>(
    vertex: &Vertex<V>,
    stop: &CancellationToken,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T> {
    match caught(work).await {
        Ok(value) => Ok(value),
        Err(_) if stop.is_cancelled() => Err(Error::Cancelled),
        Err(failure) => Err(failed(vertex, failure)),
    }
}

/// Runs `work`; a panic is a failure like any other.
pub(crate) async fn caught<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(panic) => Err(Panicked(text_of(&*panic)).into()),
    }
}

/// Runs work of the solver itself for `vertex`. A panic in there, in a record source that is asked for
/// instance, fails the vertex: whoever waited would ask again and again otherwise.
pub(crate) async fn unbroken<V, T>(vertex: &Vertex<V>, work: impl Future<Output = Result<T>>) -> Result<T> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(panic) => Err(failed(vertex, Panicked(text_of(&*panic)).into())),
    }
}

/// `vertex` failed. If it failed because a vertex of its sub-build did, it was that one.
pub(crate) fn failed<V>(vertex: &Vertex<V>, failure: Failure) -> Error {
    let source: SharedFailure = match failure.downcast::<Error>() {
        Ok(inner) if matches!(*inner, Error::Op { .. }) => return *inner,
        Ok(inner) => Arc::new(*inner),
        Err(failure) => Arc::from(failure),
    };
    Error::Op { vertex: vertex.digest, name: vertex.name.as_str().into(), source }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
