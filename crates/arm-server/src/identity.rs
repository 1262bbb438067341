//! Tokens, and the documents that tell clients where to get them.

use arm_engine::{Principal, SignIn};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{Config, assertion, clock};

/// Azure's tokens live 60 to 90 minutes.
const TOKEN_LIFETIME_SECONDS: i64 = 3600;

pub(crate) struct Identity {
    tenant_id: String,
    client_id: String,
    client_secret: String,
    signing_key: Vec<u8>,
    object_id: String,
}

/// Why a bearer token is not accepted: code, message.
pub(crate) type Refusal = (&'static str, &'static str);

impl Identity {
    pub fn new(config: &Config) -> Identity {
        let object_id = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, config.client_id.as_bytes());
        Identity {
            tenant_id: config.tenant_id.clone(),
            client_id: config.client_id.clone(),
            client_secret: config.client_secret.clone(),
            signing_key: config.signing_key.clone(),
            object_id: object_id.to_string(),
        }
    }

    /// The directory object of the service principal that the cloud was made with.
    pub fn object_id(&self) -> &str {
        &self.object_id
    }

    fn mac(&self, message: &[u8]) -> Hmac<Sha256> {
        // HMAC takes keys of any length, so this cannot fail.
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.signing_key)
            .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
        mac.update(message);
        mac
    }

    /// Compares without telling by its duration where two secrets differ.
    fn is_secret(&self, given: &str, secret: &str) -> bool {
        let expected = self.mac(secret.as_bytes()).finalize().into_bytes();
        self.mac(given.as_bytes()).verify_slice(&expected).is_ok()
    }

    fn sign(&self, claims: &Value) -> String {
        let header = json!({ "typ": "JWT", "alg": "HS256" });
        let message =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self.mac(message.as_bytes()).finalize().into_bytes();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Answers a request to the token endpoint. The body is a form; `registered` gives the object id and secrets of
    /// applications that were made later.
    pub fn token(
        &self,
        tenant: &str,
        form: &[u8],
        base_url: &str,
        registered: impl Fn(&str) -> Option<SignIn>,
    ) -> (u16, Value) {
        let field = |name: &str| {
            url::form_urlencoded::parse(form).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        let refuse = |status: u16, error: &str, description: &str| {
            (status, json!({ "error": error, "error_description": description }))
        };
        if !tenant.eq_ignore_ascii_case(&self.tenant_id) && !["common", "organizations"].contains(&tenant) {
            return refuse(400, "invalid_request", "AADSTS90002: The tenant was not found.");
        }
        if field("grant_type").as_deref() != Some("client_credentials") {
            return refuse(
                400,
                "unsupported_grant_type",
                "AADSTS70003: Only the grant type client_credentials is offered by the embedded Azure Resource Manager.",
            );
        }
        let client_id = field("client_id").unwrap_or_default();
        let known = if client_id.eq_ignore_ascii_case(&self.client_id) {
            let secrets = vec![self.client_secret.clone()];
            Some(SignIn { object_id: self.object_id.clone(), secrets, certificates: Vec::new() })
        } else {
            registered(&client_id)
        };
        let Some(SignIn { object_id, secrets, certificates }) = known else {
            return refuse(400, "unauthorized_client", "AADSTS700016: The application was not found in the directory.");
        };
        if let Some(proof) = field("client_assertion") {
            let audiences =
                ["oauth2/v2.0/token", "oauth2/token", "v2.0"].map(|end| format!("{base_url}/{tenant}/{end}"));
            let expected = assertion::Expected { client_id: &client_id, audiences: &audiences };
            if let Err(description) = assertion::check(&proof, &certificates, &expected, clock::now().secs()) {
                return refuse(401, "invalid_client", description);
            }
        } else {
            let given = field("client_secret").unwrap_or_default();
            // Every secret is compared, so that the time taken does not tell which of them was close.
            let fits = secrets.iter().filter(|secret| self.is_secret(&given, secret)).count();
            if fits == 0 {
                return refuse(401, "invalid_client", "AADSTS7000215: Invalid client secret provided.");
            }
        }
        let audience = field("scope").or_else(|| field("resource")).unwrap_or_else(|| base_url.to_owned());
        let audience = audience.split(' ').next().unwrap_or_default().trim_end_matches("/.default").to_owned();
        let now = clock::now().secs();
        let claims = json!({
            "aud": audience, "iss": format!("{base_url}/{}/v2.0", self.tenant_id), "iat": now, "nbf": now, "exp": now + TOKEN_LIFETIME_SECONDS,
            "appid": client_id, "azp": client_id, "idtyp": "app", "oid": object_id, "sub": object_id, "tid": self.tenant_id, "ver": "2.0",
        });
        let token = self.sign(&claims);
        (
            200,
            json!({ "token_type": "Bearer", "expires_in": TOKEN_LIFETIME_SECONDS, "ext_expires_in": TOKEN_LIFETIME_SECONDS, "access_token": token }),
        )
    }

    /// Who a request comes from.
    pub fn authenticate(&self, authorization: Option<&str>) -> Result<Principal, Refusal> {
        let Some(header) = authorization else {
            return Err(("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing."));
        };
        let invalid = ("InvalidAuthenticationToken", "The access token is invalid.");
        let token = header.strip_prefix("Bearer ").or_else(|| header.strip_prefix("bearer ")).ok_or(invalid)?;
        let (message, signature) = token.rsplit_once('.').ok_or(invalid)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| invalid)?;
        self.mac(message.as_bytes()).verify_slice(&signature).map_err(|_| invalid)?;
        let payload = message.split_once('.').map(|(_, payload)| payload).ok_or(invalid)?;
        let claims: Value = URL_SAFE_NO_PAD
            .decode(payload)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or(invalid)?;
        if claims["exp"].as_i64().is_none_or(|expiry| expiry <= clock::now().secs()) {
            return Err(("ExpiredAuthenticationToken", "The access token expiry is earlier than the current time."));
        }
        let text = |name: &str| claims[name].as_str().unwrap_or_default().to_owned();
        Ok(Principal { object_id: text("oid"), app_id: text("appid") })
    }

    /// The challenge of a 401.
    pub fn challenge(&self, base_url: &str, refusal: Refusal) -> String {
        format!(
            "Bearer authorization_uri=\"{base_url}/{}\", error=\"invalid_token\", error_description=\"{}\"",
            self.tenant_id, refusal.1
        )
    }

    /// Documents that need no token; `None` for other paths.
    pub fn document(&self, segments: &[&str], base_url: &str) -> Option<Value> {
        match segments {
            ["metadata", "endpoints"] => Some(self.cloud(base_url)),
            ["common", "discovery", "instance"] => Some(instance(base_url)),
            [_, "discovery", "v2.0", "keys"] | [_, "discovery", "keys"] => Some(json!({ "keys": [] })),
            [tenant, "v2.0", ".well-known", "openid-configuration"]
            | [tenant, ".well-known", "openid-configuration"] => Some(self.openid(tenant, base_url)),
            _ => None,
        }
    }

    fn openid(&self, tenant: &str, base_url: &str) -> Value {
        json!({
            "issuer": format!("{base_url}/{}/v2.0", self.tenant_id),
            "token_endpoint": format!("{base_url}/{tenant}/oauth2/v2.0/token"),
            "authorization_endpoint": format!("{base_url}/{tenant}/oauth2/v2.0/authorize"),
            "device_authorization_endpoint": format!("{base_url}/{tenant}/oauth2/v2.0/devicecode"),
            "jwks_uri": format!("{base_url}/{tenant}/discovery/v2.0/keys"),
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
            "response_types_supported": ["code", "id_token", "token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
        })
    }

    /// The cloud as `az cloud register` reads it (metadata of api-version 2022-09-01).
    fn cloud(&self, base_url: &str) -> Value {
        json!({
            "name": "marea",
            "portal": base_url,
            "authentication": { "loginEndpoint": base_url, "audiences": [base_url, format!("{base_url}/")], "tenant": self.tenant_id, "identityProvider": "AAD" },
            "resourceManager": base_url,
            "graphAudience": base_url, "graph": base_url, "microsoftGraphResourceId": base_url,
            "media": base_url, "batch": base_url, "sqlManagement": base_url, "gallery": base_url, "activeDirectoryDataLake": base_url, "vmImageAliasDoc": base_url,
            "suffixes": {
                "storage": "core.windows.net", "keyVaultDns": "vault.azure.net", "acrLoginServer": "azurecr.io", "sqlServerHostname": "database.windows.net",
                "azureDataLakeStoreFileSystem": "azuredatalakestore.net", "azureDataLakeAnalyticsCatalogAndJob": "azuredatalakeanalytics.net",
                "mysqlServerEndpoint": "mysql.database.azure.com", "postgresqlServerEndpoint": "postgres.database.azure.com", "mariadbServerEndpoint": "mariadb.database.azure.com",
            },
        })
    }
}

fn instance(base_url: &str) -> Value {
    let host = base_url.trim_start_matches("https://");
    json!({
        "tenant_discovery_endpoint": format!("{base_url}/common/v2.0/.well-known/openid-configuration"),
        "api-version": "1.1",
        "metadata": [{ "preferred_network": host, "preferred_cache": host, "aliases": [host] }],
    })
}
