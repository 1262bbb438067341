//! Where ARM is and how to prove who asks.

use std::fmt;

use crate::error::ArmClientError;

pub const AZURE_ENDPOINT: &str = "https://management.azure.com";

/// How requests are authenticated.
#[derive(Clone)]
pub enum Credential {
    /// A service principal with a secret.
    ClientSecret { tenant_id: String, client_id: String, client_secret: String },
    /// Azure's usual places, asked in this order: a client secret, then a client certificate in the environment, each of which
    /// rules out the rest; workload identity; managed identity; the Azure CLI's login.
    Environment,
}

/// The secret never shows up in debug output.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credential::ClientSecret { tenant_id, client_id, .. } => f
                .debug_struct("ClientSecret")
                .field("tenant_id", tenant_id)
                .field("client_id", client_id)
                .finish_non_exhaustive(),
            Credential::Environment => f.write_str("Environment"),
        }
    }
}

/// One ARM endpoint and one subscription of it.
#[derive(Clone, Debug)]
pub struct Connection {
    /// `https://host[:port]`, without a trailing slash. Tokens are only sent over TLS.
    pub endpoint: String,
    pub subscription_id: String,
    /// The token authority, when it is not Azure's.
    pub authority: Option<String>,
    /// PEM certificates that are trusted instead of the system's, for an endpoint with an authority of its own.
    pub certificate_authority: Option<String>,
    pub credential: Credential,
}

impl Connection {
    /// Azure, or the cloud that the environment names: `MAREA_ARM_ENDPOINT` is its Resource Manager, `AZURE_AUTHORITY_HOST` its token
    /// authority and, only together with the former, `SSL_CERT_FILE` the authorities of its certificates. Sovereign clouds need the
    /// first two; `marea local azure-env` prints all three for the embedded cloud.
    ///
    /// # Errors
    /// When `subscription_id` is not a GUID, the endpoint is not an https address, or the file cannot be read.
    pub fn from_environment(subscription_id: &str) -> Result<Connection, ArmClientError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Connection::azure(subscription_id)?.at(
            variable("MAREA_ARM_ENDPOINT"),
            variable("AZURE_AUTHORITY_HOST"),
            variable("SSL_CERT_FILE"),
        )
    }

    fn at(
        mut self,
        endpoint: Option<String>,
        authority: Option<String>,
        certificates: Option<String>,
    ) -> Result<Connection, ArmClientError> {
        self.authority = authority;
        let Some(endpoint) = endpoint else { return Ok(self) };
        if !url::Url::parse(&endpoint).is_ok_and(|url| url.scheme() == "https" && url.host_str().is_some()) {
            return Err(ArmClientError::Configuration(format!(
                "MAREA_ARM_ENDPOINT is `{endpoint}`; it is an address that begins with https://"
            )));
        }
        self.endpoint = endpoint.trim_end_matches('/').to_owned();
        if let Some(file) = certificates {
            let pem = std::fs::read_to_string(&file).map_err(|error| {
                ArmClientError::Configuration(format!("SSL_CERT_FILE names {file}, which cannot be read: {error}"))
            })?;
            self.certificate_authority = Some(pem);
        }
        Ok(self)
    }

    /// Azure's public cloud.
    ///
    /// # Errors
    /// When `subscription_id` is not a GUID.
    pub fn azure(subscription_id: &str) -> Result<Connection, ArmClientError> {
        let is_guid = subscription_id.len() == 36
            && subscription_id
                .char_indices()
                .all(|(i, c)| if [8, 13, 18, 23].contains(&i) { c == '-' } else { c.is_ascii_hexdigit() });
        if !is_guid {
            return Err(ArmClientError::Configuration(format!(
                "`{subscription_id}` is not a subscription id; `az account show --query id` prints yours"
            )));
        }
        Ok(Connection {
            endpoint: AZURE_ENDPOINT.to_owned(),
            subscription_id: subscription_id.to_owned(),
            authority: None,
            certificate_authority: None,
            credential: Credential::Environment,
        })
    }

    /// True for an endpoint on this machine: retries are short there, because waiting does not start a stopped cloud.
    pub(crate) fn is_loopback(&self) -> bool {
        url::Url::parse(&self.endpoint)
            .ok()
            .and_then(|url| url.host_str().map(|host| host.starts_with("127.") || host == "localhost"))
            .unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let credential =
            Credential::ClientSecret { tenant_id: "t".into(), client_id: "c".into(), client_secret: "hidden".into() };
        assert!(!format!("{credential:?}").contains("hidden"));
    }

    #[test]
    fn another_cloud_is_named_by_the_environment() {
        let azure = || Connection::azure("6f1c2a4e-1111-2222-3333-444455556666").unwrap();
        let china = azure()
            .at(
                Some("https://management.chinacloudapi.cn/".into()),
                Some("https://login.chinacloudapi.cn".into()),
                None,
            )
            .unwrap();
        assert_eq!(china.endpoint, "https://management.chinacloudapi.cn");
        assert_eq!(china.authority.as_deref(), Some("https://login.chinacloudapi.cn"));
        // The file of somebody's other programs does not change whom Azure's own address is trusted by.
        assert_eq!(azure().at(None, None, Some("/nowhere".into())).unwrap().certificate_authority, None);
        for (endpoint, file) in
            [("http://127.0.0.1:1", None), ("127.0.0.1", None), ("https://a.example", Some("/nowhere"))]
        {
            assert!(azure().at(Some(endpoint.into()), None, file.map(str::to_owned)).is_err(), "{endpoint}");
        }
    }

    #[test]
    fn a_subscription_must_be_a_guid() {
        assert!(Connection::azure("6f1c2a4e-1111-2222-3333-444455556666").is_ok());
        let error = Connection::azure("my-subscription").unwrap_err().to_string();
        assert!(error.contains("`my-subscription` is not a subscription id"), "{error}");
    }
}
