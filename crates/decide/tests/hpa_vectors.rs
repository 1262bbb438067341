//! Timelines of the genuine HorizontalController (`conformance/hpa`), status by status.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use decide::wire::hpa::status_wire;
use decide::wire::hpa_timeline::statuses;
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use units::Timestamp;

/// A status as the API prints it, with its instants as seconds from the start and without empty fields.
fn printed(status: &decide::hpa::status::Status) -> Value {
    let mut printed = serde_json::to_value(status_wire(status)).unwrap();
    let seconds = |at: Option<Timestamp>| at.map_or(Value::Null, |at| json!(at.secs()));
    if status.last_scale_time.is_some() {
        printed["lastScaleTime"] = seconds(status.last_scale_time);
    }
    for (index, condition) in status.conditions.iter().enumerate() {
        printed["conditions"][index]["lastTransitionTime"] = seconds(condition.last_transition_time);
    }
    normalized(printed)
}

/// Go leaves zero numbers out and prints an absent list as null; neither is a difference.
fn normalized(mut status: Value) -> Value {
    let fields = status.as_object_mut().unwrap();
    fields.retain(|_, value| !value.is_null());
    for field in ["currentReplicas", "desiredReplicas"] {
        fields.entry(field).or_insert(json!(0));
    }
    status
}

#[test]
fn every_timeline_is_the_genuine_controllers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/vectors/hpa.jsonl.gz");
    let mut lines = BufReader::new(GzDecoder::new(File::open(&path).unwrap())).lines();
    let header: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let mut compared = 0;
    let mut differing = Vec::new();
    for line in lines {
        let vector: Value = serde_json::from_str(&line.unwrap()).unwrap();
        compared += 1;
        if let Err(difference) = compare(&vector) {
            differing.push(format!("seed {} ({}): {difference}", vector["seed"], vector["rules"]));
        }
    }
    assert_eq!(json!(compared), header["vectors"]);
    let shown = differing.iter().take(5).cloned().collect::<Vec<_>>().join("\n");
    assert!(differing.is_empty(), "{} of {compared} timelines differ:\n{shown}", differing.len());
}

fn compare(vector: &Value) -> Result<(), String> {
    let (written, last) = statuses(&vector["in"]).map_err(|error| error.to_string())?;
    let expected = vector["out"].as_array().cloned().unwrap_or_default();
    for (index, observed) in expected.iter().enumerate() {
        let Some((at, status)) = written.get(index) else {
            return Err(format!("no status at {}", observed["t"]));
        };
        let wanted = normalized(observed["status"].clone());
        let got = printed(status);
        if (at.0 as f64 / 1000.0) != observed["t"].as_f64().unwrap() || got != wanted {
            return Err(format!("at {}: {wanted}\n  but at {}: {got}", observed["t"], at.0 as f64 / 1000.0));
        }
    }
    if written.len() > expected.len() {
        return Err(format!("a status too many: {:?}", written[expected.len()]));
    }
    if json!(last) != vector["final"] {
        return Err(format!("ends at {last} instead of {}", vector["final"]));
    }
    Ok(())
}
