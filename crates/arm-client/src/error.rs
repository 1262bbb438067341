//! What can go wrong between here and Azure, in words that say what to do next.

use arm_model::ErrorBody;
use azure_core::error::ErrorKind;

/// Messages never hold a secret: ARM does not send one back, and tokens are not part of any message.
#[derive(Debug, thiserror::Error)]
pub enum ArmClientError {
    #[error("{0}")]
    Configuration(String),
    #[error("{what} did not answer at {endpoint}")]
    Unreachable {
        what: &'static str,
        endpoint: String,
        #[source]
        source: Box<azure_core::Error>,
    },
    #[error("signing in to Azure failed: {reason}")]
    Authentication { reason: String },
    /// ARM refused the request.
    #[error("{method} {path}: {body}")]
    Refused { method: &'static str, path: String, status: u16, body: Box<ErrorBody> },
    /// The request was accepted and the operation failed later.
    #[error("{path}: {body}")]
    Failed { path: String, body: Box<ErrorBody> },
    #[error("the answer to {method} {path} is not what ARM documents: {reason}")]
    Malformed { method: &'static str, path: String, reason: String },
}

impl ArmClientError {
    pub(crate) fn authentication(context: &str, source: azure_core::Error) -> ArmClientError {
        ArmClientError::Authentication { reason: format!("{context}: {}", causes(&source)) }
    }

    pub(crate) fn from_core(endpoint: &str, error: azure_core::Error) -> ArmClientError {
        match error.kind() {
            ErrorKind::Credential => ArmClientError::Authentication { reason: causes(&error) },
            _ => ArmClientError::Unreachable {
                what: "Azure Resource Manager",
                endpoint: endpoint.to_owned(),
                source: Box::new(error),
            },
        }
    }

    /// The body of ARM's own error, where ARM answered.
    pub fn body(&self) -> Option<&ErrorBody> {
        match self {
            ArmClientError::Refused { body, .. } | ArmClientError::Failed { body, .. } => Some(body),
            _ => None,
        }
    }

    pub fn is_not_found(&self) -> bool {
        matches!(self, ArmClientError::Refused { status: 404, .. })
    }

    /// An earlier operation is still at work on what was asked for. Repeating the request later helps; nothing was changed.
    pub fn is_busy(&self) -> bool {
        matches!(self, ArmClientError::Refused { status: 409, body, .. }
            if ["DeploymentActive", "AnotherOperationInProgress", "RetryableErrorDueToAnotherOperation"].contains(&body.code.as_str()))
    }

    /// What to do next, in one sentence.
    pub fn advice(&self) -> String {
        match self {
            ArmClientError::Configuration(_) => "Correct the value and run the command again.".to_owned(),
            ArmClientError::Unreachable { endpoint, .. } if endpoint.contains("127.0.0.1") => {
                "Start the local cloud with `marea local start`; `marea local logs` says why it stopped.".to_owned()
            }
            ArmClientError::Unreachable { .. } => {
                "Check the network and any proxy, then run the command again: it continues where it stopped.".to_owned()
            }
            ArmClientError::Authentication { .. } => {
                "Run `az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or AZURE_CLIENT_CERTIFICATE_PATH.".to_owned()
            }
            ArmClientError::Refused { body, .. } | ArmClientError::Failed { body, .. } => advice_for(body.root_cause()),
            ArmClientError::Malformed { .. } => {
                "Check that the endpoint is Azure Resource Manager; if it is, report this as a defect.".to_owned()
            }
        }
    }
}

/// An error with what caused it. The pipeline wraps the directory's own words, such as a wrong secret, in its remark that it does not retry.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !text.contains("will not be retried") && !words.iter().any(|word| word.contains(&text)) {
            words.push(text);
        }
        next = error.source();
    }
    if words.is_empty() { error.to_string() } else { words.join(": ") }
}

/// Advice for the codes that people meet most (Azure: "Troubleshoot common Azure deployment errors").
fn advice_for(body: &ErrorBody) -> String {
    let advice = match body.code.as_str() {
        "AuthorizationFailed" | "LinkedAuthorizationFailed" => {
            "Ask for the Contributor role and, for role assignments, User Access Administrator on the subscription."
        }
        "MissingSubscriptionRegistration" => {
            "Register the resource provider: `az provider register --namespace <the namespace in the message>`."
        }
        "QuotaExceeded" | "ErrCode_InsufficientVCPUQuota" => {
            "Ask for more vCPU quota of this family in this region, or lower the pools' maxCount."
        }
        "SkuNotAvailable" | "VMSizeNotSupported" => "Choose another vmSize or another location in the stack's file.",
        "SystemPoolSkuTooLow" => {
            "AKS asks more of a system pool: set `profile: supported` in infrastructure-k8s-base's stack file."
        }
        "AnotherOperationInProgress"
        | "OperationNotAllowed"
        | "Conflict"
        | "DeploymentActive"
        | "DeploymentStackInNonTerminalState" => {
            "Another operation still runs on this resource: wait for it and run the command again."
        }
        "ScopeLocked" => "A lock forbids it: remove the lock first, if it is yours to remove.",
        "DenyAssignmentAuthorizationFailed" => {
            "A deployment stack's deny settings forbid it: change the resource through its stack."
        }
        "InvalidSubscriptionId" | "SubscriptionNotFound" => "Check `target.subscription` in the stack's file.",
        _ => "Correct what the message names and run the command again: it continues where it stopped.",
    };
    advice.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: ErrorBody, message: &str, advice: &str) {
        let error = ArmClientError::Failed { path: "stack marea-base".into(), body: Box::new(body) };
        assert_eq!(error.to_string(), message);
        assert!(error.advice().contains(advice), "{}", error.advice());
    }

    /// The guide has more room than a line of advice, for every code that has one.
    #[test]
    fn every_code_with_advice_is_in_the_guide() {
        let guide = include_str!("../../../docs/guides/troubleshooting.md");
        let source = include_str!("error.rs");
        let advice = source.split_once("let advice = match").and_then(|(_, rest)| rest.split_once("_ =>")).unwrap().0;
        let is_code = |word: &&str| word.chars().next().is_some_and(char::is_uppercase) && !word.contains([' ', '.']);
        let codes: Vec<&str> = advice.split('"').skip(1).step_by(2).filter(is_code).collect();
        assert!(codes.len() > 10, "{codes:?}");
        for code in codes {
            assert!(guide.contains(&format!("`{code}`")), "docs/guides/troubleshooting.md lacks `{code}`");
        }
    }

    #[test]
    fn the_root_cause_gives_the_advice() {
        check(
            ErrorBody::new("DeploymentFailed", "At least one resource failed.")
                .details(vec![ErrorBody::new("QuotaExceeded", "Cores: 4 of 4 used")]),
            "stack marea-base: DeploymentFailed: At least one resource failed.",
            "more vCPU quota",
        );
        check(
            ErrorBody::new("SomethingNew", "It broke."),
            "stack marea-base: SomethingNew: It broke.",
            "run the command again",
        );
    }
}
