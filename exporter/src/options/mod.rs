//! What clients write after `--output`: strings by name, taken one by one; what is left is unknown.
//!
//! Every option of the reference is known here. One that this program cannot do is refused by name,
//! unless it asks for what is done anyway.

mod annotations;
mod image;
mod tree;

use std::collections::BTreeMap;

pub use annotations::{Annotations, AnnotationsFor};
pub use image::{ImageOptions, ImageStoreOptions};
pub use tree::TreeOptions;

use crate::error::{Error, Result};

/// As they come in a solve request.
pub type OptionMap = BTreeMap<String, String>;

/// The options that nobody has taken yet.
pub(crate) struct Untaken {
    exporter: &'static str,
    map: OptionMap,
}

impl Untaken {
    pub(crate) fn new(exporter: &'static str, map: &OptionMap) -> Self {
        Self { exporter, map: map.clone() }
    }

    pub(crate) fn take(&mut self, option: &str) -> Option<String> {
        self.map.remove(option)
    }

    /// Go's spellings; an empty value means yes.
    pub(crate) fn take_bool(&mut self, option: &str) -> Result<Option<bool>> {
        let Some(value) = self.take(option) else { return Ok(None) };
        match value.as_str() {
            "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Some(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Some(false)),
            _ => Err(invalid(option, value, "expected true or false")),
        }
    }

    pub(crate) fn take_number<T: std::str::FromStr>(&mut self, option: &str) -> Result<Option<T>> {
        let Some(value) = self.take(option) else { return Ok(None) };
        value.parse().map(Some).map_err(|_| invalid(option, value, "expected an integer"))
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

    /// A switch that is only known switched off.
    pub(crate) fn refuse_if_set(&mut self, option: &str) -> Result<()> {
        match self.take_bool(option)? {
            Some(true) => Err(Error::UnsupportedOption { exporter: self.exporter, option: option.into() }),
            _ => Ok(()),
        }
    }

    pub(crate) fn ignore(&mut self, option: &str) {
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
    pub(crate) fn finish(self) -> Result<()> {
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
