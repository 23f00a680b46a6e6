//! What `ADD` and `COPY` take and where they put it.

use std::collections::HashMap;

use super::expand::{Expander, each};
use crate::dockerfile::Fault;
use crate::dockerfile::heredoc::{self, Heredoc};
use crate::dockerfile::statement::Statement;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    pub destination: String,
    pub paths: Vec<String>,
    /// Heredocs: files written in the Dockerfile itself.
    pub contents: Vec<Content>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The delimiter, which becomes the file's name.
    pub path: String,
    /// The body; tabs of `<<-` are already removed.
    pub data: String,
    /// False for a quoted delimiter: the body is taken literally.
    pub expand: bool,
}

impl Sources {
    pub(super) fn read(statement: &Statement, command: &'static str) -> Result<Self, Fault> {
        let Some((destination, sources)) = statement.arguments.words.split_last() else {
            return Err(Fault::NoDestination(command));
        };
        if heredoc_word(destination).is_some() {
            return Err(Fault::HeredocDestination(command));
        }
        let bodies: HashMap<&str, &Heredoc> =
            statement.heredocs.iter().map(|heredoc| (heredoc.name.as_str(), heredoc)).collect();
        let (mut paths, mut contents) = (Vec::new(), Vec::new());
        for source in sources {
            match heredoc_word(source) {
                Some(word) => {
                    let body = bodies.get(word.name.as_str()).map_or("", |body| body.content.as_str());
                    let data = if word.chomp { heredoc::chomp(body) } else { body.to_owned() };
                    contents.push(Content { path: word.name, data, expand: word.expand });
                }
                None => paths.push(source.clone()),
            }
        }
        Ok(Self { destination: destination.clone(), paths, contents })
    }

    /// Paths and destination; bodies have rules of their own, see [`Self::expand_contents`].
    pub fn expand(&self, expander: &mut Expander<'_>) -> Result<Self, Fault> {
        let paths = each(&self.paths, expander)?;
        Ok(Self { paths, destination: expander(&self.destination)?, contents: self.contents.clone() })
    }

    /// The bodies whose delimiter is not quoted. `expander` must leave quotes and escapes alone.
    pub fn expand_contents(mut self, expander: &mut Expander<'_>) -> Result<Self, Fault> {
        for content in self.contents.iter_mut().filter(|content| content.expand) {
            content.data = expander(&content.data)?;
        }
        Ok(self)
    }
}

/// A word that fails to parse as a heredoc is a path, as in the reference.
fn heredoc_word(word: &str) -> Option<Heredoc> {
    heredoc::parse(word).unwrap_or_default()
}
