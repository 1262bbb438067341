//! Ends containers, and the pod with them.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube_server::DeleteOptions;
use rustix::process::Signal;

use super::report::field_path;
use super::{DEFAULT_GRACE_SECONDS, Role, Run, Worker, now, stop};
use crate::process::Exit;

impl Worker {
    /// Ends the main containers, and the sidecars once those have ended.
    pub(super) fn terminate(&mut self) {
        let grace = if self.gone { 0 } else { self.grace_seconds() };
        for index in 0..self.containers.len() {
            if self.containers[index].role != Role::Sidecar || self.gone {
                self.stop_for_good(index, grace);
            }
        }
        let mains_run = self.containers.iter().any(|state| state.role != Role::Sidecar && state.is_running());
        if !mains_run {
            self.stop_sidecars();
        }
    }

    pub(super) fn stop_sidecars(&mut self) {
        let grace = if self.gone { 0 } else { self.grace_seconds() };
        for index in (0..self.containers.len())
            .rev()
            .filter(|index| self.containers[*index].role == Role::Sidecar)
            .collect::<Vec<_>>()
        {
            self.stop_for_good(index, grace);
        }
    }

    pub(super) fn stop_for_good(&mut self, index: usize, grace: i64) {
        let name = self.containers[index].spec.name.clone();
        // Probes of liveness and startup end with the decision to stop; readiness goes on until the container has ended.
        self.stop(index, grace, &format!("Stopping container {name}"));
    }

    pub(super) fn stop(&mut self, index: usize, grace_seconds: i64, message: &str) {
        let reach = self.reach();
        let state = &mut self.containers[index];
        let Run::Running { process, .. } = &state.run else { return };
        let Some(process) = process.clone() else {
            let exit = Exit { code: 0, signal: None, error: None, out_of_memory: false, at_ms: now().0 };
            return self.exited(index, &exit);
        };
        if state.stopping && grace_seconds > 0 {
            return;
        }
        let already = std::mem::replace(&mut state.stopping, true);
        let grace = Duration::from_secs(u64::try_from(grace_seconds).unwrap_or(0));
        let signal = state.stop_signal.unwrap_or(Signal::TERM);
        let stopping = stop::stop(process, state.spec.clone(), signal, grace, reach);
        let (shared, about) = (Arc::clone(&self.shared), self.reference(Some(field_path(&self.containers[index]))));
        tokio::spawn(async move {
            if let Err(error) = stopping.await {
                shared
                    .client
                    .event(&about, "Warning", "FailedPreStopHook", &format!("PreStopHook failed: {error}"), "kubelet")
                    .await;
            }
        });
        if !already {
            self.container_event(index, "Normal", "Killing", message);
        }
    }

    pub(super) fn grace_seconds(&self) -> i64 {
        let spec = self.pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
        self.pod.metadata.deletion_grace_period_seconds.or(spec).unwrap_or(DEFAULT_GRACE_SECONDS)
    }

    pub(super) async fn finish(mut self) {
        let node = self.node_name();
        if self.is_terminating() {
            if !self.gone {
                let options = DeleteOptions {
                    grace_period_seconds: Some(0),
                    uid: Some(self.uid.clone()),
                    ..DeleteOptions::default()
                };
                if let Err(error) = self.shared.client.delete::<Pod>(Some(&self.namespace), &self.name, &options).await
                    && !matches!(error.code(), 404 | 409)
                {
                    tracing::warn!(pod = %self.name, namespace = %self.namespace, %error, "cannot remove a pod that has ended");
                }
            }
            if let Err(error) = std::fs::remove_dir_all(&self.directories.root)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(pod = %self.name, %error, "cannot remove a pod's directory");
            }
            self.shared.forget(&self.namespace, &self.name, &self.uid);
        }
        if let Some(router) = self.shared.config.dialer.router() {
            router.detach(&self.uid).await;
        }
        if let Some(ip) = self.pod_ip.take() {
            self.shared.release_pod_ip(&node, ip);
        }
    }
}
