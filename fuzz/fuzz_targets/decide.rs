#![no_main]
//! `marea decide hpa|schedule|nodes`: any document gets an answer or an error.

use decide::wire;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|text: &str| {
    let _ = wire::schedule::run_line(text);
    let Ok(document) = serde_json::from_str::<Value>(text) else { return };
    // What is valid may rightly take long; what a fuzzer finds need not.
    if document["duration"].as_f64().is_none_or(|seconds| seconds <= 600.0) {
        let _ = wire::nodes::run(&document);
    }
    let _ = wire::hpa_timeline::run(&document);
});
