//! `local` and `tar`: the files themselves, and what is said about them.
//!
//! Several platforms go to a folder each (`linux_amd64`), unless that is switched off; then no two may
//! bring the same file.

use std::collections::{HashMap, HashSet};
use std::io::{Read as _, Write};

use async_trait::async_trait;
use slipway_model::{Digest, Hasher};
use slipway_store::layer::tar::{Kind, Writer};

use super::{Context, Exporter, Response};
use crate::attestation::Attestation;
use crate::attestation::statement::NamedDigests;
use crate::attestation::unbundle::unbundle;
use crate::error::{Error, Result, blocking};
use crate::files::{AddedFile, Files};
use crate::image::{json, source_epoch};
use crate::options::TreeOptions;
use crate::source::{ExportSource, PlatformImage};

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
        let mut options = self.options.clone();
        options.platform_split = Some(options.platform_split.unwrap_or(source.multi_platform));
        let copy = source.clone();
        let transfers = blocking(move || transfers(&copy, &options)).await?;
        let is_all = self.options.deletes;
        for files in transfers {
            context.outputs.folder(files, is_all).await.map_err(Error::output("send the files"))?;
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
        let (mut options, source) = (self.options.clone(), source.clone());
        options.platform_split = Some(options.platform_split.unwrap_or(source.multi_platform));
        blocking(move || {
            write_tar(together(&source, &options)?, &mut *file)?;
            file.finish().map_err(Error::output("send the archive"))
        })
        .await?;
        Ok(Response::default())
    }
}

/// All trees at once where each has its folder, or where the client removes what does not come; else one after
/// the other. There is at least one: the client waits for a sender, even of nothing.
fn transfers(source: &ExportSource, options: &TreeOptions) -> Result<Vec<Files>> {
    let split = options.platform_split == Some(true);
    if split || source.images.len() < 2 {
        return Ok(vec![together(source, options)?]);
    }
    refuse_overlaps(source)?;
    if options.deletes {
        return Err(Error::DeleteOfSeveral);
    }
    source.images.iter().map(|image| one(source, image, options)).collect()
}

fn one(source: &ExportSource, image: &PlatformImage, options: &TreeOptions) -> Result<Files> {
    let mut files = Files::default();
    let added = attestations(source, image, options)?;
    files.add(image.reference.as_ref(), added, "", epoch(source, &image.id, options)?)?;
    Ok(files)
}

/// All trees, each in its folder if they are split.
fn together(source: &ExportSource, options: &TreeOptions) -> Result<Files> {
    let split = options.platform_split == Some(true);
    if !split && source.images.len() > 1 {
        refuse_overlaps(source)?;
    }
    let mut images: Vec<_> = source.images.iter().map(|image| (image.id.replace('/', "_"), image)).collect();
    images.sort_by(|a, b| a.0.cmp(&b.0));
    let mut files = Files::default();
    for (folder, image) in images {
        let added = attestations(source, image, options)?;
        if image.reference.is_none() && added.is_empty() {
            continue;
        }
        let folder = if split { &folder } else { "" };
        files.add(image.reference.as_ref(), added, folder, epoch(source, &image.id, options)?)?;
    }
    Ok(files)
}

/// What is said about one image, as files beside its own.
fn attestations(
    source: &ExportSource,
    image: &PlatformImage,
    options: &TreeOptions,
) -> Result<Vec<AddedFile>> {
    let wanted = |one: &&Attestation| options.attestations && !one.inline_only;
    let wanted: Vec<Attestation> = image.attestations.iter().filter(wanted).cloned().collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let subjects = digests_of_files(image)?;
    // Where platforms share a folder, names tell them apart.
    let platform =
        (source.multi_platform && options.platform_split == Some(false)).then(|| image.id.replace('/', "_"));
    let mut names = HashSet::new();
    let mut added = Vec::new();
    for attestation in unbundle(&wanted)? {
        let name = file_name(&attestation, &options.attestation_prefix, platform.as_deref());
        if !names.insert(name.clone()) {
            return Err(Error::SameAttestation(name));
        }
        let statement = attestation.statement(&[], &subjects)?;
        let bytes = json::indented("a statement", &statement)?.into();
        added.push(AddedFile { name, bytes });
    }
    Ok(added)
}

/// `prefix` and the last part of the path; the platform comes before the extension.
fn file_name(attestation: &Attestation, prefix: &str, platform: Option<&str>) -> String {
    let base = attestation.path.rsplit('/').next().unwrap_or_default();
    let name = format!("{prefix}{base}");
    match (platform, name.rsplit_once('.')) {
        (None, _) => name,
        (Some(platform), Some((stem, extension))) => format!("{stem}.{platform}.{extension}"),
        (Some(platform), None) => format!("{name}.{platform}"),
    }
}

/// Every regular file of an image.
fn digests_of_files(image: &PlatformImage) -> Result<Vec<NamedDigests>> {
    let Some(reference) = &image.reference else { return Ok(Vec::new()) };
    let mut subjects = Vec::new();
    let mut buffer = vec![0; 256 << 10];
    for file in Files::of(reference, None)? {
        let file = file?;
        if !matches!(file.entry.kind, Kind::File | Kind::HardLink) {
            continue;
        }
        let mut content = file.open()?;
        let mut hasher = Hasher::new();
        loop {
            match content.read(&mut buffer).map_err(Error::output("read the tree"))? {
                0 => break,
                length => hasher.update(&buffer[..length]),
            }
        }
        let digest: Digest = hasher.finish();
        subjects.push(NamedDigests::new(String::from_utf8_lossy(&file.entry.name), &[digest]));
    }
    Ok(subjects)
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
