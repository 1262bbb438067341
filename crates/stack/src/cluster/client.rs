//! Objects of a cluster as JSON.

use std::time::Duration;

use http::Request;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use super::FIELD_MANAGER;
use super::kinds::Kind;
use super::manifest::Manifest;

#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error("the kubeconfig is not usable: {0}")]
    Kubeconfig(String),
    #[error("your kubeconfig has no context `{context}`; it has {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") })]
    NoContext { context: String, known: Vec<String> },
    #[error("the Kubernetes API at {server} did not answer: {reason}")]
    Unreachable { server: String, reason: String },
    #[error("{verb} {path}: {reason}: {message}")]
    Refused { verb: &'static str, path: String, code: u16, reason: String, message: String },
}

impl ClusterError {
    pub fn is_not_found(&self) -> bool {
        matches!(self, ClusterError::Refused { code: 404, .. })
    }

    pub fn advice(&self) -> String {
        match self {
            ClusterError::Kubeconfig(_) => {
                "Read it anew: run the command again, or `marea local kubeconfig` for the local cloud.".to_owned()
            }
            ClusterError::NoContext { .. } => {
                "Name one of them, or the file that has it: KUBECONFIG, else ~/.kube/config, is read.".to_owned()
            }
            ClusterError::Unreachable { .. } => {
                "See whether the cluster runs (`marea status`, `marea local status`) and run the command again."
                    .to_owned()
            }
            ClusterError::Refused { code: 403, .. } => {
                "The credentials may not do this: ask for the Azure Kubernetes Service RBAC Cluster Admin role."
                    .to_owned()
            }
            ClusterError::Refused { code: 422 | 400, .. } => "Correct the manifest that the message names.".to_owned(),
            ClusterError::Refused { .. } => {
                "Run the command again; if it stays, `marea status` shows the cluster's state.".to_owned()
            }
        }
    }
}

/// A connection to one cluster. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    client: kube::Client,
    server: String,
}

impl Cluster {
    /// # Errors
    /// When the text is not a kubeconfig.
    pub async fn connect(kubeconfig: &str) -> Result<Cluster, ClusterError> {
        let wrong = |error: &dyn std::fmt::Display| ClusterError::Kubeconfig(error.to_string());
        let kubeconfig = Kubeconfig::from_yaml(kubeconfig).map_err(|error| wrong(&error))?;
        Cluster::open(kubeconfig, &KubeConfigOptions::default()).await
    }

    /// A context of the user's kubeconfig: the files of `KUBECONFIG`, else `~/.kube/config`.
    ///
    /// # Errors
    /// When there is no such file or context, or what it names cannot be used.
    pub async fn of_context(context: &str) -> Result<Cluster, ClusterError> {
        let kubeconfig = Kubeconfig::read().map_err(|error| ClusterError::Kubeconfig(error.to_string()))?;
        if !kubeconfig.contexts.iter().any(|named| named.name == context) {
            let known = kubeconfig.contexts.into_iter().map(|named| named.name).collect();
            return Err(ClusterError::NoContext { context: context.to_owned(), known });
        }
        let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
        Cluster::open(kubeconfig, &options).await
    }

    async fn open(kubeconfig: Kubeconfig, options: &KubeConfigOptions) -> Result<Cluster, ClusterError> {
        let wrong = |error: &dyn std::fmt::Display| ClusterError::Kubeconfig(error.to_string());
        let mut config =
            kube::Config::from_custom_kubeconfig(kubeconfig, options).await.map_err(|error| wrong(&error))?;
        config.connect_timeout = Some(Duration::from_secs(10));
        config.read_timeout = Some(Duration::from_secs(60));
        let server = config.cluster_url.to_string();
        let client = kube::Client::try_from(config).map_err(|error| wrong(&error))?;
        Ok(Cluster { client, server })
    }

    /// The typed client of the same connection.
    pub fn kube(&self) -> &kube::Client {
        &self.client
    }

