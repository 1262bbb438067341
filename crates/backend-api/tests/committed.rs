//! The committed document is the one that the code makes: the console's client is generated from the file.

use std::path::Path;

#[test]
fn openapi_json_is_what_the_code_makes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let mut made = serde_json::to_string_pretty(&backend_api::openapi::document()).expect("a document of plain data");
    made.push('\n');
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &made).expect("the crate's folder is writable");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == made,
        "{} is not what the code makes; run this test with UPDATE_GOLDEN=1, then `npm run generate` in frontend/",
        path.display()
    );
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    let document = serde_json::to_value(backend_api::openapi::document()).expect("a document of plain data");
    let mut missing = Vec::new();
    check_references(&document, &document, &mut missing);
    assert_eq!(missing, Vec::<String>::new());
}

fn check_references(whole: &serde_json::Value, part: &serde_json::Value, missing: &mut Vec<String>) {
    if let Some(target) = part.get("$ref").and_then(|target| target.as_str())
        && whole.pointer(target.trim_start_matches('#')).is_none()
    {
        missing.push(target.to_owned());
    }
    match part {
        serde_json::Value::Array(items) => items.iter().for_each(|item| check_references(whole, item, missing)),
        serde_json::Value::Object(fields) => fields.values().for_each(|field| check_references(whole, field, missing)),
        _ => {}
    }
}
