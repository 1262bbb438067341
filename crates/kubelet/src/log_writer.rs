//! Container logs as the container runtime interface lays them out: `<RFC 3339> stdout|stderr F|P <text>`, a line each.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use k8s_openapi::jiff;

/// The kubelet's `containerLogMaxSize`; one older file is kept beside the current one.
const ROTATE_AT_BYTES: u64 = 10 * 1024 * 1024;
/// Longer lines are split, and all parts but the last marked `P`, as containerd does.
const LONGEST_LINE_BYTES: usize = 16 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// Appends to a log file. Never fails: a container must not die of a full disk; what cannot be written is dropped.
pub(crate) struct LogWriter {
    path: PathBuf,
    file: Option<File>,
    size: u64,
    pending: [Vec<u8>; 2],
}

impl LogWriter {
    pub(crate) fn open(path: &Path) -> LogWriter {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path).ok();
        let size = file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |metadata| metadata.len());
        LogWriter { path: path.to_owned(), file, size, pending: [Vec::new(), Vec::new()] }
    }

    pub(crate) fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let mut rest = std::mem::take(&mut self.pending[stream as usize]);
        rest.extend_from_slice(bytes);
        let now = timestamp();
        let mut lines = Vec::with_capacity(rest.len() + 64);
        let mut start = 0;
        while let Some(length) = rest[start..].iter().position(|byte| *byte == b'\n') {
            format_line(&mut lines, &now, stream, &rest[start..start + length], true);
            start += length + 1;
        }
        while rest.len() - start > LONGEST_LINE_BYTES {
            format_line(&mut lines, &now, stream, &rest[start..start + LONGEST_LINE_BYTES], false);
            start += LONGEST_LINE_BYTES;
        }
        rest.drain(..start);
        self.pending[stream as usize] = rest;
        self.append(&lines);
    }

    /// Writes what was left without a line end.
    pub(crate) fn finish(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if !self.pending[stream as usize].is_empty() {
                self.write(stream, b"\n");
            }
        }
    }

    fn append(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        if self.size + lines.len() as u64 > ROTATE_AT_BYTES && self.size > 0 {
            self.rotate();
        }
        if let Some(file) = &mut self.file
            && file.write_all(lines).is_ok()
        {
            self.size += lines.len() as u64;
        }
    }

    fn rotate(&mut self) {
        // If the rename fails the log goes on growing, which is better than losing it.
        if std::fs::rename(&self.path, rotated(&self.path)).is_ok() {
            *self = LogWriter { pending: std::mem::take(&mut self.pending), ..LogWriter::open(&self.path) };
        }
    }
}

/// The older file of a rotated log.
pub(crate) fn rotated(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

fn format_line(out: &mut Vec<u8>, now: &str, stream: Stream, text: &[u8], complete: bool) {
    let stream = match stream {
        Stream::Stdout => " stdout ",
        Stream::Stderr => " stderr ",
    };
    out.extend_from_slice(now.as_bytes());
    out.extend_from_slice(stream.as_bytes());
    out.extend_from_slice(if complete { b"F " } else { b"P " });
    out.extend_from_slice(text);
    out.push(b'\n');
}

fn timestamp() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.9fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    }

    #[test]
    fn joins_pieces_into_lines_and_ends_the_last_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        let mut log = LogWriter::open(&path);
        log.write(Stream::Stdout, b"one\ntw");
        log.write(Stream::Stderr, b"oops\n");
        log.write(Stream::Stdout, b"o\nthree");
        log.finish();
        assert_eq!(texts(&path), ["stdout F one", "stderr F oops", "stdout F two", "stdout F three"]);
    }

    #[test]
    fn splits_long_lines_and_rotates_large_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        let mut log = LogWriter::open(&path);
        log.write(Stream::Stdout, &vec![b'x'; LONGEST_LINE_BYTES + 1]);
        log.finish();
        assert_eq!(texts(&path).iter().map(|line| &line[..8]).collect::<Vec<_>>(), ["stdout P", "stdout F"]);
        let line = [vec![b'y'; 1023], vec![b'\n']].concat();
        for _ in 0..ROTATE_AT_BYTES / 1024 {
            log.write(Stream::Stdout, &line);
        }
        assert!(rotated(&path).exists());
        assert!(std::fs::metadata(&path).unwrap().len() < ROTATE_AT_BYTES);
    }
}
