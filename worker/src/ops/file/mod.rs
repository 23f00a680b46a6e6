//! File actions: what `COPY`, `ADD`, `WORKDIR` and their like do to a tree.
//!
//! Each action is a function over open directories: the tree to change, and for a copy the tree to
//! read. Whose snapshots these are, and where they are mounted, is the caller's business; so is
//! looking up in which input a named owner's `/etc/passwd` is ([`owner::owner`]).
//!
//! # Paths
//!
//! A path belongs to its tree: an absolute link starts over at the tree's root and `..` stops there.
//! The reference resolves by text what does not exist yet, so here too a path is first turned into
//! one without links ([`tree::Tree::real_path`]), element by element; that path is then only ever
//! opened in a way in which the kernel refuses links and leaving the tree. A tree that is changed
//! meanwhile can make an action fail, but not reach outside.
//!
//! # What a copy keeps
//!
//! | | kept | unless |
//! |---|---|---|
//! | content, holes | yes | |
//! | owner | yes | the action names one |
//! | mode | yes | the action sets it (not for links) |
//! | times | yes | the action sets them |
//! | extended attributes | as far as the target can hold them | |
//! | hard links | among what is copied | |
//! | devices, fifos | yes; a socket becomes an empty file | |
//!
//! A directory that exists already is merged with; one that was named as the target keeps its mode
//! and owner, one below it takes those of the source.
//!
//! The required paths of a copy are absent here: they are checked by the content digest.

mod copy;
mod create;
mod error;
mod metadata;
mod mode;
mod owner;
mod remove;
mod tree;
mod unpack;
mod wildcard;

#[cfg(test)]
mod tests;

pub use copy::{Layers, Link, copy};
pub use create::{mkdir, mkfile, symlink};
pub use error::FileError;
pub use mode::{ModeChange, ModeError};
pub use owner::{Owner, owner};
pub use remove::rm;
pub(crate) use unpack::newest;

type Result<T> = std::result::Result<T, FileError>;
