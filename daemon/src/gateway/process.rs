//! How a frontend is started.
//!
//! | what | value |
//! |---|---|
//! | arguments | the image's entrypoint, else `/run`; its command does not count |
//! | variables | the image's; `BUILDKIT_FRONTEND_OPT_<n>` with `key=value`, in no order that matters; `BUILDKIT_SESSION_ID`; `BUILDKIT_WORKERS`, JSON; `BUILDKIT_EXPORTEDPRODUCT` |
//! | working directory | the image's, else `/` |
//! | `/run/config/buildkit/metadata/frontend.bin` | the graph that the frontend is the result of |
//! | network | the worker's, none if the label `moby.buildkit.frontend.network.none` is true |

use std::collections::BTreeMap;

use prost::Message as _;
use serde_json::json;
use slipway_proto::pb;
use slipway_worker::container::{ContainerRequest, ProcessRequest};

use super::image::FrontendImage;
use crate::control::workers;
use crate::engine::Engine;

const DEFINITION: &str = "/run/config/buildkit/metadata/frontend.bin";
/// What frontends know the builder as, to tell whose capabilities are lacking.
const PRODUCT: &str = "buildkit";

pub(super) fn container(image: &FrontendImage, session: &str) -> ContainerRequest {
    let label = image.config.config.labels.get("moby.buildkit.frontend.network.none");
    let without_network = label.is_some_and(|text| is_true(text));
    let network = if without_network { pb::NetMode::None } else { pb::NetMode::Unset };
    ContainerRequest {
        name: format!("frontend {}", image.name),
        mounts: vec![pb::Mount { dest: "/".into(), input: 0, output: -1, ..pb::Mount::default() }],
        inputs: vec![image.tree.clone()],
        files: vec![(DEFINITION.into(), image.definition.encode_to_vec())],
        network: network.into(),
        sessions: vec![session.to_owned()],
        ..ContainerRequest::default()
    }
}

pub(super) fn process(
    engine: &Engine,
    image: &FrontendImage,
    options: &BTreeMap<String, String>,
    session: &str,
) -> ProcessRequest {
    let config = &image.config.config;
    let mut env = config.env.clone();
    let options = options.iter().enumerate();
    env.extend(options.map(|(number, (key, value))| format!("BUILDKIT_FRONTEND_OPT_{number}={key}={value}")));
    env.push(format!("BUILDKIT_SESSION_ID={session}"));
    env.push(format!("BUILDKIT_WORKERS={}", workers_json(engine)));
    env.push(format!("BUILDKIT_EXPORTEDPRODUCT={PRODUCT}"));
    ProcessRequest {
        args: config.entrypoint.clone().unwrap_or_else(|| vec!["/run".into()]),
        env,
        cwd: if config.working_dir.is_empty() { "/".into() } else { config.working_dir.clone() },
        remove_mount_stubs_recursive: true,
        ..ProcessRequest::default()
    }
}

fn workers_json(engine: &Engine) -> String {
    let worker = workers::record(engine);
    json!([{ "ID": worker.id, "Labels": worker.labels, "Platforms": engine.worker.platforms.all() }])
        .to_string()
}

/// As the reference's language reads booleans.
fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True")
}
