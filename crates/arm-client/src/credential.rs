//! Credentials of `azure_identity`, tried in a documented order.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions};
use azure_core::http::ClientOptions;
use azure_identity::{
    AzureCliCredential, ClientAssertionCredential, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions, ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
    WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};

use crate::certificate::CertificateAssertion;
use crate::connection::{Connection, Credential};
use crate::error::{ArmClientError, causes};

/// Where Azure's public cloud gives tokens.
const PUBLIC_AUTHORITY: &str = "https://login.microsoftonline.com";

type Built = Result<Arc<dyn TokenCredential>, ArmClientError>;

pub(crate) fn build(connection: &Connection, options: ClientOptions) -> Built {
    match &connection.credential {
        Credential::ClientSecret { tenant_id, client_id, client_secret } => {
            client_secret_credential(tenant_id, client_id, client_secret, options)
        }
        Credential::Environment => from_environment(connection, options),
    }
}

fn client_secret_credential(tenant: &str, client: &str, secret: &str, options: ClientOptions) -> Built {
    let options = ClientSecretCredentialOptions { client_options: options };
    let credential =
        ClientSecretCredential::new(tenant, client.to_owned(), Secret::new(secret.to_owned()), Some(options))
            .map_err(|source| ArmClientError::authentication("the service principal is not usable", source))?;
    Ok(credential)
}

fn certificate_credential(
    connection: &Connection,
    tenant: String,
    client: String,
    file: &str,
    options: ClientOptions,
) -> Built {
    let authority = connection.authority.as_deref().unwrap_or(PUBLIC_AUTHORITY).trim_end_matches('/');
    let audience = format!("{authority}/{tenant}/oauth2/v2.0/token");
    let assertion = CertificateAssertion::read(Path::new(file), &client, audience)?;
    let options = ClientAssertionCredentialOptions { client_options: options };
    let credential = ClientAssertionCredential::new(tenant, client, assertion, Some(options))
        .map_err(|source| ArmClientError::authentication("the service principal is not usable", source))?;
    Ok(credential)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A service principal that is named in full is used, or refused, alone: falling back to somebody else's login would hide its fault.
fn from_environment(connection: &Connection, options: ClientOptions) -> Built {
    let principal = variable("AZURE_TENANT_ID").zip(variable("AZURE_CLIENT_ID"));
    if let (Some((tenant, client)), Some(secret)) = (&principal, variable("AZURE_CLIENT_SECRET")) {
        return client_secret_credential(tenant, client, &secret, options);
    }
    if let Some(file) = variable("AZURE_CLIENT_CERTIFICATE_PATH") {
        let Some((tenant, client)) = principal else {
            return Err(ArmClientError::Configuration(
                "AZURE_CLIENT_CERTIFICATE_PATH is set, but not AZURE_TENANT_ID and AZURE_CLIENT_ID, which say whose certificate it is".to_owned(),
            ));
        };
        return certificate_credential(connection, tenant, client, &file, options);
    }
    let mut sources: Vec<(&'static str, Arc<dyn TokenCredential>)> = Vec::new();
    if variable("AZURE_FEDERATED_TOKEN_FILE").is_some() {
        let credential_options = ClientAssertionCredentialOptions { client_options: options.clone() };
        let workload = WorkloadIdentityCredentialOptions { credential_options, ..Default::default() };
        if let Ok(credential) = WorkloadIdentityCredential::new(Some(workload)) {
            sources.push(("workload identity", credential));
        }
    }
    // Asking the instance metadata service where there is none takes seconds; these variables say that there is one.
    let managed =
        ["IDENTITY_ENDPOINT", "MSI_ENDPOINT", "AZURE_USE_MANAGED_IDENTITY"].iter().any(|name| variable(name).is_some());
    if managed {
        let user_assigned_id = variable("AZURE_CLIENT_ID").map(UserAssignedId::ClientId);
        let options = ManagedIdentityCredentialOptions { user_assigned_id, client_options: options };
        if let Ok(credential) = ManagedIdentityCredential::new(Some(options)) {
            sources.push(("managed identity", credential));
        }
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
                Err(error) => reasons.push(format!("{name}: {}", causes(&error))),
            }
        }
        Err(azure_core::Error::with_message(azure_core::error::ErrorKind::Credential, reasons.join("; ")))
    }
}
