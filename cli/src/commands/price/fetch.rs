//! Pages of the Retail Prices API.

use std::collections::BTreeSet;
use std::time::Duration;

use price::retail::{API_VERSION, Page, RetailItem};
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, StatusCode, Url};
use stack::Reporter;

use crate::error::{CliError, Result};

/// How hard to try.
pub struct Patience {
    pub attempts: u32,
    /// Before the second attempt; doubled before each further one.
    pub pause: Duration,
    /// For one page, connecting included.
    pub timeout: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { attempts: 4, pause: Duration::from_secs(1), timeout: Duration::from_secs(30) }
    }
}

/// A page holds up to 1,000 items; what marea asks for fits in a few.
const MAX_PAGES: usize = 100;
/// Longer than this, the API's wish to wait is a reason to come back another time.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

pub struct Catalogue<'a> {
    client: Client,
    endpoint: Url,
    currency: String,
    patience: Patience,
    reporter: &'a dyn Reporter,
}

enum Failure {
    /// Worth another attempt, after the given time if the API named one.
    Passing(String, Option<Duration>),
    Final(String),
}

impl<'a> Catalogue<'a> {
    pub fn new(
        endpoint: &str,
        currency: &str,
        patience: Patience,
        reporter: &'a dyn Reporter,
    ) -> Result<Catalogue<'a>> {
        let endpoint = Url::parse(endpoint)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| {
                CliError::bad_input(format!("`{endpoint}` is not an http or https address"))
                    .advice("Azure's own is https://prices.azure.com/api/retail/prices.")
            })?;
        let client = Client::builder()
            .timeout(patience.timeout)
            .user_agent(concat!("marea/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| CliError::failed(format!("no HTTP client could be made: {error}")))?;
        Ok(Catalogue { client, endpoint, currency: currency.to_owned(), patience, reporter })
    }

    /// Every item that a filter admits.
    pub async fn items(&self, filter: &str) -> Result<Vec<RetailItem>> {
        let mut url = self.endpoint.clone();
        url.query_pairs_mut()
            .append_pair("api-version", API_VERSION)
            .append_pair("currencyCode", &self.currency)
            .append_pair("$filter", filter);
        let mut items = Vec::new();
        let mut seen = BTreeSet::new();
        loop {
            if !seen.insert(url.to_string()) || seen.len() > MAX_PAGES {
                return Err(self.failed(format!("{url}: its pages do not end")));
            }
            let page = self.page(&url).await?;
            items.extend(page.items);
            let Some(next) = page.next_page_link.filter(|link| !link.is_empty()) else { return Ok(items) };
            url = self.next(&next)?;
        }
    }

    /// A page may only lead on to the same server: its answer decides nothing about whom this program talks to.
    fn next(&self, link: &str) -> Result<Url> {
        let url = Url::parse(link).map_err(|_| self.failed(format!("NextPageLink `{link}` is not an address")))?;
        if url.origin() == self.endpoint.origin() {
            return Ok(url);
        }
        Err(self.failed(format!("NextPageLink `{link}` leads away from {}", self.endpoint)))
    }

    fn failed(&self, message: String) -> CliError {
        CliError::failed(format!("Azure's price list could not be read: {message}")).advice(
            "Nothing was written. The committed sheet still serves (`marea price list`); --endpoint names another address.",
        )
    }

    async fn page(&self, url: &Url) -> Result<Page> {
        let mut pause = self.patience.pause;
        let mut attempt = 1;
        loop {
            match self.attempt(url).await {
                Ok(page) => return Ok(page),
                Err(Failure::Final(problem)) => return Err(self.failed(problem)),
                Err(Failure::Passing(problem, wished)) => {
                    let wait = wished.unwrap_or(pause);
                    if attempt >= self.patience.attempts || wait > LONGEST_WAIT {
                        return Err(self.failed(format!("{problem} ({attempt} attempts)")));
                    }
                    self.reporter.status(&format!("price list: {problem}; trying again in {} s", wait.as_secs()));
                    tokio::time::sleep(wait).await;
                    pause *= 2;
                    attempt += 1;
                }
            }
        }
    }

    async fn attempt(&self, url: &Url) -> std::result::Result<Page, Failure> {
        let host = url.host_str().unwrap_or_default();
        let answer = self.client.get(url.clone()).send().await.map_err(|error| {
            let kind = if error.is_timeout() { "does not answer in time" } else { "cannot be reached" };
            Failure::Passing(format!("{host} {kind}: {}", cause(&error)), None)
        })?;
        let status = answer.status();
        if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT || status.is_server_error()
        {
            let wished = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            return Err(Failure::Passing(format!("{host} answers {status}"), wished.map(Duration::from_secs)));
        }
        let body =
            answer.bytes().await.map_err(|error| Failure::Passing(format!("{host}: {}", cause(&error)), None))?;
        if !status.is_success() {
            let text: String = String::from_utf8_lossy(&body).chars().take(300).collect();
            return Err(Failure::Final(format!("{host} answers {status}: {}", text.trim())));
        }
        serde_json::from_slice(&body)
            .map_err(|error| Failure::Final(format!("{host} answers with no price list: {error}")))
    }
}

/// The innermost error, which is what the network says.
fn cause(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
