//! What clients write after `--output`: strings by name, taken one by one; what is left is unknown.
//!
//! Every option of the reference is known here. One that this program cannot do is refused by name,
//! unless it asks for what is done anyway.

mod annotations;
mod image;
mod tree;

use std::collections::BTreeMap;

pub use annotations::{Annotations, AnnotationsFor};
pub use image::{Forms, ImageOptions, ImageStoreOptions};
pub use tree::TreeOptions;

use slipway_model::media_type::Compression;
use slipway_store::layer::compress::CompressOptions;

use crate::error::{Error, Result};

/// As they come in a solve request.
pub type OptionMap = BTreeMap<String, String>;

/// The options that nobody has taken yet.
pub struct Untaken {
    exporter: &'static str,
    map: OptionMap,
}

impl Untaken {
    pub fn new(exporter: &'static str, map: &OptionMap) -> Self {
        Self { exporter, map: map.clone() }
    }

    pub fn take(&mut self, option: &str) -> Option<String> {
        self.map.remove(option)
    }

    /// Go's spellings; an empty value means yes.
    pub fn take_bool(&mut self, option: &str) -> Result<Option<bool>> {
        let Some(value) = self.take(option) else { return Ok(None) };
        match value.as_str() {
            "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Some(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Some(false)),
            _ => Err(invalid(option, value, "expected true or false")),
        }
    }

    pub fn take_number<T: std::str::FromStr>(&mut self, option: &str) -> Result<Option<T>> {
        let Some(value) = self.take(option) else { return Ok(None) };
        value.parse().map(Some).map_err(|_| invalid(option, value, "expected an integer"))
    }

    /// `compression` and `compression-level`.
    pub fn take_compression(&mut self) -> Result<CompressOptions> {
        let mut seekable = false;
        let compression = match self.take("compression") {
            None => Compression::Gzip,
            Some(value) => match value.as_str() {
                "uncompressed" => Compression::Uncompressed,
                "gzip" => Compression::Gzip,
                "zstd" => Compression::Zstd,
                "estargz" => {
                    seekable = true;
                    Compression::Gzip
                }
                "nydus" => {
                    let reason = "not supported: use gzip, estargz, zstd or uncompressed";
                    return Err(invalid("compression", value, reason));
                }
                _ => return Err(invalid("compression", value, "use gzip, estargz, zstd or uncompressed")),
            },
        };
        let level = self.take_number("compression-level")?;
        let compress = CompressOptions { compression, level, seekable };
        compress.check()?;
        Ok(compress)
    }

    /// `source-date-epoch`: outer `None` if it is not given, inner if it is empty, which means no epoch
    /// whatever the build says.
    pub(crate) fn take_epoch(&mut self) -> Result<Option<Option<i64>>> {
        match self.map.get("source-date-epoch").map(String::as_str) {
            Some("") => {
                self.take("source-date-epoch");
                Ok(Some(None))
            }
            _ => Ok(self.take_number("source-date-epoch")?.map(Some)),
        }
    }

    pub fn ignore(&mut self, option: &str) {
        self.map.remove(option);
    }

    /// Takes those that `wanted` makes something of.
    pub(crate) fn take_all<T>(&mut self, wanted: impl Fn(&str, &str) -> Result<Option<T>>) -> Result<Vec<T>> {
        let mut taken = Vec::new();
        for (option, value) in std::mem::take(&mut self.map) {
            match wanted(&option, &value)? {
                Some(value) => taken.push(value),
                None => drop(self.map.insert(option, value)),
            }
        }
        Ok(taken)
    }

    /// Nothing may be left.
    pub fn finish(self) -> Result<()> {
        match self.map.into_keys().next() {
            Some(option) => Err(Error::UnknownOption { exporter: self.exporter, option }),
            None => Ok(()),
        }
    }
}

pub(crate) fn invalid(option: &str, value: impl Into<String>, reason: impl Into<String>) -> Error {
    Error::Option { option: option.into(), value: value.into(), reason: reason.into() }
}

#[cfg(test)]
mod tests;
