//! What can go wrong in a controller: a write was refused, or an object cannot be understood.

use kube_server::ApiError;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {operation}")]
    Api {
        operation: String,
        #[source]
        source: ApiError,
    },
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    /// Worth no more than a retry: a stale read, or a namespace that is going away.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Error::Api { source, .. } => {
                is_conflict(source) || is_not_found(source) || is_already_exists(source) || is_terminating(source)
            }
            Error::Invalid(_) => false,
        }
    }

    /// What the server said, without the operation: the message that conditions carry.
    pub(crate) fn message(&self) -> String {
        match self {
            Error::Api { source, .. } => source.to_string(),
            Error::Invalid(text) => text.clone(),
        }
    }

    /// The message with those of its sources.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}

/// Names the operation that failed.
pub(crate) trait Context<T> {
    fn context(self, operation: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> Context<T> for Result<T, ApiError> {
    fn context(self, operation: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Api { operation: operation(), source })
    }
}

/// Turns "it is gone already" into success, for deletions and for status writes that raced with one.
pub(crate) fn ignore_gone<T>(outcome: Result<T, ApiError>) -> Result<Option<T>, ApiError> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(crate) fn is_not_found(error: &ApiError) -> bool {
    error.reason() == "NotFound"
}

pub(crate) fn is_already_exists(error: &ApiError) -> bool {
    error.reason() == "AlreadyExists"
}

pub(crate) fn is_conflict(error: &ApiError) -> bool {
    error.reason() == "Conflict"
}

fn is_terminating(error: &ApiError) -> bool {
    error.reason() == "Forbidden" && error.to_string().contains("is being terminated")
}

pub(crate) fn is_too_many_requests(error: &ApiError) -> bool {
    error.reason() == "TooManyRequests"
}
