//! What the client says about a source.

use slipway_proto::policysession::policy_verifier_client::PolicyVerifierClient;
use slipway_proto::policysession::{CheckPolicyRequest, CheckPolicyResponse};

use super::Session;
use super::connection::origin;
use crate::{Error, LARGEST_MESSAGE, Result};

impl Session {
    /// Asks for a decision about a source.
    pub async fn check_policy(&self, request: CheckPolicyRequest) -> Result<CheckPolicyResponse> {
        const METHOD: &str = "/moby.buildkit.v1.sourcepolicy.policysession.PolicyVerifier/CheckPolicy";
        let mut client = PolicyVerifierClient::with_origin(self.require(METHOD)?, origin())
            .max_encoding_message_size(LARGEST_MESSAGE)
            .max_decoding_message_size(LARGEST_MESSAGE);
        let response = client.check_policy(request).await;
        Ok(response.map_err(|status| Error::call("a question about a source", status))?.into_inner())
    }
}
