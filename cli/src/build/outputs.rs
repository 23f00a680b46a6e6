//! What is made of the result: `--output`, `--push`, `--tag`.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use slipway_proto::control::Exporter;
use slipway_session::provider::{Layout, Output};

use crate::arguments::BuildArguments;
use crate::error::Failure;

/// One exporter, and what the client does with what it sends.
pub struct RequestedOutput {
    pub exporter: Exporter,
    pub target: Target,
}

/// Where an exporter's result goes.
pub enum Target {
    /// Nothing comes to the client.
    Elsewhere,
    Sent(Output),
    /// Blobs of an OCI layout in this folder.
    Layout(PathBuf),
}

/// Outputs as a request and a session have them.
pub struct Placed {
    pub exporters: Vec<Exporter>,
    /// By the place of their exporter.
    pub targets: HashMap<usize, Output>,
    /// The layout among them, whose index is still to be written.
    pub exported: Option<PathBuf>,
}

/// Offers a layout that is to be written beside `layouts`.
pub fn place(
    outputs: Vec<RequestedOutput>,
    layouts: &mut HashMap<String, Layout>,
) -> Result<Placed, Failure> {
    let mut placed = Placed { exporters: Vec::new(), targets: HashMap::new(), exported: None };
    for (index, output) in outputs.into_iter().enumerate() {
        placed.exporters.push(output.exporter);
        match output.target {
            Target::Elsewhere => {}
            Target::Sent(target) => drop(placed.targets.insert(index, target)),
            Target::Layout(folder) => {
                let layout = Layout { folder: folder.clone(), writable: true };
                // The protocol has one name for it, whatever the number of exporters.
                if layouts.insert("export".into(), layout).is_some() {
                    return Err(Failure::usage(
                        "--output: only one of them can be an OCI layout (tar=false)",
                    ));
                }
                placed.exported = Some(folder);
            }
        }
    }
    Ok(placed)
}

/// Fields of `KEY=VALUE,KEY=VALUE`; values in double quotes may hold commas. An `Err` is the bad field.
pub fn fields(spec: &str) -> Result<BTreeMap<String, String>, String> {
    let mut fields = BTreeMap::new();
    for field in split_commas(spec) {
        let (key, value) = field.split_once('=').ok_or_else(|| field.clone())?;
        fields.insert(key.trim().to_ascii_lowercase(), value.to_owned());
    }
    Ok(fields)
}

/// Splits at commas outside of double quotes, as CSV does.
fn split_commas(spec: &str) -> Vec<String> {
    let (mut parts, mut part, mut quoted) = (Vec::new(), String::new(), false);
    for c in spec.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => parts.push(std::mem::take(&mut part)),
            c => part.push(c),
        }
    }
    parts.push(part);
    parts
}

/// The output that is none: what was built stays in the cache.
const CACHE_ONLY: &str = "cacheonly";

/// All outputs that were asked for; without any, the image goes to the daemon's own image store.
pub fn parse(arguments: &BuildArguments) -> Result<Vec<RequestedOutput>, Failure> {
    let mut specs = Vec::new();
    for spec in &arguments.output {
        specs.push(parse_spec(spec)?);
    }
    if arguments.push {
        match specs.iter_mut().find(|(kind, _)| matches!(kind.as_str(), "image" | "registry")) {
            Some((_, fields)) => {
                fields.insert("push".into(), "true".into());
            }
            None => specs.push(("image".into(), [("push".to_owned(), "true".to_owned())].into())),
        }
    }
    if specs.is_empty() {
        specs.push(("image".into(), BTreeMap::new()));
    }
    specs.retain(|(kind, _)| kind != CACHE_ONLY);
    let naming = Naming { names: &arguments.tag, annotations: &arguments.annotation };
    specs.into_iter().map(|(kind, fields)| requested(&naming, kind, fields)).collect()
}

/// Outputs that say everything themselves; without any, nothing is made of the result.
pub fn of_specs(specs: &[String]) -> Result<Vec<RequestedOutput>, Failure> {
    let naming = Naming { names: &[], annotations: &[] };
    specs
        .iter()
        .map(|spec| parse_spec(spec).and_then(|(kind, fields)| requested(&naming, kind, fields)))
        .collect()
}

/// What other flags say about all images.
struct Naming<'a> {
    names: &'a [String],
    annotations: &'a [String],
}

