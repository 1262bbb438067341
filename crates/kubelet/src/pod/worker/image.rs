//! How a container comes to its image (pkg/kubelet/images/image_manager.go of Kubernetes 1.36).

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Secret};
use oci::{Reference, Unpacked};
use units::{Millis, Timestamp};

use super::{Fetched, Message, NotReady, Pull, Source, Worker, now, source};
use crate::images::{Wanted, fetch, go_duration};

/// Upstream's next look at the pod, which is when it says that a pull is held back.
const NEXT_LOOK: Millis = Millis::from_secs(1);

pub(super) enum Image {
    /// A program of the host takes its place.
    OfHost,
    Here(Box<Unpacked>),
    /// Not now; the container's status says why, unless a pull has just begun.
    Awaited,
}

impl Worker {
    /// The image to start the container from. One that is not here is asked for, and the pod's task goes on meanwhile.
    pub(super) fn image(&mut self, index: usize) -> Image {
        if self.is_held_back(index) {
            return Image::Awaited;
        }
        match std::mem::take(&mut self.containers[index].pull) {
            Pull::Done(Ok(image)) => return Image::Here(Box::new(image)),
            Pull::Done(Err(message)) => return self.awaited(index, NotReady::Image(message)),
            running @ Pull::Running(_) => {
                self.containers[index].pull = running;
                return Image::Awaited;
            }
            Pull::Idle => {}
        }
        let found = match source(&self.shared.config, &self.containers[index].spec) {
            Ok(Source::Host(_)) => Ok(None),
            Ok(Source::Image { reference, layout }) => Ok(Some((reference, layout))),
            Err(reason) => Err(reason),
        };
        match found {
            Ok(None) => Image::OfHost,
            // What is in a layout is on this machine, whatever the policy says.
            Ok(Some((reference, Some(layout)))) => {
                self.pull(index, Wanted { reference, layout: Some(layout), secrets: Vec::new() })
            }
            Ok(Some((reference, None))) => self.by_policy(index, reference),
            Err(reason) => self.awaited(index, reason),
        }
    }

    fn awaited(&mut self, index: usize, reason: NotReady) -> Image {
        self.not_ready(index, reason);
        Image::Awaited
    }

    fn by_policy(&mut self, index: usize, reference: Reference) -> Image {
        let spec = &self.containers[index].spec;
        let policy = spec.image_pull_policy.as_deref().unwrap_or("IfNotPresent");
        let present = self.shared.config.images.as_ref().and_then(|store| store.present(&reference));
        match (policy, present) {
            ("Never" | "IfNotPresent", Some(image)) => {
                self.present(index);
                Image::Here(Box::new(image))
            }
            ("Never", None) => {
                let image = spec.image.as_deref().unwrap_or_default();
                let message = format!("Container image {image:?} is not present with pull policy of Never");
                self.awaited(index, NotReady::NeverPull(message))
            }
            _ => {
                let image = spec.image.clone().unwrap_or_default();
                self.container_event(index, "Normal", "Pulling", &format!("Pulling image {image:?}"));
                let secrets = pull_secrets(&self.shared.client, &self.pod);
                self.pull(index, Wanted { reference, layout: None, secrets })
            }
        }
    }

    pub(super) fn present(&self, index: usize) {
        let image = self.containers[index].spec.image.as_deref().unwrap_or_default();
        self.container_event(
            index,
            "Normal",
            "Pulled",
            &format!("Container image {image:?} already present on machine"),
        );
    }

    fn pull(&mut self, index: usize, wanted: Wanted) -> Image {
        let Some(store) = self.shared.config.images.clone() else {
            return self.awaited(index, NotReady::Image("images need the sandbox".to_owned()));
        };
        let (sender, turn) = (self.sender.clone(), Arc::clone(&self.shared.pull_turn));
        let container = self.containers[index].spec.name.clone();
        let task = tokio::spawn(async move {
            let outcome = fetch(&store, &wanted, &turn).await;
            // A closed inbox means that the pod's task is gone; the image stays for the next one.
            let _ = sender.send(Message::Pulled { container, outcome });
        });
        self.containers[index].pull = Pull::Running(task.abort_handle());
        Image::Awaited
    }

    pub(super) fn pulled(&mut self, container: &str, outcome: Result<Fetched, String>) {
        let waits = |state: &super::ContainerState| {
            state.spec.name == container && matches!(state.pull, Pull::Running(_)) && !state.is_running()
        };
        let Some(index) = self.containers.iter().position(waits) else { return };
        if let Ok(fetched) = &outcome {
            self.tell_of(index, fetched);
        }
        let state = &mut self.containers[index];
        state.pull = Pull::Done(outcome.map(|fetched| fetched.image));
        state.retry_at = Timestamp::default();
        if matches!(state.pull, Pull::Done(Ok(_))) {
            (state.pull_backoff, state.pull_failure) = Default::default();
        }
    }

    fn tell_of(&self, index: usize, fetched: &Fetched) {
        let from_layout = matches!(
            source(&self.shared.config, &self.containers[index].spec),
            Ok(Source::Image { layout: Some(_), .. })
        );
        if from_layout {
            return self.present(index);
        }
        let image = self.containers[index].spec.image.as_deref().unwrap_or_default();
        let message = format!(
            "Successfully pulled image {image:?} in {} ({} including waiting). Image size: {} bytes.",
            go_duration(fetched.pulling),
            go_duration(fetched.whole),
            fetched.image.size
        );
        self.container_event(index, "Normal", "Pulled", &message);
    }

    pub(super) fn pull_failed(&mut self, index: usize, message: String) {
        let image = self.containers[index].spec.image.clone().unwrap_or_default();
        self.container_event(index, "Warning", "Failed", &format!("Failed to pull image {image:?}: {message}"));
        let state = &mut self.containers[index];
        state.pull_backoff.failed(now());
        state.pull_failure = Some(message.clone());
        state.retry_at = now() + NEXT_LOOK;
        self.wait(index, "ErrImagePull", message);
        self.container_event(index, "Warning", "Failed", "Error: ErrImagePull");
    }

    /// While the last failure is too young for another try.
    fn is_held_back(&mut self, index: usize) -> bool {
        let state = &mut self.containers[index];
        let until = state.pull_backoff.until();
        let Some(failure) = state.pull_failure.clone().filter(|_| now() < until) else { return false };
        state.retry_at = until;
        let image = state.spec.image.clone().unwrap_or_default();
        let text = format!("Back-off pulling image {image:?}");
        if self.wait(index, "ImagePullBackOff", format!("{text}: ErrImagePull: {failure}")) {
            self.container_event(index, "Normal", "BackOff", &text);
            self.container_event(index, "Warning", "Failed", "Error: ImagePullBackOff");
        }
        true
    }
}

/// Documents as Docker writes them, of the Secrets that the pod names. One that is not there is left out, as upstream does.
fn pull_secrets(client: &kube_server::Client, pod: &Pod) -> Vec<(String, String)> {
    let namespace = pod.metadata.namespace.as_deref();
    let references = pod.spec.iter().flat_map(|spec| spec.image_pull_secrets.iter().flatten());
    let secrets = references.filter_map(|reference| {
        let secret = client.get::<Secret>(namespace, &reference.name)?;
        let document = secret.data.as_ref()?.get(".dockerconfigjson")?;
        Some((format!("secret {}", reference.name), String::from_utf8(document.0.clone()).ok()?))
    });
    secrets.collect()
}
