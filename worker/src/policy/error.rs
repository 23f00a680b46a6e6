//! Why a source is not used, or a policy not followed. Clients know several of these texts.

use slipway_proto::policysession::DenyMessage;

#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("invalid nil selector in policy: rule {0} does not say which sources it is about")]
    NoSelector(usize),
    #[error("missing destination for convert rule: the rule for {0:?} has no updates")]
    NoDestination(String),
    #[error("source policy: the rule for {selector:?} has an action of unknown type {action}")]
    UnknownAction { selector: String, action: i32 },
    #[error("source policy: the rule for {selector:?} has an unknown match type {kind}")]
    UnknownMatch { selector: String, kind: i32 },
    #[error(
        "source policy: the rule for {selector:?} has a constraint with unknown attr condition {condition}"
    )]
    UnknownCondition { selector: String, condition: i32 },
    #[error("source policy: invalid wildcard: \"**\" in {0:?}")]
    Wildcard(String),
    #[error("source policy: invalid regex {text:?}: {reason}")]
    Pattern { text: String, reason: String },
    #[error("source {0:?} denied by policy: source denied by policy")]
    Denied(String),
    #[error("too many mutations on a single source: too many operations: rules convert {0:?} for ever")]
    TooManyChanges(String),
    #[error("source {name:?} not allowed by policy: action {action}{}", listed(messages))]
    NotAllowed { name: String, action: String, messages: Vec<DenyMessage> },
    #[error("too many policy requests about {0:?}")]
    TooManyQuestions(String),
    #[error("policy requested different source identifier: {asked:?} != {name:?}")]
    OtherSource { asked: String, name: String },
    #[error("policy requested different source attrs for {0:?}")]
    OtherAttributes(String),
    #[error("no decision in policy response about {0:?}")]
    NoDecision(String),
    #[error("convert action requires updated source: none came for {0:?}")]
    NoUpdate(String),
    #[error("error resolving source metadata from policy request")]
    Metadata(#[source] Box<crate::Error>),
}

/// The reasons that a session gives.
fn listed(messages: &[DenyMessage]) -> String {
    if messages.is_empty() {
        return String::new();
    }
    let messages: Vec<_> = messages.iter().map(|message| message.message.as_str()).collect();
    format!(": {}", messages.join("; "))
}
