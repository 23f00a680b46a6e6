//! What refers to a manifest: signatures and the like (OCI distribution-spec 1.1, "Listing Referrers").
//!
//! A registry that does not know the question keeps a list under a tag that is made of the digest, if anybody does.

use http::header::ACCEPT;
use http::{HeaderValue, Method, StatusCode};
use slipway_model::media_type::OCI_INDEX;
use slipway_model::{BlobDigest, Descriptor, Index, Reference};

use crate::auth::Scopes;
use crate::client::Client;
use crate::error::Error;
use crate::limit::Lane;
use crate::request::{Call, Target};
use crate::{LARGEST_MANIFEST, body};

impl Client {
    /// The manifests that name the manifest `subject` of the repository of `reference` as what they are about.
    pub async fn referrers(
        &self,
        reference: &Reference,
        subject: &BlobDigest,
    ) -> Result<Vec<Descriptor>, Error> {
        let endpoint = self.origin(reference);
        let asked = Self::asked(&endpoint, format!("referrers of {subject}"));
        let target = Target::Repository(format!("referrers/{subject}"));
        let mut call = Call::new(Method::GET, target, Scopes::pull(&endpoint.repository), asked);
        call.headers.append(ACCEPT, HeaderValue::from_static(OCI_INDEX));
        let response = {
            let _place = self.limits.enter(&endpoint.host, Lane::Small).await;
            self.send(&endpoint, &call).await?
        };
        match response.status() {
            StatusCode::OK => {
                let silence = self.options.retry.silence;
                let bytes = body::read(response, &call.asked, LARGEST_MANIFEST, silence).await?;
                listed(&bytes, &call)
            }
            // Not known; some registries say so in other words.
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::BAD_REQUEST => {
                self.tagged_referrers(reference, subject, &call).await
            }
            _ => {
                let answer = body::answer(response, &call.asked, self.options.retry.silence).await;
                Err(Error::from_answer(call.asked, answer))
            }
        }
    }

    async fn tagged_referrers(
        &self,
        reference: &Reference,
        subject: &BlobDigest,
        call: &Call,
    ) -> Result<Vec<Descriptor>, Error> {
        let tag = format!("{}-{}", subject.0.algorithm(), subject.0.hex());
        let Ok(tagged) = format!("{}:{tag}", reference.name()).parse() else { return Ok(Vec::new()) };
        match self.resolve(&tagged).await {
            Ok(resolved) => listed(&resolved.bytes, call),
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

fn listed(bytes: &[u8], call: &Call) -> Result<Vec<Descriptor>, Error> {
    let index: Index = serde_json::from_slice(bytes)
        .map_err(|error| Error::Manifest { asked: call.asked.clone(), reason: error.to_string() })?;
    Ok(index.manifests)
}
