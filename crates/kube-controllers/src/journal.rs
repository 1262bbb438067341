//! The flight recorder: every live decision with all that it was made from, in files of bounded size and in a ring in memory.
//!
//! A line of the journal is enough to decide again; [`crate::replay`] does so and compares bytes.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use kube_server::{Decision, DecisionFilter, DecisionSource};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use units::Timestamp;

use crate::clock;

/// The journal is cut into so many files, of which the oldest goes when a new one is begun.
const SEGMENTS: u64 = 8;
const PREFIX: &str = "decisions-";
const SUFFIX: &str = ".jsonl";

/// One decision to note. `settings` and `memory_before` are what the decision function was given beside the snapshot.
pub(crate) struct Entry<'a, S, N, M, D> {
    /// `hpa` or [`POOLS`]
    pub kind: &'a str,
    pub namespace: Option<&'a str>,
    pub object: &'a str,
    pub now: Timestamp,
    pub settings: &'a S,
    pub snapshot: &'a N,
    pub memory_before: &'a M,
    /// Has its reasons in a field `report`.
    pub decision: &'a D,
    pub summary: &'a str,
    pub acted: bool,
    /// The objects of a decision about several.
    pub items: Vec<Item>,
}

/// Decisions that were made together on one snapshot: a batch of pods.
pub(crate) struct Batch<'a, S, N, M, D> {
    pub now: Timestamp,
    pub settings: &'a S,
    /// Absent for a cluster whose snapshot is too large for the journal; the ring still has the decisions.
    pub snapshot: Option<&'a N>,
    pub memory_before: &'a M,
    /// One decision per item, each with its reasons in a field `report`.
    pub decisions: &'a [D],
    pub items: Vec<Item>,
}

/// What a line with several objects decided upon.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Item {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub object: String,
    pub summary: String,
    pub acted: bool,
}

/// The kind of a line with a batch; its items are decisions of kind `pod`.
pub(crate) const BATCH: &str = "pods";
/// The kind of a line about all node pools together; its items are decisions of kind `pool` with one report.
pub(crate) const POOLS: &str = "pools";

/// A line of the journal.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub sequence: u64,
    pub at: Timestamp,
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub object: String,
    pub summary: String,
    pub acted: bool,
    pub now: Timestamp,
    pub settings: Value,
    pub snapshot: Value,
    pub memory_before: Value,
    /// Without its report, which stands beside it. Of a batch: a list of decisions with their reports.
    pub decision: Value,
    pub report: Value,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Item>,
}

/// Takes the report out of a decision.
pub(crate) fn split_report(mut decision: Value) -> (Value, Value) {
    let report = decision.as_object_mut().and_then(|fields| fields.shift_remove("report")).unwrap_or(Value::Null);
    (decision, report)
}

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("cannot {operation} {path}")]
    Io {
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Io { operation, path, source }
}

