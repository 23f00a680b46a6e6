//! From a name to a manifest.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use slipway_model::media_type::{MANIFESTS_ACCEPTED, is_index, is_manifest};
use slipway_model::{BlobDigest, Descriptor, Digest, Reference};

use crate::auth::Scopes;
use crate::client::Client;
use crate::endpoint::Endpoint;
use crate::error::{Asked, Error};
use crate::limit::Lane;
use crate::request::{Call, Target};
use crate::{LARGEST_MANIFEST, body, manifest};

const CONTENT_DIGEST: &str = "docker-content-digest";

/// A manifest or index and its exact bytes.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Its digest is that of `bytes`.
    pub descriptor: Descriptor,
    pub bytes: Bytes,
}

impl Client {
    /// What `reference` names now, in one HEAD, without its bytes. A registry that does not tell the
    /// digest is asked for the bytes. The digest is the registry's word until something is fetched by it.
    pub async fn head(&self, reference: &Reference) -> Result<Descriptor, Error> {
        for mirror in self.mirrors(reference) {
            match self.head_at(&mirror, reference).await {
                Ok(found) => return Ok(found),
                Err(error) => passed_over(&mirror, &error),
            }
        }
        self.head_at(&self.origin(reference), reference).await
    }

    /// The manifest or index that `reference` names. With a digest in the reference, exactly that.
    /// The error told is the registry's own, not that of a mirror.
    pub async fn resolve(&self, reference: &Reference) -> Result<Resolved, Error> {
        for mirror in self.mirrors(reference) {
            match self.resolve_at(&mirror, reference).await {
                Ok(found) => return Ok(found),
                Err(error) => passed_over(&mirror, &error),
            }
        }
        self.resolve_at(&self.origin(reference), reference).await
    }

    async fn head_at(&self, endpoint: &Endpoint, reference: &Reference) -> Result<Descriptor, Error> {
        let call = manifest_call(Method::HEAD, endpoint, reference);
        let place = self.limits.enter(&endpoint.host, Lane::Small).await;
        let response = self.send(endpoint, &call).await?;
        drop(place);
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => {
                let answer = body::answer(response, &call.asked, self.options.retry.silence).await;
                return Err(Error::NotFound { asked: call.asked, answer });
            }
            // The answer to a GET says why.
            _ => return Ok(self.resolve_at(endpoint, reference).await?.descriptor),
        }
        match told(response.headers()) {
            Some(descriptor) if reference.digest().is_none_or(|digest| digest == descriptor.digest) => {
                Ok(descriptor)
            }
            _ => Ok(self.resolve_at(endpoint, reference).await?.descriptor),
        }
    }

    async fn resolve_at(&self, endpoint: &Endpoint, reference: &Reference) -> Result<Resolved, Error> {
        let call = manifest_call(Method::GET, endpoint, reference);
        let _place = self.limits.enter(&endpoint.host, Lane::Small).await;
        self.options.retry.run(|| self.manifest_once(endpoint, &call, reference.digest())).await
    }

    async fn manifest_once(
        &self,
        endpoint: &Endpoint,
        call: &Call,
        expected: Option<BlobDigest>,
    ) -> Result<Resolved, Error> {
        let silence = self.options.retry.silence;
        let response = self.send_once(endpoint, call).await?;
        if response.status() != StatusCode::OK {
            let answer = body::answer(response, &call.asked, silence).await;
            return Err(Error::from_answer(call.asked.clone(), answer));
        }
        let headers = response.headers().clone();
        let bytes = body::read(response, &call.asked, LARGEST_MANIFEST, silence).await?;
        self.options.traffic.receive(bytes.len());
        let content_type =
            headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let descriptor = manifest::describe(&bytes, content_type, expected, &call.asked)?;
        check_told(&headers, &bytes, &call.asked)?;
        Ok(Resolved { descriptor, bytes })
    }
}

fn passed_over(mirror: &Endpoint, error: &Error) {
    tracing::debug!(%error, mirror = mirror.host, "mirror passed over");
}

/// A descriptor made of an answer's headers; `None` if they do not suffice.
fn told(headers: &HeaderMap) -> Option<Descriptor> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let digest = text(CONTENT_DIGEST)?.parse().ok()?;
    let size = text(CONTENT_LENGTH.as_str())?.parse().ok()?;
    let media_type = text(CONTENT_TYPE.as_str())?.split(';').next()?.trim();
    let known = is_index(media_type) || is_manifest(media_type);
    (known && size <= LARGEST_MANIFEST).then(|| Descriptor::new(media_type, digest, size))
}

/// A registry that contradicts itself has been tampered with, or something on the way has.
fn check_told(headers: &HeaderMap, bytes: &[u8], asked: &Asked) -> Result<(), Error> {
    let told = headers.get(CONTENT_DIGEST).and_then(|value| value.to_str().ok()?.parse::<Digest>().ok());
    match told {
        Some(told) => manifest::verify(bytes, BlobDigest(told), asked).map(drop),
        None => Ok(()),
    }
}

fn manifest_call(method: Method, endpoint: &Endpoint, reference: &Reference) -> Call {
    let name = reference.manifest_name();
    let asked = Client::asked(endpoint, format!("manifest {name}"));
    let target = Target::Repository(format!("manifests/{name}"));
    let mut call = Call::new(method, target, Scopes::pull(&endpoint.repository), asked);
    for media_type in MANIFESTS_ACCEPTED {
        call.headers.append(ACCEPT, HeaderValue::from_static(media_type));
    }
    call.headers.append(ACCEPT, HeaderValue::from_static("*/*"));
    call
}
