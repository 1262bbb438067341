//! Long-running operations.
//!
//! The state machine of Azure's documentation ("Track asynchronous Azure operations"): an `Azure-AsyncOperation` address
//! is asked first, else a `Location` address, else the resource's own `provisioningState`; then the resource is read once more.

use std::time::Duration;

use arm_model::ErrorBody;
use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::{Method, Url};
use serde_json::Value;

use crate::client::{Answer, ArmClient, malformed};
use crate::error::ArmClientError;

const ASYNC_OPERATION: HeaderName = HeaderName::from_static("azure-asyncoperation");
const LOCATION: HeaderName = HeaderName::from_static("location");
const RETRY_AFTER: HeaderName = HeaderName::from_static("retry-after");
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("x-ms-retry-after-ms");

/// Azure's documentation: poll every 30 s at most, sooner where `Retry-After` says so. Ten is what Azure's own CLI settles on.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);
/// Less than a second means "soon"; asking without any pause would only take the time of the server that works.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(8);
const LONGEST_SHORT_INTERVAL: Duration = Duration::from_millis(100);

/// Conflicts with an earlier operation are waited for this often: about half an hour with these pauses, which is longer than
/// the longest creation of a cluster that was recorded.
const BUSY_ATTEMPTS: u32 = 70;
const FIRST_BUSY_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_BUSY_PAUSE: Duration = Duration::from_secs(30);

/// What is known while it runs.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// `InProgress`, `Creating`, `deploying` … as the provider words it.
    pub status: String,
    pub percent_complete: Option<f64>,
}

/// A request that may go on after its answer.
#[derive(Debug)]
pub struct Operation {
    client: ArmClient,
    method: Method,
    path: String,
    /// The resource itself, for the final read of a PUT or PATCH.
    resource: Option<Url>,
    monitor: Monitor,
    pause: Pause,
    body: Option<Value>,
}

#[derive(Debug)]
enum Monitor {
    AsyncOperation(Url),
    Location(Url),
    Resource(Url),
    Done,
}

/// Time between two questions.
#[derive(Debug)]
struct Pause {
    current: Duration,
}

impl Pause {
    fn from(headers: &Headers) -> Pause {
        Pause { current: retry_after(headers).map_or(DEFAULT_INTERVAL, |pause| pause.max(SHORTEST_INTERVAL)) }
    }

    /// A server that says "soon" again is asked a little more slowly each time.
    fn next(&mut self, headers: &Headers) {
        match retry_after(headers) {
            Some(pause) if pause > LONGEST_SHORT_INTERVAL => self.current = pause,
            Some(_) => self.current = (self.current * 3 / 2).clamp(SHORTEST_INTERVAL, LONGEST_SHORT_INTERVAL),
            None => {}
        }
    }
}

fn retry_after(headers: &Headers) -> Option<Duration> {
    let number = |name: &HeaderName| headers.get_optional_str(name).and_then(|text| text.trim().parse::<u64>().ok());
    number(&RETRY_AFTER_MS).map(Duration::from_millis).or_else(|| number(&RETRY_AFTER).map(Duration::from_secs))
}

impl ArmClient {
    /// # Errors
    /// When ARM cannot be reached or refuses.
    pub async fn put(&self, path: &str, api_version: &str, body: &Value) -> Result<Operation, ArmClientError> {
        self.start(Method::Put, path, api_version, Some(body)).await
    }

