#![no_main]
//! A scenario of `marea simulate`, with its trace.

use libfuzzer_sys::fuzz_target;
use platform::Platform;
use serde_json::Value;
use simulate::Scenario;
use simulate::scenario::Document;

const TRACE: &str = "time,requests\n2026-01-01T00:00:00Z,60\n2026-01-01T00:01:00Z,120\n";

fuzz_target!(|text: &str| {
    let Ok(document) = serde_saphyr::from_str::<Document>(text) else { return };
    let manifests: Vec<Value> =
        serde_saphyr::from_multiple(include_str!("../../crates/lint/tests/rules/clean.yaml")).unwrap();
    let template = serde_json::from_str(include_str!("../../crates/lint/tests/rules/template.json")).unwrap();
    let platform = Platform::new(&[&template], &manifests.iter().collect::<Vec<_>>());
    let Ok(load) = document.load.load(None, &platform, &|_| Ok(TRACE.to_owned())) else { return };
    let _ = Scenario::new(&document, platform, load);
});
