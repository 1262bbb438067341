//! `marea decide`: the decisions of the live controllers, from standard input.

use std::io::Read;

use decide::wire::input::documents;
use decide::wire::{hpa_timeline, nodes, schedule};
use serde_json::Value;

use crate::args::DecideWhat;
use crate::error::{CliError, Result};
use crate::terminal::print;

pub fn run(what: DecideWhat) -> Result<()> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| CliError::bad_input(format!("standard input cannot be read: {error}")))?;
    decide(what, &text, &mut |line| print(line))
}

/// Documents are answered in order; the first bad one ends the run, after the answers of those before it.
fn decide(what: DecideWhat, text: &str, out: &mut dyn FnMut(&str)) -> Result<()> {
    let each = |document: &Value| match what {
        DecideWhat::Hpa => hpa_timeline::run(document),
        DecideWhat::Schedule => schedule::run(document).map(|line| vec![line]),
        DecideWhat::Nodes => nodes::run(document),
    };
    documents(text, each, |line| out(&line)).map_err(|error| CliError::bad_input(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_before_the_error_that_ends_the_run() {
        let mut lines = Vec::new();
        let good = r#"{"nodes": [], "pod": {"metadata": {"name": "p"}, "spec": {"containers": []}}}"#;
        let error = decide(DecideWhat::Schedule, &format!("{good}\n{{\"nodes\": 1}}\n"), &mut |line| {
            lines.push(line.to_owned())
        })
        .unwrap_err();
        assert_eq!(lines.len(), 1);
        assert!(error.message.starts_with("line 2: "), "{}", error.message);
        assert_eq!(error.exit, crate::error::Exit::BadInput);
    }
}
