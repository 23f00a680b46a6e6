//! What the key of an operation is made of, taken apart into things that have names.
//!
//! The text that an operation's digest is of (`CacheKey::preimage`) holds everything that counts and
//! nothing else, so whatever differs between two digests is found in it. It is read back here as JSON;
//! what people write is given their words for it, everything else keeps the name it has in the text.
//! Sources have no such text before they are resolved: of them identifier and attributes are taken.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use slipway_model::llb::pb::{self, file_action::Action, op::Op as Kind};
use slipway_model::{Digest, Platform, lexical};

use crate::redact;

/// Longer data of a file that a Dockerfile holds itself is kept as a digest.
const LONGEST_DATA: usize = 512;

/// An operation in words. Equal operations have equal materials, whatever their inputs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Material {
    /// `exec`, `file`, `merge`, `image`, `local`, …
    pub kind: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
    /// By where they are mounted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub mounts: BTreeMap<String, BTreeMap<String, String>>,
}

impl Material {
    /// `preimage` is the text of the operation's key, `salt` what hidden values are hashed with.
    pub fn of(op: &pb::Op, preimage: Option<&str>, salt: &str) -> Self {
        let text = preimage.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null);
        match &op.op {
            Some(Kind::Exec(_)) => exec(&text, salt),
            Some(Kind::File(file)) => actions(file, &text),
            Some(Kind::Source(source)) => self::source(source, op.platform.as_ref()),
            Some(Kind::Merge(_)) => whole("merge", &text),
            Some(Kind::Diff(_)) => whole("diff", &text),
            Some(Kind::Build(_)) => whole("build", &text),
            Some(Kind::Passthrough(_)) | None => whole("passthrough", &text),
        }
    }

    /// The name under which it is kept.
    pub fn id(&self) -> String {
        // Maps are sorted, so equal materials have equal texts; a struct of strings always has one.
        Digest::of(serde_json::to_vec(self).unwrap_or_default()).hex()
    }

    pub fn is_source(&self) -> bool {
        !matches!(self.kind.as_str(), "exec" | "file" | "merge" | "diff" | "build" | "passthrough")
    }

    /// A folder of the client, which is sent anew for every build.
    pub fn is_local(&self) -> bool {
        self.kind == "local"
    }
}

/// What an operation calls its input number `index`, and which paths of it it reads; no paths are all.
pub fn reading(op: &pb::Op, index: usize) -> (String, Vec<String>) {
    let is_it = |input: i64| usize::try_from(input) == Ok(index);
    let mut paths = Vec::new();
    let mut label = String::new();
    match &op.op {
        Some(Kind::Exec(exec)) => {
            for mount in exec.mounts.iter().filter(|mount| is_it(mount.input)) {
                if label.is_empty() {
                    label.clone_from(&mount.dest);
                }
                let path = lexical::absolute(mount.selector.as_bytes());
                paths.push(String::from_utf8_lossy(&path).into_owned());
            }
        }
        Some(Kind::File(file)) => {
            for action in file.actions.iter().filter(|action| is_it(action.secondary_input)) {
                if let Some(Action::Copy(copy)) = &action.action {
                    paths.push(copy.src.clone());
                }
            }
        }
        _ => {}
    }
    paths.sort();
    paths.dedup();
    if paths.iter().any(|path| path == "/") { (label, Vec::new()) } else { (label, paths) }
}

fn exec(text: &Value, salt: &str) -> Material {
    let mut material = Material { kind: "exec".into(), ..Material::default() };
    let exec = &text["Exec"];
    for (name, value) in exec["meta"].as_object().into_iter().flatten() {
        match name.as_str() {
            "args" => {
                material.arguments = strings(value).map(|arg| redact::without_credentials(&arg)).collect()
            }
            "env" => {
                material.environment = strings(value)
                    .map(|entry| {
                        let (name, value) = entry.split_once('=').unwrap_or((&entry, ""));
                        (name.to_owned(), redact::value(name, value, salt))
                    })
                    .collect();
            }
            _ => {
                material.fields.insert(exec_field(name).to_owned(), plain(value));
            }
        }
    }
    for (name, value) in exec.as_object().into_iter().flatten() {
        match name.as_str() {
            "meta" => {}
            "mounts" => material.mounts = mounts(value),
            "network" => {
                material.fields.insert("network".into(), one_of(value, &["default", "host", "none"]));
            }
            "security" => {
                material.fields.insert("security".into(), one_of(value, &["sandbox", "insecure"]));
            }
            "secretenv" => {
                material.fields.insert("secret variables".into(), plain(value));
            }
            "cdiDevices" => {
                material.fields.insert("devices".into(), plain(value));
            }
            _ => {
                material.fields.insert(name.clone(), plain(value));
            }
        }
    }
    material.fields.insert("platform".into(), platform(text));
    material
}

