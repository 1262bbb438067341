//! The rules in words.

use std::fmt::Write;

use crate::{RULES, Rule};

/// `docs/rules.md`, which a test keeps equal to this.
pub fn table() -> String {
    let mut text = String::from(
        "# Rules of `marea check`\n\nGenerated from `crates/lint`: `cargo run -p marea -- check --rules`. `marea check --explain ID` says more about one.\n\n\
         | id | severity | why | example |\n| --- | --- | --- | --- |\n",
    );
    for rule in RULES {
        // A write into a String cannot fail.
        let _ = writeln!(text, "| `{}` | {} | {} | {} |", rule.id, rule.severity, cell(rule.why), cell(rule.example));
    }
    text
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// A rule for a reader at a terminal.
pub fn explain(rule: &Rule) -> String {
    format!("{} ({})\n\n{}\n\nExample: {}\nWhat to do: {}", rule.id, rule.severity, rule.why, rule.example, rule.advice)
}
