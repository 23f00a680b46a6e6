//! One recorded build: its files, options and answers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;
use slipway_frontend::{Error, FrontendResult, Warning};
use slipway_model::llb::pb;

use super::gateway::FakeGateway;

pub(super) struct Case {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    options: BTreeMap<String, String>,
}

/// What the frontend did.
pub(super) struct Outcome {
    pub(super) result: Result<FrontendResult, Error>,
    /// Definitions that were solved to read files.
    pub(super) solved: Vec<pb::Definition>,
    pub(super) warnings: Vec<Warning>,
}

impl Case {
    pub(super) fn read(folder: &Path) -> anyhow::Result<Self> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut options: BTreeMap<String, String> = match std::fs::read(folder.join("opts.json")) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| format!("{name}: opts.json"))?,
            Err(_) => BTreeMap::new(),
        };
        match options.get("cmdline").map(String::as_str) {
            None => {
                options.insert("cmdline".to_owned(), "golden".to_owned());
            }
            Some("-") => {
                options.remove("cmdline");
            }
            Some(_) => {}
        }
        Ok(Self { name, folder: folder.to_owned(), options })
    }

    pub(super) fn run(&self, bases: &Value) -> Outcome {
        self.run_with(bases, &self.options)
    }

    /// The same case with a request that builds nothing.
    pub(super) fn ask(&self, bases: &Value, request: &str) -> Outcome {
        let mut options = self.options.clone();
        options.insert("requestid".to_owned(), request.to_owned());
        self.run_with(bases, &options)
    }

    fn run_with(&self, bases: &Value, options: &BTreeMap<String, String>) -> Outcome {
        let gateway = FakeGateway::new(&self.folder, bases);
        let inputs = BTreeMap::new();
        let build = slipway_frontend::build(&gateway, options, &inputs);
        let result = futures::executor::block_on(build);
        let (solved, warnings) = gateway.into_records();
        Outcome { result, solved, warnings }
    }

    /// A recorded file; `None` if the case has none.
    pub(super) fn recorded(&self, file: &str) -> Option<Value> {
        read_json(&self.folder.join(file)).ok()
    }

    pub(super) fn recorded_text(&self, file: &str) -> Option<String> {
        std::fs::read_to_string(self.folder.join(file)).ok()
    }
}

pub(super) fn read_json(path: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read(path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&text).with_context(|| path.display().to_string())
}
