//! The flight recorder's files: every decision of a cluster of this machine with all that it was made from.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use units::Timestamp;

use super::at::{Again, Found, Moment, Recorded};
use crate::error::{CliError, Result};

/// A line, without what only replaying needs.
#[derive(Deserialize)]
struct Line {
    at: Timestamp,
    #[serde(default)]
    namespace: Option<String>,
    object: String,
    summary: String,
    acted: bool,
    #[serde(default)]
    report: Value,
    #[serde(default)]
    settings: Value,
    #[serde(default)]
    snapshot: Value,
    #[serde(default)]
    memory_before: Value,
    #[serde(default)]
    decision: Value,
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    namespace: Option<String>,
    object: String,
    summary: String,
    acted: bool,
}

/// Enough of a line to know whether the rest is needed.
#[derive(Deserialize)]
struct Head {
    at: Timestamp,
    kind: String,
}

/// The last decisions at or before an instant and the first after it, of every object that is wanted.
///
/// # Errors
/// When the folder or a file of it cannot be read.
pub fn read(folder: &Path, at: Timestamp, wants: impl Fn(&str, Option<&str>, &str) -> bool) -> Result<Found> {
    let mut found = Found::default();
    for path in files(folder)? {
        let wrong = |error: std::io::Error| CliError::failed(format!("{} cannot be read: {error}", path.display()));
        for text in BufReader::new(File::open(&path).map_err(wrong)?).lines() {
            let text = text.map_err(wrong)?;
            // The last line may have been cut short by a crash.
            let Ok(head) = serde_json::from_str::<Head>(&text) else { continue };
            found.begins.get_or_insert(head.at);
            let kind = match head.kind.as_str() {
                "pools" => "pool",
                "pods" => "pod",
                other => other,
            };
            if !wants(kind, None, "") {
                continue;
            }
            let Ok(line) = serde_json::from_str::<Line>(&text) else { continue };
            for recorded in line.recorded(kind) {
                if wants(kind, recorded.namespace.as_deref(), &recorded.object) {
                    found.see(Moment::Clock(at), recorded);
                }
            }
        }
    }
    Ok(found)
}

/// Oldest first; none where the cluster keeps no journal here.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(CliError::failed(format!("{} cannot be read: {error}", folder.display()))),
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    paths.sort();
    Ok(paths)
}

impl Line {
    /// One for an autoscaler, one for each object of a batch of pods and of a loop over the pools.
    fn recorded(self, kind: &str) -> Vec<Recorded> {
        let at = Moment::Clock(self.at);
        if kind == "hpa" {
            return vec![Recorded {
                at,
                kind: kind.to_owned(),
                namespace: self.namespace,
                object: self.object,
                summary: self.summary,
                acted: self.acted,
                report: self.report,
                again: Some(Again {
                    settings: self.settings,
                    snapshot: self.snapshot,
                    memory: self.memory_before,
                    whole: true,
                }),
            }];
        }
        let report = |index: usize| match kind {
            "pod" => self.decision.get(index).map_or(Value::Null, |decision| decision["report"].clone()),
            _ => self.report.clone(),
        };
        let items = self.items.iter().enumerate();
        items
            .map(|(index, item)| Recorded {
                at,
                kind: kind.to_owned(),
                namespace: item.namespace.clone(),
                object: item.object.clone(),
                summary: item.summary.clone(),
                acted: item.acted,
                report: report(index),
                again: None,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_decided_before_and_after_an_instant_is_found_over_several_files() {
        let folder = tempfile::tempdir().unwrap();
        let line = |at: &str, kind: &str, object: &str, items: Value| {
            json!({"sequence": 1, "at": at, "kind": kind, "namespace": "platform", "object": object, "summary": at, "acted": true, "now": at,
                   "settings": {}, "snapshot": {}, "memory_before": {}, "report": {"reasons": []}, "items": items,
                   "decision": [{"report": {"summary": "of the pod"}}]})
            .to_string()
        };
        let pods = json!([{"namespace": "platform", "object": "web-1", "summary": "to node-a", "acted": true}]);
        let first = [
            line("2026-11-26T14:00:00Z", "hpa", "web", json!([])),
            line("2026-11-26T14:00:01Z", "pods", "pods", pods),
            line("2026-11-26T14:00:15Z", "hpa", "web", json!([])),
        ];
        fs::write(folder.path().join("decisions-00000001.jsonl"), first.join("\n")).unwrap();
        let second = line("2026-11-26T14:00:30Z", "hpa", "web", json!([])) + "\n{\"at\": \"2026";
        fs::write(folder.path().join("decisions-00000002.jsonl"), second).unwrap();

        let check = |at: &str, wanted: &'static str, expected: Option<(&str, Option<&str>)>| {
            let found = read(folder.path(), Timestamp::parse(at).unwrap(), |kind, _, _| kind == wanted).unwrap();
            let told = found.objects.first().and_then(|(_, one)| {
                Some((one.in_force.as_ref()?.summary.as_str(), one.next.as_ref().map(|next| next.summary.as_str())))
            });
            assert_eq!(told, expected, "{at}");
        };
        check("2026-11-26T14:00:20Z", "hpa", Some(("2026-11-26T14:00:15Z", Some("2026-11-26T14:00:30Z"))));
        check("2026-11-26T14:05:00Z", "hpa", Some(("2026-11-26T14:00:30Z", None)));
        check("2026-11-26T13:00:00Z", "hpa", None);
        check("2026-11-26T14:05:00Z", "pod", Some(("to node-a", None)));
        check("2026-11-26T14:05:00Z", "pool", None);
        assert!(read(&folder.path().join("none"), Timestamp(0), |_, _, _| true).unwrap().objects.is_empty());
    }
}
