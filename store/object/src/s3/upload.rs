//! Objects on their way into a bucket: in one request, or in parts at the same time.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::Method;
use http::header::ETAG;
use slipway_model::{Descriptor, Digest};
use slipway_registry::{BlobSource, ExchangePayload, WebResponse};
use time::OffsetDateTime;

use super::sign::{encode, time_stamp};
use super::{Bucket, Request, answer};
use crate::Result;

/// The size of a part, and of what is no longer sent in one request.
const PART: u64 = 16 << 20;
/// S3 knows no more parts of an object.
const MOST_PARTS: u64 = 10_000;
/// S3 copies no more at once.
const LARGEST_COPY: u64 = 5 << 30;

impl Bucket {
    pub(super) async fn upload(
        &self,
        object: &str,
        descriptor: &Descriptor,
        source: Arc<dyn BlobSource>,
    ) -> Result<()> {
        let size = descriptor.size;
        if size > PART {
            return self.in_parts(object, |upload| self.send_parts(object, upload, size, source)).await;
        }
        let digest = descriptor.digest.0;
        let hash = matches!(digest, Digest::Sha256(_)).then(|| digest.to_string());
        let hash = hash.and_then(|text| text.strip_prefix("sha256:").map(str::to_owned));
        let payload = ExchangePayload::Blob { source, offset: 0, length: size };
        let request =
            Request { method: Method::PUT, object, payload, hash, what: "upload", ..Request::EMPTY };
        let _place = self.0.uploads.acquire().await;
        let response = self.send(request).await?;
        match response.status() {
            200 => Ok(()),
            _ => Err(self.refused("upload", response).await),
        }
    }

    /// Writes `object` over itself, so that rules about the age of objects spare it.
    pub(super) async fn touch(&self, object: &str, size: u64) -> Result<()> {
        // Not every server decodes it, so digests are spelled as they are.
        let object_name = encode(object, true).replace("%3A", ":");
        let source = format!("{}/{object_name}", encode(&self.0.options.bucket, false));
        if size >= LARGEST_COPY {
            return self.in_parts(object, |upload| self.copy_parts(object, upload, size, source)).await;
        }
        let headers = [
            ("x-amz-copy-source", source),
            ("x-amz-meta-updated-at", time_stamp(OffsetDateTime::now_utc())),
            ("x-amz-metadata-directive", "REPLACE".to_owned()),
        ];
        let request =
            Request { method: Method::PUT, object, headers: &headers, what: "refresh", ..Request::EMPTY };
        let response = self.send(request).await?;
        self.check_late(response, "refresh").await.map(drop)
    }

    /// Makes `object` of the parts that `send` sends; nothing is left if it fails.
    async fn in_parts<F>(&self, object: &str, send: impl FnOnce(String) -> F) -> Result<()>
    where
        F: Future<Output = Result<Vec<(u64, String)>>>,
    {
        let what = "upload in parts";
        let query = [("uploads", "")];
        let request = Request { method: Method::POST, object, query: &query, what, ..Request::EMPTY };
        let response = self.send(request).await?;
        if response.status() != 200 {
            return Err(self.refused(what, response).await);
        }
        let body = response.read(answer::LARGEST).await?;
        let upload = answer::element(&String::from_utf8_lossy(&body), "UploadId");
        let upload = upload.ok_or_else(|| self.protocol(what, "it names no upload"))?;
        let done = match send(upload.clone()).await {
            Ok(parts) => self.complete(object, &upload, parts).await,
            Err(error) => Err(error),
        };
        if done.is_err() {
            let query = [("uploadId", upload.as_str())];
            let what = "end of an upload";
            let request = Request { method: Method::DELETE, object, query: &query, what, ..Request::EMPTY };
            if let Err(error) = self.send(request).await {
                tracing::debug!(%error, "an upload was not given up");
            }
        }
        done
    }

    async fn send_parts(
        &self,
        object: &str,
        upload: String,
        size: u64,
        source: Arc<dyn BlobSource>,
    ) -> Result<Vec<(u64, String)>> {
        let part = PART.max(size.div_ceil(MOST_PARTS));
        let upload = upload.as_str();
        let sending = (0..size.div_ceil(part)).map(|index| {
            let offset = index * part;
            let source = source.clone();
            let payload = ExchangePayload::Blob { source, offset, length: part.min(size - offset) };
            async move {
                let _place = self.0.uploads.acquire().await;
                let number = (index + 1).to_string();
                let query = [("partNumber", number.as_str()), ("uploadId", upload)];
                let what = "upload of a part";
                let request =
                    Request { method: Method::PUT, object, query: &query, payload, what, ..Request::EMPTY };
                let response = self.send(request).await?;
                if response.status() != 200 {
                    return Err(self.refused(what, response).await);
                }
                let tag = response.header(ETAG.as_str()).map(str::to_owned);
                Ok((index + 1, tag.ok_or_else(|| self.protocol(what, "a part got no ETag"))?))
            }
        });
        let at_once = self.0.options.uploads as usize;
        stream::iter(sending.collect::<Vec<_>>()).buffered(at_once).try_collect().await
    }

    async fn copy_parts(
        &self,
        object: &str,
        upload: String,
        size: u64,
        source: String,
    ) -> Result<Vec<(u64, String)>> {
        let mut parts = Vec::new();
        let what = "refresh of a part";
        for index in 0..size.div_ceil(LARGEST_COPY) {
            let (start, end) = (index * LARGEST_COPY, size.min((index + 1) * LARGEST_COPY));
            let headers = [
                ("x-amz-copy-source", source.clone()),
                ("x-amz-copy-source-range", format!("bytes={start}-{}", end - 1)),
            ];
            let number = (index + 1).to_string();
            let query = [("partNumber", number.as_str()), ("uploadId", upload.as_str())];
            let method = Method::PUT;
            let request =
                Request { method, object, query: &query, headers: &headers, what, ..Request::EMPTY };
            let body = self.check_late(self.send(request).await?, what).await?;
            let tag = answer::element(&body, "ETag");
            parts.push((index + 1, tag.ok_or_else(|| self.protocol(what, "a part got no ETag"))?));
        }
        Ok(parts)
    }

    async fn complete(&self, object: &str, upload: &str, parts: Vec<(u64, String)>) -> Result<()> {
        let mut xml =
            String::from("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
        for (number, tag) in parts {
            let tag = tag.replace('&', "&amp;").replace('<', "&lt;");
            xml.push_str(&format!("<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>"));
        }
        xml.push_str("</CompleteMultipartUpload>");
        let query = [("uploadId", upload)];
        let hash = Some(super::hex_digest(xml.as_bytes()));
        let (payload, what) = (ExchangePayload::Bytes(xml.into()), "end of an upload in parts");
        let method = Method::POST;
        let request = Request { method, object, query: &query, payload, hash, what, ..Request::EMPTY };
        let response = self.send(request).await?;
        self.check_late(response, what).await.map(drop)
    }

    /// The body of an answer that may say that it failed after all.
    async fn check_late(&self, response: WebResponse, what: &str) -> Result<String> {
        let status = response.status();
        let body = response.read(answer::LARGEST).await?;
        let text = String::from_utf8_lossy(&body).into_owned();
        if status != 200 || answer::failed(&text) {
            return Err(self.refusal(what, status, &body));
        }
        Ok(text)
    }
}
