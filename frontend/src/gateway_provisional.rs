//! provisional
use bytes::Bytes;
use slipway_model::llb::{VertexDigest, pb};
use slipway_model::{Digest, Platform};
use std::collections::BTreeMap;
pub struct ImageConfigRequest {
    pub reference: String,
    pub platform: Option<Platform>,
    pub resolve_mode: String,
    pub log_name: String,
}
pub struct ResolvedImage {
    pub reference: String,
    pub digest: Option<Digest>,
    pub config: Bytes,
}
pub struct Warning {
    pub level: i64,
    pub short: String,
    pub detail: Vec<String>,
    pub url: String,
    pub info: Option<pb::SourceInfo>,
    pub ranges: Vec<pb::Range>,
    pub vertex: Option<VertexDigest>,
}
pub struct Facts {
    pub session_id: String,
    pub build_platforms: Vec<Platform>,
}
#[derive(Debug)]
pub struct GatewayError(pub String);
#[async_trait::async_trait]
pub trait Gateway: Send + Sync {
    async fn resolve_image_config(&self, request: ImageConfigRequest) -> Result<ResolvedImage, GatewayError>;
    async fn read_file(&self, definition: &pb::Definition, path: &str)
    -> Result<Option<Bytes>, GatewayError>;
    async fn warn(&self, warning: Warning);
    fn facts(&self) -> &Facts;
}
pub struct FrontendResult {
    pub outputs: Vec<PlatformResult>,
    pub multi_platform: bool,
    pub metadata: BTreeMap<String, Bytes>,
}
pub struct PlatformResult {
    pub id: String,
    pub platform: Platform,
    pub definition: pb::Definition,
    pub config: Bytes,
    pub base_config: Option<Bytes>,
}
#[derive(Debug)]
pub struct Error {
    pub message: String,
    pub sources: Vec<ErrorSource>,
}
#[derive(Debug)]
pub struct ErrorSource {
    pub info: pb::SourceInfo,
    pub ranges: Vec<pb::Range>,
}
impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}
pub async fn build(
    _: &dyn Gateway,
    _: &BTreeMap<String, String>,
    _: &BTreeMap<String, pb::Definition>,
) -> Result<FrontendResult, Error> {
    Err(Error { message: "no frontend".into(), sources: vec![] })
}
