#![no_main]
//! JSON, merge and strategic patches of a Deployment.

use kube_store::patch;
use kube_store::schema::Schema;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|texts: (&str, &str)| {
    let (Ok(live), Ok(change)) = (serde_json::from_str::<Value>(texts.0), serde_json::from_str::<Value>(texts.1))
    else {
        return;
    };
    let _ = patch::json(&live, &change);
    let merged = patch::merge(&live, &change);
    assert_eq!(patch::merge(&merged, &change), merged, "a merge patch twice is once");
    assert_eq!(patch::merge(&live, &patch::merge_diff(&live, &merged)), merged, "the difference leads there");
    let schema = Schema::builtin();
    let id = schema.type_for("apps", "v1", "Deployment").unwrap();
    let _ = patch::strategic(&live, &change, schema, id);
    let _ = (schema.unknown_fields(&live, id), schema.type_errors(&live, id));
});
