//! The template language: `[…]` expressions in JSON.

mod context;
mod evaluate;
mod functions;
mod parse;
mod references;

pub(crate) use context::{Context, DeploymentScope, RunTime};
pub(crate) use evaluate::copy_count;
#[cfg(test)]
pub(crate) use evaluate::evaluate_string;
pub(crate) use evaluate::evaluate_value;
pub(crate) use functions::{encode_base64, unique_string};
pub(crate) use references::referenced;

/// Why an expression has no value. The message is the end of Azure's sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExpressionError(pub String);

impl ExpressionError {
    pub fn new(message: impl Into<String>) -> ExpressionError {
        ExpressionError(message.into())
    }
}

pub(crate) type Evaluated = Result<serde_json::Value, ExpressionError>;
