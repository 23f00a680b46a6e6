//! One blob to a repository, by the cheapest way that works.

use std::sync::Arc;

use http::{Method, StatusCode};
use slipway_model::{BlobDigest, Descriptor, Reference};
use url::form_urlencoded::Serializer;

use super::session::{Begun, Session, Upload};
use super::{BlobSource, Outgoing, Progress, Pushed};
use crate::auth::Scopes;
use crate::client::Client;
use crate::error::Error;
use crate::limit::Lane;
use crate::request::{Payload, Target};

/// Each try costs a request, and a session to be cancelled.
const MOST_MOUNTS: usize = 3;

impl Client {
    /// Makes sure that the repository of `reference` holds the blob. `mount_from` are repositories of
    /// the same registry that may have it, most likely ones first.
    pub async fn push_blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        source: Arc<dyn BlobSource>,
        mount_from: &[String],
        progress: Option<Progress>,
    ) -> Result<Pushed, Error> {
        let endpoint = self.origin(reference);
        let upload = Upload {
            client: self,
            scopes: Scopes::push(&endpoint.repository),
            digest: descriptor.digest,
            asked: Self::asked(&endpoint, format!("upload of {}", descriptor.digest)),
            endpoint,
        };
        let _place = self.limits.enter(&upload.endpoint.host, Lane::Push).await;
        if upload.exists().await? {
            return Ok(Pushed::Existed);
        }
        let session = match upload.mount(mount_from).await {
            Mounted::From(from) => return Ok(Pushed::Mounted { from }),
            Mounted::Not(session) => session,
        };
        let outgoing = Outgoing {
            source,
            offset: 0,
            length: descriptor.size,
            progress,
            silence: self.options.retry.silence,
            traffic: self.options.traffic.clone(),
        };
        upload.run(session, outgoing).await?;
        Ok(Pushed::Uploaded)
    }
}

impl Client {
    /// Whether the repository of `reference` holds the blob.
    pub async fn has_blob(&self, reference: &Reference, descriptor: &Descriptor) -> Result<bool, Error> {
        let endpoint = self.origin(reference);
        let upload = Upload {
            client: self,
            scopes: Scopes::push(&endpoint.repository),
            digest: descriptor.digest,
            asked: Self::asked(&endpoint, format!("look-up of {}", descriptor.digest)),
            endpoint,
        };
        let _place = self.limits.enter(&upload.endpoint.host, Lane::Small).await;
        upload.exists().await
    }
}

enum Mounted {
    From(String),
    /// With the session that the last try opened.
    Not(Option<Session>),
}

impl Upload<'_> {
    /// A registry that will not say is asked to take it: that answer tells more.
    async fn exists(&self) -> Result<bool, Error> {
        let call = self.call(Method::HEAD, Target::Repository(format!("blobs/{}", self.digest)));
        Ok(self.client.send(&self.endpoint, &call).await?.status() == StatusCode::OK)
    }

    /// A try that fails, for lack of a right perhaps, is no failure of the push.
    async fn mount(&self, repositories: &[String]) -> Mounted {
        let mut last = None;
        let others = repositories.iter().filter(|from| **from != self.endpoint.repository);
        for from in others.take(MOST_MOUNTS) {
            if let Some(session) = last.take() {
                self.cancel(session).await;
            }
            let query = mount_query(&self.digest, from);
            match self.begin(&query, &self.scopes.clone().and_pull(from)).await {
                Ok(Begun::Done) => return Mounted::From(from.clone()),
                Ok(Begun::Open(session)) => last = Some(session),
                Err(error) => tracing::debug!(%error, from, "not mounted"),
            }
        }
        Mounted::Not(last)
    }

    async fn run(&self, session: Option<Session>, outgoing: Outgoing) -> Result<(), Error> {
        let mut ready = session;
        let retry = &self.client.options.retry;
        retry.run(|| self.attempt(ready.take(), &outgoing)).await
    }

    /// A session of its own (or the one given), in one request if the server takes it.
    async fn attempt(&self, ready: Option<Session>, outgoing: &Outgoing) -> Result<(), Error> {
        let session = match ready {
            Some(session) => session,
            None => match self.begin("", &self.scopes).await? {
                Begun::Open(session) => session,
                Begun::Done => return Ok(()),
            },
        };
        match self.close(&session, Payload::Stream(outgoing.clone())).await {
            Ok(()) => Ok(()),
            Err(Error::Refused { answer, .. }) if answer.status == StatusCode::PAYLOAD_TOO_LARGE => {
                self.in_chunks(session, outgoing).await
            }
            Err(error) => {
                if !error.is_transient() {
                    self.cancel(session).await;
                }
                Err(error)
            }
        }
    }
}

fn mount_query(digest: &BlobDigest, from: &str) -> String {
    let mut query = Serializer::new(String::from("?"));
    query.append_pair("mount", &digest.to_string()).append_pair("from", from);
    query.finish()
}
