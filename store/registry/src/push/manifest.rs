//! Manifests: small, whole, and last.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use slipway_model::{BlobDigest, Descriptor, Digest, Reference};

use crate::auth::Scopes;
use crate::body;
use crate::client::Client;
use crate::error::Error;
use crate::limit::Lane;
use crate::manifest::{LARGEST_MANIFEST, verify};
use crate::request::{Call, Payload, Target};

impl Client {
    /// Names `bytes`: by the reference's tag if it has one, else by digest only. What it points to
    /// has to be there. A digest in the reference has to be that of `bytes`.
    pub async fn push_manifest(
        &self,
        reference: &Reference,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<Descriptor, Error> {
        self.put_manifest(reference, media_type, bytes).await.map(|(descriptor, _)| descriptor)
    }

    /// The same; says also whether the registry has taken note of the manifest's subject.
    pub(super) async fn put_manifest(
        &self,
        reference: &Reference,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<(Descriptor, bool), Error> {
        let endpoint = self.origin(reference);
        let digest = reference.digest().unwrap_or_else(|| BlobDigest(Digest::of(&bytes)));
        let name = reference.tag().map_or_else(|| digest.to_string(), str::to_owned);
        let asked = Self::asked(&endpoint, format!("push of manifest {name}"));
        verify(&bytes, digest, &asked)?;
        if bytes.len() as u64 > LARGEST_MANIFEST {
            return Err(Error::TooLarge { asked, limit: LARGEST_MANIFEST });
        }
        let scopes = Scopes::push(&endpoint.repository);
        let mut call = Call::new(Method::PUT, Target::Repository(format!("manifests/{name}")), scopes, asked);
        let value = HeaderValue::from_str(media_type).map_err(|_| Error::Manifest {
            asked: call.asked.clone(),
            reason: format!("its type is {media_type:?}"),
        })?;
        call.headers.insert(CONTENT_TYPE, value);
        call.payload = Payload::Bytes(bytes.clone());
        let _place = self.limits.enter(&endpoint.host, Lane::Small).await;
        let response = self.send(&endpoint, &call).await?;
        match response.status() {
            StatusCode::CREATED | StatusCode::OK | StatusCode::ACCEPTED | StatusCode::NO_CONTENT => {
                let told = response
                    .headers()
                    .get("docker-content-digest")
                    .and_then(|v| v.to_str().ok()?.parse().ok());
                verify(&bytes, told.map_or(digest, BlobDigest), &call.asked)?;
                let is_kept = response.headers().contains_key("oci-subject");
                Ok((Descriptor::new(media_type, digest, bytes.len() as u64), is_kept))
            }
            _ => {
                let answer = body::answer(response, &call.asked, self.options.retry.silence).await;
                Err(Error::from_answer(call.asked, answer))
            }
        }
    }
}
