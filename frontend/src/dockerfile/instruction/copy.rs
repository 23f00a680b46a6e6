//! `COPY`: files of the context, another stage, an image or a named context.

use super::expand::Expander;
use super::sources::Sources;
use crate::dockerfile::Fault;
use crate::dockerfile::flags::{Flags, Kind};
use crate::dockerfile::statement::Statement;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    pub sources: Sources,
    /// Stage, stage index, image or named context; empty for the build context. Never expanded.
    pub from: String,
    /// Empty if absent, as `chmod`.
    pub chown: String,
    pub chmod: String,
    pub link: bool,
    pub excludes: Vec<String>,
    /// Keep the sources' folders.
    pub parents: bool,
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
        let flags = Flags::parse(&statement.flags, FLAGS)?;
        Ok(Self {
            sources: Sources::read(statement, "COPY")?,
            from: flags.text("from"),
            chown: flags.text("chown"),
            chmod: flags.text("chmod"),
            link: flags.bool("link").unwrap_or(false),
            excludes: flags.texts("exclude"),
            parents: flags.bool("parents").unwrap_or(false),
        })
    }

    /// Everything but `--from`, excludes and heredoc bodies.
    pub fn expand(&self, expander: &mut Expander<'_>) -> Result<Self, Fault> {
        let mut expanded = self.clone();
        expanded.chown = expander(&self.chown)?;
        expanded.chmod = expander(&self.chmod)?;
        expanded.sources = self.sources.expand(expander)?;
        Ok(expanded)
    }
}
