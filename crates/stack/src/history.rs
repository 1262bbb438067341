//! The record of what was released: ARM's own list of deployments.

use arm_client::{ArmClient, ArmClientError};
use arm_model::Typed;
use arm_model::resources::{Deployment, Tags};
use serde::Serialize;
use serde_json::Value;

/// Tag names on every recorded deployment.
pub const TAG_STACK: &str = "marea-stack";
pub const TAG_COMMIT: &str = "marea-commit";
pub const TAG_ENVIRONMENT: &str = "marea-env";
pub const TAG_DURATION_MS: &str = "marea-duration-ms";
pub const TAG_SUMMARY: &str = "marea-summary";

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    pub stack: String,
    /// RFC 3339, as ARM recorded it.
    pub at: String,
    pub state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

/// What `marea` recorded in a scope (a subscription or a resource group), newest first. A scope that is gone has none.
///
/// # Errors
/// When ARM cannot be reached or refuses.
pub async fn list(client: &ArmClient, scope: &str, stack: &str) -> Result<Vec<Entry>, ArmClientError> {
    let path = format!("{scope}/providers/Microsoft.Resources/deployments");
    let deployments = match client.list(&path, Deployment::API_VERSION).await {
        Err(error) if error.is_not_found() => Vec::new(),
        other => other?,
    };
    let mut entries: Vec<Entry> = deployments.iter().filter_map(|deployment| read(deployment, stack)).collect();
    entries.sort_by(|a, b| b.at.cmp(&a.at));
    Ok(entries)
}

fn read(deployment: &Value, stack: &str) -> Option<Entry> {
    let tags: Tags = serde_json::from_value(deployment["tags"].clone()).ok()?;
    if tags.get(TAG_STACK)? != stack {
        return None;
    }
    let properties = &deployment["properties"];
    // A stack's own deployments may carry the stack's tags; what marea records has a summary. A failure has no record.
    if !tags.contains_key(TAG_SUMMARY) && properties["provisioningState"] != "Failed" {
        return None;
    }
    Some(Entry {
        stack: stack.to_owned(),
        at: properties["timestamp"].as_str().unwrap_or_default().to_owned(),
        state: properties["provisioningState"].as_str().unwrap_or_default().to_owned(),
        commit: tags.get(TAG_COMMIT).cloned(),
        duration_ms: tags.get(TAG_DURATION_MS).and_then(|text| text.parse().ok()),
        summary: tags.get(TAG_SUMMARY).cloned(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_stacks_own_records_are_read() {
        let record = json!({"tags": {"marea-stack": "base", "marea-commit": "abc", "marea-duration-ms": "12", "marea-summary": "1 created"}, "properties": {"timestamp": "2026-11-23T10:00:00Z", "provisioningState": "Succeeded"}});
        let entry = read(&record, "base").unwrap();
        assert_eq!((entry.commit.as_deref(), entry.duration_ms), (Some("abc"), Some(12)));
        assert_eq!(read(&record, "db"), None);
        let own = json!({"tags": {"marea-stack": "base"}, "properties": {"provisioningState": "Succeeded"}});
        assert_eq!(read(&own, "base"), None);
        let failed = json!({"tags": {"marea-stack": "base"}, "properties": {"provisioningState": "Failed"}});
        assert_eq!(read(&failed, "base").unwrap().state, "Failed");
        assert_eq!(read(&json!({"properties": {}}), "base"), None);
    }
}
