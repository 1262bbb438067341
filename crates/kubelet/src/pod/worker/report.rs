//! Tells the API and the rest of the kubelet how the pod is.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ObjectReference, Pod};

use super::{ContainerState, Role, Worker, now, status};

impl Worker {
    pub(super) fn publish(&self) {
        self.shared.publish(&self.namespace, &self.name, &self.uid, &self.pod, &self.containers);
    }

    pub(super) fn reference(&self, field_path: Option<String>) -> ObjectReference {
        ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            namespace: Some(self.namespace.clone()),
            name: Some(self.name.clone()),
            uid: Some(self.uid.clone()),
            field_path,
            ..ObjectReference::default()
        }
    }

    pub(super) fn container_event(&self, index: usize, kind: &'static str, reason: &'static str, message: &str) {
        self.event(Some(field_path(&self.containers[index])), kind, reason, message);
    }

    /// Events are written beside the pod's own steps, which must not wait for them.
    pub(super) fn event(&self, field_path: Option<String>, kind: &'static str, reason: &'static str, message: &str) {
        let (client, about, message) = (self.shared.client.clone(), self.reference(field_path), message.to_owned());
        tokio::spawn(async move { client.event(&about, kind, reason, &message, "kubelet").await });
    }

    pub(super) async fn write_status(&mut self) {
        self.publish();
        if self.gone {
            return;
        }
        let status = status::build(&status::Inputs {
            pod: &self.pod,
            uid: &self.uid,
            pod_ip: self.pod_ip.map(|ip| ip.to_string()),
            host_ip: self.shared.node_ip(&self.node_name()),
            started: self.started,
            containers: &self.containers,
            now: now(),
            finished: (self.is_terminating() || self.evicted.is_some()) && !self.any_running(),
            evicted: self.evicted.as_deref().filter(|_| !self.any_running()),
        });
        if self.written.as_ref() == Some(&status) {
            return;
        }
        // The uid guards against writing to a new pod of the same name.
        let patch = serde_json::json!({"metadata": {"uid": self.uid}, "status": status});
        match self.shared.client.patch_status::<Pod>(Some(&self.namespace), &self.name, &patch).await {
            Ok(pod) => {
                self.pod = Arc::new(pod);
                self.written = Some(status);
            }
            Err(error) if matches!(error.code(), 404 | 409) => self.gone |= error.code() == 404,
            Err(error) => {
                tracing::warn!(pod = %self.name, namespace = %self.namespace, %error, "cannot write a pod's status")
            }
        }
    }
}

pub(super) fn field_path(state: &ContainerState) -> String {
    let list = if state.role == Role::Main { "containers" } else { "initContainers" };
    format!("spec.{list}{{{}}}", state.spec.name)
}