/// The journal's files, oldest first.
pub(crate) fn segments(directory: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(io_error("list journal directory", directory))? {
        let path = entry.map_err(io_error("list journal directory", directory))?.path();
        if segment_number(&path).is_some() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn segment_number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok()
}

struct Files {
    directory: PathBuf,
    /// When the current file is this large, the next one is begun.
    segment_bytes: u64,
    number: u64,
    current: File,
    written: u64,
}

impl Files {
    fn open(directory: &Path, total_bytes: u64) -> Result<Files, JournalError> {
        fs::create_dir_all(directory).map_err(io_error("create journal directory", directory))?;
        let number = segments(directory)?.last().and_then(|path| segment_number(path)).unwrap_or(1);
        let (current, written) = Self::open_segment(directory, number)?;
        Ok(Files {
            directory: directory.to_owned(),
            segment_bytes: (total_bytes / SEGMENTS).max(1 << 17),
            number,
            current,
            written,
        })
    }

    fn open_segment(directory: &Path, number: u64) -> Result<(File, u64), JournalError> {
        let path = directory.join(format!("{PREFIX}{number:08}{SUFFIX}"));
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(io_error("open journal", &path))?;
        let written = file.metadata().map_err(io_error("open journal", &path))?.len();
        Ok((file, written))
    }

    fn append(&mut self, line: &[u8]) -> Result<(), JournalError> {
        if self.written > 0 && self.written + line.len() as u64 > self.segment_bytes {
            self.rotate()?;
        }
        self.current.write_all(line).map_err(io_error("append to the journal in", &self.directory))?;
        self.written += line.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), JournalError> {
        self.number += 1;
        (self.current, self.written) = Self::open_segment(&self.directory, self.number)?;
        let files = segments(&self.directory)?;
        let surplus = files.len().saturating_sub(SEGMENTS as usize);
        for old in &files[..surplus] {
            fs::remove_file(old).map_err(io_error("remove old journal", old))?;
        }
        Ok(())
    }
}

/// The newest decisions of one kind. Of several in a row about one object that change nothing only the newest is kept.
#[derive(Default)]
struct Ring {
    decisions: BTreeMap<u64, Decision>,
    waiting: BTreeMap<(Option<String>, String), u64>,
}

impl Ring {
    fn push(&mut self, decision: Decision, capacity: usize) {
        let object = (decision.namespace.clone(), decision.object.clone());
        if decision.acted {
            self.waiting.remove(&object);
        } else if let Some(earlier) = self.waiting.insert(object, decision.sequence) {
            self.decisions.remove(&earlier);
        }
        self.decisions.insert(decision.sequence, decision);
        while self.decisions.len() > capacity {
            if let Some((sequence, gone)) = self.decisions.pop_first() {
                let object = (gone.namespace, gone.object);
                if self.waiting.get(&object) == Some(&sequence) {
                    self.waiting.remove(&object);
                }
            }
        }
    }
}

struct Inner {
    next_sequence: u64,
    directory: PathBuf,
    total_bytes: u64,
    /// Absent while the directory cannot be written; tried again with every decision.
    files: Option<Files>,
    /// By kind, so that thousands of bindings do not push out the few scalings.
    rings: BTreeMap<String, Ring>,
    capacity: usize,
}

fn complain(error: &JournalError) {
    tracing::error!(error = error as &dyn std::error::Error, "the flight recorder does not work");
}

impl Inner {
    fn open_files(&mut self) -> Result<(), JournalError> {
        self.files = Some(Files::open(&self.directory, self.total_bytes)?);
        Ok(())
    }

    /// The newest two files hold more than a ring.
    fn load(&mut self) -> Result<(), JournalError> {
        let newest = segments(&self.directory)?;
        for path in newest.iter().skip(newest.len().saturating_sub(2)) {
            let file = File::open(path).map_err(io_error("read journal", path))?;
            // A last line cut short by a crash is not a decision.
            for line in BufReader::new(file).lines().map_while(Result::ok) {
                let Ok(head) = serde_json::from_str::<Head>(&line) else { continue };
                for decision in head.into_decisions() {
                    self.next_sequence = self.next_sequence.max(decision.sequence + 1);
                    self.remember(decision);
                }
            }
        }
        Ok(())
    }

    fn append(&mut self, line: &Line) -> Result<(), JournalError> {
        let mut bytes = serde_json::to_vec(line)
            .map_err(io::Error::from)
            .map_err(io_error("serialise a decision for", &self.directory))?;
        bytes.push(b'\n');
        if self.files.is_none() {
            self.open_files()?;
        }
        match self.files.as_mut() {
            Some(files) => files.append(&bytes),
            None => Ok(()),
        }
    }

    fn write(&mut self, line: &Line) {
        if let Err(error) = self.append(line) {
            complain(&error);
        }
    }

    fn keep(&mut self, line: Line) {
        for decision in Head::from(line).into_decisions() {
            self.next_sequence = decision.sequence + 1;
            self.remember(decision);
        }
    }

    fn remember(&mut self, decision: Decision) {
        let ring = self.rings.entry(decision.kind.clone()).or_default();
        ring.push(decision, self.capacity);
    }
}

pub(crate) struct Recorder {
    inner: Mutex<Inner>,
}

impl Recorder {
    /// Opens the journal and remembers the newest decisions of an earlier run. A journal that cannot be read or written
    /// is reported and does not stop the platform.
    pub(crate) fn open(directory: &Path, total_bytes: u64, capacity: usize) -> Recorder {
        let directory = directory.to_owned();
        let mut inner =
            Inner { next_sequence: 1, directory, total_bytes, files: None, rings: BTreeMap::new(), capacity };
        if let Err(error) = inner.open_files().and_then(|()| inner.load()) {
            complain(&error);
        }
        Recorder { inner: Mutex::new(inner) }
    }

    /// Appends to the journal and to the ring.
    pub(crate) fn record<S, N, M, D>(&self, entry: Entry<'_, S, N, M, D>)
    where
        S: Serialize,
        N: Serialize,
        M: Serialize,
        D: Serialize,
    {
        let (decision, report) = split_report(to_value(entry.decision));
        let mut inner = self.inner.lock();
        let line = Line {
            sequence: inner.next_sequence,
            at: clock::now(),
            kind: entry.kind.to_owned(),
            namespace: entry.namespace.map(ToOwned::to_owned),
            object: entry.object.to_owned(),
            summary: entry.summary.to_owned(),
            acted: entry.acted,
            now: entry.now,
            settings: to_value(entry.settings),
            snapshot: to_value(entry.snapshot),
            memory_before: to_value(entry.memory_before),
            decision,
            report,
            items: entry.items,
        };
        inner.write(&line);
        inner.keep(line);
    }

    /// Appends a batch as one line to the journal, and its items one by one to the ring.
    pub(crate) fn record_batch<S, N, M, D>(&self, batch: Batch<'_, S, N, M, D>)
    where
        S: Serialize,
        N: Serialize,
        M: Serialize,
        D: Serialize,
    {
        let mut inner = self.inner.lock();
        let line = Line {
            sequence: inner.next_sequence,
            at: clock::now(),
            kind: BATCH.to_owned(),
            namespace: None,
            object: BATCH.to_owned(),
            summary: format!("decided on {} pods", batch.items.len()),
            acted: batch.items.iter().any(|item| item.acted),
            now: batch.now,
            settings: to_value(batch.settings),
            snapshot: batch.snapshot.map_or(Value::Null, to_value),
            memory_before: to_value(batch.memory_before),
            decision: to_value(batch.decisions),
            report: Value::Null,
            items: batch.items,
        };
        if batch.snapshot.is_some() {
            inner.write(&line);
        }
        inner.keep(line);
    }
}

fn to_value<T: Serialize + ?Sized>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_else(|error| Value::String(format!("not serialisable: {error}")))
}

/// What the ring needs of a line.
#[derive(Deserialize)]
struct Head {
    sequence: u64,
    at: Timestamp,
    kind: String,
    namespace: Option<String>,
    object: String,
    summary: String,
    acted: bool,
    decision: Value,
    report: Value,
    #[serde(default)]
    items: Vec<Item>,
}

impl From<Line> for Head {
    fn from(line: Line) -> Head {
        let Line { sequence, at, kind, namespace, object, summary, acted, decision, report, items, .. } = line;
        Head { sequence, at, kind, namespace, object, summary, acted, decision, report, items }
    }
}

impl Head {
    fn into_decisions(self) -> Vec<Decision> {
        let Head { sequence, at, kind, namespace, object, summary, acted, decision, report, items } = self;
        let reports: Vec<Value> = match (kind.as_str(), decision) {
            (BATCH, Value::Array(decisions)) => {
                decisions.into_iter().map(|decision| split_report(decision).1).collect()
            }
            (POOLS, _) => vec![report; items.len()],
            _ => return vec![Decision { sequence, at, kind, namespace, object, summary, acted, report }],
        };
        let kind = if kind == BATCH { "pod" } else { "pool" };
        (sequence..)
            .zip(items.into_iter().zip(reports))
            .map(|(sequence, (item, report))| {
                let Item { namespace, object, summary, acted } = item;
                Decision { sequence, at, kind: kind.to_owned(), namespace, object, summary, acted, report }
            })
            .collect()
    }
}

impl DecisionSource for Recorder {
    fn decisions(&self, filter: &DecisionFilter) -> Vec<Decision> {
        let inner = self.inner.lock();
        let fits =
            |wanted: &Option<String>, value: Option<&str>| wanted.as_deref().is_none_or(|wanted| Some(wanted) == value);
        let rings = inner.rings.iter().filter(|(kind, _)| fits(&filter.kind, Some(kind)));
        let mut found: Vec<&Decision> = rings
            .flat_map(|(_, ring)| ring.decisions.values())
            .filter(|one| fits(&filter.namespace, one.namespace.as_deref()) && fits(&filter.object, Some(&one.object)))
            .collect();
        found.sort_by_key(|one| one.sequence);
        let surplus = found.len().saturating_sub(filter.limit.unwrap_or(usize::MAX));
        found.into_iter().skip(surplus).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(recorder: &Recorder, kind: &str, object: &str, acted: bool, padding: usize) {
        let decision = json!({"filler": "x".repeat(padding), "report": {"summary": "s", "reasons": []}});
        recorder.record(Entry {
            kind,
            namespace: Some("default"),
            object,
            now: Timestamp(5),
            settings: &json!({}),
            snapshot: &json!({}),
            memory_before: &json!({}),
            decision: &decision,
            summary: "s",
            acted,
            items: Vec::new(),
        });
    }

    fn check(recorder: &Recorder, kind: Option<&str>, expected: &[u64]) {
        let filter = DecisionFilter { kind: kind.map(Into::into), ..DecisionFilter::default() };
        let sequences: Vec<u64> = recorder.decisions(&filter).iter().map(|one| one.sequence).collect();
        assert_eq!(sequences, expected);
    }

    #[test]
    fn waiting_is_kept_once_and_survives_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        {
            let recorder = Recorder::open(directory.path(), 1 << 20, 100);
            for acted in [false, false, true, false, false] {
                record(&recorder, "hpa", "web", acted, 0);
            }
            record(&recorder, "pod", "web-1", true, 0);
            check(&recorder, Some("hpa"), &[2, 3, 5]);
            check(&recorder, None, &[2, 3, 5, 6]);
        }
        let recorder = Recorder::open(directory.path(), 1 << 20, 100);
        check(&recorder, None, &[2, 3, 5, 6]);
        record(&recorder, "hpa", "web", false, 0);
        check(&recorder, Some("hpa"), &[2, 3, 7]);
    }

    #[test]
    fn the_journal_stays_within_its_bound() {
        let directory = tempfile::tempdir().unwrap();
        let recorder = Recorder::open(directory.path(), 1 << 20, 4);
        for _ in 0..400 {
            record(&recorder, "hpa", "web", true, 10_000);
        }
        let total: u64 = segments(directory.path()).unwrap().iter().map(|path| fs::metadata(path).unwrap().len()).sum();
        assert!(total <= 1 << 20, "{total} bytes");
        assert!(total > 1 << 19, "{total} bytes");
        check(&recorder, None, &[397, 398, 399, 400]);
    }

    #[test]
    fn a_line_cut_short_is_skipped() {
        let directory = tempfile::tempdir().unwrap();
        record(&Recorder::open(directory.path(), 1 << 20, 4), "hpa", "web", true, 0);
        let path = segments(directory.path()).unwrap().remove(0);
        OpenOptions::new().append(true).open(path).unwrap().write_all(b"{\"sequence\": 2, \"at").unwrap();
        check(&Recorder::open(directory.path(), 1 << 20, 4), None, &[1]);
    }
}
