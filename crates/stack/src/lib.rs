//! What every stack has: configuration, secrets, and the drivers that make Azure and Kubernetes as declared.
//!
//! A stack is a pure function from its configuration and the outputs of the stacks it reads to a template (or, for `deploy`,
//! to manifests). This crate exists so that the stacks hold no I/O and the drivers know nothing of what a stack contains.

pub mod arm;
pub mod change;
pub mod cluster;
pub mod config;
pub mod dora;
pub mod export;
pub mod file;
pub mod git;
pub mod history;
pub mod report;
pub mod secrets;

use arm_model::Template;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use change::{Change, ChangeKind, PropertyChange};
pub use config::ConfigError;
pub use file::{Profile, StackFile, Target};
pub use report::Reporter;

/// A stack that is an ARM deployment stack.
pub trait Stack {
    /// `stack.<env>.yaml`'s `config`: documented, with a JSON Schema for editors.
    type Config: DeserializeOwned + JsonSchema;
    /// What it reads of other stacks and of the subscription.
    type Inputs;
    /// Typed outputs for the next stack.
    type Outputs: DeserializeOwned + Serialize;

    /// `base`, `db`
    const NAME: &'static str;

    /// Pure: the same configuration and inputs give the same template.
    fn template(config: &Self::Config, inputs: &Self::Inputs) -> Template;
}

/// The JSON Schema of a stack's file, as committed beside it.
pub fn schema<C: JsonSchema>() -> String {
    let schema = schemars::schema_for!(StackFile<C>);
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}
