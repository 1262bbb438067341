//! Tokens for the kubelet, which mounts them into pods: the TokenRequest API without the detour over HTTP.

use units::Millis;

use super::Api;
use crate::authn::tokens::Claims;
use crate::error::ApiError;
use crate::json;

/// Whose token, for whom, and how long.
#[derive(Clone, Debug)]
pub struct PodToken<'a> {
    pub namespace: &'a str,
    pub account: &'a str,
    /// Name and uid: the token is worth nothing once this pod is gone.
    pub pod: (&'a str, &'a str),
    /// Empty for the API server itself.
    pub audience: &'a str,
    pub expiration_seconds: i64,
}

impl Api {
    /// # Errors
    /// 404 when the service account does not exist.
    pub fn pod_token(&self, wanted: &PodToken<'_>) -> Result<String, ApiError> {
        let account = self.cache().get("serviceaccounts", Some(wanted.namespace), wanted.account);
        let account = account.ok_or_else(|| ApiError::not_found("serviceaccounts", wanted.account))?;
        let settings = self.settings();
        let audience = if wanted.audience.is_empty() { settings.issuer.as_str() } else { wanted.audience };
        let now = crate::clock::now();
        let claims = Claims {
            namespace: wanted.namespace.to_owned(),
            account: wanted.account.to_owned(),
            account_uid: json::uid(&account).to_owned(),
            pod: Some((wanted.pod.0.to_owned(), wanted.pod.1.to_owned())),
            audiences: vec![audience.to_owned()],
            expires: now + Millis::from_secs(wanted.expiration_seconds),
        };
        settings.signer.sign(&claims, &settings.issuer, now).map_err(ApiError::internal)
    }
}
