//! Blobs on their way into Azure's storage: in one request, or in blocks at the same time.
//!
//! Who makes the requests signs them, or was given an address that is signed.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use slipway_registry::{BlobSource, Client, Exchange, ExchangePayload, WebResponse};

use super::{ERROR_CODE, refused};
use crate::Result;

/// The size of a block, and of what is no longer sent in one request.
const BLOCK: u64 = 32 << 20;
/// Azure knows no more blocks of a blob.
const MOST_BLOCKS: u64 = 50_000;
const AT_ONCE: usize = 4;

/// Makes a PUT with this query, these headers and this payload.
pub(crate) type Make<'a> =
    dyn Fn(&[(&str, &str)], &[(&'static str, String)], ExchangePayload) -> Exchange + Send + Sync + 'a;

/// Where a blob goes.
pub(crate) struct Target<'a> {
    pub(crate) client: &'a Client,
    /// For people.
    pub(crate) place: &'a str,
    pub(crate) make: &'a Make<'a>,
    /// A blob that is there is not written again.
    pub(crate) fixed: bool,
}

pub(crate) async fn upload(target: &Target<'_>, size: u64, source: Arc<dyn BlobSource>) -> Result<()> {
    let condition = target.fixed.then(|| ("if-none-match", "*".to_owned()));
    if size <= BLOCK {
        let mut headers = vec![("x-ms-blob-type", "BlockBlob".to_owned())];
        headers.extend(condition);
        let payload = ExchangePayload::Blob { source, offset: 0, length: size };
        let response = target.send("upload", &[], &headers, payload).await?;
        return target.check(&response);
    }
    let block = BLOCK.max(size.div_ceil(MOST_BLOCKS));
    let sending = (0..size.div_ceil(block)).map(|index| {
        let (offset, source) = (index * block, source.clone());
        let payload = ExchangePayload::Blob { source, offset, length: block.min(size - offset) };
        async move {
            let id = name(index);
            let query = [("comp", "block"), ("blockid", id.as_str())];
            let response = target.send("upload of a block", &query, &[], payload).await?;
            target.check(&response).map(|()| id)
        }
    });
    let sending = stream::iter(sending.collect::<Vec<_>>());
    let ids: Vec<String> = sending.buffered(AT_ONCE).try_collect().await?;
    let listed: String = ids.iter().map(|id| format!("<Latest>{id}</Latest>")).collect();
    let list = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{listed}</BlockList>");
    let headers: Vec<_> = condition.into_iter().collect();
    let payload = ExchangePayload::Bytes(list.into());
    let response = target.send("end of an upload", &[("comp", "blocklist")], &headers, payload).await?;
    target.check(&response)
}

impl Target<'_> {
    async fn send(
        &self,
        what: &str,
        query: &[(&str, &str)],
        headers: &[(&'static str, String)],
        payload: ExchangePayload,
    ) -> Result<WebResponse> {
        let make = || (self.make)(query, headers, payload.clone());
        Ok(self.client.exchange(what, make).await?)
    }

    fn check(&self, response: &WebResponse) -> Result<()> {
        let is_there = matches!(response.header(ERROR_CODE), Some("BlobAlreadyExists" | "ConditionNotMet"));
        match response.status() {
            200 | 201 => Ok(()),
            409 | 412 if self.fixed && is_there => Ok(()),
            _ => Err(refused(self.place, "upload", response)),
        }
    }
}

/// Names of blocks are all of one length.
fn name(index: u64) -> String {
    BASE64_STANDARD.encode(format!("{index:08}"))
}
