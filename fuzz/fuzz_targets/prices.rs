#![no_main]
//! Price sheets and what the Retail Prices API answers.

use libfuzzer_sys::fuzz_target;
use price::{PriceSheet, UnitPrice, retail};

fuzz_target!(|text: &str| {
    let _ = PriceSheet::parse(text);
    let _ = UnitPrice::parse(text);
    if let Ok(items) = serde_json::from_str::<Vec<retail::RetailItem>>(text) {
        let _ = retail::entries(&items, "eastus", "2026-01-01");
    }
});
