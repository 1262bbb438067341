//! A transport that remembers what went over it.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use azure_core::http::{AsyncRawResponse, HttpClient, Request};

use crate::exchange::Exchange;
use crate::normal::without_secrets;

#[derive(Debug)]
pub struct Recorder {
    inner: Arc<dyn HttpClient>,
    exchanges: Mutex<Vec<Exchange>>,
}

impl Recorder {
    pub fn over(inner: Arc<dyn HttpClient>) -> Arc<Recorder> {
        Arc::new(Recorder { inner, exchanges: Mutex::default() })
    }

    /// What went over it so far.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl HttpClient for Recorder {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let (url, method) = (request.url(), request.method());
        let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let (status, headers, body) = self.inner.execute_request(request).await?.deconstruct();
        let bytes = body.collect().await?;
        let told = headers.iter().map(|(name, value)| (name.as_str().to_ascii_lowercase(), value.as_str().to_owned()));
        let exchange = Exchange {
            method: method.as_str().to_owned(),
            path,
            status: u16::from(status),
            headers: told.collect(),
            body: serde_json::from_slice(&bytes).ok().map(without_secrets),
        };
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner).push(exchange);
        Ok(AsyncRawResponse::from_bytes(status, headers, bytes))
    }
}
