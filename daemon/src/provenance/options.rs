//! `attest:provenance=mode=max,version=v0.2,…` and the build argument `BUILDKIT_ATTEST_PROVENANCE`.

use std::collections::BTreeMap;

/// What provenance is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProvenanceOptions {
    pub mode: Mode,
    pub version: Version,
    /// Who builds, as the client calls it.
    pub builder_id: String,
    /// Of the exported file.
    pub filename: String,
    /// The client says that it is.
    pub reproducible: bool,
    /// Only in images, since nobody asked for it in particular.
    pub inline_only: bool,
    /// Incomplete materials fail the build.
    pub complete_materials: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Min,
    Max,
}

/// Of SLSA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V02,
    V1,
}

impl Default for ProvenanceOptions {
    fn default() -> Self {
        Self {
            mode: Mode::Max,
            version: Version::V1,
            builder_id: String::new(),
            filename: "provenance.json".into(),
            reproducible: false,
            inline_only: false,
            complete_materials: false,
        }
    }
}

impl Version {
    pub(crate) fn predicate_type(self) -> &'static str {
        match self {
            Self::V02 => "https://slsa.dev/provenance/v0.2",
            Self::V1 => "https://slsa.dev/provenance/v1",
        }
    }
}

impl ProvenanceOptions {
    /// `None` if it says that none is wanted.
    pub(crate) fn parse(attributes: &BTreeMap<String, String>) -> Result<Option<Self>, String> {
        let mut options = Self::default();
        let mut wanted = true;
        for (key, value) in attributes {
            match key.as_str() {
                "mode" => options.mode = mode(value)?,
                "version" => options.version = version(value)?,
                "builder-id" => options.builder_id.clone_from(value),
                "filename" if !value.is_empty() => options.filename.clone_from(value),
                "filename" => return Err("filename is empty".into()),
                "reproducible" => options.reproducible = flag(key, value)?,
                "inline-only" => options.inline_only = flag(key, value)?,
                "complete-materials" => options.complete_materials = flag(key, value)?,
                "disabled" => wanted &= !flag(key, value)?,
                "false" if value.is_empty() => wanted = false,
                "true" if value.is_empty() => {}
                "capture-usage" if flag(key, value)? => {
                    return Err("capture-usage is not supported: what steps use is not measured".into());
                }
                "capture-usage" => {}
                other => return Err(format!("unknown option {other:?}")),
            }
        }
        Ok(wanted.then_some(options))
    }
}

fn mode(text: &str) -> Result<Mode, String> {
    match text {
        "min" => Ok(Mode::Min),
        "max" | "full" => Ok(Mode::Max),
        other => Err(format!("invalid mode {other:?}: use min or max")),
    }
}

fn version(text: &str) -> Result<Version, String> {
    match text {
        "v1" => Ok(Version::V1),
        "v0.2" => Ok(Version::V02),
        other => Err(format!("invalid provenance SLSA version: {other}: use v1 or v0.2")),
    }
}

/// Go's spellings.
fn flag(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        other => Err(format!("{key}={other}: expected true or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<ProvenanceOptions>, String> {
        let fields = text.split(',').filter(|field| !field.is_empty());
        let fields = fields.map(|field| field.split_once('=').unwrap_or((field, "")));
        ProvenanceOptions::parse(&fields.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn what_clients_write() {
        assert_eq!(parse(""), Ok(Some(ProvenanceOptions::default())));
        let options = parse("mode=min,inline-only=true,version=v0.2,builder-id=me").unwrap().unwrap();
        assert_eq!((options.mode, options.inline_only, options.version), (Mode::Min, true, Version::V02));
        assert_eq!(parse("mode=max,disabled=true"), Ok(None));
        assert_eq!(parse("false"), Ok(None));
        assert!(parse("mode=most").unwrap_err().contains("use min or max"));
        assert!(parse("version=v2").unwrap_err().contains("v0.2"));
        assert!(parse("modus=max").unwrap_err().contains("modus"));
        assert!(parse("reproducible=maybe").unwrap_err().contains("reproducible=maybe"));
    }
}
