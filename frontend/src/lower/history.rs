//! The image config of a stage: how it starts, and a line of history for each instruction.

use slipway_model::image_config::{History, RootFs, RunConfig};
use slipway_model::{ImageConfig, Platform};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub(super) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const COMMENT: &str = "buildkit.dockerfile.v0";

/// The config of scratch.
pub(super) fn empty_image(platform: &Platform) -> ImageConfig {
    let mut config = RunConfig { working_dir: "/".to_owned(), ..RunConfig::default() };
    if platform.os != "windows" {
        config.env.push(format!("PATH={DEFAULT_PATH}"));
    }
    ImageConfig {
        platform: platform.clone(),
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids: Vec::new() },
        config,
        ..ImageConfig::default()
    }
}

/// An instruction that changed no file.
pub(super) fn add_setting(image: &mut ImageConfig, text: String, epoch: Option<i64>) {
    add(image, text, true, epoch);
}

/// An instruction that made a layer.
pub(super) fn add_layer(image: &mut ImageConfig, text: &str, epoch: Option<i64>) {
    add(image, [text, " # buildkit"].concat(), false, epoch);
}

pub(super) fn add(image: &mut ImageConfig, created_by: String, empty_layer: bool, epoch: Option<i64>) {
    let created =
        epoch.and_then(|epoch| OffsetDateTime::from_unix_timestamp(epoch).ok()?.format(&Rfc3339).ok());
    image.history.push(History {
        created,
        created_by,
        comment: COMMENT.to_owned(),
        empty_layer,
        ..History::default()
    });
}
