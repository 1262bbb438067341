//! Timelines of the genuine cluster autoscaler over generated scenarios.
//!
//! The vectors hold what every run of the genuine program agrees on: upstream draws among equals (groups for the random
//! expander, nodes that could go, places for pods), so names of nodes are not among it.
//! `conformance/vectors/nodes.md` says how they were made.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use decide::wire::nodes::run;
use flate2::read::GzDecoder;
use serde_json::{Value, json};

fn vectors() -> (Value, Vec<Value>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/vectors/nodes.jsonl.gz");
    let mut lines = BufReader::new(GzDecoder::new(File::open(&path).unwrap())).lines();
    let header = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    (header, lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect())
}

/// When and how a group changes; what happens at one instant has no order among groups.
fn step(line: &Value) -> (u64, String, u64, u64) {
    let milliseconds = (line["t"].as_f64().unwrap() * 1000.0).round() as u64;
    let number = |field: &str| line[field].as_u64().unwrap();
    (milliseconds, line["group"].as_str().unwrap().to_owned(), number("from"), number("to"))
}

fn sorted(lines: &[Value]) -> Vec<Value> {
    let mut lines = lines.to_vec();
    lines.sort_by_key(step);
    lines
}

/// # Errors
/// With the first difference.
fn compare(vector: &Value) -> Result<(), String> {
    let lines = run(&vector["in"]).map_err(|error| error.to_string())?;
    let mut got: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = got.pop().unwrap();
    let (got, wanted) = (sorted(&got), sorted(vector["out"].as_array().unwrap()));
    for (index, expected) in wanted.iter().enumerate() {
        let Some(line) = got.get(index) else { return Err(format!("{expected} does not happen")) };
        if step(line) != step(expected) {
            return Err(format!("{:?} instead of {:?}", step(line), step(expected)));
        }
        if expected.get("node").is_some_and(|node| *node != line["node"]) {
            return Err(format!("{} goes at {} instead of {}", line["node"], line["t"], expected["node"]));
        }
        if expected.get("for").is_some_and(|pods| *pods != pods_of(line)) {
            return Err(format!("at {} for {} instead of {}", line["t"], line["for"], expected["for"]));
        }
    }
    if let Some(line) = got.get(wanted.len()) {
        return Err(format!("{:?} is too much", step(line)));
    }
    for field in ["t", "sizes"] {
        if last[field] != vector["end"][field] {
            return Err(format!("ends with {field} {} instead of {}", last[field], vector["end"][field]));
        }
    }
    match vector["end"].get("pending").is_some_and(|pending| *pending != last["pending"]) {
        true => Err(format!("leaves {} instead of {}", last["pending"], vector["end"]["pending"])),
        false => Ok(()),
    }
}

fn pods_of(line: &Value) -> Value {
    let mut pods: Vec<&str> = line["for"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    pods.sort_unstable();
    json!(pods)
}

/// Differs (Decisions): Which of several equal nodes goes, and which pods a scale-up names, follows the names; upstream
/// goes through them in the order of Go maps, so that only sizes, instants and what is pending at the end can be
/// compared.
#[test]
fn every_timeline_is_the_genuine_autoscalers() {
    let (header, vectors) = vectors();
    assert_eq!(header["vectors"], json!(vectors.len()));
    let differing: Vec<String> = vectors
        .iter()
        .filter_map(|vector| {
            compare(vector).err().map(|difference| format!("{} ({}): {difference}", vector["id"], vector["kind"]))
        })
        .collect();
    let shown = differing.iter().take(5).cloned().collect::<Vec<_>>().join("\n");
    assert!(differing.is_empty(), "{} of {} timelines differ:\n{shown}", differing.len(), vectors.len());
}

#[test]
fn the_comparison_notices_what_is_wrong() {
    let (_, vectors) = vectors();
    let with_steps = |vector: &&Value| vector["out"].as_array().is_some_and(|out| !out.is_empty());
    for vector in vectors.iter().filter(with_steps).take(5) {
        for field in ["t", "from", "to"] {
            let mut wrong = vector.clone();
            wrong["out"][0][field] = json!(wrong["out"][0][field].as_f64().unwrap() as u64 + 1);
            assert!(compare(&wrong).is_err(), "{field} of {}", vector["id"]);
        }
        let mut wrong = vector.clone();
        wrong["out"].as_array_mut().unwrap().pop();
        assert!(compare(&wrong).is_err(), "a step less in {}", vector["id"]);
    }
}
