//! The patches of the Kubernetes API: JSON Patch, JSON Merge Patch and strategic merge patch.

mod json;
mod merge;
mod order;
mod strategic;
#[cfg(test)]
mod tests;

pub use json::json;
pub use merge::{merge, merge_diff};
pub use strategic::strategic;

/// Why a patch was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch itself is malformed: HTTP 400.
    #[error("{0}")]
    Invalid(String),
    /// The patch does not fit the object (a missing path, a failed test): HTTP 422.
    #[error("{0}")]
    Unprocessable(String),
}
