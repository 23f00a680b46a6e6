//! What sources may come to, kept by the client.

use slipway_proto::explain::lock_client::LockClient;
use slipway_proto::explain::{LockedSource, ReadLockRequest, ReadLockResponse, WriteLockRequest};

use super::Session;
use super::connection::origin;
use crate::{Error, LARGEST_MESSAGE, Result};

/// In the metadata of `Control.Solve`: the build's session has a lock, and nothing may happen without it.
pub const HAS_LOCK: &str = "slipway-lock";

impl Session {
    /// The client's lock.
    pub async fn lock(&self) -> Result<ReadLockResponse> {
        let service = self.require("/slipway.v1.Lock/Read")?;
        let mut client =
            LockClient::with_origin(service, origin()).max_decoding_message_size(LARGEST_MESSAGE);
        let response = client.read(ReadLockRequest {}).await;
        Ok(response.map_err(|status| Error::call("the lock", status))?.into_inner())
    }

    /// Tells the client what its build has used.
    pub async fn write_lock(&self, sources: Vec<LockedSource>) -> Result<()> {
        let service = self.require("/slipway.v1.Lock/Write")?;
        let mut client =
            LockClient::with_origin(service, origin()).max_encoding_message_size(LARGEST_MESSAGE);
        let written = client.write(WriteLockRequest { sources }).await;
        written.map(drop).map_err(|status| Error::call("writing the lock", status))
    }
}
