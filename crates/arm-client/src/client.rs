//! Requests and their answers.

use std::sync::Arc;

use arm_model::{ArmError, ErrorBody};
use azure_core::credentials::TokenCredential;
use azure_core::http::headers::Headers;
use azure_core::http::policies::auth::BearerTokenAuthorizationPolicy;
use azure_core::http::{
    ClientOptions, Context, ExponentialRetryOptions, HttpClient, Method, Pipeline, PipelineSendOptions, Request,
    RetryOptions, Transport, Url,
};
use azure_core::time::Duration;
use serde_json::Value;

use crate::connection::Connection;
use crate::credential;
use crate::error::ArmClientError;

/// A client of one subscription. Cheap to clone; connections and the token are shared.
#[derive(Clone, Debug)]
pub struct ArmClient {
    pipeline: Pipeline,
    endpoint: Arc<str>,
    subscription_id: Arc<str>,
}

/// An answer with what the protocol needs of its headers.
pub(crate) struct Answer {
    pub status: u16,
    pub headers: Headers,
    pub body: Option<Value>,
}

impl ArmClient {
    /// No request is sent yet: the token is fetched with the first one.
    ///
    /// # Errors
    /// When the endpoint, the certificate authority or the credential's form is wrong.
    pub fn new(connection: &Connection) -> Result<ArmClient, ArmClientError> {
        let options = client_options(connection)?;
        let credential = credential::build(connection, options.clone())?;
        Ok(ArmClient::over(&connection.endpoint, &connection.subscription_id, options, credential))
    }

    /// As [`ArmClient::new`], with ARM's requests, not those for tokens, going through what `observe` makes of the transport.
    ///
    /// # Errors
    /// As [`ArmClient::new`].
    pub fn observed(
        connection: &Connection,
        observe: impl FnOnce(Arc<dyn HttpClient>) -> Arc<dyn HttpClient>,
    ) -> Result<ArmClient, ArmClientError> {
        let credential = credential::build(connection, client_options(connection)?)?;
        let transport = observe(Arc::new(http_client(connection)?));
        let options = ClientOptions { transport: Some(Transport::new(transport)), ..client_options(connection)? };
        Ok(ArmClient::over(&connection.endpoint, &connection.subscription_id, options, credential))
    }

    /// A client whose requests go over `transport` and carry tokens of `credential`: for whoever brings both.
    pub fn with_transport(
        endpoint: &str,
        subscription_id: &str,
        transport: Arc<dyn HttpClient>,
        credential: Arc<dyn TokenCredential>,
    ) -> ArmClient {
        let options = ClientOptions {
            transport: Some(Transport::new(transport)),
            retry: retries(false),
            ..ClientOptions::default()
        };
        ArmClient::over(endpoint, subscription_id, options, credential)
    }

    fn over(
        endpoint: &str,
        subscription_id: &str,
        options: ClientOptions,
        credential: Arc<dyn TokenCredential>,
    ) -> ArmClient {
        let endpoint = endpoint.trim_end_matches('/');
        let bearer = Arc::new(BearerTokenAuthorizationPolicy::new(credential, [format!("{endpoint}/.default")]));
        let pipeline =
            Pipeline::new(Some("marea"), option_env!("CARGO_PKG_VERSION"), options, Vec::new(), vec![bearer], None);
        ArmClient { pipeline, endpoint: endpoint.into(), subscription_id: subscription_id.into() }
    }

    pub fn subscription_id(&self) -> &str {
        &self.subscription_id
    }

    /// `/subscriptions/<id>`
    pub fn subscription_path(&self) -> String {
        format!("/subscriptions/{}", self.subscription_id)
    }

    /// # Errors
    /// When ARM cannot be reached or refuses.
    pub async fn get(&self, path: &str, api_version: &str) -> Result<Value, ArmClientError> {
        self.request(Method::Get, path, api_version, None)
            .await?
            .body
            .ok_or_else(|| malformed(Method::Get, path, "it has no body"))
    }

