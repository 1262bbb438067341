//! A simulation's timeline (`marea simulate --timeline FILE`): its lines have time since the start and no snapshot.

use std::path::Path;

use decide::hpa::Settings;
use serde_json::{Value, json};

use super::at::{Again, Found, Moment, Recorded};
use super::otherwise;
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
        again: if kind == "hpa" { again(line) } else { None },
    })
}

/// More than any autoscaler of a timeline asks for.
const NO_BOUND: i32 = 100_000;
const NOW: &str = "2000-01-01T12:00:00.000000Z";

/// A cluster with the utilisations that the line's reasons tell, evenly over the ready pods: enough to ask what other
/// utilisations and targets would have come to. Nothing where something else took part (bounds, rates, pods without metrics), so that
/// deciding again does not come to what the line says.
fn again(line: &Value) -> Option<Again> {
    let ready = line["ready"].as_i64().filter(|ready| (1..=10_000).contains(ready))?;
    let (from, to) = (line["from"].as_i64()?, line["to"].as_i64()?);
    let reasons = line["report"]["reasons"].as_array()?.iter().filter(|reason| reason["rule"] == "hpa.metric");
    let metrics: Vec<(String, i64, i64)> = reasons.map(utilization).collect::<Option<_>>()?;
    let spec: Vec<Value> = metrics
        .iter()
        .map(|(resource, _, target)| {
            let target =
                json!({"kind": "Utilization", "average_utilization": target, "average_value": null, "value": null});
            json!({"Resource": {"resource": resource, "target": target}})
        })
        .collect();
    let per_resource = |value: &dyn Fn(i64) -> i64| -> Value {
        metrics.iter().map(|(resource, usage, _)| (resource.clone(), json!(value(*usage)))).collect()
    };
    // A request of a hundred thousand makes a percent a thousand.
    let (requests, usage) = (per_resource(&|_| 100_000), per_resource(&|usage| usage * 1000));
    let ready_since = json!({"status": "True", "last_transition": "2000-01-01T01:00:00.000000Z"});
    let pods = (0..ready).map(|number| {
        json!({"name": number.to_string(), "phase": "Running", "deleting": false, "start_time": "2000-01-01T00:00:00.000000Z",
               "ready": ready_since, "containers": [{"name": "c", "requests_milli": requests}]})
    });
    let readings = (0..ready).map(|number| {
        json!({"pod": number.to_string(), "at": NOW, "window": 15_000, "containers": [{"name": "c", "usage_milli": usage}]})
    });
    let target = json!({"api_version": "apps/v1", "kind": "Deployment", "name": "c"});
    let snapshot = json!({"now": NOW, "namespace": "n", "name": "h",
        "spec": {"target": target, "min_replicas": 1, "max_replicas": NO_BOUND, "metrics": spec, "behavior": null},
        "status": {"current_replicas": from, "desired_replicas": from, "last_scale_time": null, "current_metrics": [], "conditions": []},
        "scale": {"Ok": {"spec_replicas": from, "status_replicas": from, "selector": "a=b"}},
        "pods": pods.collect::<Vec<_>>(), "selecting_autoscalers": ["n/h"],
        "metrics": {"resource": {"Ok": readings.collect::<Vec<_>>()}, "pods": {}, "object": {}, "external": {}}});
    // An earlier wish for one keeps the window of a fresh controller out of it.
    let memory = json!({"recommendations": [{"replicas": 1, "at": "2000-01-01T11:59:00.000000Z"}], "scale_up_events": [], "scale_down_events": []});
    let settings = serde_json::to_value(Settings::default()).ok()?;
    let again = Again { settings, snapshot, memory, whole: false };
    (otherwise::replicas(&again).map(i64::from) == Some(to)).then_some(again)
}

/// Resource, usage and target in percent.
fn utilization(reason: &Value) -> Option<(String, i64, i64)> {
    let inputs = &reason["inputs"];
    let percent = |name: &str| inputs[name].as_str()?.strip_suffix('%')?.parse::<i64>().ok();
    let left_out = ["missing", "unready", "ignored"]
        .iter()
        .any(|name| inputs[*name].as_array().is_none_or(|list| !list.is_empty()));
    let resource = inputs["metric"].as_str()?.strip_suffix(" resource utilization (percentage of request)")?;
    (!left_out).then_some((resource.to_owned(), percent("usage")?, percent("target")?))
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

    fn scaled(from: i64, to: i64, usage: &str) -> Value {
        let inputs = json!({"metric": "cpu resource utilization (percentage of request)", "usage": usage, "target": "70%", "ready": from,
            "missing": [], "unready": [], "ignored": []});
        json!({"t": 15, "hpa": "web", "from": from, "to": to, "ready": from,
               "report": {"summary": "s", "reasons": [{"rule": "hpa.metric", "text": "x", "inputs": inputs}]}})
    }

    fn check(line: &Value, expected: &[(&str, i32)]) {
        let recorded = recorded(line, 15.0).unwrap();
        let found = otherwise::nearest(&recorded);
        let told: Vec<(&str, i32)> = found.iter().map(|change| (change.text.as_str(), change.replicas)).collect();
        assert_eq!(told, expected, "{line}");
    }

    #[test]
    fn a_line_s_own_numbers_tell_what_would_have_been_otherwise() {
        check(
            &scaled(2, 3, "84%"),
            &[
                ("cpu at 77 % of the requests instead of 84 %", 2),
                ("a target of 77 % cpu instead of 70 %", 2),
                ("a target of 55 % cpu instead of 70 %", 4),
                ("cpu at 106 % of the requests instead of 84 %", 4),
            ],
        );
        // Something else held it at three: the numbers alone come to six.
        check(&scaled(2, 3, "200%"), &[]);
        let mut missing = scaled(2, 3, "84%");
        missing["report"]["reasons"][0]["inputs"]["missing"] = json!(["web-3"]);
        check(&missing, &[]);
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
