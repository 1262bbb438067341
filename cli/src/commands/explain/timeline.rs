//! A simulation's timeline (`marea simulate --timeline FILE`): its lines have time since the start and no snapshot.

use std::path::Path;

use serde_json::Value;

use super::at::{Found, Moment, Recorded};
use crate::error::{CliError, Result};

/// The last decisions at or before `at` and the first after it, of every object that is wanted.
///
/// # Errors
/// When the file cannot be read or a line is none of a timeline.
pub fn read(path: &Path, at: f64, wants: impl Fn(&str, Option<&str>, &str) -> bool) -> Result<Found> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| CliError::bad_input(format!("{} cannot be read: {error}", path.display())))?;
    let mut found = Found::default();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |problem: &str| {
            CliError::bad_input(format!("{}:{}: {problem}", path.display(), number + 1))
                .advice("`marea simulate --timeline FILE` writes such a file.")
        };
        let value: Value = serde_json::from_str(line).map_err(|error| wrong(&error.to_string()))?;
        let seconds = value["t"].as_f64().ok_or_else(|| wrong("the line has no time `t`"))?;
        let Some(recorded) = recorded(&value, seconds) else { continue };
        if wants(&recorded.kind, None, &recorded.object) {
            found.see(Moment::Offset(at), recorded);
        }
    }
    Ok(found)
}

/// Nothing for a line about something else, such as the last one of `marea decide`.
fn recorded(line: &Value, seconds: f64) -> Option<Recorded> {
    let (kind, object) = ["hpa", "group", "pod"].iter().find_map(|key| Some((*key, line[*key].as_str()?)))?;
    let summary = match (line["report"]["summary"].as_str(), line["best"][0].as_str()) {
        (Some(summary), _) => summary.to_owned(),
        (None, Some(node)) => format!("goes to {node}"),
        (None, None) => "fits on no node".to_owned(),
    };
    Some(Recorded {
        at: Moment::Offset(seconds),
        kind: if kind == "group" { "pool" } else { kind }.to_owned(),
        namespace: None,
        object: object.rsplit('/').next().unwrap_or(object).to_owned(),
        summary,
        acted: true,
        report: line["report"].clone(),
        again: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_decision_in_force_is_the_last_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("timeline.jsonl");
        let lines = [
            r#"{"t":15,"from":2,"to":3,"report":{"summary":"scales from 2 to 3"},"hpa":"web"}"#,
            r#"{"t":20,"feasible":{},"best":["node-0"],"pod":"platform/web-3"}"#,
            r#"{"t":25,"group":"backend","from":1,"to":2,"report":{"summary":"grows"}}"#,
            r#"{"t":900,"from":3,"to":2,"report":{"summary":"scales from 3 to 2"},"hpa":"web"}"#,
        ];
        std::fs::write(&path, lines.join("\n")).unwrap();
        let found = read(&path, 600.0, |_, _, _| true).unwrap();
        let told: Vec<(String, &str, bool)> = found
            .objects
            .iter()
            .filter_map(|(key, one)| Some((key.clone(), one.in_force.as_ref()?.summary.as_str(), one.next.is_some())))
            .collect();
        assert_eq!(
            told,
            [
                ("hpa/web".to_owned(), "scales from 2 to 3", true),
                ("pod/web-3".to_owned(), "goes to node-0", false),
                ("pool/backend".to_owned(), "grows", false)
            ]
        );
    }

    #[test]
    fn a_file_of_another_kind_is_refused_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let check = |text: &str, expected: &str| {
            std::fs::write(&path, text).unwrap();
            let error = read(&path, 1.0, |_, _, _| true).unwrap_err();
            assert!(error.message.contains(expected), "{}", error.message);
        };
        check("{\"t\": 1, \"hpa\": \"web\"}\nrate\n", "x:2: expected value");
        check("{}\n", "x:1: the line has no time `t`");
    }
}
