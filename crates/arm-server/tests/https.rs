//! The server over real HTTPS, with effects that succeed at once.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arm_engine::effect::{Effect, Outcome};
use arm_server::effects::Effects;
use arm_server::{ArmServer, Config, Trouble};
use serde_json::{Value, json};

const SUBSCRIPTION: &str = "11111111-1111-4111-8111-111111111111";
const TENANT: &str = "22222222-2222-4222-8222-222222222222";
const CLIENT: &str = "33333333-3333-4333-8333-333333333333";

#[derive(Default)]
struct Succeeding {
    runs: AtomicUsize,
}

#[async_trait::async_trait]
impl Effects for Succeeding {
    async fn run(&self, effect: Effect) -> Outcome {
        self.runs.fetch_add(1, Ordering::SeqCst);
        match effect {
            Effect::EnsureCluster { .. } => Outcome::Cluster {
                fqdn: "marea.local".to_owned(),
                admin_kubeconfig: "admin".to_owned(),
                user_kubeconfig: "user".to_owned(),
                oidc_issuer_url: "https://issuer/".to_owned(),
            },
            Effect::EnsurePostgres { .. } => {
                Outcome::Postgres { host_address: "10.225.0.4".to_owned(), state: "Ready".to_owned() }
            }
            Effect::StopCluster { .. } | Effect::StopPostgres { .. } => Outcome::Stopped,
            Effect::DeleteCluster { .. } | Effect::DeletePostgres { .. } => Outcome::Deleted,
        }
    }
}

struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

async fn serve(folder: &Path) -> (ArmServer, Client, Arc<Succeeding>) {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])
        .expect("a certificate");
    let config = Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        certificate_pem: key.cert.pem(),
        key_pem: key.signing_key.serialize_pem(),
        data_dir: folder.to_owned(),
        tenant_id: TENANT.to_owned(),
        subscription_id: SUBSCRIPTION.to_owned(),
        client_id: CLIENT.to_owned(),
        client_secret: "hush".to_owned(),
        signing_key: vec![7; 32],
        throttle: false,
    };
    let effects = Arc::new(Succeeding::default());
    let server = arm_server::start(config, effects.clone()).await.expect("starts");
    let certificate = reqwest::Certificate::from_pem(key.cert.pem().as_bytes()).expect("PEM");
    let http = reqwest::Client::builder().tls_certs_only([certificate]).build().expect("a client");
    let base = format!("https://{}", server.address);
    let mut client = Client { http, base, token: String::new() };
    client.token = client.sign_in("hush").await.1["access_token"].as_str().expect("a token").to_owned();
    (server, client, effects)
}

impl Client {
    async fn sign_in(&self, secret: &str) -> (u16, Value) {
        self.sign_in_as(CLIENT, secret).await
    }

    async fn sign_in_as(&self, client_id: &str, secret: &str) -> (u16, Value) {
        let form = format!(
            "grant_type=client_credentials&client_id={client_id}&client_secret={secret}&scope={}%2F.default",
            self.base.replace(':', "%3A").replace('/', "%2F")
        );
        let request = self
            .http
            .post(format!("{}/{TENANT}/oauth2/v2.0/token", self.base))
            .header("content-type", "application/x-www-form-urlencoded");
        let response = request.body(form).send().await.expect("answers");
        (response.status().as_u16(), response.json().await.expect("JSON"))
    }

    async fn send(&self, method: &str, path: &str, body: Option<Value>) -> reqwest::Response {
        let url = if path.starts_with("https://") { path.to_owned() } else { format!("{}{path}", self.base) };
        let mut request = self.http.request(method.parse().expect("a method"), url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.expect("answers")
    }

    async fn json(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let response = self.send(method, path, body).await;
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Polls a long-running operation to its end.
    async fn finish(&self, response: reqwest::Response) -> Value {
        let link = response.headers()["azure-asyncoperation"].to_str().expect("text").to_owned();
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            let (_, status) = self.json("GET", &link, None).await;
            if status["status"] != "InProgress" {
                return status;
            }
            assert!(tokio::time::Instant::now() < deadline, "the operation does not end: {status}");
            tokio::task::yield_now().await;
        }
    }
}

fn group_path(name: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourcegroups/{name}?api-version=2025-04-01")
}

fn server_path() -> String {
    format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.DBforPostgreSQL/flexibleServers/server1?api-version=2025-08-01"
    )
}

