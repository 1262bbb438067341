//! Sends the requests when they are due and collects the answers.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::{Method, Request, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use super::schedule::Schedule;
use super::shape::Curve;
use super::summary::{Answer, Failure, Summary};
use super::{Args, LoadError, target};

/// How a load ended; the command's exit code follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    AllAnswered,
    SomeFailed,
    Interrupted,
}

/// Requests under way at once; one more would measure this machine's memory, not the platform.
const MAX_IN_FLIGHT: usize = 20_000;
const IDLE_CONNECTIONS: usize = 256;

type HttpClient = Client<HttpConnector, Empty<Bytes>>;

/// Runs the load. `platform` is the running cloud's own address, if there is one.
///
/// # Errors
/// When the load cannot start: no target, a target that is not this machine's, an unreadable trace.
pub async fn run(args: &Args, platform: Option<&str>) -> Result<Outcome, LoadError> {
    let curve = Curve::new(args)?;
    let uri = target::resolve(args.url.as_deref(), platform, &args.path)?;
    let mut display = Display::new(args.json, &uri, args.duration);
    let (answers, mut collected) = mpsc::unbounded_channel();
    let started = Instant::now();

    let sender = Sender { client: client(), uri, timeout: args.timeout, answers };
    let mut sending = std::pin::pin!(sender.send_all(&curve, started));
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    let mut summary = Summary::new();
    let (mut offered, mut all_sent, mut was_interrupted) = (0, false, false);
    loop {
        tokio::select! {
            sent = &mut sending, if !all_sent => {
                offered = sent;
                all_sent = true;
            }
            _ = &mut interrupted => {
                was_interrupted = true;
                break;
            }
            answer = collected.recv() => match answer {
                Some(answer) => summary.record(&answer),
                None => break,
            },
            _ = ticks.tick() => display.tick(&summary, started.elapsed(), &curve),
        }
    }
    let elapsed = started.elapsed();
    if was_interrupted {
        offered = offered.max(summary.requests());
    }
    display.finish(&summary, elapsed, offered);
    Ok(match (was_interrupted, summary.failed()) {
        (true, _) => Outcome::Interrupted,
        (false, 0) => Outcome::AllAnswered,
        (false, _) => Outcome::SomeFailed,
    })
}

fn client() -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(30))
        .build(connector)
}

struct Sender {
    client: HttpClient,
    uri: Uri,
    timeout: Duration,
    answers: mpsc::UnboundedSender<Answer>,
}

impl Sender {
    /// Sends everything that is due and returns how many requests that were. The answers' channel closes when the last
    /// one has come back, because every request holds a sender of its own.
    async fn send_all(self, curve: &Curve, started: Instant) -> u64 {
        let in_flight = Arc::new(Semaphore::new(MAX_IN_FLIGHT));
        let mut offered = 0;
        for due in Schedule::new(curve) {
            let due = started + due;
            tokio::time::sleep_until(due).await;
            offered += 1;
            let answers = self.answers.clone();
            let Ok(permit) = Arc::clone(&in_flight).try_acquire_owned() else {
                // A closed channel means that the run was interrupted; nobody counts any more.
                let _ = answers.send(Answer { latency: due.elapsed(), result: Err(Failure::Overload) });
                continue;
            };
            let request = one(self.client.clone(), self.uri.clone());
            let timeout = self.timeout;
            tokio::spawn(async move {
                let _permit = permit;
                let result = tokio::time::timeout_at(due + timeout, request).await.unwrap_or(Err(Failure::Timeout));
                let _ = answers.send(Answer { latency: due.elapsed(), result });
            });
        }
        offered
    }
}

async fn one(client: HttpClient, uri: Uri) -> Result<u16, Failure> {
    let mut request = Request::new(Empty::new());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = uri;
    let response = client
        .request(request)
        .await
        .map_err(|error| if error.is_connect() { Failure::Connect } else { Failure::Reset })?;
    let status = response.status().as_u16();
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        frame.map_err(|_| Failure::Reset)?;
    }
    Ok(status)
}

/// One moving line on a terminal, a line every five seconds in a pipe, nothing before the end with `--json`.
struct Display {
    json: bool,
    bar: Option<ProgressBar>,
    ticks: u64,
}

const LINES_EVERY_SECONDS: u64 = 5;

impl Display {
    fn new(json: bool, uri: &Uri, duration: Duration) -> Display {
        if json {
            return Display { json, bar: None, ticks: 0 };
        }
        print_line(&format!("Load on {uri} for {:.0} s", duration.as_secs_f64()));
        let bar = std::io::stdout().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Display { json, bar, ticks: 0 }
    }

    fn tick(&mut self, summary: &Summary, elapsed: Duration, curve: &Curve) {
        let line = summary.line(elapsed, curve.rate_at(elapsed.as_secs_f64()));
        match &self.bar {
            Some(bar) => {
                bar.set_message(line);
                bar.tick();
            }
            None if !self.json && self.ticks > 0 && self.ticks.is_multiple_of(LINES_EVERY_SECONDS) => print_line(&line),
            None => {}
        }
        self.ticks += 1;
    }

    fn finish(&self, summary: &Summary, elapsed: Duration, offered: u64) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if self.json {
            print_line(&summary.json(elapsed, offered).to_string());
        } else {
            print_line(summary.text(elapsed, offered).trim_end());
        }
    }
}

/// Standard output may be a pipe that its reader closed; that is no reason to lose the exit code.
fn print_line(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Answers every request on a connection with the given head.
    async fn server(head: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                        if stream.write_all(head.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        url
    }

    async fn check(head: &'static str, expected: Outcome) {
        let url = server(head).await;
        let args = Args {
            shape: super::super::Shape::Constant,
            rate: 100.0,
            peak: None,
            duration: Duration::from_millis(300),
            trace: None,
            column: None,
            path: "/".to_owned(),
            url: Some(url),
            timeout: Duration::from_secs(5),
            json: true,
        };
        assert_eq!(run(&args, None).await.unwrap(), expected);
    }

    #[tokio::test]
    async fn an_answer_is_a_success_and_an_error_status_a_failure() {
        check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Outcome::AllAnswered).await;
        check("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", Outcome::SomeFailed).await;
    }
}
