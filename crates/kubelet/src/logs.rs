//! Reads container logs: from the beginning or the last lines, with times or without, to the end or following it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube_server::node_agent::{LogOptions, Reader};
use tokio::io::{AsyncWriteExt, DuplexStream};
use units::Timestamp;

use crate::log_writer::rotated;
use crate::process::Process;

/// How often a followed log is looked at. A person does not notice a tenth of a second.
const FOLLOW_EVERY: Duration = Duration::from_millis(100);
const PIPE_BYTES: usize = 64 * 1024;

/// The log of one run in its directory. The reader ends at the log's end, or, when following, with the container.
pub(crate) fn open(run: PathBuf, process: Option<Process>, options: LogOptions) -> Reader {
    let (writer, reader) = tokio::io::duplex(PIPE_BYTES);
    tokio::spawn(async move {
        // An error here is a reader that went away, or a log that was removed with its pod.
        if let Err(error) = send(&run.join("log"), process, &options, writer).await {
            tracing::debug!(%error, log = %run.display(), "reading a log ended early");
        }
    });
    Box::new(reader)
}

async fn send(path: &Path, process: Option<Process>, options: &LogOptions, mut out: DuplexStream) -> io::Result<()> {
    let mut budget = Budget { left: options.limit_bytes };
    let (lines, mut follower) = beginning(path, options)?;
    for line in lines {
        if !budget.send(&mut out, &line).await? {
            return Ok(());
        }
    }
    if !options.follow {
        return Ok(());
    }
    loop {
        // Asked before reading: what was written before the end is then read below.
        let ended = process.as_ref().is_none_or(|process| !process.is_running());
        for line in follower.more()?.iter().filter_map(|line| render(line, options)) {
            if !budget.send(&mut out, &line).await? {
                return Ok(());
            }
        }
        if ended {
            return Ok(());
        }
        tokio::time::sleep(FOLLOW_EVERY).await;
    }
}

struct Budget {
    left: Option<u64>,
}

impl Budget {
    /// False when no more may be sent.
    async fn send(&mut self, out: &mut DuplexStream, line: &[u8]) -> io::Result<bool> {
        let allowed = self.left.map_or(line.len(), |left| line.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
        out.write_all(&line[..allowed]).await?;
        if let Some(left) = &mut self.left {
            *left -= allowed as u64;
        }
        Ok(self.left != Some(0))
    }
}

/// What is there now, as it is to be printed, and where to go on.
fn beginning(path: &Path, options: &LogOptions) -> io::Result<(VecDeque<Vec<u8>>, Follower)> {
    let mut lines = VecDeque::new();
    let keep = options.tail_lines.map(|count| usize::try_from(count).unwrap_or(usize::MAX));
    let mut add = |line: &[u8]| {
        lines.extend(render(line, options));
        if let Some(keep) = keep {
            while lines.len() > keep {
                lines.pop_front();
            }
        }
    };
    if let Ok(file) = File::open(rotated(path)) {
        for line in BufReader::new(file).split(b'\n') {
            add(&line?);
        }
    }
    let mut follower = Follower { path: path.to_owned(), file: None, rest: Vec::new() };
    follower.more()?.iter().for_each(|line| add(line));
    Ok((lines, follower))
}

/// Reads whole lines from a log that grows and is rotated.
struct Follower {
    path: PathBuf,
    file: Option<File>,
    rest: Vec<u8>,
}

impl Follower {
    fn more(&mut self) -> io::Result<Vec<Vec<u8>>> {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        let mut bytes = std::mem::take(&mut self.rest);
        if let Some(file) = &mut self.file {
            file.read_to_end(&mut bytes)?;
            let inode = file.metadata()?.ino();
            if std::fs::metadata(&self.path).is_ok_and(|current| current.ino() != inode) {
                file.read_to_end(&mut bytes)?;
                let mut next = File::open(&self.path)?;
                next.seek(SeekFrom::Start(0))?;
                next.read_to_end(&mut bytes)?;
                self.file = Some(next);
            }
        }
        let mut lines: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        self.rest = lines.pop().unwrap_or_default();
        Ok(lines)
    }
}

/// `<time> stdout F text` → `text` and a line end, unless the piece goes on in the next.
fn render(line: &[u8], options: &LogOptions) -> Option<Vec<u8>> {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let (time, _stream, tag, text) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let time = std::str::from_utf8(time).ok()?;
    if let Some(since) = options.since
        && Timestamp::parse(time).is_ok_and(|at| at < since)
    {
        return None;
    }
    let mut rendered = Vec::with_capacity(text.len() + 40);
    if options.timestamps {
        rendered.extend_from_slice(time.as_bytes());
        rendered.push(b' ');
    }
    rendered.extend_from_slice(text);
    if tag == b"F" {
        rendered.push(b'\n');
    }
    Some(rendered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    async fn check(options: LogOptions, expected: &str) {
        let directory = tempfile::tempdir().unwrap();
        let old = "2026-11-23T10:00:00.000000000Z stdout F zero\n";
        let new = "2026-11-23T10:00:01.000000000Z stdout F one\n2026-11-23T10:00:02.000000000Z stderr P tw\n2026-11-23T10:00:02.000000000Z stderr F o\n";
        std::fs::write(directory.path().join("log.1"), old).unwrap();
        std::fs::write(directory.path().join("log"), new).unwrap();
        let mut text = String::new();
        open(directory.path().to_owned(), None, options).read_to_string(&mut text).await.unwrap();
        assert_eq!(text, expected);
    }

    #[tokio::test]
    async fn prints_what_is_asked_for() {
        check(LogOptions::default(), "zero\none\ntwo\n").await;
        check(LogOptions { tail_lines: Some(3), ..LogOptions::default() }, "one\ntwo\n").await;
        check(LogOptions { limit_bytes: Some(6), ..LogOptions::default() }, "zero\no").await;
        let since = Timestamp::parse("2026-11-23T10:00:01Z").unwrap();
        check(LogOptions { since: Some(since), follow: true, ..LogOptions::default() }, "one\ntwo\n").await;
        let stamped = LogOptions { timestamps: true, limit_bytes: Some(35), ..LogOptions::default() };
        check(stamped, "2026-11-23T10:00:00.000000000Z zero").await;
    }

    #[test]
    fn follows_across_a_rotation() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::fs::write(&path, "a\nb").unwrap();
        let mut follower = Follower { path: path.clone(), file: None, rest: Vec::new() };
        assert_eq!(follower.more().unwrap(), [b"a"]);
        std::fs::rename(&path, rotated(&path)).unwrap();
        std::fs::write(&path, "\nc\n").unwrap();
        assert_eq!(follower.more().unwrap(), [b"b", b"c"]);
        assert!(follower.more().unwrap().is_empty());
    }
}
