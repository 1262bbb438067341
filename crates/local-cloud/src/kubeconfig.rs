//! Kubeconfigs of a cluster's users.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::certificates::Leaf;

/// A kubeconfig with one cluster, one user and one context, as AKS's `listClusterAdminCredential` returns it. JSON is YAML
/// that every client reads; it is printed block by block below so that people can read it too.
pub fn render(cluster: &str, server: &str, ca_pem: &str, user: &str, credentials: &Leaf) -> String {
    let user_name = format!("{user}_{cluster}");
    let text = |value: &str| json!(value).to_string();
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: {cluster}
  cluster:
    server: {server}
    certificate-authority-data: {ca}
contexts:
- name: {context}
  context:
    cluster: {cluster}
    user: {user}
current-context: {context}
users:
- name: {user}
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
",
        cluster = text(cluster),
        server = text(server),
        ca = STANDARD.encode(ca_pem),
        context = text(cluster),
        user = text(&user_name),
        certificate = STANDARD.encode(&credentials.certificate_pem),
        key = STANDARD.encode(&credentials.key_pem),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_yaml_with_everything_a_client_needs() {
        let leaf = Leaf { certificate_pem: "C".to_owned(), key_pem: "K".to_owned() };
        let text = render("marea", "https://127.0.0.1:6443", "CA", "clusterAdmin", &leaf);
        let parsed: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(parsed["current-context"], "marea");
        assert_eq!(parsed["clusters"][0]["cluster"]["certificate-authority-data"], STANDARD.encode("CA"));
        assert_eq!(parsed["users"][0]["name"], "clusterAdmin_marea");
    }
}
