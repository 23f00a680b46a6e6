//! Registry credentials of the user. Tokens are left to the daemon to fetch.

use std::sync::Arc;

use slipway_proto::filesync::auth_server::Auth as AuthService;
use slipway_proto::filesync::{
    CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse, GetTokenAuthorityRequest,
    GetTokenAuthorityResponse, VerifyTokenAuthorityRequest, VerifyTokenAuthorityResponse,
};
use tonic::{Request, Response, Status};

use super::CredentialSource;

pub(super) struct Auth(pub Arc<dyn CredentialSource>);

#[async_trait::async_trait]
impl AuthService for Auth {
    async fn credentials(
        &self,
        request: Request<CredentialsRequest>,
    ) -> Result<Response<CredentialsResponse>, Status> {
        let host = request.into_inner().host;
        let found = self.0.credential(&host).await.map_err(|error| Status::unknown(error.to_string()))?;
        let response = found
            .map(|found| CredentialsResponse { username: found.username, secret: found.secret.into_inner() });
        Ok(Response::new(response.unwrap_or_default()))
    }

    async fn fetch_token(
        &self,
        _: Request<FetchTokenRequest>,
    ) -> Result<Response<FetchTokenResponse>, Status> {
        Err(Status::unimplemented("this client hands out credentials"))
    }

    async fn get_token_authority(
        &self,
        _: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("this client hands out credentials"))
    }

    async fn verify_token_authority(
        &self,
        _: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("this client hands out credentials"))
    }
}
