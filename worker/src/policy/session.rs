//! Policies that are asked: the client's session judges each source (`PolicyVerifier.CheckPolicy`).
//!
//! It decides at once, or asks back: what does this source stand for just now? Then it is asked again with the answer.

use std::sync::Arc;

use slipway_model::llb::pb;
use slipway_proto::gateway::{ResolveSourceMetaRequest, ResolveSourceMetaResponse};
use slipway_proto::policy::PolicyAction;
use slipway_proto::policysession::check_policy_response::Result as Answer;
use slipway_proto::policysession::{CheckPolicyRequest, DecisionResponse};

use super::{PolicyError, Rules};
use crate::source::metadata;
use crate::source::of_build::BuildSources;
use crate::{Error, Result, Worker};

/// Calls about one source, whatever it is converted to.
pub const MOST_QUESTIONS: usize = 10;

/// Who is asked: one session, in the name of one build.
pub(crate) struct Verifier<'a> {
    pub(crate) worker: &'a Arc<Worker>,
    pub(crate) build: &'a Arc<BuildSources>,
    pub(crate) session: &'a str,
    /// Calls that are left.
    pub(crate) left: usize,
}

/// What a session has said.
pub(crate) enum Decision {
    Allowed,
    Converted(pb::SourceOp),
}

impl Verifier<'_> {
    pub(crate) async fn judge(
        &mut self,
        source: &pb::SourceOp,
        platform: Option<&pb::Platform>,
    ) -> Result<Decision> {
        let name = &source.identifier;
        let session = self.worker.sessions.get(self.session).await?;
        let known = ResolveSourceMetaResponse { source: Some(source.clone()), ..Default::default() };
        let mut request =
            CheckPolicyRequest { platform: platform.cloned(), source: Some(known), ..Default::default() };
        loop {
            self.left =
                self.left.checked_sub(1).ok_or_else(|| PolicyError::TooManyQuestions(name.clone()))?;
            match session.check_policy(request.clone()).await?.result {
                Some(Answer::Decision(decision)) => return Ok(decided(source, decision)?),
                Some(Answer::Request(question)) => {
                    request.source = Some(self.answer(source, question).await?)
                }
                None => return Err(PolicyError::NoDecision(name.clone()).into()),
            }
        }
    }

    /// What the session wants to know; of this source and no other.
    async fn answer(
        &self,
        source: &pb::SourceOp,
        mut question: ResolveSourceMetaRequest,
    ) -> Result<ResolveSourceMetaResponse> {
        let asked = question.source.take().unwrap_or_default();
        let name = &source.identifier;
        if asked.identifier != *name {
            return Err(PolicyError::OtherSource { asked: asked.identifier, name: name.clone() }.into());
        }
        if asked.attrs != source.attrs {
            return Err(PolicyError::OtherAttributes(name.clone()).into());
        }
        let mut source = source.clone();
        let failed = |error: Error| PolicyError::Metadata(Box::new(error));
        // Rules hold for the question, too; the session is not asked about its own questions.
        self.build.apply_rules(&Rules::default(), &mut source).map_err(|error| failed(error.into()))?;
        question.source = Some(source);
        let sessions = self.build.sessions();
        Ok(metadata::look(self.worker, self.build, &question, sessions).await.map_err(failed)?.0)
    }
}

fn decided(source: &pb::SourceOp, decision: DecisionResponse) -> Result<Decision, PolicyError> {
    let name = source.identifier.clone();
    match PolicyAction::try_from(decision.action) {
        Ok(PolicyAction::Allow) => Ok(Decision::Allowed),
        Ok(PolicyAction::Convert) => match decision.update {
            Some(update) => Ok(Decision::Converted(update)),
            None => Err(PolicyError::NoUpdate(name)),
        },
        Ok(PolicyAction::Deny) => {
            let messages = decision.deny_messages;
            Err(PolicyError::NotAllowed { name, action: "DENY".into(), messages })
        }
        Err(_) => {
            let (action, messages) = (decision.action.to_string(), decision.deny_messages);
            Err(PolicyError::NotAllowed { name, action, messages })
        }
    }
}
