//! Options of `image`, `oci` and `docker`.

use slipway_model::media_type::Compression;
use slipway_store::layer::compress::CompressOptions;

use super::{Annotations, OptionMap, Untaken};
use crate::error::{Error, Result};

/// How an image is written, wherever it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageOptions {
    /// Separated by commas; `*` means the name that the frontend found.
    pub name: String,
    pub compress: CompressOptions,
    pub force_compression: bool,
    pub oci_media_types: bool,
    pub keep_nondistributable: bool,
    pub annotations: Annotations,
    /// Outer `None`: what the build says.
    pub epoch: Option<Option<i64>>,
    pub rewrite_timestamp: bool,
    /// `oci` and `docker`: one tar stream rather than a layout.
    pub tar: bool,
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
        let mut image = Self::take(&mut options)?;
        image.tar = options.take_bool("tar")?.unwrap_or(true);
        options.ignore("dest"); // The client's own business.
        options.finish()?;
        Ok(image)
    }

    /// For `image`.
    pub fn parse(map: &OptionMap) -> Result<(Self, ImageStoreOptions)> {
        let mut options = Untaken::new("image", map);
        let image = Self::take(&mut options)?;
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
        options.finish()?;
        if image.rewrite_timestamp && store.unpack {
            return Err(Error::RewriteAndUnpack);
        }
        if store.push && image.name.is_empty() && store.dangling_prefix.is_empty() {
            return Err(Error::PushWithoutName);
        }
        Ok((image, store))
    }

    fn take(options: &mut Untaken) -> Result<Self> {
        let compress = options.take_compression()?;
        options.refuse_if_set("oci-artifact")?;
        // Only means something with attestations, of which there are none.
        options.ignore("attestation-inline");
        let mut annotations = Annotations::default();
        let found = options.take_all(|option, value| {
            let is_one = Annotations::default().add(option, value)?;
            Ok(is_one.then(|| (option.to_owned(), value.to_owned())))
        })?;
        for (option, value) in found {
            annotations.add(&option, &value)?;
        }
        let options = Self {
            name: options.take("name").unwrap_or_default(),
            compress,
            force_compression: options.take_bool("force-compression")?.unwrap_or(false),
            oci_media_types: options.take_bool("oci-mediatypes")?.unwrap_or(true),
            keep_nondistributable: options.take_bool("prefer-nondist-layers")?.unwrap_or(false),
            annotations,
            epoch: options.take_epoch()?,
            rewrite_timestamp: options.take_bool("rewrite-timestamp")?.unwrap_or(false),
            tar: true,
        };
        options.check()?;
        Ok(options)
    }

    fn check(&self) -> Result<()> {
        if self.oci_media_types {
            return Ok(());
        }
        if self.compress.compression == Compression::Zstd {
            return Err(Error::CompressionNeedsOci("zstd"));
        }
        if self.annotations.need_oci() { Err(Error::AnnotationsNeedOci) } else { Ok(()) }
    }
}
