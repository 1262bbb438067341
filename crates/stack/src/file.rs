//! The shape of `stack.<env>.yaml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A stack's file: where it goes, what it is, and its secrets.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct StackFile<C> {
    pub target: Target,
    pub config: C,
    #[serde(default, skip_serializing_if = "SecretsBlock::is_empty")]
    pub secrets: SecretsBlock,
}

/// The cloud that a stack is for. Nothing else depends on it: the same requests go to either.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// The embedded cloud on this machine; `marea up` starts it.
    Local,
    /// Azure.
    Azure(AzureTarget),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AzureTarget {
    /// The subscription's id; without it, `AZURE_SUBSCRIPTION_ID` of the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
}

/// Which of two readings of the platform is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Profile {
    /// The platform as specified, also where Azure documents it as unsupported.
    #[default]
    Seed,
    /// Only what Azure documents as supported; anything else is refused with the alternative.
    Supported,
}

/// Secrets, encrypted with age; safe to commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SecretsBlock {
    /// age recipients (`age1…`) that can decrypt the values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    /// Name → age ciphertext in base64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
}

impl SecretsBlock {
    pub fn is_empty(&self) -> bool {
        self.recipients.is_empty() && self.values.is_empty()
    }
}

/// The file of a stack and an environment.
pub fn path(root: &Path, folder: &str, environment: &str) -> PathBuf {
    root.join(folder).join(format!("stack.{environment}.yaml"))
}
