//! `oci` and `docker`: an image as a file, or as a layout.

use async_trait::async_trait;

use super::{Context, Exporter, Response, names, response};
use crate::archive::{Variant, normalized_names, write_layout, write_tar};
use crate::error::{Error, Result, blocking};
use crate::image::commit;
use crate::options::ImageOptions;
use crate::source::ExportSource;

pub(super) struct ArchiveExporter {
    pub(super) options: ImageOptions,
    pub(super) variant: Variant,
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
        let names = normalized_names(&names(&self.options, source))?;
        let (store, options, copy) = (context.store.clone(), self.options.clone(), source.clone());
        let image = blocking(move || commit(&store, &copy, &options)).await?;
        let mut response = response(&image)?;
        if !names.is_empty() {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            response.metadata.insert("image.name".to_owned(), names.join(","));
        }
        let (store, variant) = (context.store.clone(), self.variant);
        if self.options.tar {
            let file = context.outputs.file(&response.metadata).await;
            let mut file = file.map_err(Error::output("open the client's file"))?;
            blocking(move || {
                write_tar(&store, &image, &names, variant, &mut *file)?;
                file.finish().map_err(Error::output("send the archive"))
            })
            .await?;
        } else {
            let sink = context.outputs.layout().await.map_err(Error::output("open the client's layout"))?;
            blocking(move || write_layout(&store, &image, &names, sink)).await?;
        }
        Ok(response)
    }
}
