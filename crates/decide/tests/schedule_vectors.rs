//! What the genuine scheduler's plugins say of generated clusters (`conformance/schedule`), node by node.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use decide::wire::schedule::run;
use flate2::read::GzDecoder;
use serde_json::{Value, json};

#[test]
fn every_decision_is_the_genuine_schedulers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/vectors/schedule.jsonl.gz");
    let mut lines = BufReader::new(GzDecoder::new(File::open(&path).unwrap())).lines();
    let header: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let mut compared = 0;
    let mut differing = Vec::new();
    for line in lines {
        let vector: Value = serde_json::from_str(&line.unwrap()).unwrap();
        compared += 1;
        if let Err(difference) = compare(&vector["in"], &vector["out"]) {
            differing.push(format!("seed {}: {difference}", vector["seed"]));
        }
    }
    assert_eq!(json!(compared), header["vectors"]);
    let shown = differing.iter().take(5).cloned().collect::<Vec<_>>().join("\n");
    assert!(differing.is_empty(), "{} of {compared} decisions differ:\n{shown}", differing.len());
}

fn compare(input: &Value, expected: &Value) -> Result<(), String> {
    let line = run(input).map_err(|error| error.to_string())?;
    let answer: Value = serde_json::from_str(&line).unwrap();
    for (node, verdict) in expected["feasible"].as_object().unwrap() {
        same(&format!("feasible.{node}"), &unordered(verdict), &unordered(&answer["feasible"][node]))?;
    }
    for (node, scores) in expected["scores"].as_object().unwrap() {
        for (plugin, score) in scores.as_object().unwrap() {
            // A plugin that has nothing to say gives no score here and 0 there.
            let own = answer["scores"][node].get(plugin).cloned().unwrap_or(json!(0));
            same(&format!("scores.{node}.{plugin}"), score, &own)?;
        }
    }
    same("best", &expected["best"], &answer["best"])?;
    match expected["preemptions"].as_array() {
        // Among equal candidates upstream takes any.
        Some(several) => {
            let own = answer.get("preemption").map(|p| json!({"node": p["node"], "victims": unordered(&p["victims"])}));
            let known =
                several.iter().any(|p| Some(json!({"node": p["node"], "victims": unordered(&p["victims"])})) == own);
            if known { Ok(()) } else { Err(format!("preemption: {own:?} is none of {several:?}")) }
        }
        None => {
            same("preemption", &Value::Null, &answer["preemption"])?;
            same("message", &expected["message"], &answer["message"])
        }
    }
}

fn same(what: &str, expected: &Value, own: &Value) -> Result<(), String> {
    if expected == own { Ok(()) } else { Err(format!("{what} is {own} and should be {expected}")) }
}

/// Upstream collects extended resources and the victims of a preemption in the order of a hash map.
fn unordered(value: &Value) -> Value {
    match value {
        Value::String(message) => json!(message.split(", ").collect::<BTreeSet<_>>()),
        Value::Array(items) => json!(items.iter().filter_map(Value::as_str).collect::<BTreeSet<_>>()),
        other => other.clone(),
    }
}