fn exec_field(name: &str) -> &str {
    match name {
        "cwd" => "working directory",
        "extraHosts" => "extra hosts",
        "ulimit" => "limits",
        "cgroupParent" => "cgroup parent",
        "validExitCodes" => "valid exit codes",
        other => other,
    }
}

fn platform(text: &Value) -> String {
    let parts = ["OS", "Arch", "Variant", "OSVersion", "OSFeatures"].map(|name| plain(&text[name]));
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("/")
}

/// Which input stands behind a mount is compared with the inputs; their numbers mean nothing.
fn mounts(list: &Value) -> BTreeMap<String, BTreeMap<String, String>> {
    const TYPES: [&str; 5] = ["bind", "secret", "ssh", "cache", "tmpfs"];
    let mut mounts = BTreeMap::new();
    for mount in list.as_array().into_iter().flatten() {
        let mut fields = BTreeMap::from([("type".to_owned(), one_of(&mount["mountType"], &TYPES))]);
        for (name, value) in mount.as_object().into_iter().flatten() {
            match name.as_str() {
                "dest" | "input" | "mountType" => {}
                "output" => {
                    let kept = if value.as_i64() == Some(-1) { "discarded" } else { "kept" };
                    fields.insert("changes".into(), kept.into());
                }
                "TmpfsOpt" | "cacheOpt" | "secretOpt" | "SSHOpt" => {
                    for (name, value) in value.as_object().into_iter().flatten() {
                        let value = match name.as_str() {
                            "sharing" => one_of(value, &["shared", "private", "locked"]),
                            "mode" => value.as_u64().map(|mode| format!("{mode:04o}")).unwrap_or_default(),
                            _ => plain(value),
                        };
                        fields.insert(name.to_ascii_lowercase(), value);
                    }
                }
                _ => {
                    fields.insert(name.clone(), plain(value));
                }
            }
        }
        mounts.insert(plain(&mount["dest"]), fields);
    }
    mounts
}

fn actions(file: &pb::FileOp, text: &Value) -> Material {
    let mut material = Material { kind: "file".into(), ..Material::default() };
    for (index, action) in file.actions.iter().enumerate() {
        let encoded = text["Actions"][index].as_str().unwrap_or_default();
        let decoded = STANDARD.decode(encoded).unwrap_or_default();
        let fields: Value = serde_json::from_slice(&decoded).unwrap_or(Value::Null);
        let prefix = if index == 0 { String::new() } else { format!("action {}: ", index + 1) };
        let verb = match &action.action {
            Some(Action::Copy(_)) => "copy",
            Some(Action::Mkfile(_)) => "make a file",
            Some(Action::Mkdir(_)) => "make a directory",
            Some(Action::Rm(_)) => "remove",
            Some(Action::Symlink(_)) => "link",
            None => "nothing",
        };
        material.fields.insert(format!("{prefix}action"), verb.into());
        for (name, value) in fields.as_object().into_iter().flatten() {
            let (name, value) = action_field(name, value);
            material.fields.insert(format!("{prefix}{name}"), value);
        }
    }
    let wiring = plain(&text["indexes"]);
    if !wiring.is_empty() {
        material.fields.insert("wiring of actions".into(), wiring);
    }
    material
}

fn action_field(name: &str, value: &Value) -> (String, String) {
    let (name, value) = match name {
        "src" => ("source", plain(value)),
        "dest" => ("destination", plain(value)),
        "owner" => ("owner", owner(value)),
        // Permissions are written in octal; nothing given is -1.
        "mode" => (
            "mode",
            value.as_i64().filter(|mode| *mode >= 0).map(|mode| format!("{mode:04o}")).unwrap_or_default(),
        ),
        "modeStr" => ("mode expression", plain(value)),
        "include_patterns" => ("include", plain(value)),
        "exclude_patterns" => ("exclude", plain(value)),
        "data" => ("data", data(value)),
        other => (other, plain(value)),
    };
    (name.to_owned(), value)
}

fn data(value: &Value) -> String {
    let bytes = STANDARD.decode(value.as_str().unwrap_or_default()).unwrap_or_default();
    match String::from_utf8(bytes) {
        Ok(text) if text.len() <= LONGEST_DATA => text,
        Ok(text) => format!("{} bytes, {}", text.len(), Digest::of(&text).short()),
        Err(error) => {
            let bytes = error.into_bytes();
            format!("{} bytes, {}", bytes.len(), Digest::of(&bytes).short())
        }
    }
}

