//! What a price sheet must be.

use price::{Meter, PriceSheet, SheetFile};
use serde_json::{Value, json};

fn committed() -> Value {
    serde_json::from_str(include_str!("../sheet.json")).unwrap()
}

/// Starts from the committed sheet, breaks one thing in its first entry or head, expects one finding.
fn check(pointer: &str, value: Value, expected: &str) {
    let mut sheet = committed();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    sheet.pointer_mut(parent).unwrap()[key] = value;
    let error = PriceSheet::parse(&sheet.to_string()).unwrap_err();
    assert!(error.to_string().contains(expected), "{pointer}: {error}");
    assert_eq!(error.0.len(), 1, "{error}");
}

#[test]
fn the_committed_sheet_has_every_meter_in_every_region() {
    let sheet = PriceSheet::committed().unwrap();
    assert_eq!(
        sheet.regions(),
        ["brazilsouth", "centralindia", "eastus", "northeurope", "swedencentral", "uksouth", "westeurope", "westus2"]
    );
    for region in sheet.regions() {
        assert_eq!(sheet.missing_meters(&region), [], "{region}");
    }
}

#[test]
fn the_committed_sheet_is_written_as_the_program_writes_sheets() {
    let file: SheetFile = serde_json::from_value(committed()).unwrap();
    assert_eq!(file.to_text(), include_str!("../sheet.json"));
}

#[test]
fn impossible_sheets_are_refused() {
    check("/entries/0/price", json!("-0.04"), "entry 1 (vm eastus Standard_B1ms): price `-0.04` is not a decimal");
    check("/entries/0/price", json!("NaN"), "price `NaN`");
    check("/entries/0/price", json!("0"), "the price is zero, and nothing here is free");
    check("/entries/0/price", json!("207"), "above 150, the highest believed");
    check("/entries/0/currency", json!("EUR"), "is in EUR, the sheet in USD");
    check("/entries/0/unit", json!("gb"), "is for a GB, which the meter does not count in");
    check("/entries/0/region", json!("East US"), "not an Azure name");
    check("/entries/0/region", json!("westus2"), "stands twice");
    check("/entries/0/source", json!(""), "must not be empty");
    check("/entries/0/date", json!("2026-13-01"), "date `2026-13-01` is not YYYY-MM-DD");
    check("/entries/0/from", json!("5"), "no price for the first unit");
    check("/entries/0/from", json!("some"), "from `some` is not a whole number");
    check("/entries/0/meter", json!("vmm"), "unknown variant `vmm`");
    check("/date", json!("yesterday"), "date `yesterday`");
    check("/format", json!(2), "format 2 is not 1");
    let mut sheet = committed();
    sheet["currency"] = json!("usd");
    assert!(PriceSheet::parse(&sheet.to_string()).unwrap_err().0[0].contains("three capital letters"));
    assert!(PriceSheet::parse("[]").unwrap_err().to_string().starts_with("not a price sheet"));
}

#[test]
fn a_sheet_without_a_meter_says_so() {
    let mut sheet = committed();
    sheet["entries"].as_array_mut().unwrap().retain(|entry| entry["meter"] != "public-ip");
    let sheet = PriceSheet::parse(&sheet.to_string()).unwrap();
    assert_eq!(sheet.missing_meters("eastus"), [Meter::PublicIp]);
}
