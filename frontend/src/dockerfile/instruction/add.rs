//! `ADD`: files of the context, URLs, git repositories, archives.

use super::cache_control::{self, CacheControl};
use super::expand::Expander;
use super::sources::Sources;
use crate::dockerfile::Fault;
use crate::dockerfile::flags::{Flags, Kind};
use crate::dockerfile::statement::Statement;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add {
    pub sources: Sources,
    /// Empty if absent, as the other texts.
    pub chown: String,
    pub chmod: String,
    pub link: bool,
    pub excludes: Vec<String>,
    /// Whether to keep `.git`; `None` leaves it to the source.
    pub keep_git_dir: Option<bool>,
    pub checksum: String,
    /// Whether to unpack archives; `None`: local ones, not remote ones.
    pub unpack: Option<bool>,
    pub cache: CacheControl,
}

pub(super) const FLAGS: &[(&str, Kind)] = &[
    ("chown", Kind::Text),
    ("chmod", Kind::Text),
    ("link", Kind::Bool),
    ("keep-git-dir", Kind::Bool),
    ("checksum", Kind::Text),
    ("unpack", Kind::Bool),
    ("exclude", Kind::Texts),
];

impl Add {
    pub(super) fn read(statement: &Statement) -> Result<Self, Fault> {
        if statement.arguments.words.len() < 2 {
            return Err(Fault::NoDestination("ADD"));
        }
        let known = cache_control::with_flags(FLAGS, statement.language);
        let flags = Flags::parse(&statement.flags, &known)?;
        Ok(Self {
            sources: Sources::read(statement, "ADD")?,
            chown: flags.text("chown"),
            chmod: flags.text("chmod"),
            link: flags.bool("link").unwrap_or(false),
            excludes: flags.texts("exclude"),
            keep_git_dir: flags.bool("keep-git-dir"),
            checksum: flags.text("checksum"),
            unpack: flags.bool("unpack"),
            cache: CacheControl::read(&flags)?,
        })
    }

    /// Everything but excludes and heredoc bodies.
    pub fn expand(&self, expander: &mut Expander<'_>) -> Result<Self, Fault> {
        let chown = expander(&self.chown)?;
        let chmod = expander(&self.chmod)?;
        let checksum = expander(&self.checksum)?;
        let sources = self.sources.expand(expander)?;
        Ok(Self { sources, chown, chmod, checksum, excludes: self.excludes.clone(), ..*self })
    }
}
