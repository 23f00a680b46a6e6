//! Session, Status and Solve, side by side, until the build ends or the user has had enough.
//!
//! The first Ctrl-C drops the Solve call, which cancels the build in the daemon; then we wait, a moment
//! at most, for the end of the progress. The second one ends the program at once.

use std::time::Duration;

use slipway_proto::control::control_client::ControlClient;
use slipway_proto::control::{SolveRequest, SolveResponse, StatusRequest, StatusResponse};
use slipway_proto::explain::explain_client::ExplainClient;
use slipway_proto::explain::{Step, WatchRequest};
use slipway_session::LARGEST_MESSAGE;
use slipway_session::caller::HAS_LOCK;
use slipway_session::provider::Provider;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;

use crate::error::Failure;
use crate::progress::Progress;

/// How long a cancelled build's last words are waited for.
const LAST_WORDS: Duration = Duration::from_millis(800);

pub async fn run(
    channel: Channel,
    provider: Provider,
    request: SolveRequest,
    progress: Progress,
) -> Result<SolveResponse, Failure> {
    let mut interrupts = Interrupts::new()?;
    let mut request = tonic::Request::new(request);
    if provider.lock.is_some() {
        request.metadata_mut().insert(HAS_LOCK, AsciiMetadataValue::from_static("yes"));
    }
    let id = request.get_ref().r#ref.clone();
    let session = tokio::spawn(provider.attach(channel.clone()).await?);
    let explained = Explained::of(channel.clone(), &id, &progress);
    let mut control = ControlClient::new(channel)
        .max_decoding_message_size(LARGEST_MESSAGE)
        .max_encoding_message_size(LARGEST_MESSAGE);
    let watching = tokio::spawn(watch(control.clone(), id, progress, explained));

    let outcome = tokio::select! {
        outcome = control.solve(request) => Some(outcome),
        () = interrupts.next() => None,
    };
    let Some(outcome) = outcome else {
        tokio::select! {
            watched = tokio::time::timeout(LAST_WORDS, watching) => {
                if let Ok(Ok(progress)) = watched {
                    progress.finish(true);
                }
            }
            () = interrupts.next() => {}
        }
        return Err(Failure::interrupted());
    };
    // The progress ends by itself with the build; what it shows must be complete before the outcome.
    let progress = tokio::select! {
        progress = watching => progress.ok(),
        () = interrupts.next() => return Err(Failure::interrupted()),
    };
    session.abort();
    match outcome {
        Ok(response) => {
            if let Some(progress) = progress {
                progress.finish(true);
            }
            Ok(response.into_inner())
        }
        Err(status) => {
            if let Some(progress) = progress {
                progress.finish(false);
            }
            Err(status.into())
        }
    }
}

async fn watch(
    mut control: ControlClient<Channel>,
    id: String,
    mut progress: Progress,
    explained: Explained,
) -> Progress {
    if let Ok(stream) = control.status(StatusRequest { r#ref: id }).await {
        // What is missing from the progress at the end of a broken connection is in the error of Solve.
        let _ = show(stream.into_inner(), explained, &mut progress).await;
    }
    progress
}

/// Shows what comes until no more does.
pub async fn follow(
    stream: tonic::Streaming<StatusResponse>,
    progress: &mut Progress,
) -> Result<(), tonic::Status> {
    show(stream, Explained(None), progress).await
}

async fn show(
    mut stream: tonic::Streaming<StatusResponse>,
    mut explained: Explained,
    progress: &mut Progress,
) -> Result<(), tonic::Status> {
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            message = stream.message() => match message? {
                Some(message) => progress.update(message),
                None => break,
            },
            Some(step) = explained.next() => progress.explain(step),
            _ = tick.tick() => progress.tick(),
        }
    }
    // Both end with the build; this one holds nothing up if the daemon does not know it.
    while let Ok(Some(step)) = tokio::time::timeout(LAST_WORDS, explained.next()).await {
        progress.explain(step);
    }
    Ok(())
}

/// Why steps run, as the daemon finds out; nothing from a daemon that is not ours.
struct Explained(Option<tokio::sync::mpsc::Receiver<Step>>);

impl Explained {
    fn of(channel: Channel, id: &str, progress: &Progress) -> Self {
        if !progress.explains() {
            return Self(None);
        }
        let (sender, receiver) = tokio::sync::mpsc::channel(64);
        let request = WatchRequest { build: id.to_owned() };
        tokio::spawn(async move {
            let mut client = ExplainClient::new(channel).max_decoding_message_size(LARGEST_MESSAGE);
            let Ok(stream) = client.watch(request).await else { return };
            let mut stream = stream.into_inner();
            while let Ok(Some(step)) = stream.message().await {
                if sender.send(step).await.is_err() {
                    return;
                }
            }
        });
        Self(Some(receiver))
    }

    async fn next(&mut self) -> Option<Step> {
        self.0.as_mut()?.recv().await
    }
}

/// Ctrl-C and a request to terminate.
struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    fn new() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::new(format!("cannot listen for signals: {error}")));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
