//! One clear message per failure: what, where, what to do; and the exit code that scripts rely on.

use std::fmt;

use arm_client::ArmClientError;
use infrastructure_k8s_deploy::DeployError;
use stack::ConfigError;
use stack::cluster::{ClusterError, ManifestError, RolloutError};
use stack::secrets::SecretError;

/// Documented in README and `marea help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    BadInput = 2,
    WouldChange = 3,
    Interrupted = 4,
    NotAllowed = 5,
}

#[derive(Debug)]
pub struct CliError {
    pub exit: Exit,
    /// What failed and where.
    pub message: String,
    /// What to do next.
    pub advice: Option<String>,
}

pub type Result<T> = std::result::Result<T, CliError>;

impl CliError {
    pub fn new(exit: Exit, message: impl Into<String>) -> CliError {
        CliError { exit, message: message.into(), advice: None }
    }

    pub fn failed(message: impl Into<String>) -> CliError {
        CliError::new(Exit::Failed, message)
    }

    pub fn bad_input(message: impl Into<String>) -> CliError {
        CliError::new(Exit::BadInput, message)
    }

    #[must_use]
    pub fn advice(mut self, advice: impl Into<String>) -> CliError {
        self.advice = Some(advice.into());
        self
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        match &self.advice {
            Some(advice) => write!(f, "\n  {advice}"),
            None => Ok(()),
        }
    }
}

/// A message with what caused it, unless the message says it already.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

impl From<ArmClientError> for CliError {
    fn from(error: ArmClientError) -> CliError {
        let exit = match &error {
            ArmClientError::Configuration(_) => Exit::BadInput,
            ArmClientError::Authentication { .. } | ArmClientError::Refused { status: 403, .. } => Exit::NotAllowed,
            _ => Exit::Failed,
        };
        let mut message = chain(&error);
        // `DeploymentFailed` says nothing; the resource's own error does.
        if let Some(body) = error.body() {
            let root = body.root_cause();
            if root.message != body.message {
                message = format!("{message}\n  {root}");
            }
        }
        let advice = error.advice();
        CliError::new(exit, message).advice(advice)
    }
}

impl From<ClusterError> for CliError {
    fn from(error: ClusterError) -> CliError {
        let exit = match &error {
            ClusterError::Refused { code: 401 | 403, .. } => Exit::NotAllowed,
            ClusterError::NoContext { .. } => Exit::BadInput,
            _ => Exit::Failed,
        };
        CliError::new(exit, chain(&error)).advice(error.advice())
    }
}

impl From<RolloutError> for CliError {
    fn from(error: RolloutError) -> CliError {
        match error {
            RolloutError::Cluster(error) => error.into(),
            other => CliError::failed(other.to_string()).advice("`kubectl describe` and `kubectl logs` of the pod say more; `marea up --atomic` returns to the last release."),
        }
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> CliError {
        CliError::bad_input(error.to_string())
            .advice("Correct the file; its JSON Schema (stack.schema.json) lists every key.")
    }
}

impl From<ManifestError> for CliError {
    fn from(error: ManifestError) -> CliError {
        CliError::bad_input(chain(&error)).advice("Correct the manifest.")
    }
}

impl From<DeployError> for CliError {
    fn from(error: DeployError) -> CliError {
        match error {
            DeployError::Manifest(error) => error.into(),
            other => CliError::bad_input(other.to_string())
                .advice("Correct infrastructure-k8s-deploy's stack file, or the manifest."),
        }
    }
}

impl From<SecretError> for CliError {
    fn from(error: SecretError) -> CliError {
        let exit = if matches!(error, SecretError::WrongKey { .. }) { Exit::NotAllowed } else { Exit::Failed };
        CliError::new(exit, chain(&error)).advice(error.advice())
    }
}

#[cfg(test)]
mod tests {
    use arm_model::ErrorBody;

    use super::*;

    #[test]
    fn the_root_cause_of_a_deployment_is_told() {
        let body = ErrorBody::new("DeploymentFailed", "See details.")
            .details(vec![ErrorBody::new("SkuNotAvailable", "Standard_B2s is not available")]);
        let error = CliError::from(ArmClientError::Failed { path: "/stack".into(), body: Box::new(body) });
        assert_eq!(
            error.to_string(),
            "error: /stack: DeploymentFailed: See details.\n  SkuNotAvailable: Standard_B2s is not available\n  Choose another vmSize or another location in the stack's file."
        );
        assert_eq!(error.exit, Exit::Failed);
    }
}
