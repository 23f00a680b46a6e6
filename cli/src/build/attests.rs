//! What is to be said about an image: `--attest`, `--provenance`, `--sbom`.
//!
//! Unlike `docker buildx`, nothing is said unless somebody asks: the image keeps its plain shape. The history of the
//! daemon has the provenance of every build anyway.

use std::collections::BTreeMap;

use super::outputs::fields;
use crate::arguments::BuildArguments;
use crate::error::Failure;

/// Options by type, as the daemon takes them. The short flags come after `--attest`.
pub fn wanted(arguments: &BuildArguments) -> Result<BTreeMap<String, String>, Failure> {
    let mut wanted = BTreeMap::new();
    for spec in &arguments.attest {
        let (kind, options) = parse(spec)?;
        put(&mut wanted, kind, options);
    }
    for (kind, spec) in [("provenance", &arguments.provenance), ("sbom", &arguments.sbom)] {
        let Some(spec) = spec else { continue };
        let options = match spec.as_str() {
            "" | "true" | "1" => Some(String::new()),
            "false" | "0" => None,
            spec => Some(spec.to_owned()),
        };
        put(&mut wanted, kind.to_owned(), options);
    }
    Ok(wanted)
}

fn put(wanted: &mut BTreeMap<String, String>, kind: String, options: Option<String>) {
    match options {
        Some(options) => drop(wanted.insert(kind, options)),
        None => drop(wanted.remove(&kind)),
    }
}

/// `type=KIND,KEY=VALUE,…`; no options if it is disabled.
fn parse(spec: &str) -> Result<(String, Option<String>), Failure> {
    let usage = |reason: &str| Failure::usage(format!("--attest {spec:?}: {reason}"));
    let mut options = fields(spec).map_err(|field| usage(&format!("{field:?} is not KEY=VALUE")))?;
    let kind = options.remove("type").ok_or_else(|| usage("has no type: use provenance or sbom"))?;
    if options.remove("disabled").is_some_and(|disabled| matches!(disabled.as_str(), "true" | "1" | "")) {
        return Ok((kind, None));
    }
    let pair = |(key, value): (&String, &String)| match value.contains(',') {
        true => format!("\"{key}={value}\""),
        false => format!("{key}={value}"),
    };
    Ok((kind, Some(options.iter().map(pair).collect::<Vec<_>>().join(","))))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn of(flags: &[&str]) -> BTreeMap<String, String> {
        let line = ["slipway", "build"].iter().chain(flags).chain(&["."]);
        let Command::Build(arguments) = Arguments::parse_from(line).command else { panic!("no build") };
        wanted(&arguments).unwrap_or_else(|_| panic!("{flags:?}"))
    }

    #[test]
    fn short_and_long() {
        assert!(of(&[]).is_empty());
        let both = of(&["--attest", "type=provenance,mode=max,builder-id=x", "--sbom"]);
        assert_eq!(both["provenance"], "builder-id=x,mode=max");
        assert_eq!(both["sbom"], "");
        assert_eq!(of(&["--provenance=mode=min"])["provenance"], "mode=min");
        assert!(of(&["--attest", "type=sbom", "--sbom=false"]).is_empty());
        assert!(of(&["--attest", "type=sbom,disabled=true"]).is_empty());
        assert_eq!(
            of(&["--attest", r#"type=sbom,generator=x,"LIST=a,b""#])["sbom"],
            "generator=x,\"list=a,b\""
        );
    }
}
