//! `RUN --mount=type=…,key=value,…`.
//!
//! Values may hold variables, so a mount is read twice: while parsing, only its CSV form and `from`
//! (which must not hold one, unless the language is extended) are checked; while lowering, [`RawMount::expand`] reads every key.

use std::fmt;

use super::expand::Expander;
use crate::dockerfile::language::Language;
use crate::dockerfile::{Fault, suggest, values};

/// The flag's value as written; well-formed CSV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawMount {
    pub text: String,
    /// The `from` keys' last value: what a stage must know of before it is lowered.
    pub from: String,
    /// `from` holds variables, which only the graph's order needs: they are expanded before all else.
    pub names_variable: bool,
    fields: Vec<String>,
}

/// Texts are empty if absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub kind: MountKind,
    pub from: String,
    pub source: String,
    pub target: String,
    pub read_only: bool,
    /// Bytes, of a tmpfs; 0 without a limit.
    pub size_limit: i64,
    /// The `id` key, of caches, secrets and ssh.
    pub id: String,
    pub sharing: Option<MountSharing>,
    /// A missing secret or ssh agent is an error.
    pub required: bool,
    /// The variable a secret is put in; empty for its default name.
    pub env: Option<String>,
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountKind {
    Bind,
    Cache,
    Tmpfs,
    Secret,
    Ssh,
}

/// Who may use a cache at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountSharing {
    Shared,
    Private,
    Locked,
}

const KINDS: [(&str, MountKind); 5] = [
    ("bind", MountKind::Bind),
    ("cache", MountKind::Cache),
    ("secret", MountKind::Secret),
    ("ssh", MountKind::Ssh),
    ("tmpfs", MountKind::Tmpfs),
];

const SHARINGS: [(&str, MountSharing); 3] =
    [("locked", MountSharing::Locked), ("private", MountSharing::Private), ("shared", MountSharing::Shared)];

const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "src",
    "dst",
    "destination",
    "ro",
    "rw",
    "readwrite",
    "env",
];

impl RawMount {
    pub(super) fn new(text: String, language: Language) -> Result<Self, Fault> {
        let fields = values::csv_fields(&text).map_err(Fault::MountCsv)?;
        let (mut from, mut names_variable) = (String::new(), false);
        for (key, value) in fields.iter().filter_map(|field| field.split_once('=')) {
            if key.to_lowercase() == "from" {
                names_variable = value.find('$').is_some_and(|at| at + 1 != value.len());
                if names_variable && !language.is_extended() {
                    return Err(Fault::FromVariable);
                }
                value.clone_into(&mut from);
            }
        }
        Ok(Self { text, from, names_variable, fields })
    }

    pub fn expand(&self, expander: &mut Expander<'_>) -> Result<Mount, Fault> {
        let mut mount = Mount::new();
        let mut read_only = None;
        for field in &self.fields {
            match field.split_once('=') {
                None => mount.set_bare(field, &mut read_only)?,
                Some((key, value)) => {
                    let key = key.to_lowercase();
                    let is_written = self.names_variable && key == "from";
                    let value = if is_written { value.to_owned() } else { expander(value)? };
                    mount.set(&key, value, field, &mut read_only)?;
                }
            }
        }
        mount.read_only = read_only.unwrap_or(!matches!(mount.kind, MountKind::Cache | MountKind::Tmpfs));
        mount.check()?;
        Ok(mount)
    }
}

impl Mount {
    fn new() -> Self {
        Self {
            kind: MountKind::Bind,
            from: String::new(),
            source: String::new(),
            target: String::new(),
            read_only: true,
            size_limit: 0,
            id: String::new(),
            sharing: None,
            required: false,
            env: None,
            mode: None,
            uid: None,
            gid: None,
        }
    }

    /// A key without a value.
    fn set_bare(&mut self, field: &str, read_only: &mut Option<bool>) -> Result<(), Fault> {
        match field.to_lowercase().as_str() {
            "readonly" | "ro" => *read_only = Some(true),
            "readwrite" | "rw" => *read_only = Some(false),
            "required" => self.set_required("required", true)?,
            _ => return Err(Fault::FieldWithoutValue(field.to_owned())),
        }
        Ok(())
    }

