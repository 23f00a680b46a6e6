//! Secrets of the client.

use slipway_model::Redacted;
use slipway_proto::secrets::GetSecretRequest;
use slipway_proto::secrets::secrets_client::SecretsClient;

use super::Session;
use super::connection::origin;
use crate::{Error, LARGEST_MESSAGE, Result};

impl Session {
    /// The secret `id`; `None` if the client has none of that name.
    pub async fn secret(&self, id: &str) -> Result<Option<Redacted<Vec<u8>>>> {
        let Ok(service) = self.require("/moby.buildkit.secrets.v1.Secrets/GetSecret") else {
            return Ok(None);
        };
        let mut client =
            SecretsClient::with_origin(service, origin()).max_decoding_message_size(LARGEST_MESSAGE);
        let request = GetSecretRequest { id: id.to_owned(), ..GetSecretRequest::default() };
        match client.get_secret(request).await {
            Ok(response) => Ok(Some(Redacted::new(response.into_inner().data.to_vec()))),
            Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
            Err(status) => Err(Error::call(format!("secret {id}"), status)),
        }
    }
}
