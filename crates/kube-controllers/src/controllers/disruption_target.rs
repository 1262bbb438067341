//! The condition `DisruptionTarget`, which says who took a pod away and why.

use k8s_openapi::api::core::v1::{Pod, PodCondition, PodStatus};
use kube_server::Client;

use crate::clock;
use crate::error::{Context as _, Error, ignore_gone};
use crate::objects::Meta;

/// Marks the pod before it is deleted; `fail` also ends its phase, for a pod whose node will not report any more.
pub(super) async fn mark(client: &Client, pod: &Pod, reason: &str, message: &str, fail: bool) -> Result<(), Error> {
    let mut updated = pod.clone();
    let status: &mut PodStatus = updated.status.get_or_insert_default();
    if fail {
        status.phase = Some("Failed".to_owned());
    }
    let conditions = status.conditions.get_or_insert_default();
    conditions.retain(|condition| condition.type_ != "DisruptionTarget");
    conditions.push(PodCondition {
        type_: "DisruptionTarget".to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_transition_time: Some(clock::kube_time(clock::now())),
        ..PodCondition::default()
    });
    ignore_gone(client.update_status(&updated).await).context(|| format!("mark pod {} as disrupted", pod.key()))?;
    Ok(())
}
