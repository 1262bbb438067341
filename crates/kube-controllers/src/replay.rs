//! Decides again from the journal and compares bytes: what was decided live must follow from what was written down.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::controllers::batch;
use crate::journal::{self, BATCH, JournalError, Line, POOLS, split_report};

/// What deciding again gave.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ReplaySummary {
    /// Decisions that were repeated, by kind.
    pub repeated: BTreeMap<String, u64>,
    pub differences: Vec<Difference>,
}

/// A decision that came out differently.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    pub sequence: u64,
    pub kind: String,
    pub object: String,
    /// JSON of decision and report as written.
    pub recorded: String,
    pub repeated: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("cannot read the journal {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path}, line {line} is not a decision of this version")]
    Line {
        path: PathBuf,
        line: usize,
        #[source]
        source: serde_json::Error,
    },
    #[error("{path}, line {line} has the unknown kind `{kind}`")]
    Kind { path: PathBuf, line: usize, kind: String },
}

/// Repeats every decision of a journal file, or of all files of a journal directory.
///
/// # Errors
/// When a file cannot be read or a complete line is not a decision that this version can repeat.
pub fn replay(path: &Path) -> Result<ReplaySummary, ReplayError> {
    let mut summary = ReplaySummary::default();
    let files = if path.is_dir() { journal::segments(path)? } else { vec![path.to_owned()] };
    for file in files {
        replay_file(&file, &mut summary)?;
    }
    Ok(summary)
}

fn replay_file(path: &Path, summary: &mut ReplaySummary) -> Result<(), ReplayError> {
    let read = |source| ReplayError::Read { path: path.to_owned(), source };
    let mut reader = BufReader::new(File::open(path).map_err(read)?);
    let mut text = String::new();
    let mut number = 0;
    while reader.read_line(&mut text).map_err(read)? > 0 {
        number += 1;
        // Only the last line can lack its end: it was cut short by a crash.
        if !text.ends_with('\n') {
            break;
        }
        let line_error = |source| ReplayError::Line { path: path.to_owned(), line: number, source };
        let line: Line = serde_json::from_str(&text).map_err(line_error)?;
        text.clear();
        let repeated = repeat(&line).map_err(line_error)?;
        let kind = || ReplayError::Kind { path: path.to_owned(), line: number, kind: line.kind.clone() };
        compare(&line, repeated.ok_or_else(kind)?, summary);
    }
    Ok(())
}

fn compare(line: &Line, (decision, report): (Value, Value), summary: &mut ReplaySummary) {
    *summary.repeated.entry(line.kind.clone()).or_default() += 1;
    let recorded = format!("{} {}", line.decision, line.report);
    let repeated = format!("{decision} {report}");
    if recorded != repeated {
        let (sequence, kind, object) = (line.sequence, line.kind.clone(), line.object.clone());
        summary.differences.push(Difference { sequence, kind, object, recorded, repeated });
    }
}

/// Nothing for an unknown kind.
fn repeat(line: &Line) -> serde_json::Result<Option<(Value, Value)>> {
    let decision = match line.kind.as_str() {
        "hpa" => again(line, decide::hpa::decide)?,
        POOLS => again(line, decide::nodes::decide)?,
        BATCH => return Ok(Some((again(line, batch::repeat)?, Value::Null))),
        _ => return Ok(None),
    };
    Ok(Some(split_report(decision)))
}

fn again<S, N, M, D>(line: &Line, decide: impl Fn(&S, &N, &mut M) -> D) -> serde_json::Result<Value>
where
    S: DeserializeOwned,
    N: DeserializeOwned,
    M: DeserializeOwned,
    D: Serialize,
{
    let settings: S = S::deserialize(&line.settings)?;
    let snapshot: N = N::deserialize(&line.snapshot)?;
    let mut memory: M = M::deserialize(&line.memory_before)?;
    serde_json::to_value(decide(&settings, &snapshot, &mut memory))
}
