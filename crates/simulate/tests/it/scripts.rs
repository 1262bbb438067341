//! Scenario files with what comes of them, line by line. `UPDATE=1 cargo test -p simulate` writes what is expected anew.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use simulate::{LineKind, Options, run_with, summary_json};

use crate::basics::scenario;

fn transcript(yaml: &str) -> String {
    let outcome = run_with(&scenario(yaml), Options { check: true, ..Options::default() }).unwrap();
    let mut text = String::new();
    for line in outcome.timeline.iter().filter(|line| line.kind != LineKind::Pod) {
        let _ = writeln!(text, "{:>9.3}  {:<16} {}", line.at.as_secs_f64(), line.object, line.summary);
    }
    for (at, note) in &outcome.notes {
        let _ = writeln!(text, "{:>9.3}  {note}", *at as f64 / 1000.0);
    }
    for finding in &outcome.findings {
        let _ = writeln!(text, "finding    {finding}");
    }
    let costs: Vec<f64> = outcome.usd_month.iter().copied().collect();
    let _ = writeln!(text, "{:#}", summary_json(&outcome, &costs));
    text
}

#[test]
fn every_scenario_comes_out_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut names: Vec<_> =
        fs::read_dir(folder.join("scenarios")).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert!(names.len() >= 6, "{names:?}");
    for path in names {
        let expected = folder.join("expected").join(path.with_extension("txt").file_name().unwrap());
        let seen = transcript(&fs::read_to_string(&path).unwrap());
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, &seen).unwrap();
            continue;
        }
        let known = fs::read_to_string(&expected).unwrap_or_default();
        for (number, (a, b)) in known.lines().zip(seen.lines()).enumerate() {
            assert_eq!(a, b, "{}, line {}", expected.display(), number + 1);
        }
        assert_eq!(known, seen, "{}", expected.display());
    }
}