fn server_body() -> Value {
    json!({ "location": "eastus", "properties": { "administratorLogin": "marea", "administratorLoginPassword": "Pa55word!x", "version": "15" } })
}

#[tokio::test]
async fn only_a_valid_token_gets_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, mut client, _) = serve(folder.path()).await;
    assert_eq!(client.sign_in("wrong").await.0, 401);
    assert_eq!(client.json("GET", "/subscriptions?api-version=2022-12-01", None).await.0, 200);
    let forged = format!("{}x", &client.token[..client.token.len() - 2]);
    let mut parts = client.token.split('.');
    let (header, claims) = (parts.next().expect("a header"), parts.next().expect("claims"));
    let unsigned = format!("{header}.{claims}.");
    let expired = signed(&json!({ "oid": "x", "appid": "x", "exp": 1_600_000_000 }), &[7; 32]);
    let other_key = signed(&json!({ "oid": "x", "appid": "x", "exp": 4_000_000_000_i64 }), &[8; 32]);
    for (token, code) in [
        (forged.as_str(), "InvalidAuthenticationToken"),
        ("", "InvalidAuthenticationToken"),
        (&unsigned, "InvalidAuthenticationToken"),
        (&other_key, "InvalidAuthenticationToken"),
        (&expired, "ExpiredAuthenticationToken"),
    ] {
        client.token = token.to_owned();
        let response = client.send("GET", "/subscriptions?api-version=2022-12-01", None).await;
        assert_eq!(response.status().as_u16(), 401);
        assert!(response.headers()["www-authenticate"].to_str().expect("text").contains("authorization_uri"));
        assert_eq!(response.json::<Value>().await.expect("JSON")["error"]["code"], code);
    }
    let metadata = client.json("GET", "/metadata/endpoints?api-version=2022-09-01", None).await.1;
    assert_eq!(metadata["resourceManager"], client.base.as_str());
    server.shutdown().await;
}

/// A token as the server signs it, with claims of the test's own.
fn signed(claims: &Value, key: &[u8]) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use hmac::Mac as _;
    let header = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"HS256"}"#);
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(key).expect("a key");
    mac.update(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

#[tokio::test]
async fn a_service_principal_that_was_made_later_has_the_rights_of_its_roles() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, mut client, _) = serve(folder.path()).await;
    assert_eq!(client.json("PUT", &group_path("g"), Some(json!({ "location": "eastus" }))).await.0, 201);
    let application = client.json("POST", "/v1.0/applications", Some(json!({ "displayName": "reader" }))).await.1;
    let (app_id, object) = (application["appId"].as_str().expect("an id"), application["id"].as_str().expect("an id"));
    let principal = client.json("POST", "/v1.0/servicePrincipals", Some(json!({ "appId": app_id }))).await.1;
    let secret = client.json("POST", &format!("/v1.0/applications/{object}/addPassword"), Some(json!({}))).await.1;
    let secret = secret["secretText"].as_str().expect("a secret").to_owned();
    let owner = client.token.clone();

    assert_eq!(client.sign_in_as(app_id, "wrong").await.0, 401);
    client.token = client.sign_in_as(app_id, &secret).await.1["access_token"].as_str().expect("a token").to_owned();
    let (status, body) = client.json("GET", &group_path("g"), None).await;
    assert_eq!((status, &body["error"]["code"]), (403, &json!("AuthorizationFailed")));
    assert_eq!(client.json("GET", "/v1.0/applications", None).await.0, 403);

    let reader = std::mem::replace(&mut client.token, owner);
    let path = format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.Authorization/roleAssignments/{}?api-version=2022-04-01",
        uuid::Uuid::new_v4()
    );
    let definition = format!(
        "/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7"
    );
    let body = json!({ "properties": { "roleDefinitionId": definition, "principalId": principal["id"] } });
    assert_eq!(client.json("PUT", &path, Some(body)).await.0, 201);
    client.token = reader;
    assert_eq!(client.json("GET", &group_path("g"), None).await.0, 200);
    assert_eq!(client.json("PUT", &group_path("g"), Some(json!({ "location": "eastus" }))).await.0, 403);
    server.shutdown().await;
    let stored = std::fs::read(folder.path().join("arm.redb")).expect("the store");
    assert!(!stored.windows(secret.len()).any(|part| part == secret.as_bytes()), "the secret lies open in the store");
}

