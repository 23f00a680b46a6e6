//! Options of `image`, `oci` and `docker`.

use slipway_model::media_type::Compression;
use slipway_store::layer::compress::CompressOptions;

use super::{Annotations, OptionMap, Untaken, invalid};
use crate::attestation::{Attestation, Placement};
use crate::error::{Error, Result};
use crate::source::{COMPATIBILITY, ExportSource, PlatformImage};

/// The compatibility version since which images may have it.
const FIRST_WITH_ZSTD: i64 = 20;

/// How an image is written, wherever it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageOptions {
    /// Separated by commas; `*` means the name that the frontend found.
    pub name: String,
    pub compress: CompressOptions,
    pub force_compression: bool,
    /// `None`: what the compatibility version of the build has.
    pub oci_media_types: Option<bool>,
    /// Attestations are artifacts rather than images; `None` as above.
    pub oci_artifact: Option<bool>,
    /// `oci`: of OCI's types whatever the compatibility version.
    pub always_oci: bool,
    pub keep_nondistributable: bool,
    pub placement: Placement,
    /// Also attestations that nobody asked for in particular.
    pub attestation_inline: bool,
    pub annotations: Annotations,
    /// Outer `None`: what the build says.
    pub epoch: Option<Option<i64>>,
    pub rewrite_timestamp: bool,
    /// Rather than what the frontend says.
    pub configs: Configs,
    /// `oci` and `docker`: one tar stream rather than a layout.
    pub tar: bool,
}

/// Image configs that the client gives (`containerimage.config[/PLATFORM]`, and `containerimage.base.config`), by
/// option.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configs(OptionMap);

impl Configs {
    /// The config of `image`; empty for a default one.
    pub(crate) fn of<'a>(&'a self, image: &'a PlatformImage) -> &'a [u8] {
        self.find(CONFIG, &image.id).unwrap_or(&image.config)
    }

    pub(crate) fn of_base<'a>(&'a self, image: &'a PlatformImage) -> &'a [u8] {
        self.find(BASE_CONFIG, &image.id).unwrap_or(&image.base_config)
    }

    fn find(&self, option: &str, platform: &str) -> Option<&[u8]> {
        let own = self.0.get(&format!("{option}/{platform}"));
        own.or_else(|| self.0.get(option)).map(String::as_bytes)
    }
}

const CONFIG: &str = "containerimage.config";
const BASE_CONFIG: &str = "containerimage.base.config";

/// How the parts of an image are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forms {
    /// OCI's media types rather than Docker's.
    pub oci: bool,
    /// Attestations are artifacts rather than images.
    pub artifact: bool,
}

/// Where `image` puts an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageStoreOptions {
    pub push: bool,
    pub push_by_digest: bool,
    pub insecure: bool,
    pub unpack: bool,
    pub store: bool,
    pub name_canonical: bool,
    pub dangling_prefix: String,
    pub dangling_empty_only: bool,
}

impl ImageOptions {
    /// For `oci` and `docker`.
    pub fn parse_archive(exporter: &'static str, map: &OptionMap) -> Result<Self> {
        let mut options = Untaken::new(exporter, map);
        let mut image = Self::take(&mut options, false)?;
        image.always_oci = exporter == "oci";
        image.tar = options.take_bool("tar")?.unwrap_or(true);
        options.ignore("dest"); // The client's own business.
        options.finish()?;
        Ok(image)
    }

    /// For `image`.
    pub fn parse(map: &OptionMap) -> Result<(Self, ImageStoreOptions)> {
        let mut options = Untaken::new("image", map);
        let image = Self::take(&mut options, true)?;
        let store = ImageStoreOptions {
            push: options.take_bool("push")?.unwrap_or(false),
            push_by_digest: options.take_bool("push-by-digest")?.unwrap_or(false),
            insecure: options.take_bool("registry.insecure")?.unwrap_or(false),
            unpack: options.take_bool("unpack")?.unwrap_or(false),
            store: options.take_bool("store")?.unwrap_or(true),
            name_canonical: options.take_bool("name-canonical")?.unwrap_or(false),
            dangling_prefix: options.take("dangling-name-prefix").unwrap_or_default(),
            // The reference's spelling, and the one that was meant.
            dangling_empty_only: options.take_bool("danging-name-empty-only")?.unwrap_or(false)
                | options.take_bool("dangling-name-empty-only")?.unwrap_or(false),
        };
        // What is stored here is complete, whoever would put up with less.
        options.take_bool("unsafe-internal-store-allow-incomplete")?;
        options.finish()?;
        if image.rewrite_timestamp && store.unpack {
            return Err(Error::RewriteAndUnpack);
        }
        if store.push && image.name.is_empty() && store.dangling_prefix.is_empty() {
            return Err(Error::PushWithoutName);
        }
        Ok((image, store))
    }