    fn set(
        &mut self,
        key: &str,
        value: String,
        field: &str,
        read_only: &mut Option<bool>,
    ) -> Result<(), Fault> {
        let invalid = |value: &str| Fault::InvalidValue { key: key.to_owned(), value: value.to_owned() };
        let boolean = |value: &str| values::parse_bool(value).ok_or_else(|| invalid(value));
        let number = |value: &str, radix| {
            values::parse_unsigned(value, radix)
                .ok_or_else(|| Fault::InvalidNumber { key: key.to_owned(), value: value.to_owned() })
        };
        match key {
            "type" => self.kind = named(&KINDS, &value, Fault::MountType)?,
            "from" => self.from = value,
            "source" | "src" => self.source = value,
            "target" | "dst" | "destination" => self.target = value,
            "readonly" | "ro" => *read_only = Some(boolean(&value)?),
            "readwrite" | "rw" => *read_only = Some(!boolean(&value)?),
            "required" => {
                self.check_required(key)?;
                self.required = boolean(&value)?;
            }
            "size" if self.kind == MountKind::Tmpfs => {
                self.size_limit = values::parse_size(&value).ok_or_else(|| invalid(&value))?;
            }
            "size" => return Err(self.unexpected(key)),
            "id" => self.id = value,
            "sharing" => self.sharing = Some(named(&SHARINGS, &value, Fault::MountSharing)?),
            "mode" => self.mode = Some(number(&value, 8)?),
            "uid" => self.uid = Some(number(&value, 10)?),
            "gid" => self.gid = Some(number(&value, 10)?),
            "env" => self.env = Some(value),
            _ => {
                let fault = Fault::UnexpectedKey { key: key.to_owned(), field: field.to_owned() };
                return Err(suggest::with_suggestion(fault, key, &KEYS, true));
            }
        }
        Ok(())
    }

    fn set_required(&mut self, key: &str, value: bool) -> Result<(), Fault> {
        self.check_required(key)?;
        self.required = value;
        Ok(())
    }

    fn check_required(&self, key: &str) -> Result<(), Fault> {
        match self.kind {
            MountKind::Secret | MountKind::Ssh => Ok(()),
            _ => Err(self.unexpected(key)),
        }
    }

    fn unexpected(&self, key: &str) -> Fault {
        Fault::UnexpectedKeyForType { key: key.to_owned(), kind: self.kind }
    }

    /// What depends on several keys.
    fn check(&self) -> Result<(), Fault> {
        let kind = self.kind;
        if !matches!(kind, MountKind::Secret | MountKind::Ssh | MountKind::Cache) {
            for (key, value) in [("mode", self.mode), ("uid", self.uid), ("gid", self.gid)] {
                if value.is_some() {
                    return Err(Fault::KeyNotAllowed { key, kind });
                }
            }
        }
        if kind == MountKind::Secret {
            if !self.from.is_empty() {
                return Err(Fault::SecretFrom);
            }
            if self.sharing.is_some() {
                return Err(Fault::SecretSharing);
            }
            if self.source.is_empty() && self.target.is_empty() && self.id.is_empty() {
                return Err(Fault::SecretWithoutSource);
            }
            if !self.source.is_empty() && !self.id.is_empty() {
                return Err(Fault::SecretSourceAndId);
            }
        }
        if self.sharing.is_some() && kind != MountKind::Cache {
            return Err(Fault::SharingNotAllowed(kind));
        }
        Ok(())
    }
}

fn named<T: Copy>(names: &[(&str, T)], value: &str, fault: fn(String) -> Fault) -> Result<T, Fault> {
    let wanted = value.to_lowercase();
    names.iter().find(|(name, _)| *name == wanted).map(|(_, item)| *item).ok_or_else(|| {
        let options: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        suggest::with_suggestion(fault(value.to_owned()), value, &options, true)
    })
}

impl fmt::Display for MountKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bind => "bind",
            Self::Cache => "cache",
            Self::Tmpfs => "tmpfs",
            Self::Secret => "secret",
            Self::Ssh => "ssh",
        })
    }
}

impl MountSharing {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Private => "private",
            Self::Locked => "locked",
        }
    }
}
