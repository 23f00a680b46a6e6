//! `local` and `tar`: the files themselves.
//!
//! Several platforms go to a folder each (`linux_amd64`), unless that is switched off; then no two may
//! bring the same file.

use std::collections::HashMap;
use std::io::Write;

use async_trait::async_trait;
use slipway_store::layer::tar::{Kind, Writer};

use super::{Context, Exporter, Response};
use crate::error::{Error, Result, blocking};
use crate::files::Files;
use crate::image::source_epoch;
use crate::options::TreeOptions;
use crate::source::ExportSource;

pub(super) struct LocalExporter {
    pub(super) options: TreeOptions,
}

pub(super) struct TarExporter {
    pub(super) options: TreeOptions,
}

#[async_trait]
impl Exporter for LocalExporter {
    fn title(&self) -> &'static str {
        "exporting to client directory"
    }

    async fn export(&self, source: &ExportSource, context: &Context) -> Result<Response> {
        let split = self.options.platform_split.unwrap_or(source.multi_platform);
        if split {
            let (options, copy) = (self.options.clone(), source.clone());
            let files = blocking(move || together(&copy, &options)).await?;
            context.outputs.folder(files).await.map_err(Error::output("send the files"))?;
            return Ok(Response::default());
        }
        if source.images.len() > 1 {
            let copy = source.clone();
            blocking(move || refuse_overlaps(&copy)).await?;
        }
        for image in &source.images {
            let Some(reference) = image.reference.clone() else { continue };
            let epoch = epoch(source, &image.id, &self.options)?;
            let files = blocking(move || Files::of(&reference, epoch)).await?;
            context.outputs.folder(files).await.map_err(Error::output("send the files"))?;
        }
        if source.images.iter().all(|image| image.reference.is_none()) {
            // The client waits for a sender, even of nothing.
            context.outputs.folder(Files::default()).await.map_err(Error::output("send the files"))?;
        }
        Ok(Response::default())
    }
}

#[async_trait]
impl Exporter for TarExporter {
    fn title(&self) -> &'static str {
        "exporting to client tarball"
    }

    async fn export(&self, source: &ExportSource, context: &Context) -> Result<Response> {
        let file = context.outputs.file(&Default::default()).await;
        let mut file = file.map_err(Error::output("open the client's file"))?;
        let (options, source) = (self.options.clone(), source.clone());
        blocking(move || {
            let options = TreeOptions {
                platform_split: options.platform_split.or(Some(source.multi_platform)),
                ..options
            };
            write_tar(together(&source, &options)?, &mut *file)?;
            file.finish().map_err(Error::output("send the archive"))
        })
        .await?;
        Ok(Response::default())
    }
}

/// All trees, each in its folder if they are split.
fn together(source: &ExportSource, options: &TreeOptions) -> Result<Files> {
    let split = options.platform_split.unwrap_or(source.multi_platform);
    if !split && source.images.len() > 1 {
        refuse_overlaps(source)?;
    }
    let mut images: Vec<_> = source.images.iter().map(|image| (image.id.replace('/', "_"), image)).collect();
    images.sort_by(|a, b| a.0.cmp(&b.0));
    let mut files = Files::default();
    for (folder, image) in images {
        let Some(reference) = &image.reference else { continue };
        let epoch = epoch(source, &image.id, options)?;
        files.add(reference, if split { &folder } else { "" }, epoch)?;
    }
    Ok(files)
}

fn epoch(source: &ExportSource, id: &str, options: &TreeOptions) -> Result<Option<i64>> {
    match options.epoch {
        Some(epoch) => Ok(epoch),
        None => source_epoch(source, id),
    }
}

fn refuse_overlaps(source: &ExportSource) -> Result<()> {
    let mut seen: HashMap<Vec<u8>, &str> = HashMap::new();
    for image in &source.images {
        let Some(reference) = &image.reference else { continue };
        for file in Files::of(reference, None)? {
            let entry = file?.entry;
            if entry.kind == Kind::Directory {
                continue;
            }
            if let Some(first) = seen.get(&entry.name) {
                let (path, first, second) = (entry.display(), (*first).to_owned(), image.id.clone());
                return Err(Error::Overlapping { path, first, second });
            }
            seen.insert(entry.name, &image.id);
        }
    }
    Ok(())
}

fn write_tar(files: Files, out: &mut dyn Write) -> Result<()> {
    let mut writer = Writer::new(std::io::BufWriter::with_capacity(256 << 10, out));
    for file in files {
        let mut file = file?;
        match file.entry.kind {
            Kind::Directory => {
                file.entry.name.push(b'/');
                writer.header(&file.entry)?;
            }
            Kind::File => {
                let mut content = file.open()?;
                writer.append(&file.entry, &mut content)?;
            }
            _ => writer.header(&file.entry)?,
        }
    }
    writer.finish()?.flush().map_err(Error::output("write the archive"))
}
