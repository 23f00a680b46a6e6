//! `packs.toml`.

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The image to build on.
    pub base: String,
    /// A command line for `/bin/sh`, run in the sources.
    pub build: String,
    /// A folder that is kept between builds.
    pub cache: Option<String>,
    /// What a container of the image runs.
    #[serde(default)]
    pub launch: Vec<String>,
}

impl Manifest {
    /// What is wrong is told with its line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let manifest: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        match manifest.cache.as_deref() {
            Some(cache) if !cache.starts_with('/') => Err(format!("cache {cache:?} is not an absolute path")),
            _ => Ok(manifest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Manifest;

    #[test]
    fn a_wrong_key_is_named() {
        assert!(Manifest::parse("base = \"b\"\nbuild = \"c\"").is_ok());
        assert!(Manifest::parse("base = \"b\"\nbuild = \"c\"\nbiuld = \"d\"").unwrap_err().contains("biuld"));
        assert!(
            Manifest::parse("base = \"b\"\nbuild = \"c\"\ncache = \"d\"").unwrap_err().contains("absolute")
        );
    }
}
