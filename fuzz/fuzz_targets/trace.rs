#![no_main]
//! Traces of traffic: CSV of any kind and Prometheus' answers.

use libfuzzer_sys::fuzz_target;
use simulate::load::{CsvOptions, read_csv, read_prometheus};

fuzz_target!(|text: &str| {
    let _ = read_csv(text, &CsvOptions::default());
    let _ = read_prometheus(text);
});
