//! Where a result came from: SLSA provenance, in BuildKit's form
//! (<https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md>).
//!
//! ```text
//! Inquiry     who asked whom for what, while the build runs: frontends, graphs, names of images
//!    │
//! Capture     what one result is made of: its graph, and all else that was asked on the way to it
//!    │
//! predicate   the same as SLSA v1 or v0.2; with mode=max also the graph, the sources of it, and layers
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`options`] | what a client asks for with `attest:provenance` |
//! | [`inquiry`] | the tree of requests |
//! | [`producers`] | which request made a graph that another one is given as an input |
//! | [`request`] | a request as provenance names it |
//! | [`capture`] | materials of a result |
//! | [`steps`] | the graph itself |
//! | [`layers`] | which layers came of which step |
//! | [`predicate`] | the JSON |
//! | [`maker`] | all of it, at the time of the export |
//!
//! # What is in it by mode
//!
//! | | `min` | `max` |
//! |---|---|---|
//! | materials, request, times, completeness | yes | yes |
//! | build arguments, labels, ids of secrets and SSH agents | no, and the request counts as incomplete | yes |
//! | graph, Dockerfile with places, layers | no | yes |
//!
//! # What never is in it
//!
//! Secrets are asked for by id and their values never come here. Accounts in addresses are crossed out wherever they
//! stand. Values of build arguments that are named like a secret (`GITHUB_TOKEN`) are crossed out, in the request and
//! in the environment of steps; the Dockerfile itself is told as it is.

mod capture;
mod inquiry;
mod layers;
mod maker;
pub(crate) mod options;
mod predicate;
mod producers;
mod request;
mod steps;

pub(crate) use capture::Pins;
pub(crate) use inquiry::{ImageSource, Inquiry, Question};
pub(crate) use maker::{Maker, Subject, capture};
pub(crate) use options::{Mode, ProvenanceOptions};
pub(crate) use producers::Producers;
