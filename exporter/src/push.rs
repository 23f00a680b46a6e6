//! An image to a registry: layers and configs in parallel, then manifests, then the index.

use std::io::{self, SeekFrom};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use slipway_model::{BlobDigest, Descriptor, Reference};
use slipway_registry::{BlobReader, BlobSource, Client, HostConfig};
use slipway_store::Store;
use tokio::io::AsyncSeekExt as _;

use crate::attestation::Placement;
use crate::error::{Error, Result};
use crate::exporter::Context;
use crate::image::{Committed, StoredJson};

/// How many blobs are asked for at once; the client bounds transfers per host itself.
const AT_ONCE: usize = 8;

/// How to push.
#[derive(Clone, Copy, Debug, Default)]
pub struct PushOptions {
    /// Under no tag.
    pub by_digest: bool,
    /// Plain HTTP or any certificate will do.
    pub insecure: bool,
}

/// Pushes `image` under `name`.
pub(crate) async fn push(
    context: &Context,
    image: &Committed,
    name: &str,
    options: PushOptions,
) -> Result<()> {
    let client = context.registry.as_ref().ok_or_else(|| Error::NoClient(name.to_owned()))?;
    let reference: Reference = name.parse().map_err(|source| Error::Name { name: name.into(), source })?;
    // What the tag or digest in the name says is up to the image.
    let untagged = reference.name().parse::<Reference>();
    let untagged = untagged.map_err(|source| Error::Name { name: name.into(), source })?;
    let target = if options.by_digest { untagged.clone() } else { reference.without_digest().or_latest() };
    let client = match options.insecure {
        true => client.with_host(target.domain(), HostConfig::insecure()),
        false => client.clone(),
    };
    let push = Push { client, store: &context.store, name };
    {
        let _told = context.outputs.begin("pushing layers");
        push.blobs(image, &untagged).await?;
    }
    let shown = target.clone().without_digest();
    let _told = context.outputs.begin(&format!("pushing manifest for {shown}@{}", image.root.digest));
    match &image.index {
        None => {
            push.manifest(&target, &image.images[0].manifest).await?;
            push.attestations(image, &untagged).await
        }
        Some(index) => {
            for image in &image.images {
                push.manifest(&untagged, &image.manifest).await?;
            }
            push.attestations(image, &untagged).await?;
            push.manifest(&target, index).await
        }
    }
}

struct Push<'a> {
    client: Client,
    store: &'a Store,
    name: &'a str,
}

impl Push<'_> {
    async fn blobs(&self, image: &Committed, target: &Reference) -> Result<()> {
        let mut seen = std::collections::BTreeSet::new();
        let mut jobs: Vec<(Descriptor, Arc<dyn BlobSource>, Vec<String>)> = Vec::new();
        for image in &image.images {
            let from = image.base_names.iter().filter(|base| base.domain() == target.domain());
            let from: Vec<String> = from.map(|base| base.path().to_owned()).collect();
            // What is to be had elsewhere is not for this registry to keep.
            let own = image.layers.iter().filter(|layer| layer.urls.is_empty());
            for layer in own.filter(|layer| seen.insert(layer.digest)) {
                let source = StoreBlob { store: self.store.clone(), digest: layer.digest };
                jobs.push((layer.clone(), Arc::new(source), from.clone()));
            }
            if seen.insert(image.config.descriptor.digest) {
                let source: Bytes = image.config.bytes.clone();
                jobs.push((image.config.descriptor.clone(), Arc::new(source), Vec::new()));
            }
        }
        for stored in image.attestations.iter().flat_map(|it| it.statements.iter().chain([&it.config])) {
            if seen.insert(stored.descriptor.digest) {
                jobs.push((stored.descriptor.clone(), Arc::new(stored.bytes.clone()), Vec::new()));
            }
        }
        let mut pushes = Vec::new();
        for (descriptor, source, from) in jobs {
            pushes.push(self.blob(target, descriptor, source, from).boxed());
        }
        stream::iter(pushes).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn blob(
        &self,
        target: &Reference,
        descriptor: Descriptor,
        source: Arc<dyn BlobSource>,
        from: Vec<String>,
    ) -> Result<()> {
        let pushed = self.client.push_blob(target, &descriptor, source, &from, None).await;
        pushed.map(drop).map_err(|error| self.failed(error))
    }

    async fn manifest(&self, target: &Reference, manifest: &StoredJson) -> Result<()> {
        let media_type = &manifest.descriptor.media_type;
        let pushed = self.client.push_manifest(target, media_type, manifest.bytes.clone()).await;
        pushed.map(drop).map_err(|error| self.failed(error))
    }

    async fn attestations(&self, image: &Committed, target: &Reference) -> Result<()> {
        for attestations in &image.attestations {
            match attestations.subject.filter(|_| image.placement == Placement::Referrers) {
                None => self.manifest(target, &attestations.manifest).await?,
                Some(subject) => {
                    let bytes = attestations.manifest.bytes.clone();
                    let pushed = self.client.push_referrer(target, subject, &attestations.descriptor, bytes);
                    pushed.await.map_err(|error| self.failed(error))?;
                }
            }
        }
        Ok(())
    }

    fn failed(&self, error: slipway_registry::Error) -> Error {
        Error::Push { name: self.name.to_owned(), source: Box::new(error) }
    }
}

/// A blob read from the store when the registry turns out not to have it.
pub struct StoreBlob {
    pub store: Store,
    pub digest: BlobDigest,
}

#[async_trait]
impl BlobSource for StoreBlob {
    async fn open(&self, offset: u64) -> io::Result<BlobReader> {
        let (store, digest) = (self.store.clone(), self.digest);
        let opened = tokio::task::spawn_blocking(move || store.blobs().open(&digest)).await;
        let file = opened.map_err(io::Error::other)?.map_err(io::Error::other)?;
        let file = file.ok_or_else(|| io::Error::other(Error::MissingBlob(Box::new(digest))))?;
        let mut file = tokio::fs::File::from_std(file);
        file.seek(SeekFrom::Start(offset)).await?;
        Ok(Box::pin(file))
    }
}
