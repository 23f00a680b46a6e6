//! A builder that answers from memory.

#![allow(clippy::unwrap_used)] // for tests
#![allow(dead_code)] // not every test needs all

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use slipway_frontend::{
    Error, Facts, FrontendResult, Gateway, GatewayError, ImageConfigRequest, Language, ResolvedImage,
    Warning, open,
};
use slipway_model::llb::pb;
use slipway_model::{Digest, Platform};

/// Files by `source identifier/path`.
pub(crate) struct Memory {
    pub(crate) files: BTreeMap<String, String>,
    pub(crate) facts: Facts,
}

impl Memory {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let file = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        let facts =
            Facts { session_id: "s".to_owned(), build_platforms: vec![Platform::new("linux", "amd64", "")] };
        Self { files: files.iter().map(file).collect(), facts }
    }
}

#[async_trait]
impl Gateway for Memory {
    async fn resolve_image_config(&self, request: ImageConfigRequest) -> Result<ResolvedImage, GatewayError> {
        if request.reference.contains("missing") {
            return Err(GatewayError::Said("no such image".to_owned()));
        }
        let layout = request.oci_layout.map(|layout| layout.store_id).unwrap_or_default();
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","config":{{"Env":["STORE={layout}"]}},
               "rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
            Digest::of(b"layer")
        );
        Ok(ResolvedImage { reference: request.reference, digest: None, config: config.into() })
    }

    async fn read_file(
        &self,
        definition: &pb::Definition,
        path: &str,
    ) -> Result<Option<Bytes>, GatewayError> {
        let head = slipway_model::llb::Definition::decode(definition).unwrap().head.unwrap().0;
        let Some(pb::op::Op::Source(source)) = &head.op.op else { return Ok(None) };
        let key = format!("{}/{path}", source.identifier);
        Ok(self.files.get(&key).map(|text| Bytes::from(text.clone())))
    }

    async fn warn(&self, _: Warning) {}

    fn facts(&self) -> &Facts {
        &self.facts
    }
}

pub(crate) fn run(memory: &Memory, options: &[(&str, &str)]) -> Result<FrontendResult, Error> {
    run_in(Language::default(), memory, options)
}

pub(crate) fn run_in(
    language: Language,
    memory: &Memory,
    options: &[(&str, &str)],
) -> Result<FrontendResult, Error> {
    let mut all = BTreeMap::from([("cmdline".to_owned(), "test".to_owned())]);
    all.extend(options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    futures::executor::block_on(async {
        let inputs = BTreeMap::new();
        open(memory, &all, &inputs).await?.in_language(language).build().await
    })
}

pub(crate) fn dockerfile(text: &str) -> Memory {
    Memory::new(&[("local://dockerfile/Dockerfile", text)])
}
