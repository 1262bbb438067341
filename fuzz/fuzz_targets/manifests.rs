#![no_main]
//! Manifests of `marea check`, beside a valid template.

use libfuzzer_sys::fuzz_target;
use lint::Sources;
use platform::Platform;
use serde_json::Value;

fuzz_target!(|text: &str| {
    let Ok(manifests) = serde_saphyr::from_multiple::<Value>(text) else { return };
    let template = serde_json::from_str(include_str!("../../crates/lint/tests/rules/template.json")).unwrap();
    let platform = Platform::new(&[&template], &manifests.iter().collect::<Vec<_>>());
    let _ = lint::check(&platform, &Sources::default());
});
