//! Any file builds or fails with a message, in both languages, and every request is answered.
#![no_main]

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use slipway_frontend::{
    Facts, Gateway, GatewayError, ImageConfigRequest, Language, ResolvedImage, Warning, open,
};
use slipway_model::llb::pb;

struct Builder<'a>(&'a [u8], Facts);

#[async_trait]
impl Gateway for Builder<'_> {
    async fn resolve_image_config(&self, request: ImageConfigRequest) -> Result<ResolvedImage, GatewayError> {
        let config = r#"{"architecture":"amd64","os":"linux","config":{"OnBuild":["COPY . /x"]}}"#;
        Ok(ResolvedImage { reference: request.reference, digest: None, config: config.into() })
    }

    async fn read_file(&self, _: &pb::Definition, _: &str) -> Result<Option<Bytes>, GatewayError> {
        Ok(Some(Bytes::copy_from_slice(self.0)))
    }

    async fn warn(&self, _: Warning) {}

    fn facts(&self) -> &Facts {
        &self.1
    }
}

fuzz_target!(|source: &[u8]| {
    let builder = Builder(source, Facts::default());
    for request in ["", "frontend.lint", "frontend.outline", "frontend.convertllb", "slipway.diagnostics"] {
        let mut options = BTreeMap::from([("cmdline".to_owned(), "x".to_owned())]);
        if !request.is_empty() {
            options.insert("requestid".to_owned(), request.to_owned());
        }
        for language in [Language::default(), Language::extended(1)] {
            let inputs = BTreeMap::new();
            let build = async { open(&builder, &options, &inputs).await?.in_language(language).build().await };
            if let Err(error) = futures::executor::block_on(build) {
                assert!(!error.message.is_empty());
                for diagnostic in &error.diagnostics {
                    let _ = diagnostic.text(source);
                }
            }
        }
    }
});
