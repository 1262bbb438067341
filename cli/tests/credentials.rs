//! Every way to prove who asks, as the environment names it, against the token endpoint of an embedded Azure Resource Manager.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use arm_server::alone::{self, Alone};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";

struct Place {
    folder: tempfile::TempDir,
    azure: Alone,
    http: reqwest::Client,
    /// Of the subscription's owner.
    token: String,
}

impl Place {
    async fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let azure = alone::start(&folder.path().join("azure"), alone::SUBSCRIPTION).await.unwrap();
        let authority = reqwest::Certificate::from_pem(azure.certificate_authority.as_bytes()).unwrap();
        let http = reqwest::Client::builder().tls_certs_only([authority]).no_proxy().build().unwrap();
        let mut place = Place { folder, azure, http, token: String::new() };
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope={}/.default",
            alone::CLIENT,
            alone::SECRET,
            place.azure.endpoint
        );
        let request =
            place.http.post(format!("{}/{}/oauth2/v2.0/token", place.azure.endpoint, alone::TENANT)).body(form);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        place.token = answer["access_token"].as_str().unwrap().to_owned();
        place
    }

    async fn send(&self, method: reqwest::Method, path: &str, body: &Value) -> Value {
        let request = self.http.request(method, format!("{}{path}", self.azure.endpoint));
        let answer = request.bearer_auth(&self.token).json(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
        answer.json().await.unwrap_or_default()
    }

    /// An application with this certificate that may read the subscription; its id.
    async fn application(&self, certificate: &[u8]) -> String {
        let credential = json!({"type": "AsymmetricX509Cert", "usage": "Verify", "key": STANDARD.encode(certificate)});
        let body = json!({"displayName": "with a certificate", "keyCredentials": [credential]});
        let application = self.send(reqwest::Method::POST, "/v1.0/applications", &body).await;
        let id = application["appId"].as_str().unwrap().to_owned();
        let principal = self.send(reqwest::Method::POST, "/v1.0/servicePrincipals", &json!({"appId": id})).await;
        let subscription = format!("/subscriptions/{}", alone::SUBSCRIPTION);
        let role = format!("{subscription}/providers/Microsoft.Authorization/roleDefinitions/{OWNER}");
        let path = format!(
            "{subscription}/providers/Microsoft.Authorization/roleAssignments/4f0a2b1c-0000-4000-8000-000000000001?api-version=2022-04-01"
        );
        let properties = json!({"roleDefinitionId": role, "principalId": principal["id"]});
        self.send(reqwest::Method::PUT, &path, &json!({"properties": properties})).await;
        id
    }

    /// Asks ARM for the stacks with these variables and no secret of the owner.
    async fn check(&self, variables: &[(&str, &str)], exit: i32, expected: &str) {
        let shared = self.azure.environment().into_iter().filter(|(name, _)| !name.starts_with("AZURE_CLIENT"));
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_marea"))
            .args(["outputs", "base", "--env", "production"])
            .env_clear()
            .env("HOME", self.folder.path())
            .env("PATH", format!("{}:/usr/bin:/bin", self.folder.path().display()))
            .env("MAREA_ROOT", Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .envs(shared)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(exit), "{variables:?}: {text}");
        assert!(text.contains(expected), "{variables:?} lacks `{expected}`: {text}");
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// What the proof of a client holds, signed as older clients do.
fn signed(key: &KeyPair, certificate: &[u8], claims: &Value) -> String {
    let header = json!({"alg": "RS256", "typ": "JWT", "x5t#S256": URL_SAFE_NO_PAD.encode(Sha256::digest(certificate))});
    let message =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = key.sign(message.as_bytes()).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Gives the token to everybody who asks, as App Service's endpoint of managed identities does.
async fn managed_identity(token: String) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/token", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).await.unwrap_or_default();
            let head = String::from_utf8_lossy(&request[..read]).to_ascii_lowercase();
            let body = json!({"access_token": token, "expires_on": (now() + 3000).to_string(), "token_type": "Bearer", "resource": ""})
                .to_string();
            let status = if head.contains("x-identity-header: opensesame") { "200 OK" } else { "403 Forbidden" };
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_credential_is_taken_in_its_turn() {
    let place = Place::new().await;
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let certificate = CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
    let client = place.application(certificate.der()).await;
    let pem = place.file("principal.pem", &format!("{}{}", key.serialize_pem(), certificate.pem()));
    let pem = pem.to_str().unwrap();
    let found = "base: not deployed";

    let secret = [("AZURE_CLIENT_ID", alone::CLIENT), ("AZURE_CLIENT_SECRET", alone::SECRET)];
    place.check(&secret, 0, found).await;
    let with_certificate = [("AZURE_CLIENT_ID", client.as_str()), ("AZURE_CLIENT_CERTIFICATE_PATH", pem)];
    place.check(&with_certificate, 0, found).await;
    // A secret comes before a certificate, and one that is wrong is not passed over.
    let wrong = [&with_certificate[..], &[("AZURE_CLIENT_SECRET", "wrong")]].concat();
    place.check(&wrong, 5, "AADSTS7000215").await;

    let claims = json!({
        "aud": format!("{}/{}/oauth2/v2.0/token", place.azure.endpoint, alone::TENANT), "iss": client, "sub": client,
        "exp": now() + 600, "nbf": now(),
    });
    let federated = place.file("federated", &signed(&key, certificate.der(), &claims));
    let workload = [("AZURE_CLIENT_ID", client.as_str()), ("AZURE_FEDERATED_TOKEN_FILE", federated.to_str().unwrap())];
    place.check(&workload, 0, found).await;

    let endpoint = managed_identity(place.token.clone()).await;
    let managed = [("IDENTITY_ENDPOINT", endpoint.as_str()), ("IDENTITY_HEADER", "opensesame")];
    place.check(&managed, 0, found).await;

    let answer = json!({"accessToken": place.token, "expires_on": now() + 3000, "tokenType": "Bearer"});
    let az = place.file("az", &format!("#!/bin/sh\necho '{answer}'\n"));
    std::fs::set_permissions(&az, std::fs::Permissions::from_mode(0o755)).unwrap();
    place.check(&[], 0, found).await;
    // What the environment names comes before the login of the Azure CLI.
    std::fs::write(&az, "#!/bin/sh\necho not logged in >&2\nexit 1\n").unwrap();
    place.check(&managed, 0, found).await;
    place.check(&[], 5, "Azure CLI").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_that_is_not_the_application_s_is_refused() {
    let place = Place::new().await;
    let new = || KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let (key, other) = (new(), new());
    let certificate = CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
    let client = place.application(certificate.der()).await;
    let good = json!({
        "aud": format!("{}/{}/oauth2/v2.0/token", place.azure.endpoint, alone::TENANT), "iss": client, "sub": client, "exp": now() + 600,
    });
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    for (proof, code) in [
        (signed(&other, certificate.der(), &good), "AADSTS700027"),
        (signed(&key, b"another certificate", &good), "AADSTS700027"),
        (signed(&key, certificate.der(), &with("exp", json!(now() - 3600))), "AADSTS700024"),
        (signed(&key, certificate.der(), &with("nbf", json!(now() + 3600))), "AADSTS700024"),
        (signed(&key, certificate.der(), &with("sub", json!(alone::CLIENT))), "AADSTS700021"),
        (signed(&key, certificate.der(), &with("aud", json!("https://login.example"))), "AADSTS700023"),
        ("no.proof".to_owned(), "AADSTS50027"),
    ] {
        let file = place.file("federated", &proof);
        let variables = [("AZURE_CLIENT_ID", client.as_str()), ("AZURE_FEDERATED_TOKEN_FILE", file.to_str().unwrap())];
        place.check(&variables, 5, code).await;
    }
    let pfx = place.folder.path().join("principal.pfx");
    std::fs::write(&pfx, [0x30, 0x82, 0x99]).unwrap();
    let pfx = pfx.to_str().unwrap();
    place
        .check(&[("AZURE_CLIENT_ID", client.as_str()), ("AZURE_CLIENT_CERTIFICATE_PATH", pfx)], 2, "openssl pkcs12 -in")
        .await;
    place.check(&[("AZURE_CLIENT_CERTIFICATE_PATH", pfx)], 2, "AZURE_CLIENT_ID").await;
}
