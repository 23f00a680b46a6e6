//! `oci` and `docker`: an image as a file, or as a layout.

use async_trait::async_trait;
use time::OffsetDateTime;

use super::{Context, Exporter, Response, response};
use crate::archive::{Variant, normalized_names, write_layout, write_tar};
use crate::error::{Error, Result, blocking};
use crate::image::{commit, date, source_epoch};
use crate::options::ImageOptions;
use crate::source::ExportSource;

pub(super) struct ArchiveExporter {
    pub(super) options: ImageOptions,
    pub(super) variant: Variant,
}

const CREATED: &str = "org.opencontainers.image.created";

/// What the archive's index says, if anybody cares for times.
fn created(source: &ExportSource, options: &ImageOptions) -> Result<Option<String>> {
    let id = source.images.first().map_or("", |image| &image.id);
    Ok(match options.epoch {
        Some(None) => Some(date(OffsetDateTime::now_utc().unix_timestamp())),
        Some(epoch) => epoch.map(date),
        None => source_epoch(source, id)?.map(date),
    })
}

#[async_trait]
impl Exporter for ArchiveExporter {
    fn title(&self) -> &'static str {
        match self.variant {
            Variant::Oci => "exporting to oci image format",
            Variant::Docker => "exporting to docker image format",
        }
    }

    async fn export(&self, source: &ExportSource, context: &Context) -> Result<Response> {
        if self.variant == Variant::Docker && source.multi_platform {
            return Err(Error::DockerIndex);
        }
        let names = normalized_names(&self.options.names(source))?;
        let (store, options, copy) = (context.store.clone(), self.options.clone(), source.clone());
        let mut image = blocking(move || commit(&store, &copy, &options)).await?;
        if let Some(created) = created(source, &self.options)? {
            image.root.annotations.entry(CREATED.to_owned()).or_insert(created);
        }
        let mut response = response(&image)?;
        if !names.is_empty() {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            response.metadata.insert("image.name".to_owned(), names.join(","));
        }
        let (store, variant) = (context.store.clone(), self.variant);
        if self.options.tar {
            let file = context.outputs.file(&response.metadata).await;
            let mut file = file.map_err(Error::output("open the client's file"))?;
            let written = blocking(move || {
                write_tar(&store, &image, &names, variant, &mut *file)?;
                file.finish().map_err(Error::output("send the archive"))
            });
            match written.await {
                // A client that has the image takes no second one.
                Err(error) if error.is_there_already() => {}
                other => other?,
            }
        } else {
            let sink = context.outputs.layout().await.map_err(Error::output("open the client's layout"))?;
            blocking(move || write_layout(&store, &image, &names, sink)).await?;
        }
        Ok(response)
    }
}
