//! `image`: into the store by name, and to registries.

use async_trait::async_trait;

use super::{Context, Exporter, Response, response};
use crate::error::{Error, Result, blocking};
use crate::image::{Committed, commit};
use crate::options::{ImageOptions, ImageStoreOptions};
use crate::push::{PushOptions, push};
use crate::source::ExportSource;

pub(super) struct ImageExporter {
    pub(super) image: ImageOptions,
    pub(super) store: ImageStoreOptions,
}

#[async_trait]
impl Exporter for ImageExporter {
    fn title(&self) -> &'static str {
        "exporting to image"
    }

    async fn export(&self, source: &ExportSource, context: &Context) -> Result<Response> {
        let (store, options) = (context.store.clone(), self.image.clone());
        let copy = source.clone();
        let image = blocking(move || commit(&store, &copy, &options)).await?;
        let (names, canonical) = self.names(source, &image);
        let targets: Vec<&str> = names.split(',').filter(|name| !name.is_empty()).collect();
        self.keep(&targets, canonical, &image, context).await?;
        if self.store.push {
            self.push(&targets, &image, context).await?;
        }
        if let Some(images) = context.images.clone().filter(|_| self.store.unpack) {
            let (image, name) = (image.clone(), targets.first().copied().unwrap_or_default().to_owned());
            blocking(move || images.unpack(&name, &image)).await?;
        }
        let mut response = response(&image)?;
        if !names.is_empty() {
            response.metadata.insert("image.name".to_owned(), names);
        }
        Ok(response)
    }
}

impl ImageExporter {
    /// All names, and whether they get a twin with the digest.
    fn names(&self, source: &ExportSource, image: &Committed) -> (String, bool) {
        let options = &self.store;
        let mut names = self.image.names(source);
        let mut canonical = options.name_canonical;
        if !options.dangling_prefix.is_empty() && (!options.dangling_empty_only || names.is_empty()) {
            let dangling = format!("{}@{}", options.dangling_prefix, image.root.digest);
            if names.is_empty() {
                canonical = false;
            } else {
                names.push(',');
            }
            names.push_str(&dangling);
        }
        (names, canonical)
    }

    async fn keep(
        &self,
        targets: &[&str],
        canonical: bool,
        image: &Committed,
        context: &Context,
    ) -> Result<()> {
        let Some(images) = context.images.clone().filter(|_| self.store.store) else { return Ok(()) };
        let mut wanted = Vec::new();
        for target in targets {
            wanted.push((*target).to_owned());
            if canonical && !target.contains('@') {
                wanted.push(format!("{target}@{}", image.root.digest));
            }
        }
        let image = image.clone();
        blocking(move || wanted.iter().try_for_each(|name| images.set(name, &image))).await
    }

    async fn push(&self, targets: &[&str], image: &Committed, context: &Context) -> Result<()> {
        let options = PushOptions { by_digest: self.store.push_by_digest, insecure: self.store.insecure };
        if targets.is_empty() {
            return Err(Error::PushWithoutName);
        }
        for name in targets {
            push(context, image, name, options).await?;
        }
        Ok(())
    }
}
