//! What people see while a command runs, and what pipes get.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use stack::Reporter;

/// Progress on standard error: in place on a terminal, whole lines in a pipe.
pub struct Terminal {
    bar: Option<ProgressBar>,
    start: Instant,
    last: Mutex<(String, Instant)>,
}

/// In a pipe a status is a line; one every so often says that something goes on without filling a log.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

impl Terminal {
    pub fn new() -> Terminal {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        let now = Instant::now();
        Terminal { bar, start: now, last: Mutex::new((String::new(), now)) }
    }

    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Reporter for Terminal {
    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note(text)),
            None => note(text),
        }
    }

    fn status(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
            return;
        }
        let Ok(mut last) = self.last.lock() else { return };
        let subject = |text: &str| text.split(['(', ',']).next().unwrap_or_default().to_owned();
        if last.1.elapsed() >= PLAIN_INTERVAL && subject(&last.0) == subject(text)
            || last.0.is_empty() && last.1.elapsed() >= PLAIN_INTERVAL
        {
            note(text);
            *last = (text.to_owned(), Instant::now());
        } else if subject(&last.0) != subject(text) {
            last.0 = text.to_owned();
        }
    }
}

/// A line for people, on standard error. A reader that went away is no reason to stop.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A line of the result, on standard output.
///
/// A closed pipe (`marea history | head -1`) ends the program quietly, as it does for every Unix tool.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let written = out
        .write_all(text.as_bytes())
        .and_then(|()| if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") })
        .and_then(|()| out.flush());
    if written.is_err_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe) {
        std::process::exit(0);
    }
}

pub fn print_json(value: &serde_json::Value) {
    print(&value.to_string());
}

/// `1.24 s`, `310 ms`
pub fn seconds(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else {
        format!("{:.2} s", duration.as_secs_f64())
    }
}

/// Asks on the terminal; without one the answer is no.
pub fn confirm(question: &str) -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    let _ = write!(std::io::stderr(), "{question} [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok_and(|_| ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}
