//! An upload session: begun, filled, closed (distribution-spec, "Pushing blobs").

use http::{Method, StatusCode};
use slipway_model::BlobDigest;
use url::Url;

use crate::auth::Scopes;
use crate::body;
use crate::client::Client;
use crate::endpoint::Endpoint;
use crate::error::{Asked, Error};
use crate::request::{Call, Payload, Target};

/// Says how small chunks may be (the last one excepted).
const LEAST_CHUNK: &str = "oci-chunk-min-length";

/// An open upload: where its next request goes. Every answer may move it.
pub(super) struct Session {
    pub(super) location: Url,
    pub(super) least_chunk: u64,
}

pub(super) enum Begun {
    Open(Session),
    /// It is there already, by mount or by knowledge.
    Done,
}

/// What stays the same through one push.
pub(super) struct Upload<'a> {
    pub(super) client: &'a Client,
    pub(super) endpoint: Endpoint,
    pub(super) scopes: Scopes,
    pub(super) digest: BlobDigest,
    pub(super) asked: Asked,
}

impl Upload<'_> {
    pub(super) fn call(&self, method: Method, target: Target) -> Call {
        Call::new(method, target, self.scopes.clone(), self.asked.clone())
    }

    /// `query` is empty, or asks for a mount.
    pub(super) async fn begin(&self, query: &str, scopes: &Scopes) -> Result<Begun, Error> {
        let mut call = self.call(Method::POST, Target::Repository(format!("blobs/uploads/{query}")));
        call.scopes = scopes.clone();
        let response = self.client.send_once(&self.endpoint, &call).await?;
        match response.status() {
            StatusCode::CREATED => Ok(Begun::Done),
            StatusCode::ACCEPTED | StatusCode::OK | StatusCode::NO_CONTENT => {
                let location = self.client.location(&self.endpoint, &response, &self.asked)?;
                let least =
                    response.headers().get(LEAST_CHUNK).and_then(|value| value.to_str().ok()?.parse().ok());
                Ok(Begun::Open(Session { location, least_chunk: least.unwrap_or(0) }))
            }
            _ => Err(self.refused(response).await),
        }
    }

    /// The last request of a session: with the whole blob, or with nothing after chunks.
    pub(super) async fn close(&self, session: &Session, payload: Payload) -> Result<(), Error> {
        let mut url = session.location.clone();
        url.query_pairs_mut().append_pair("digest", &self.digest.to_string());
        let mut call = self.call(Method::PUT, Target::Url(url));
        call.payload = payload;
        let response = self.client.send_once(&self.endpoint, &call).await?;
        match response.status() {
            // 201 is the specification's; the others have been met.
            StatusCode::CREATED | StatusCode::OK | StatusCode::ACCEPTED | StatusCode::NO_CONTENT => Ok(()),
            _ => Err(self.refused(response).await),
        }
    }

    /// Lets the server forget the session. It would in time: failures do not matter.
    pub(super) async fn cancel(&self, session: Session) {
        let call = self.call(Method::DELETE, Target::Url(session.location));
        if let Err(error) = self.client.send_once(&self.endpoint, &call).await {
            tracing::debug!(%error, "upload not cancelled");
        }
    }

    pub(super) async fn refused(&self, response: reqwest::Response) -> Error {
        let answer = body::answer(response, &self.asked, self.client.options.retry.silence).await;
        Error::from_answer(self.asked.clone(), answer)
    }
}