    /// As [`ArmClient::get`]; what does not exist is `None`.
    ///
    /// # Errors
    /// When ARM cannot be reached or refuses.
    pub async fn find(&self, path: &str, api_version: &str) -> Result<Option<Value>, ArmClientError> {
        match self.get(path, api_version).await {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every page of a list.
    ///
    /// # Errors
    /// When ARM cannot be reached or refuses.
    pub async fn list(&self, path: &str, api_version: &str) -> Result<Vec<Value>, ArmClientError> {
        let mut items = Vec::new();
        let mut next = Some(self.url(path, api_version)?);
        while let Some(url) = next.take() {
            let page = self.send(Method::Get, url, None).await?.body.unwrap_or_default();
            match page.get("value") {
                Some(Value::Array(values)) => items.extend(values.iter().cloned()),
                _ => return Err(malformed(Method::Get, path, "a list has no `value`")),
            }
            if let Some(link) = page.get("nextLink").and_then(Value::as_str).filter(|link| !link.is_empty()) {
                next = Some(self.absolute(link)?);
            }
        }
        Ok(items)
    }

    /// A POST that answers at once, such as the credentials of a cluster.
    ///
    /// # Errors
    /// When ARM cannot be reached or refuses.
    pub async fn post(&self, path: &str, api_version: &str, body: Option<&Value>) -> Result<Value, ArmClientError> {
        Ok(self.request(Method::Post, path, api_version, body).await?.body.unwrap_or_default())
    }

    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        api_version: &str,
        body: Option<&Value>,
    ) -> Result<Answer, ArmClientError> {
        self.send(method, self.url(path, api_version)?, body).await
    }

    pub(crate) async fn send(&self, method: Method, url: Url, body: Option<&Value>) -> Result<Answer, ArmClientError> {
        let path = url.path().to_owned();
        let mut request = Request::new(url, method);
        request.insert_header("accept", "application/json");
        if let Some(body) = body {
            request.insert_header("content-type", "application/json");
            request.set_json(body).map_err(|error| malformed(method, &path, &error.to_string()))?;
        }
        // ARM's own error body is read below; the pipeline's check would reduce it to a status.
        let options = PipelineSendOptions { skip_checks: true, ..PipelineSendOptions::default() };
        let response = self
            .pipeline
            .send(&Context::new(), &mut request, Some(options))
            .await
            .map_err(|error| ArmClientError::from_core(&self.endpoint, error))?;
        let (status, headers, body) = response.deconstruct();
        let status = u16::from(status);
        let bytes: &[u8] = body.as_ref();
        let value = if bytes.is_empty() { None } else { serde_json::from_slice(bytes).ok() };
        if status >= 400 {
            return Err(refused(method, path, status, value));
        }
        if value.is_none() && !bytes.is_empty() {
            return Err(malformed(method, &path, "it is not JSON"));
        }
        Ok(Answer { status, headers, body: value })
    }

    pub(crate) fn url(&self, path: &str, api_version: &str) -> Result<Url, ArmClientError> {
        let separator = if path.contains('?') { '&' } else { '?' };
        self.absolute(&format!("{}{path}{separator}api-version={api_version}", self.endpoint))
    }

    /// An address from a header or a `nextLink`. The token must not leave the endpoint it was made for.
    pub(crate) fn absolute(&self, address: &str) -> Result<Url, ArmClientError> {
        let parse = |text: &str| {
            Url::parse(text)
                .map_err(|error| ArmClientError::Configuration(format!("`{text}` is not an address: {error}")))
        };
        let own = parse(&self.endpoint)?;
        let url =
            if address.starts_with('/') { parse(&format!("{}{address}", self.endpoint))? } else { parse(address)? };
        if url.origin() != own.origin() {
            return Err(malformed(
                Method::Get,
                url.path(),
                &format!("it points to {} instead of {}", url.host_str().unwrap_or("?"), self.endpoint),
            ));
        }
        Ok(url)
    }
}

fn http_client(connection: &Connection) -> Result<reqwest::Client, ArmClientError> {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(std::time::Duration::from_secs(10))
        .timeout(std::time::Duration::from_secs(100));
    if let Some(pem) = &connection.certificate_authority {
        let certificates = reqwest::Certificate::from_pem_bundle(pem.as_bytes()).map_err(|error| {
            ArmClientError::Configuration(format!(
                "the certificate authority of {} is not PEM: {error}",
                connection.endpoint
            ))
        })?;
        // Only these: an endpoint with its own authority must not be impersonated by any public one, and the system's
        // store, which takes longer to read than a whole request to the embedded cloud, is not opened.
        builder = builder.tls_certs_only(certificates).no_proxy();
    }
    builder.build().map_err(|error| ArmClientError::Configuration(format!("no HTTPS client could be made: {error}")))
}

fn client_options(connection: &Connection) -> Result<ClientOptions, ArmClientError> {
    let client = http_client(connection)?;
    let cloud = connection.authority.as_ref().map(|authority| {
        let mut custom = azure_core::cloud::CustomConfiguration::default();
        custom.authority_host.clone_from(authority);
        Arc::new(azure_core::cloud::CloudConfiguration::from(custom))
    });
    Ok(ClientOptions {
        transport: Some(Transport::new(Arc::new(client))),
        retry: retries(connection.is_loopback()),
        cloud,
        ..ClientOptions::default()
    })
}

/// ARM's throttling answers 429 with `Retry-After`, which the pipeline honours; these bound what it does without one.
fn retries(loopback: bool) -> RetryOptions {
    let (initial_ms, max_retries, total_s) = if loopback { (50, 3, 5) } else { (800, 8, 240) };
    RetryOptions::exponential(ExponentialRetryOptions {
        initial_delay: Duration::milliseconds(initial_ms),
        max_retries,
        max_total_elapsed: Duration::seconds(total_s),
        max_delay: Duration::seconds(30),
    })
}

pub(crate) fn method_name(method: Method) -> &'static str {
    method.as_str()
}

pub(crate) fn malformed(method: Method, path: &str, reason: &str) -> ArmClientError {
    ArmClientError::Malformed { method: method_name(method), path: path.to_owned(), reason: reason.to_owned() }
}

fn refused(method: Method, path: String, status: u16, body: Option<Value>) -> ArmClientError {
    let parsed = body
        .as_ref()
        .and_then(|value| serde_json::from_value::<ArmError>(value.clone()).ok())
        .map(|envelope| envelope.error);
    if status == 401 {
        let reason = parsed.map_or_else(|| "the token was refused".to_owned(), |body| body.to_string());
        return ArmClientError::Authentication { reason };
    }
    let body =
        parsed.unwrap_or_else(|| ErrorBody::new(format!("Http{status}"), "the answer carries no error description"));
    ArmClientError::Refused { method: method_name(method), path, status, body: Box::new(body) }
}
