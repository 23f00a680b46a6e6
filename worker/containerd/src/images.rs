//! Images by name, as all of containerd's clients see them.
//!
//! A name is a pointer to an index or a manifest. What that consists of is told to the garbage collector by labels of
//! the blobs: each names those it refers to. So an image stays, with all its blobs, for as long as it has a name, also
//! when our lease has long let go of them.
//!
//! | blob | labels |
//! |---|---|
//! | index | `containerd.io/gc.ref.content.m.<n>` for each manifest |
//! | manifest | `…content.config`, `…content.l.<n>` for each layer |
//! | config of an unpacked image | `containerd.io/gc.ref.snapshot.<snapshotter>` |
//!
//! Unpacking is for others: a container of theirs starts from snapshots named by chain ids. Ours have names of our own,
//! so containerd unpacks the layers by its own means; those that are there already are shared.

use std::collections::BTreeMap;

use prost_types::{FieldMask, Timestamp};
use serde_json::Value;
use slipway_model::{BlobDigest, ChainId, Descriptor, DiffId};
use slipway_proto::containerd::diff::ApplyRequest;
use slipway_proto::containerd::diff::diff_client::DiffClient;
use slipway_proto::containerd::images::images_client::ImagesClient;
use slipway_proto::containerd::images::{
    CreateImageRequest, DeleteImageRequest, GetImageRequest, Image, UpdateImageRequest,
};
use slipway_proto::containerd::snapshots::snapshots_client::SnapshotsClient;
use slipway_proto::containerd::snapshots::{
    CommitSnapshotRequest, PrepareSnapshotRequest, StatSnapshotRequest,
};
use slipway_proto::containerd::types;
use slipway_proto::content::content_client::ContentClient;
use slipway_proto::content::{Info, UpdateRequest};
use tonic::transport::Channel;

use crate::client::{LARGEST_MESSAGE, Leased};
use crate::lease;
use crate::{Client, Error, Result};

const REFERENCE: &str = "containerd.io/gc.ref.content";

/// containerd's images in our namespace.
#[derive(Clone)]
pub struct ImageStore {
    client: Client,
}

/// What a name is to mean.
pub struct NamedImage<'a> {
    /// An index or a manifest.
    pub root: &'a Descriptor,
    /// The index, if there is one, and all manifests: digests and bytes.
    pub described_by: Vec<(BlobDigest, Vec<u8>)>,
}

impl ImageStore {
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    fn images(&self) -> ImagesClient<Channel> {
        ImagesClient::new(self.client.channel()).max_decoding_message_size(LARGEST_MESSAGE)
    }

    /// What a name means; `None` if nothing has it.
    pub fn get(&self, name: &str) -> Result<Option<Descriptor>> {
        let (mut images, request) =
            (self.images(), self.client.request(GetImageRequest { name: name.to_owned() }, Leased::No));
        let found = self.client.call(format!("find image {name}"), async move { images.get(request).await });
        let image = match found {
            Err(error) if error.is_not_found() => return Ok(None),
            found => found?.image,
        };
        let target = image.and_then(|image| image.target).ok_or(Error::Incomplete { what: "an image" })?;
        let digest =
            target.digest.parse().map_err(|_| Error::Incomplete { what: "the digest of an image" })?;
        let size = u64::try_from(target.size).unwrap_or(0);
        Ok(Some(Descriptor::new(target.media_type, digest, size)))
    }

    /// Gives an image, whose blobs are here, its name; the image that had it is nameless then.
    pub fn set(&self, name: &str, image: &NamedImage<'_>) -> Result<()> {
        for (digest, bytes) in &image.described_by {
            let labels = references(bytes);
            if !labels.is_empty() {
                self.label(digest, labels)?;
            }
        }
        let target = types::Descriptor {
            media_type: image.root.media_type.clone(),
            digest: image.root.digest.to_string(),
            size: i64::try_from(image.root.size).unwrap_or(0),
            ..Default::default()
        };
        let record = Image { name: name.to_owned(), target: Some(target), ..Default::default() };
        match self.update(record.clone()) {
            Err(error) if error.is_not_found() => self.create(record),
            updated => updated,
        }
    }

    /// Takes a name away; fine if nothing has it.
    pub fn remove(&self, name: &str) -> Result<()> {
        let message = DeleteImageRequest { name: name.to_owned(), sync: false };
        let (mut images, request) = (self.images(), self.client.request(message, Leased::No));
        let removed =
            self.client.call(format!("remove image {name}"), async move { images.delete(request).await });
        self.client.note_garbage();
        match removed {
            Err(error) if error.is_not_found() => Ok(()),
            removed => removed,
        }
    }

    fn create(&self, image: Image) -> Result<()> {
        let action = format!("name image {}", image.name);
        let now = Some(now());
        let image = Some(Image { created_at: now, updated_at: now, ..image });
        let (mut images, request) =
            (self.images(), self.client.request(CreateImageRequest { image }, Leased::No));
        self.client.call(action, async move { images.create(request).await }).map(drop)
    }

    fn update(&self, image: Image) -> Result<()> {
        let action = format!("name image {}", image.name);
        let update_mask = Some(FieldMask { paths: vec!["target".into()] });
        let message = UpdateImageRequest { image: Some(image), update_mask };
        let (mut images, request) = (self.images(), self.client.request(message, Leased::No));
        self.client.call(action, async move { images.update(request).await }).map(drop)
    }

