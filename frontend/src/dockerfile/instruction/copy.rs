//! `COPY`: files of the context, another stage, an image or a named context.

use super::cache_control::{self, CacheControl};
use super::expand::Expander;
use super::sources::Sources;
use crate::dockerfile::Fault;
use crate::dockerfile::flags::{Flags, Kind};
use crate::dockerfile::statement::Statement;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    pub sources: Sources,
    /// Stage, stage index, image or named context; empty for the build context. Expanded only in the
    /// extended language, and then before anything else.
    pub from: String,
    /// Empty if absent, as `chmod`.
    pub chown: String,
    pub chmod: String,
    pub link: bool,
    pub excludes: Vec<String>,
    /// Keep the sources' folders.
    pub parents: bool,
    pub cache: CacheControl,
}

pub(super) const FLAGS: &[(&str, Kind)] = &[
    ("chown", Kind::Text),
    ("from", Kind::Text),
    ("chmod", Kind::Text),
    ("link", Kind::Bool),
    ("exclude", Kind::Texts),
    ("parents", Kind::Bool),
];

impl Copy {
    pub(super) fn read(statement: &Statement) -> Result<Self, Fault> {
        if statement.arguments.words.len() < 2 {
            return Err(Fault::NoDestination("COPY"));
        }
        let known = cache_control::with_flags(FLAGS, statement.language);
        let flags = Flags::parse(&statement.flags, &known)?;
        Ok(Self {
            sources: Sources::read(statement, "COPY")?,
            from: flags.text("from"),
            chown: flags.text("chown"),
            chmod: flags.text("chmod"),
            link: flags.bool("link").unwrap_or(false),
            excludes: flags.texts("exclude"),
            parents: flags.bool("parents").unwrap_or(false),
            cache: CacheControl::read(&flags)?,
        })
    }

    /// Everything but `--from`, excludes and heredoc bodies.
    pub fn expand(&self, expander: &mut Expander<'_>) -> Result<Self, Fault> {
        let chown = expander(&self.chown)?;
        let chmod = expander(&self.chmod)?;
        let sources = self.sources.expand(expander)?;
        let (from, excludes) = (self.from.clone(), self.excludes.clone());
        Ok(Self { sources, from, chown, chmod, excludes, ..*self })
    }
}
