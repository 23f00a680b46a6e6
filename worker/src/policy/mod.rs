//! Source policies: which sources a build may use, and in whose place others are used.
//!
//! Every source of every graph of a build comes through here before anything of it is resolved, and so does every
//! question about one: images that frontends ask about, frontends' own images, named contexts, graphs that come out
//! of graphs ([`crate::source::of_build::BuildSources::admit`] is the door).
//!
//! | module | holds |
//! |---|---|
//! | [`rules`] | static policies: ALLOW, DENY and CONVERT by patterns |
//! | `selector` | which sources a rule is about |
//! | `session` | policies that are asked: a client's session allows, denies, converts, or wants to know more first |
//! | `graph` | a whole definition, with the sources that the policies want in it |
//! | `name` | the one spelling of a source that rules are compared with |
//!
//! # In which order
//!
//! 1. The rules of the build, then those that came with the question (a frontend's `SourcePolicies`). In each policy,
//!    rule by rule: CONVERT changes the source and begins again; of ALLOW and DENY the last that matches counts.
//! 2. The session, if the build names one. Its CONVERT begins again at 1.
//!
//! What changes for ever is an error: after [`rules::MOST_CHANGES`] changes, or [`session::MOST_QUESTIONS`] calls.
//!
//! A `git://` source is compared by where it is fetched from (`git.fullurl`), not by what it calls itself, and without
//! a user name. One that is converted to another name loses its `git.fullurl` unless the rule gives it one: else the
//! old place would be fetched from under the new name.

mod error;
mod graph;
mod name;
pub mod rules;
mod selector;
pub mod session;

pub use error::PolicyError;
pub use graph::{Refused, admit_definition};
pub(crate) use name::name_of;
pub use rules::Rules;