    async fn send(
        &self,
        verb: &'static str,
        path: &str,
        content_type: &'static str,
        body: Option<&Value>,
    ) -> Result<Value, ClusterError> {
        let bytes = body.map(|body| serde_json::to_vec(body).unwrap_or_default()).unwrap_or_default();
        let mut request = Request::builder().method(verb).uri(path);
        if body.is_some() {
            request = request.header("content-type", content_type);
        }
        let request = request.body(bytes).map_err(|error| ClusterError::Kubeconfig(error.to_string()))?;
        self.client.request::<Value>(request).await.map_err(|error| self.error(verb, path, error))
    }

    fn error(&self, verb: &'static str, path: &str, error: kube::Error) -> ClusterError {
        match error {
            kube::Error::Api(status) => ClusterError::Refused {
                verb,
                path: path.split('?').next().unwrap_or(path).to_owned(),
                code: status.code,
                reason: status.reason.clone(),
                message: status.message.clone(),
            },
            other => ClusterError::Unreachable { server: self.server.clone(), reason: innermost(&other) },
        }
    }

    /// # Errors
    /// When the API cannot be reached or refuses.
    pub async fn get(&self, path: &str) -> Result<Option<Value>, ClusterError> {
        match self.send("GET", path, "", None).await {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The items of a collection in all namespaces; a kind that the cluster does not have has none.
    ///
    /// # Errors
    /// When the API cannot be reached or refuses.
    pub async fn list(&self, kind: &Kind, selector: &str) -> Result<Vec<Value>, ClusterError> {
        self.list_in(kind, None, selector).await
    }

    /// As [`Cluster::list`], of one namespace.
    ///
    /// # Errors
    /// When the API cannot be reached or refuses.
    pub async fn list_in(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        selector: &str,
    ) -> Result<Vec<Value>, ClusterError> {
        let query = if selector.is_empty() { String::new() } else { format!("?labelSelector={}", encode(selector)) };
        let list = self.get(&format!("{}{query}", kind.path(namespace))).await?;
        match list {
            Some(Value::Object(mut list)) => match list.remove("items") {
                Some(Value::Array(items)) => Ok(items),
                _ => Ok(Vec::new()),
            },
            _ => Ok(Vec::new()),
        }
    }

    /// Server-side apply, taking over the fields that the manifest sets.
    ///
    /// # Errors
    /// When the API cannot be reached or refuses the object.
    pub async fn apply(&self, manifest: &Manifest, dry_run: bool) -> Result<Value, ClusterError> {
        let dry = if dry_run { "&dryRun=All" } else { "" };
        let path = format!(
            "{}/{}?fieldManager={FIELD_MANAGER}&force=true{dry}",
            manifest.kind.path(manifest.namespace()),
            manifest.name()
        );
        self.send("PATCH", &path, "application/apply-patch+yaml", Some(&manifest.value)).await
    }

    /// # Errors
    /// When the API cannot be reached or refuses the object, also because it exists.
    pub async fn create(&self, manifest: &Manifest) -> Result<Value, ClusterError> {
        let path = format!("{}?fieldManager={FIELD_MANAGER}", manifest.kind.path(manifest.namespace()));
        self.send("POST", &path, "application/json", Some(&manifest.value)).await
    }

    /// `false` when it did not exist.
    ///
    /// # Errors
    /// When the API cannot be reached or refuses.
    pub async fn delete(&self, kind: &Kind, namespace: Option<&str>, name: &str) -> Result<bool, ClusterError> {
        let path = format!("{}/{name}", kind.path(namespace));
        match self
            .send(
                "DELETE",
                &path,
                "application/json",
                Some(&json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"})),
            )
            .await
        {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// The last source of an error: `kube`'s own sentences only wrap what the network said.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut current = error;
    while let Some(source) = current.source() {
        current = source;
    }
    current.to_string()
}