#[tokio::test]
async fn a_server_is_made_once_and_survives_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, client, effects) = serve(folder.path()).await;
    assert_eq!(client.json("PUT", &group_path("g"), Some(json!({ "location": "eastus" }))).await.0, 201);
    let response = client.send("PUT", &server_path(), Some(server_body())).await;
    assert_eq!(response.status().as_u16(), 202);
    assert_eq!(client.finish(response).await["status"], "Succeeded");
    let (status, body) = client.json("GET", &server_path(), None).await;
    assert_eq!((status, &body["properties"]["state"]), (200, &json!("Ready")));
    assert!(!body.to_string().contains("Pa55word"), "{body}");
    assert_eq!(effects.runs.load(Ordering::SeqCst), 1);
    server.shutdown().await;
    let stored = std::fs::read(folder.path().join("arm.redb")).expect("the store");
    assert!(!stored.windows(8).any(|part| part == b"Pa55word"), "the password lies open in the store");
    let (server, client, effects) = serve(folder.path()).await;
    assert_eq!(client.json("GET", &server_path(), None).await.1, body);
    assert_eq!(effects.runs.load(Ordering::SeqCst), 0, "nothing was left to do");
    server.shutdown().await;
}

#[tokio::test]
async fn bad_requests_get_azures_codes_and_headers() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, client, _) = serve(folder.path()).await;
    let no_version = client.json("GET", "/subscriptions", None).await;
    assert_eq!((no_version.0, &no_version.1["error"]["code"]), (400, &json!("MissingApiVersionParameter")));
    let missing = client.send("GET", &server_path(), None).await;
    assert!(
        missing.headers().contains_key("x-ms-request-id")
            && missing.headers().contains_key("x-ms-ratelimit-remaining-subscription-reads")
    );
    assert_eq!(missing.json::<Value>().await.expect("JSON")["error"]["code"], "ResourceGroupNotFound");
    let large = json!({ "location": "eastus", "tags": { "t": "x".repeat(5 * 1024 * 1024) } });
    assert_eq!(client.send("PUT", &group_path("g"), Some(large)).await.status().as_u16(), 413);
    assert_eq!(client.send("HEAD", &group_path("g"), None).await.status().as_u16(), 404);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_is_met_before_anything_is_done_and_a_full_disk_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, client, _) = serve(folder.path()).await;
    server.engine.set_trouble(Trouble { failing_percent: 100, ..Trouble::default() });
    let path = group_path("one");
    let refused = client.send("PUT", &path, Some(json!({"location": "eastus"}))).await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(client.sign_in("hush").await.0, 200, "signing in is not ARM's");
    server.engine.set_trouble(Trouble::default());
    assert_eq!(client.json("GET", &path, None).await.0, 404, "nothing was done");

    server.engine.fill_disk(true);
    let (status, body) = client.json("PUT", &path, Some(json!({"location": "eastus"}))).await;
    assert_eq!((status, &body["error"]["code"]), (500, &json!("InternalServerError")), "{body}");
    server.engine.fill_disk(false);
    // What was asked is done once there is room.
    assert_eq!(client.json("GET", &path, None).await.0, 200);
    server.shutdown().await;
    let (server, client, _) = serve(folder.path()).await;
    assert_eq!(client.json("GET", &path, None).await.0, 200);
    server.shutdown().await;
}