    /// The names the image gets: what the client wrote, or for `*` what the frontend found.
    pub fn names(&self, source: &ExportSource) -> String {
        match source.metadata.get("image.name") {
            Some(found) if self.name == "*" => String::from_utf8_lossy(found).into_owned(),
            _ => self.name.clone(),
        }
    }

    /// Which of the two families of media types, and which form of attestations, this export has.
    pub fn forms(&self, source: &ExportSource) -> Result<Forms> {
        let attested = source.images.iter().any(|image| !image.attestations.is_empty());
        let current = source.compatibility >= COMPATIBILITY;
        let oci = self.oci_media_types.unwrap_or(current || attested || self.always_oci);
        if source.compatibility < FIRST_WITH_ZSTD && self.compress.compression == Compression::Zstd {
            return Err(Error::CompressionOfVersion { compression: "zstd", version: source.compatibility });
        }
        let referrers = self.placement == Placement::Referrers;
        let artifact = self.oci_artifact.unwrap_or((current || referrers) && oci);
        if self.compress.seekable && !oci {
            return Err(Error::CompressionNeedsOci("estargz"));
        }
        if artifact && !oci {
            return Err(Error::ArtifactNeedsOci);
        }
        Ok(Forms { oci, artifact })
    }

    /// What is said about `image` and goes along with it.
    pub fn attached<'a>(&self, image: &'a PlatformImage, forms: Forms) -> Result<Vec<&'a Attestation>> {
        if self.placement == Placement::None {
            return Ok(Vec::new());
        }
        let wanted = |one: &&Attestation| !one.inline_only || self.attestation_inline && forms.oci;
        let attached: Vec<_> = image.attestations.iter().filter(wanted).collect();
        // Those that nobody asked for in particular are left out instead.
        if !forms.oci && !attached.is_empty() {
            return Err(Error::AttestationsNeedOci);
        }
        Ok(attached)
    }

    fn take(options: &mut Untaken, inline: bool) -> Result<Self> {
        let compress = options.take_compression()?;
        let placement = match options.take("attestations").as_deref() {
            None | Some("index") => Placement::Index,
            Some("referrers") => Placement::Referrers,
            Some("none") => Placement::None,
            Some(other) => return Err(invalid("attestations", other, "use index, referrers or none")),
        };
        let mut annotations = Annotations::default();
        let found = options.take_all(|option, value| {
            let is_one = Annotations::default().add(option, value)?;
            Ok(is_one.then(|| (option.to_owned(), value.to_owned())))
        })?;
        for (option, value) in found {
            annotations.add(&option, &value)?;
        }
        let configs = options.take_all(|option, value| {
            let is_one = [CONFIG, BASE_CONFIG].iter().any(|name| {
                option.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            });
            Ok(is_one.then(|| (option.to_owned(), value.to_owned())))
        })?;
        let options = Self {
            name: options.take("name").unwrap_or_default(),
            compress,
            force_compression: options.take_bool("force-compression")?.unwrap_or(false),
            oci_media_types: options.take_bool("oci-mediatypes")?,
            oci_artifact: options.take_bool("oci-artifact")?,
            always_oci: false,
            placement,
            attestation_inline: options.take_bool("attestation-inline")?.unwrap_or(inline),
            keep_nondistributable: options.take_bool("prefer-nondist-layers")?.unwrap_or(false),
            annotations,
            epoch: options.take_epoch()?,
            rewrite_timestamp: options.take_bool("rewrite-timestamp")?.unwrap_or(false),
            configs: Configs(configs.into_iter().collect()),
            tar: true,
        };
        options.check()?;
        Ok(options)
    }

    fn check(&self) -> Result<()> {
        if self.placement == Placement::Referrers && self.oci_artifact == Some(false) {
            return Err(Error::ReferrersNeedArtifacts);
        }
        if self.oci_media_types != Some(false) {
            return Ok(());
        }
        if self.oci_artifact == Some(true) {
            return Err(Error::ArtifactNeedsOci);
        }
        if self.compress.seekable {
            return Err(Error::CompressionNeedsOci("estargz"));
        }
        if self.annotations.need_oci() { Err(Error::AnnotationsNeedOci) } else { Ok(()) }
    }
}
