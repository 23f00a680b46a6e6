//! Requests that want to know something about a Dockerfile instead of building it.
//!
//! Answers are metadata: JSON for programs, text for people.
//!
//! | request | answers | file |
//! |---|---|---|
//! | `frontend.subrequests.describe` | which requests there are | `describe` |
//! | `frontend.lint` | findings, and why the build would fail | `lint` |
//! | `frontend.outline` | arguments, secrets and ssh agents of a target | `outline` |
//! | `frontend.targets` | stages | `targets` |
//! | `frontend.convertllb` | the graph | `convertllb` |
//! | `slipway.diagnostics` | errors and findings, with columns | `diagnostics` |

mod convertllb;
mod describe;
mod diagnostics;
mod excerpt;
mod json;
mod lint;
mod outline;
mod table;
mod targets;

use std::collections::BTreeMap;

use bytes::Bytes;
use slipway_model::Platform;
use slipway_model::llb::pb;

use crate::build::FrontendResult;
use crate::dockerfile::Language;
use crate::error::{Failure, Unsupported};
use crate::gateway::Gateway;
use crate::lower::{Request, Wanted};
use crate::plan::context::Entry;
use crate::plan::options::Options;

/// A request and what it is about.
pub(crate) struct Question<'a> {
    pub(crate) gateway: &'a dyn Gateway,
    pub(crate) options: &'a Options,
    pub(crate) inputs: &'a BTreeMap<String, pb::Definition>,
    pub(crate) entry: &'a Entry,
    pub(crate) build_platform: &'a Platform,
    pub(crate) language: Language,
}

impl Question<'_> {
    /// Requests look at one platform: what the builder is, whatever the client wants to build for.
    fn request(&self) -> Request<'_> {
        Request {
            gateway: self.gateway,
            options: self.options,
            inputs: self.inputs,
            entry: self.entry,
            platform: None,
            build_platform: self.build_platform,
            all_stages: false,
            wants: Wanted::Findings,
            language: self.language,
        }
    }
}

pub(crate) async fn answer(id: &str, question: &Question<'_>) -> Result<FrontendResult, Failure> {
    match id {
        "frontend.subrequests.describe" => describe::describe(),
        "frontend.lint" => lint::lint(question).await,
        "frontend.outline" => outline::outline(question).await,
        "frontend.targets" => targets::targets(question).await,
        "frontend.convertllb" => convertllb::convert(question).await,
        "slipway.diagnostics" => diagnostics::diagnose(question).await,
        id => Err(Failure::unsupported(Unsupported::Request(id.to_owned()))),
    }
}

fn answer_of<const N: usize>(metadata: [(&str, String); N]) -> FrontendResult {
    FrontendResult {
        metadata: metadata.into_iter().map(|(key, value)| (key.to_owned(), Bytes::from(value))).collect(),
        ..FrontendResult::default()
    }
}
