//! Where trees come from, before any step has run.
//!
//! | source | reads |
//! |---|---|
//! | [`image`] | a registry, or the pinned image itself from any other origin |
//! | [`oci_layout`] | an image in an OCI layout, wherever its files are |
//! | [`local`] | a directory of the client |
//! | [`cache`] | results of imported caches |
//! | [`http`] | a file of a web server |
//! | [`git`] | a commit of a git repository |
//! | [`blob`] | one blob of a registry or a layout, as a file |
//!
//! Beside them: [`metadata`], what a source stands for just now; [`of_build`], what one build decides and knows about
//! its sources; [`lock`], what they may come to; [`answers`], what was answered before. [`save`] and [`ssh_signature`]
//! are what they need: a file on its way into a snapshot, and whether somebody has signed something.

pub mod answers;
pub(crate) mod blob;
pub mod cache;
pub mod credentials_of_url;
pub(crate) mod git;
pub(crate) mod http;
pub mod image;
mod links;
pub mod local;
pub mod lock;
pub mod metadata;
pub mod oci_layout;
pub mod of_build;
mod save;
mod ssh_signature;

pub use credentials_of_url::hidden as without_credentials;