    /// What does not exist counts as deleted.
    ///
    /// # Errors
    /// When ARM cannot be reached or refuses.
    pub async fn delete(&self, path: &str, api_version: &str) -> Result<Option<Operation>, ArmClientError> {
        match self.start(Method::Delete, path, api_version, None).await {
            Ok(operation) => Ok(Some(operation)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A POST whose answer may come later, such as what-if.
    ///
    /// # Errors
    /// When ARM cannot be reached or refuses.
    pub async fn post_operation(
        &self,
        path: &str,
        api_version: &str,
        body: &Value,
    ) -> Result<Operation, ArmClientError> {
        self.start(Method::Post, path, api_version, Some(body)).await
    }

    async fn start(
        &self,
        method: Method,
        path: &str,
        api_version: &str,
        body: Option<&Value>,
    ) -> Result<Operation, ArmClientError> {
        let url = self.url(path, api_version)?;
        let answer = self.send_when_free(method, &url, body).await?;
        let monitor = self.monitor(method, &url, &answer)?;
        let resource = matches!(method, Method::Put | Method::Patch).then_some(url);
        let pause = Pause::from(&answer.headers);
        Ok(Operation {
            client: self.clone(),
            method,
            path: path.to_owned(),
            resource,
            monitor,
            pause,
            body: answer.body,
        })
    }

    /// A deployment of the same name, or another operation on the same resource, may still run: after a killed run it
    /// does. It is waited for, because ARM takes the next one only after it.
    async fn send_when_free(&self, method: Method, url: &Url, body: Option<&Value>) -> Result<Answer, ArmClientError> {
        let mut left = BUSY_ATTEMPTS;
        let mut pause = FIRST_BUSY_PAUSE;
        loop {
            match self.send(method, url.clone(), body).await {
                Err(error) if left > 0 && error.is_busy() => {
                    tracing::debug!(%error, "waiting for an earlier operation");
                    left -= 1;
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_BUSY_PAUSE);
                }
                other => return other,
            }
        }
    }

    fn monitor(&self, method: Method, url: &Url, answer: &Answer) -> Result<Monitor, ArmClientError> {
        if let Some(address) = answer.headers.get_optional_str(&ASYNC_OPERATION) {
            return Ok(Monitor::AsyncOperation(self.absolute(address)?));
        }
        if let Some(address) = answer.headers.get_optional_str(&LOCATION)
            && answer.status == 202
        {
            return Ok(Monitor::Location(self.absolute(address)?));
        }
        let unfinished =
            answer.body.as_ref().and_then(provisioning_state).is_some_and(|state| terminal(state).is_none());
        if matches!(method, Method::Put | Method::Patch) && unfinished {
            return Ok(Monitor::Resource(url.clone()));
        }
        Ok(Monitor::Done)
    }
}

impl Operation {
    /// Waits for the end and gives the resource (PUT) or the result (POST); a DELETE gives nothing.
    ///
    /// Dropping the future stops the waiting, never the operation.
    ///
    /// # Errors
    /// When the operation ends as failed or cancelled, or ARM stops answering.
    pub async fn wait(mut self, mut progress: impl FnMut(&Progress)) -> Result<Option<Value>, ArmClientError> {
        loop {
            let url = match &self.monitor {
                Monitor::AsyncOperation(url) | Monitor::Location(url) | Monitor::Resource(url) => url.clone(),
                Monitor::Done => return self.finish(),
            };
            tokio::time::sleep(self.pause.current).await;
            let answer = self.client.send(Method::Get, url, None).await?;
            self.pause.next(&answer.headers);
            match self.step(answer, &mut progress)? {
                Step::Continue => {}
                Step::ReadResource(url) => {
                    self.body = self.client.send(Method::Get, url, None).await?.body;
                    self.monitor = Monitor::Done;
                }
                Step::Done(body) => {
                    self.body = body;
                    self.monitor = Monitor::Done;
                }
            }
        }
    }

    fn finish(self) -> Result<Option<Value>, ArmClientError> {
        let state = self.body.as_ref().and_then(provisioning_state);
        match state.and_then(terminal) {
            Some(Terminal::Failed) if self.resource.is_some() => {
                let error = self.body.as_ref().and_then(|body| body.pointer("/properties/error"));
                Err(failure(&self.path, error, "the resource ended as failed"))
            }
            _ => Ok(self.body),
        }
    }

    fn step(&self, answer: Answer, progress: &mut impl FnMut(&Progress)) -> Result<Step, ArmClientError> {
        let status = match &self.monitor {
            Monitor::Location(_) => {
                return Ok(if answer.status == 202 { Step::Continue } else { Step::Done(answer.body) });
            }
            Monitor::AsyncOperation(_) => {
                answer.body.as_ref().and_then(|body| body.get("status")).and_then(Value::as_str).map(str::to_owned)
            }
            Monitor::Resource(_) | Monitor::Done => {
                Some(answer.body.as_ref().and_then(provisioning_state).unwrap_or("Succeeded").to_owned())
            }
        };
        let status = status.ok_or_else(|| malformed(self.method, &self.path, "the operation has no `status`"))?;
        match terminal(&status) {
            None => {
                let percent_complete =
                    answer.body.as_ref().and_then(|body| body.get("percentComplete")).and_then(Value::as_f64);
                progress(&Progress { status, percent_complete });
                Ok(Step::Continue)
            }
            Some(Terminal::Succeeded) => Ok(match (&self.monitor, &self.resource) {
                (Monitor::Resource(_), _) => Step::Done(answer.body),
                (_, Some(url)) => Step::ReadResource(url.clone()),
                _ => Step::Done(answer.body),
            }),
            Some(Terminal::Failed) => {
                let error = answer
                    .body
                    .as_ref()
                    .and_then(|body| body.get("error").or_else(|| body.pointer("/properties/error")));
                Err(failure(&self.path, error, &format!("the operation ended as {status}")))
            }
        }
    }
}

enum Step {
    Continue,
    ReadResource(Url),
    Done(Option<Value>),
}

#[derive(Debug, PartialEq)]
enum Terminal {
    Succeeded,
    Failed,
}

/// Deployment stacks word their states in lower case, everything else does not.
fn terminal(status: &str) -> Option<Terminal> {
    match status.to_ascii_lowercase().as_str() {
        "succeeded" | "ready" => Some(Terminal::Succeeded),
        "failed" | "canceled" | "cancelled" => Some(Terminal::Failed),
        _ => None,
    }
}

fn provisioning_state(body: &Value) -> Option<&str> {
    body.pointer("/properties/provisioningState").and_then(Value::as_str)
}

fn failure(path: &str, error: Option<&Value>, otherwise: &str) -> ArmClientError {
    let body = error
        .and_then(|error| serde_json::from_value::<ErrorBody>(error.clone()).ok())
        .unwrap_or_else(|| ErrorBody::new("OperationFailed", otherwise));
    ArmClientError::Failed { path: path.to_owned(), body: Box::new(body) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(retry_after: &'static str) -> Headers {
        let mut headers = Headers::new();
        headers.insert(RETRY_AFTER, retry_after);
        headers
    }

    #[test]
    fn a_zero_pause_starts_short_and_grows_to_its_limit() {
        let mut pause = Pause::from(&headers("0"));
        assert_eq!(pause.current, SHORTEST_INTERVAL);
        for _ in 0..30 {
            pause.next(&headers("0"));
        }
        assert_eq!(pause.current, LONGEST_SHORT_INTERVAL);
        pause.next(&headers("7"));
        assert_eq!(pause.current, Duration::from_secs(7));
        assert_eq!(Pause::from(&Headers::new()).current, DEFAULT_INTERVAL);
    }

    #[test]
    fn states_end_whatever_their_case() {
        assert_eq!(terminal("Succeeded"), Some(Terminal::Succeeded));
        assert_eq!(terminal("succeeded"), Some(Terminal::Succeeded));
        assert_eq!(terminal("Canceled"), Some(Terminal::Failed));
        assert_eq!(terminal("deletingResources"), None);
    }
}