fn owner(value: &Value) -> String {
    let one = |who: &Value| {
        let user = &who["User"];
        match user["byName"]["name"].as_str() {
            Some(name) => name.to_owned(),
            None => user["byId"].as_u64().unwrap_or_default().to_string(),
        }
    };
    match value.get("group") {
        Some(group) => format!("{}:{}", one(&value["user"]), one(group)),
        None => one(&value["user"]),
    }
}

fn source(source: &pb::SourceOp, on: Option<&pb::Platform>) -> Material {
    let (scheme, rest) = source.identifier.split_once("://").unwrap_or(("", &source.identifier));
    let mut fields = BTreeMap::new();
    let kind = match scheme {
        "docker-image" | "oci-layout" => {
            let (reference, digest) = rest.split_once('@').unwrap_or((rest, ""));
            fields.insert("reference".to_owned(), reference.to_owned());
            if !digest.is_empty() {
                fields.insert("digest".to_owned(), digest.to_owned());
            }
            if let Some(platform) = on {
                fields.insert("platform".into(), Platform::from(platform).normalized().to_string());
            }
            "image"
        }
        other => {
            fields.insert("reference".to_owned(), redact::without_credentials(rest));
            other
        }
    };
    // Who sends it, how, and what a build happens to need of it are none of what it is.
    let passing = [
        "local.session",
        "local.unique",
        "local.sharedkeyhint",
        "local.differ",
        "local.followpaths",
        "oci.session",
        "image.resolvemode",
        "image.recordtype",
        "git.fullurl",
    ];
    for (name, value) in source.attrs.iter().filter(|(name, _)| !passing.contains(&name.as_str())) {
        let name = name.strip_prefix("local.").unwrap_or(name);
        fields.insert(name.to_owned(), redact::without_credentials(value));
    }
    Material { kind: kind.to_owned(), fields, ..Material::default() }
}

fn whole(kind: &str, text: &Value) -> Material {
    let fields = text.as_object().into_iter().flatten();
    let fields = fields.map(|(name, value)| (name.clone(), plain(value))).collect();
    Material { kind: kind.to_owned(), fields, ..Material::default() }
}

fn strings(value: &Value) -> impl Iterator<Item = String> {
    value.as_array().into_iter().flatten().map(plain)
}

/// Text as it is; nothing as nothing; all else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The name of a number; a missing one is 0.
fn one_of(value: &Value, names: &[&str]) -> String {
    let number = value.as_u64().unwrap_or_default();
    let name = usize::try_from(number).ok().and_then(|index| names.get(index));
    name.map_or_else(|| number.to_string(), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(kind: Kind) -> pb::Op {
        pb::Op { op: Some(kind), ..pb::Op::default() }
    }

    #[test]
    fn an_exec_is_read_from_the_text_of_its_key() {
        let text = r#"{"Type":"buildkit.exec.v0","Exec":{"meta":{"args":["/bin/sh","-c","make"],"env":["A=1","DB_PASSWORD=x"],"cwd":"/src","user":"me"},"mounts":[{"input":0,"dest":"/","output":0},{"input":-1,"dest":"/c","output":-1,"mountType":3,"cacheOpt":{"ID":"x","sharing":2}}],"network":2},"OS":"linux","Arch":"amd64"}"#;
        let material = Material::of(&op(Kind::Exec(pb::ExecOp::default())), Some(text), "salt");
        assert_eq!(material.arguments, ["/bin/sh", "-c", "make"]);
        assert_eq!(material.environment[0], ("A".to_owned(), "1".to_owned()));
        assert!(material.environment[1].1.starts_with("[hidden "), "{:?}", material.environment);
        let fields: Vec<_> = material.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(fields, ["network=none", "platform=linux/amd64", "user=me", "working directory=/src"]);
        let cache = &material.mounts["/c"];
        assert_eq!((cache["type"].as_str(), cache["sharing"].as_str()), ("cache", "locked"));
        assert_eq!(cache["changes"], "discarded");
    }

    #[test]
    fn an_image_is_its_reference_and_digest_however_it_is_fetched() {
        let image = |mode: &str| {
            let source = pb::SourceOp {
                identifier: "docker-image://docker.io/library/a:1@sha256:00".into(),
                attrs: [("image.resolvemode".to_owned(), mode.to_owned())].into(),
            };
            Material::of(&op(Kind::Source(source)), None, "")
        };
        assert_eq!(image("pull"), image("local"));
        assert_eq!(image("pull").fields["reference"], "docker.io/library/a:1");
        assert_eq!(image("pull").fields["digest"], "sha256:00");
    }
}
