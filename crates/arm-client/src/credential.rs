//! Credentials of `azure_identity`, tried in a documented order.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions};
use azure_core::http::ClientOptions;
use azure_identity::{
    AzureCliCredential, ClientSecretCredential, ClientSecretCredentialOptions, ManagedIdentityCredential,
    WorkloadIdentityCredential,
};

use crate::connection::{Connection, Credential};
use crate::error::ArmClientError;

pub(crate) fn build(
    connection: &Connection,
    options: ClientOptions,
) -> Result<Arc<dyn TokenCredential>, ArmClientError> {
    match &connection.credential {
        Credential::ClientSecret { tenant_id, client_id, client_secret } => {
            client_secret_credential(tenant_id, client_id, client_secret, options)
        }
        Credential::Environment => from_environment(options),
    }
}

fn client_secret_credential(
    tenant: &str,
    client: &str,
    secret: &str,
    options: ClientOptions,
) -> Result<Arc<dyn TokenCredential>, ArmClientError> {
    let options = ClientSecretCredentialOptions { client_options: options };
    let credential =
        ClientSecretCredential::new(tenant, client.to_owned(), Secret::new(secret.to_owned()), Some(options))
            .map_err(|source| ArmClientError::authentication("the service principal is not usable", source))?;
    Ok(credential)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn from_environment(options: ClientOptions) -> Result<Arc<dyn TokenCredential>, ArmClientError> {
    let tenant = variable("AZURE_TENANT_ID");
    let client = variable("AZURE_CLIENT_ID");
    if let (Some(tenant), Some(client), Some(secret)) = (&tenant, &client, variable("AZURE_CLIENT_SECRET")) {
        return client_secret_credential(tenant, client, &secret, options);
    }
    if variable("AZURE_CLIENT_CERTIFICATE_PATH").is_some() {
        return Err(ArmClientError::Configuration(
            "AZURE_CLIENT_CERTIFICATE_PATH is set, but client certificates are not supported; set AZURE_CLIENT_SECRET, use workload identity, or run `az login`".to_owned(),
        ));
    }
    let mut sources: Vec<(&'static str, Arc<dyn TokenCredential>)> = Vec::new();
    if variable("AZURE_FEDERATED_TOKEN_FILE").is_some()
        && let Ok(credential) = WorkloadIdentityCredential::new(None)
    {
        sources.push(("workload identity", credential));
    }
    // Asking the instance metadata service where there is none takes seconds; these variables say that there is one.
    let managed =
        ["IDENTITY_ENDPOINT", "MSI_ENDPOINT", "AZURE_USE_MANAGED_IDENTITY"].iter().any(|name| variable(name).is_some());
    if managed && let Ok(credential) = ManagedIdentityCredential::new(None) {
        sources.push(("managed identity", credential));
    }
    if let Ok(credential) = AzureCliCredential::new(None) {
        sources.push(("Azure CLI", credential));
    }
    Ok(Arc::new(Chain { sources }))
}

/// The first source that gives a token is used; if none does, the error names what every one of them said.
#[derive(Debug)]
struct Chain {
    sources: Vec<(&'static str, Arc<dyn TokenCredential>)>,
}

#[async_trait]
impl TokenCredential for Chain {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let mut reasons = Vec::new();
        for (name, source) in &self.sources {
            match source.get_token(scopes, options.clone()).await {
                Ok(token) => return Ok(token),
                Err(error) => reasons.push(format!("{name}: {error}")),
            }
        }
        Err(azure_core::Error::with_message(azure_core::error::ErrorKind::Credential, reasons.join("; ")))
    }
}
