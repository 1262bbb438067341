//! The record of what was released: ARM's own list of deployments.
//!
//! Every attempt of `marea up` to change a stack leaves one empty deployment, tagged; ARM keeps it in the scope's history (the
//! last 800 of a scope, "Azure deployment limits"). That is all the store that `history` and `dora` have.

use std::time::Duration;

use arm_client::{ArmClient, ArmClientError};
use arm_model::Typed;
use arm_model::resources::{Deployment, Tags};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// Tag names on every recorded deployment.
pub const TAG_STACK: &str = "marea-stack";
pub const TAG_COMMIT: &str = "marea-commit";
pub const TAG_ENVIRONMENT: &str = "marea-env";
pub const TAG_DURATION_MS: &str = "marea-duration-ms";
pub const TAG_SUMMARY: &str = "marea-summary";
/// The same on all stacks that one command changed.
pub const TAG_RUN: &str = "marea-run";
/// Only on what did not succeed: `failed` or `rolled-back`.
pub const TAG_OUTCOME: &str = "marea-outcome";
/// With `rolled-back`: from the failure until the last release was back.
pub const TAG_RESTORED_MS: &str = "marea-restored-ms";

/// Azure's limit for a tag's value.
const TAG_VALUE_CHARACTERS: usize = 256;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    #[default]
    Succeeded,
    Failed,
    /// It failed and the last release was put back within `restored`.
    RolledBack {
        restored: Duration,
    },
}

/// One attempt to change one stack, before ARM knows of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record<'a> {
    pub stack: &'a str,
    pub environment: &'a str,
    pub commit: Option<&'a str>,
    pub run: &'a str,
    pub duration: Duration,
    /// `2 created, 1 changed`, or what failed. Never a secret: whoever may read the subscription reads it.
    pub summary: &'a str,
    pub outcome: Outcome,
}

/// The tags of everything that a stack deploys.
pub fn stack_tags(stack: &str, environment: &str, commit: Option<&str>) -> Tags {
    let mut tags =
        Tags::from([(TAG_STACK.to_owned(), stack.to_owned()), (TAG_ENVIRONMENT.to_owned(), environment.to_owned())]);
    if let Some(commit) = commit {
        tags.insert(TAG_COMMIT.to_owned(), commit.to_owned());
    }
    tags
}

impl Record<'_> {
    pub fn tags(&self) -> Tags {
        let mut tags = stack_tags(self.stack, self.environment, self.commit);
        let mut add = |name: &str, value: String| tags.insert(name.to_owned(), value);
        add(TAG_RUN, self.run.to_owned());
        add(TAG_DURATION_MS, self.duration.as_millis().to_string());
        add(TAG_SUMMARY, self.summary.chars().take(TAG_VALUE_CHARACTERS).collect());
        match self.outcome {
            Outcome::Succeeded => {}
            Outcome::Failed => {
                add(TAG_OUTCOME, "failed".to_owned());
            }
            Outcome::RolledBack { restored } => {
                add(TAG_OUTCOME, "rolled-back".to_owned());
                add(TAG_RESTORED_MS, restored.as_millis().to_string());
            }
        }
        tags
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    pub stack: String,
    /// RFC 3339, as ARM recorded it: when the attempt ended.
    pub at: String,
    /// `Succeeded`, `Failed`, `RolledBack`, or a state of ARM's own.
    pub state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

impl Entry {
    pub fn time(&self) -> Option<Timestamp> {
        self.at.parse().ok()
    }
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
    Ok(entries(&deployments, stack))
}

/// As [`list`], of deployments as ARM lists them.
pub fn entries(deployments: &[Value], stack: &str) -> Vec<Entry> {
    let all: Vec<Entry> = deployments.iter().filter_map(|deployment| read(deployment, stack)).collect();
    let told: Vec<(Timestamp, Duration)> = all
        .iter()
        .filter(|entry| entry.summary.is_some())
        .filter_map(|entry| Some((entry.time()?, Duration::from_millis(entry.duration_ms?))))
        .collect();
    // ARM's own failed deployment and marea's record of it are one attempt.
    let is_told = |entry: &Entry| {
        let Some(at) = entry.time() else { return false };
        told.iter().any(|(end, duration)| at <= *end && end.duration_since(at).unsigned_abs() <= *duration)
    };
    let mut entries: Vec<Entry> =
        all.iter().filter(|entry| entry.summary.is_some() || !is_told(entry)).cloned().collect();
    entries.sort_by(|a, b| (b.time(), &b.stack).cmp(&(a.time(), &a.stack)));
    entries
}

fn read(deployment: &Value, stack: &str) -> Option<Entry> {
    let tags: Tags = serde_json::from_value(deployment["tags"].clone()).ok()?;
    if tags.get(TAG_STACK)? != stack {
        return None;
    }
    let properties = &deployment["properties"];
    // A stack's own deployments may carry the stack's tags; what marea records has a summary. A run that was killed leaves only
    // ARM's own record of what failed.
    if !tags.contains_key(TAG_SUMMARY) && properties["provisioningState"] != "Failed" {
        return None;
    }
    let state = match tags.get(TAG_OUTCOME).map(String::as_str) {
        Some("failed") => "Failed",
        Some("rolled-back") => "RolledBack",
        _ => properties["provisioningState"].as_str().unwrap_or_default(),
    };
    let number = |name: &str| tags.get(name).and_then(|text| text.parse().ok());
    Some(Entry {
        stack: stack.to_owned(),
        at: properties["timestamp"].as_str().unwrap_or_default().to_owned(),
        state: state.to_owned(),
        environment: tags.get(TAG_ENVIRONMENT).cloned(),
        commit: tags.get(TAG_COMMIT).cloned(),
        run: tags.get(TAG_RUN).cloned(),
        duration_ms: number(TAG_DURATION_MS),
        restored_ms: number(TAG_RESTORED_MS),
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

    #[test]
    fn a_record_is_read_back() {
        let record = Record {
            stack: "deploy",
            environment: "production",
            commit: Some("abc"),
            run: "7",
            duration: Duration::from_secs(60),
            summary: &"é".repeat(300),
            outcome: Outcome::RolledBack { restored: Duration::from_millis(1500) },
        };
        let deployment = json!({"tags": record.tags(), "properties": {"timestamp": "2026-11-23T10:00:00Z", "provisioningState": "Succeeded"}});
        let entry = read(&deployment, "deploy").unwrap();
        assert_eq!(
            (entry.state.as_str(), entry.restored_ms, entry.run.as_deref()),
            ("RolledBack", Some(1500), Some("7"))
        );
        assert_eq!(entry.summary.unwrap().chars().count(), 256);
    }

    #[test]
    fn an_attempt_that_arm_recorded_as_failed_too_is_one_entry() {
        let own = |at: &str| json!({"tags": {"marea-stack": "db"}, "properties": {"timestamp": at, "provisioningState": "Failed"}});
        let told = json!({"tags": {"marea-stack": "db", "marea-summary": "SkuNotAvailable", "marea-outcome": "failed", "marea-duration-ms": "60000"}, "properties": {"timestamp": "2026-11-23T10:01:00Z", "provisioningState": "Succeeded"}});
        let found = entries(&[own("2026-11-23T10:00:30Z"), told, own("2026-11-23T09:00:00Z")], "db");
        let times: Vec<_> = found.iter().map(|entry| (entry.at.as_str(), entry.summary.as_deref())).collect();
        assert_eq!(times, [("2026-11-23T10:01:00Z", Some("SkuNotAvailable")), ("2026-11-23T09:00:00Z", None)]);
    }
}
