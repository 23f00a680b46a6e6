//! `Session`: the client's stream becomes a connection that the daemon makes calls on.

use std::sync::Arc;

use futures::StreamExt;
use slipway_proto::control::BytesMessage;
use slipway_session::SessionStream;
use slipway_session::caller::{Introduction, Session};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming};

use super::Answers;
use crate::engine::Engine;

pub(super) fn session(
    engine: &Arc<Engine>,
    request: Request<Streaming<BytesMessage>>,
) -> Result<Answers<BytesMessage>, Status> {
    let introduction = Introduction::from_metadata(request.metadata())
        .ok_or_else(|| Status::invalid_argument("a session needs the header x-docker-expose-session-uuid"))?;
    let (outgoing, answers) = mpsc::channel(16);
    let metrics = engine.metrics.clone();
    let stream = SessionStream::server(request.into_inner(), outgoing.clone())
        .telling(move |bytes| metrics.session_in.add(bytes));
    let entering = engine.clone();
    tokio::spawn(async move {
        let (session, drive) = match Session::connect(introduction, stream).await {
            Ok(connected) => connected,
            Err(error) => {
                tracing::debug!(%error, "a session did not start");
                return;
            }
        };
        match entering.sessions.enter(session) {
            Some(_entered) => drive.await,
            None => {
                let taken = Status::already_exists("a session of this id is connected already");
                let _ = outgoing.send(Err(taken)).await;
            }
        }
    });
    let metrics = engine.metrics.clone();
    let counted = ReceiverStream::new(answers).inspect(move |answer| {
        metrics.session_out.add(answer.as_ref().map_or(0, |message| message.data.len()));
    });
    Ok(counted.boxed())
}
