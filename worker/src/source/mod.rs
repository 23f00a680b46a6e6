//! Where trees come from that no step made.
//!
//! | module | source |
//! |---|---|
//! | [`image`] | an image of a registry, or of whatever else can serve its blobs |
//! | [`oci_layout`] | an image of an OCI layout, as a client's session has them |
//!
//! A source is asked twice. *Pin* finds out what exactly is meant, and the cache keys that follow from
//! it, as cheaply as can be; *fetch* makes it a snapshot, and is called only if no cache had the answer.

pub mod image;
pub mod oci_layout;