/// `type=KIND,…`; a bare path is a directory, `-` is a tar on standard output.
fn parse_spec(spec: &str) -> Result<(String, BTreeMap<String, String>), Failure> {
    if spec == "-" {
        return Ok(("tar".into(), [("dest".to_owned(), "-".to_owned())].into()));
    }
    if !spec.contains('=') {
        return Ok(("local".into(), [("dest".to_owned(), spec.to_owned())].into()));
    }
    let mut fields = fields(spec)
        .map_err(|field| Failure::usage(format!("--output {spec:?}: {field:?} is not KEY=VALUE")))?;
    match fields.remove("type") {
        Some(kind) => Ok((kind, fields)),
        None => Err(Failure::usage(format!(
            "--output {spec:?} has no type: use image, registry, oci, docker, local, tar or cacheonly"
        ))),
    }
}

fn requested(
    naming: &Naming<'_>,
    kind: String,
    mut attrs: BTreeMap<String, String>,
) -> Result<RequestedOutput, Failure> {
    let is_image = matches!(kind.as_str(), "image" | "registry" | "oci" | "docker");
    if is_image && !attrs.contains_key("name") && !naming.names.is_empty() {
        attrs.insert("name".into(), naming.names.join(","));
    }
    if is_image {
        for annotation in naming.annotations {
            let (key, value) = annotation
                .split_once('=')
                .ok_or_else(|| Failure::usage(format!("--annotation {annotation:?}: write KEY=VALUE")))?;
            let key = match key.split_once(':') {
                Some((level, key)) if !level.contains('.') => format!("annotation-{level}.{key}"),
                _ => format!("annotation.{key}"),
            };
            attrs.insert(key, value.to_owned());
        }
    }
    if kind == "registry" {
        attrs.insert("push".into(), "true".into());
    }
    let pushes = attrs.get("push").is_some_and(|push| push == "true");
    if pushes && attrs.get("name").is_none_or(String::is_empty) {
        return Err(Failure::usage("a push needs a name: add --tag REGISTRY/NAME:TAG"));
    }
    let target = match kind.as_str() {
        "image" | "registry" => Target::Elsewhere,
        "local" => {
            let folder = destination(&kind, &mut attrs)?;
            let deletes = attrs.get("mode").is_some_and(|mode| mode == "delete");
            Target::Sent(if deletes { Output::Mirror(folder) } else { Output::Directory(folder) })
        }
        "oci" | "docker" if attrs.get("tar").is_some_and(|tar| tar == "false") => {
            Target::Layout(destination(&kind, &mut attrs)?)
        }
        "oci" | "docker" | "tar" => Target::Sent(file_target(&kind, &mut attrs)?),
        other => {
            return Err(Failure::usage(format!(
                "--output type={other}: use image, registry, oci, docker, local, tar or cacheonly"
            )));
        }
    };
    let kind = if kind == "registry" { "image".to_owned() } else { kind };
    Ok(RequestedOutput { exporter: Exporter { r#type: kind, attrs }, target })
}

fn destination(kind: &str, attrs: &mut BTreeMap<String, String>) -> Result<PathBuf, Failure> {
    match attrs.remove("dest").filter(|destination| !destination.is_empty()) {
        Some(destination) if destination != "-" => Ok(destination.into()),
        _ => Err(Failure::usage(format!("--output type={kind} needs dest=DIRECTORY"))),
    }
}

/// The file is created when the first bytes come, so that a failing build leaves none behind.
fn file_target(kind: &str, attrs: &mut BTreeMap<String, String>) -> Result<Output, Failure> {
    let destination = attrs.remove("dest").unwrap_or_else(|| "-".into());
    if destination == "-" {
        if std::io::stdout().is_terminal() {
            return Err(Failure::usage(format!(
                "--output type={kind} would write a tar to the terminal: add dest=FILE or redirect"
            )));
        }
        return Ok(Output::File(Box::new(|_| Ok(Box::new(std::io::stdout()) as Box<dyn Write + Send>))));
    }
    let path = PathBuf::from(destination);
    if path.is_dir() {
        return Err(Failure::usage(format!("--output dest={}: is a directory, name a file", path.display())));
    }
    Ok(Output::File(Box::new(move |_| {
        let named =
            |error: std::io::Error| std::io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        Ok(Box::new(File::create(&path).map_err(named)?) as Box<dyn Write + Send>)
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_fields_keep_their_commas() {
        let fields = fields(r#"type=image,"name=a,b",push=true"#).unwrap();
        assert_eq!(fields["name"], "a,b");
        assert_eq!(fields["push"], "true");
        assert_eq!(super::fields("x"), Err("x".into()));
    }
}