    /// Adds labels to a blob.
    fn label(&self, digest: &BlobDigest, labels: BTreeMap<String, String>) -> Result<()> {
        let paths = labels.keys().map(|label| format!("labels.{label}")).collect();
        let info = Info { digest: digest.to_string(), labels, ..Default::default() };
        let message = UpdateRequest { info: Some(info), update_mask: Some(FieldMask { paths }) };
        let mut content = ContentClient::new(self.client.channel());
        let request = self.client.request(message, Leased::No);
        self.client.call(format!("label {digest}"), async move { content.update(request).await }).map(drop)
    }

    /// Makes the snapshots from which other clients start containers, where they are missing. `layers` from the bottom
    /// up; `config` keeps them from then on. Blocks as long as unpacking takes.
    pub fn unpack(
        &self,
        snapshotter: &str,
        config: &BlobDigest,
        layers: &[(Descriptor, DiffId)],
    ) -> Result<()> {
        let mut below: Option<ChainId> = None;
        let mut made = Vec::new();
        for (layer, diff_id) in layers {
            let chain = match below {
                None => ChainId(diff_id.0),
                Some(below) => below.with(*diff_id),
            };
            self.unpack_one(snapshotter, layer, below, chain)?;
            made.push(chain.to_string());
            below = Some(chain);
        }
        let Some(top) = below else { return Ok(()) };
        let label = format!("containerd.io/gc.ref.snapshot.{snapshotter}");
        self.label(config, [(label, top.to_string())].into())?;
        // From here on the image keeps them.
        let kind = lease::snapshots_of(snapshotter);
        made.iter().try_for_each(|chain| lease::let_go(&self.client, chain, &kind))
    }

    fn unpack_one(
        &self,
        snapshotter: &str,
        layer: &Descriptor,
        below: Option<ChainId>,
        chain: ChainId,
    ) -> Result<()> {
        let (channel, client) = (self.client.channel(), &self.client);
        let (name, key) = (chain.to_string(), format!("{}-{chain}", client.lease()));
        let snapshotter = snapshotter.to_owned();
        let stat = StatSnapshotRequest { snapshotter: snapshotter.clone(), key: name.clone() };
        let prepare = PrepareSnapshotRequest {
            snapshotter: snapshotter.clone(),
            key: key.clone(),
            parent: below.map(|below| below.to_string()).unwrap_or_default(),
            ..Default::default()
        };
        let commit = CommitSnapshotRequest { snapshotter, name, key, ..Default::default() };
        let diff = types::Descriptor {
            media_type: layer.media_type.clone(),
            digest: layer.digest.to_string(),
            size: i64::try_from(layer.size).unwrap_or(0),
            ..Default::default()
        };
        let stat = client.request(stat, Leased::No);
        let (prepare, commit) = (client.request(prepare, Leased::Yes), client.request(commit, Leased::Yes));
        let apply = |mounts| ApplyRequest { diff: Some(diff), mounts };
        let requests = client.clone();
        let unpacked = client.wait(async move {
            let mut snapshots = SnapshotsClient::new(channel.clone());
            match snapshots.stat(stat).await {
                Ok(_) => return Ok(()),
                Err(status) if status.code() == tonic::Code::NotFound => {}
                Err(status) => return Err(status),
            }
            let prepared = snapshots.prepare(prepare).await?.into_inner();
            let apply = requests.request(apply(prepared.mounts), Leased::Yes);
            DiffClient::new(channel).apply(apply).await?;
            match snapshots.commit(commit).await {
                // Somebody else was quicker.
                Err(status) if status.code() == tonic::Code::AlreadyExists => Ok(()),
                committed => committed.map(drop),
            }
        })?;
        unpacked.map_err(Error::refused(format!("unpack layer {}", layer.digest)))
    }
}

/// What an index or a manifest refers to, as labels for the garbage collector.
fn references(bytes: &[u8]) -> BTreeMap<String, String> {
    let Ok(document) = serde_json::from_slice::<Value>(bytes) else { return BTreeMap::new() };
    let digest = |value: &Value| value.get("digest").and_then(Value::as_str).map(str::to_owned);
    let each = |list: &str, short: &str| {
        let entries = document.get(list).and_then(Value::as_array).cloned().unwrap_or_default();
        let named = entries
            .iter()
            .enumerate()
            .filter_map(|(number, entry)| Some((format!("{REFERENCE}.{short}.{number}"), digest(entry)?)));
        named.collect::<Vec<_>>()
    };
    let config =
        document.get("config").and_then(digest).map(|config| (format!("{REFERENCE}.config"), config));
    each("manifests", "m").into_iter().chain(each("layers", "l")).chain(config).collect()
}

fn now() -> Timestamp {
    Timestamp::from(std::time::SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_a_document_refers_to_is_labelled() {
        let manifest =
            br#"{"config":{"digest":"sha256:c"},"layers":[{"digest":"sha256:0"},{"digest":"sha256:1"}]}"#;
        let labels = references(manifest);
        assert_eq!(labels["containerd.io/gc.ref.content.config"], "sha256:c");
        assert_eq!(labels["containerd.io/gc.ref.content.l.1"], "sha256:1");
        assert_eq!(labels.len(), 3);
        let index = br#"{"manifests":[{"digest":"sha256:m"}]}"#;
        assert_eq!(references(index)["containerd.io/gc.ref.content.m.0"], "sha256:m");
        assert!(references(b"no json").is_empty());
    }
}
