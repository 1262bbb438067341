//! A secret's value is in its object and nowhere else.

use std::io::Write;
use std::sync::{Arc, Mutex};

use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use serde_json::json;

use crate::support::Cluster;
use crate::support::http::Http;

const CANARY: &str = "canary-93be17";
/// Its Base64.
const ENCODED: &str = "Y2FuYXJ5LTkzYmUxNw==";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic while logging").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn administrator(cluster: &Cluster) -> Http {
    let binding = json!({"metadata": {"name": "root"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "root", "namespace": "default"}]});
    let client = cluster.server.client();
    client
        .create_raw("serviceaccounts", Some("default"), json!({"metadata": {"name": "root"}}))
        .await
        .expect("created");
    client.create_raw("clusterrolebindings.rbac.authorization.k8s.io", None, binding).await.expect("bound");
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.admin().await, "default");
    let token = accounts.create_token_request("root", &PostParams::default(), &TokenRequest::default()).await;
    Http::new(cluster, token.expect("a token").status.expect("a status").token)
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_and_logs_never_show_a_secret() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_writer(move || writer.clone()).init();
    let cluster = Cluster::start().await;
    let mut http = administrator(&cluster).await;
    let (all, one) = ("/api/v1/namespaces/default/secrets", "/api/v1/namespaces/default/secrets/s");
    let secret = json!({"metadata": {"name": "s"}, "immutable": true, "data": {"p": ENCODED}}).to_string();
    let created = http.send("POST", all, "application/json", &secret).await;
    assert_eq!((created.code, created.text.contains(ENCODED)), (201, true), "{}", created.text);

    let other = |change: serde_json::Value| {
        let mut secret = json!({"metadata": {"name": "other"}});
        secret.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        secret.to_string()
    };
    let (plain, strict) = ("application/json", format!("{all}?fieldValidation=Strict"));
    let apply = format!("{one}?fieldManager=m");
    let wrong = [
        ("POST", all, plain, other(json!({"data": {"p": CANARY}}))),
        ("POST", all, plain, other(json!({"data": CANARY}))),
        ("POST", all, plain, other(json!({"data": [CANARY]}))),
        ("POST", all, plain, other(json!({"data": {"p": {"q": CANARY}}}))),
        ("POST", all, plain, other(json!({"stringData": CANARY}))),
        ("POST", all, plain, other(json!({"stringData": {"p": [CANARY]}}))),
        ("POST", all, plain, other(json!({"immutable": CANARY}))),
        ("POST", strict.as_str(), plain, other(json!({"stringData": {"p": CANARY}, "sort": 1}))),
        ("POST", all, plain, other(json!({"type": "kubernetes.io/tls", "stringData": {"p": CANARY}}))),
        ("POST", all, plain, secret.clone()),
        ("POST", all, plain, format!("{{\"stringData\": {{\"p\": \"{CANARY}\"")),
        ("PUT", one, plain, json!({"metadata": {"name": "s"}, "stringData": {"p": format!("other {CANARY}")}}).to_string()),
        ("PUT", "/api/v1/namespaces/default/secrets/none", plain, secret.clone()),
        ("PATCH", one, "application/merge-patch+json", json!({"stringData": {"p": format!("other {CANARY}")}}).to_string()),
        ("PATCH", one, "application/merge-patch+json", json!({"data": CANARY}).to_string()),
        ("PATCH", one, "application/json-patch+json", json!([{"op": "test", "path": "/data/p", "value": CANARY}]).to_string()),
        ("PATCH", one, "application/json-patch+json", json!([{"op": "replace", "path": "/none/p", "value": CANARY}]).to_string()),
        ("PATCH", one, "application/strategic-merge-patch+json", json!({"data": [CANARY]}).to_string()),
        ("PATCH", apply.as_str(), "application/apply-patch+yaml",
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"p": "b3RoZXI="}, "stringData": {"q": CANARY}}).to_string()),
        ("PATCH", apply.as_str(), "application/apply-patch+yaml",
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": CANARY}).to_string()),
        ("POST", "/api/v1/namespaces/default/configmaps", plain, json!({"kind": "Secret", "data": CANARY}).to_string()),
    ];
    for (method, path, media, body) in &wrong {
        let answer = http.send(method, path, media, body).await;
        assert!(answer.code >= 400 && answer.code < 500, "{method} {path} {body}: {answer:?}");
        let shown = answer.text.contains(CANARY) || answer.text.contains(ENCODED);
        assert!(!shown, "{method} {body} is answered with the secret: {}", answer.text);
    }
    let events = http.get("/api/v1/events").await.text;
    assert!(!events.contains(CANARY) && !events.contains(ENCODED));
    cluster.server.shutdown().await;
    let log = String::from_utf8_lossy(&log.0.lock().expect("no panic while logging")).into_owned();
    assert!(log.contains("/api/v1/namespaces/default/secrets"), "requests are logged: {log}");
    assert!(!log.contains(CANARY) && !log.contains(ENCODED));
}
