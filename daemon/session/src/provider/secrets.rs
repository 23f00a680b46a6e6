//! Secrets that were named on the command line.

use std::collections::HashMap;

use slipway_model::Redacted;
use slipway_proto::secrets::secrets_server::Secrets;
use slipway_proto::secrets::{GetSecretRequest, GetSecretResponse};
use tonic::{Request, Response, Status};

pub(super) struct SecretStore(pub HashMap<String, Redacted<Vec<u8>>>);

#[async_trait::async_trait]
impl Secrets for SecretStore {
    async fn get_secret(
        &self,
        request: Request<GetSecretRequest>,
    ) -> Result<Response<GetSecretResponse>, Status> {
        let id = request.into_inner().id;
        match self.0.get(&id) {
            Some(secret) => Ok(Response::new(GetSecretResponse { data: secret.expose().clone().into() })),
            None => Err(Status::not_found(format!("secret {id}: not found"))),
        }
    }
}
