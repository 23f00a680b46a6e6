//! All sessions that are connected now, by id.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tonic::metadata::MetadataMap;

use super::connection::{Introduction, Session};
use super::health::Patience;
use crate::{Error, Result};

/// A build may name its session before the session has arrived.
const ARRIVAL: Duration = Duration::from_secs(5);

pub struct Sessions {
    connected: Mutex<HashMap<String, Session>>,
    arrivals: watch::Sender<u64>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { connected: Mutex::default(), arrivals: watch::channel(0).0 }
    }
}

impl Introduction {
    /// Reads the headers with which a session is opened.
    pub fn from_metadata(metadata: &MetadataMap) -> Option<Self> {
        let one = |key: &str| metadata.get(key).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Some(Self {
            id: one("x-docker-expose-session-uuid").filter(|id| !id.is_empty())?,
            name: one("x-docker-expose-session-name").unwrap_or_default(),
            patience: Patience::from_header(one("x-buildkit-session-health-custom-timeout").as_deref()),
            shared_key: one("x-docker-expose-session-sharedkey").unwrap_or_default(),
            methods: metadata
                .get_all("x-docker-expose-session-grpc-method")
                .iter()
                .filter_map(|value| value.to_str().ok().map(str::to_owned))
                .collect(),
        })
    }
}

impl Sessions {
    /// Makes `session` known until the returned guard is dropped. `false`: the id is taken.
    pub fn enter(&self, session: Session) -> Option<Entered<'_>> {
        let id = session.id().to_owned();
        {
            let mut connected = self.connected.lock();
            if connected.get(&id).is_some_and(|other| !other.is_closed()) {
                return None;
            }
            connected.insert(id.clone(), session);
        }
        self.arrivals.send_modify(|count| *count += 1);
        Some(Entered { sessions: self, id })
    }

    /// The session `id`, waiting a few seconds for it to come.
    pub async fn get(&self, id: &str) -> Result<Session> {
        let mut arrivals = self.arrivals.subscribe();
        let found = tokio::time::timeout(ARRIVAL, async {
            loop {
                arrivals.borrow_and_update();
                if let Some(session) = self.peek(id) {
                    return session;
                }
                if arrivals.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        });
        found.await.map_err(|_| Error::NotFound(id.to_owned()))
    }

    /// The session `id`, if it is connected now.
    pub fn peek(&self, id: &str) -> Option<Session> {
        self.connected.lock().get(id).filter(|session| !session.is_closed()).cloned()
    }

    /// The first of `ids` that is connected, waiting for the first one if none is.
    pub async fn any(&self, ids: &[String]) -> Result<Session> {
        if let Some(session) = ids.iter().find_map(|id| self.peek(id)) {
            return Ok(session);
        }
        match ids.first() {
            Some(id) => self.get(id).await,
            None => Err(Error::NotFound("this build".into())),
        }
    }
}

/// Keeps a session listed.
pub struct Entered<'a> {
    sessions: &'a Sessions,
    id: String,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.sessions.connected.lock().remove(&self.id);
    }
}
