//! Names that others take away, as they do.
//!
//! An image that has lost its name there is to have lost it here, too: else its layers would be told as shared, and
//! stay. containerd publishes what happens; what happened while nobody listened is found out by looking, each time the
//! stream of events begins.

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use slipway_proto::containerd::events::events_client::EventsClient;
use slipway_proto::containerd::events::{Envelope, ImageDelete, SubscribeRequest};
use slipway_proto::containerd::images::GetImageRequest;
use slipway_proto::containerd::images::images_client::ImagesClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

use crate::client::Client;

const REMOVED: &str = "/images/delete";
/// Between attempts to listen.
const PAUSE: Duration = Duration::from_secs(2);

/// Who keeps the same names. Blocks.
pub trait Names: Send + Sync {
    fn all(&self) -> Vec<String>;

    /// This one is gone.
    fn removed(&self, name: &str);
}

/// Listens for as long as the client lives.
pub fn watch_images(client: &Client, names: Arc<dyn Names>) {
    // Not the client itself: it would live as long as this does.
    let watch = Watch { channel: client.channel(), namespace: client.namespace_header(), names };
    client.spawn(async move {
        loop {
            if let Err(status) = watch.listen().await {
                tracing::debug!(%status, "containerd's events are not heard");
            }
            tokio::time::sleep(PAUSE).await;
        }
    });
}

struct Watch {
    channel: Channel,
    namespace: MetadataValue<Ascii>,
    names: Arc<dyn Names>,
}

impl Watch {
    /// Until the stream ends.
    async fn listen(&self) -> Result<(), tonic::Status> {
        let filters = vec![format!("topic==\"{REMOVED}\"")];
        let mut events = EventsClient::new(self.channel.clone())
            .subscribe(SubscribeRequest { filters })
            .await?
            .into_inner();
        let names = self.names.clone();
        let known = tokio::task::spawn_blocking(move || names.all()).await.unwrap_or_default();
        for name in known {
            self.look_at(name).await?;
        }
        while let Some(event) = events.message().await? {
            if let Some(name) = self.removed_image(&event) {
                self.look_at(name).await?;
            }
        }
        Ok(())
    }

    fn removed_image(&self, event: &Envelope) -> Option<String> {
        let ours = event.namespace.as_bytes() == self.namespace.as_encoded_bytes() && event.topic == REMOVED;
        let event = event.event.as_ref().filter(|_| ours)?;
        ImageDelete::decode(event.value.as_slice()).ok().map(|deleted| deleted.name)
    }

    /// It may have come back since.
    async fn look_at(&self, name: String) -> Result<(), tonic::Status> {
        let mut request = tonic::Request::new(GetImageRequest { name: name.clone() });
        request.metadata_mut().insert("containerd-namespace", self.namespace.clone());
        match ImagesClient::new(self.channel.clone()).get(request).await {
            Ok(_) => Ok(()),
            Err(status) if status.code() == tonic::Code::NotFound => {
                let names = self.names.clone();
                // A name that cannot be taken away now is looked at when the stream begins again.
                let _ = tokio::task::spawn_blocking(move || names.removed(&name)).await;
                Ok(())
            }
            Err(status) => Err(status),
        }
    }
}
