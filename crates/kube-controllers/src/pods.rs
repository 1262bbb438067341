//! What controllers ask about a pod.

use k8s_openapi::api::core::v1::{Pod, PodCondition, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use units::{Millis, Timestamp};

use crate::clock;
use crate::objects::Meta;

pub(crate) fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
}

pub(crate) fn is_finished(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Neither finished nor being deleted (upstream's `IsPodActive`).
pub(crate) fn is_active(pod: &Pod) -> bool {
    !is_finished(pod) && !pod.is_deleted()
}

/// Deleted, but its containers may still run (upstream's `IsPodTerminating`).
pub(crate) fn is_terminating(pod: &Pod) -> bool {
    !is_finished(pod) && pod.is_deleted()
}

pub(crate) fn node_name(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).filter(|name| !name.is_empty())
}

pub(crate) fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

pub(crate) fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|ready| ready.status == "True")
}

pub(crate) fn ready_since(pod: &Pod) -> Option<Timestamp> {
    condition(pod, "Ready")
        .filter(|ready| ready.status == "True")
        .and_then(|ready| ready.last_transition_time.as_ref())
        .map(clock::from_kube)
}

/// Ready for at least `min_ready_seconds`.
pub(crate) fn is_available(pod: &Pod, min_ready_seconds: i32, now: Timestamp) -> bool {
    is_ready(pod)
        && (min_ready_seconds <= 0
            || available_in(pod, min_ready_seconds, now).is_some_and(|wait| wait <= Millis::ZERO))
}

/// How long until a ready pod counts as available; nothing for a pod that is not ready.
pub(crate) fn available_in(pod: &Pod, min_ready_seconds: i32, now: Timestamp) -> Option<Millis> {
    ready_since(pod).map(|since| since + Millis::from_secs(i64::from(min_ready_seconds)) - now)
}

/// The soonest instant at which one more of the ready pods becomes available.
pub(crate) fn next_available<'a>(
    pods: impl IntoIterator<Item = &'a Pod>,
    min_ready_seconds: i32,
    now: Timestamp,
) -> Option<Millis> {
    if min_ready_seconds <= 0 {
        return None;
    }
    pods.into_iter()
        .filter_map(|pod| available_in(pod, min_ready_seconds, now))
        .filter(|wait| *wait > Millis::ZERO)
        .min()
}

pub(crate) fn restarts(pod: &Pod) -> i32 {
    pod.status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten())
        .map(|status| status.restart_count)
        .max()
        .unwrap_or(0)
}

/// A pod from a template, named by the server from `prefix` and owned by `owner`.
pub(crate) fn from_template(template: &PodTemplateSpec, namespace: &str, prefix: &str, owner: OwnerReference) -> Pod {
    let meta = template.metadata.clone().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            namespace: Some(namespace.to_owned()),
            generate_name: Some(format!("{prefix}-")),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

/// A number or a percentage of `total`; percentages round up or down as the field demands
/// (apimachinery pkg/util/intstr `GetScaledValueFromIntOrPercent`).
///
/// # Errors
/// When the text is not a whole percentage.
pub(crate) fn scaled(value: &IntOrString, total: i32, round_up: bool) -> Result<i32, String> {
    match value {
        IntOrString::Int(number) => Ok(*number),
        IntOrString::String(text) => {
            let percent: i64 = text
                .strip_suffix('%')
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(|| format!("`{text}` is neither a number nor a percentage such as 25%"))?;
            let product = percent * i64::from(total);
            let scaled = if round_up { (product + 99).div_euclid(100) } else { product.div_euclid(100) };
            i32::try_from(scaled).map_err(|_| format!("{text} of {total} is out of range"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: IntOrString, total: i32, round_up: bool, expected: Result<i32, ()>) {
        assert_eq!(scaled(&value, total, round_up).map_err(|_| ()), expected, "{value:?} of {total}");
    }

    #[test]
    fn percentages_round_as_asked() {
        check(IntOrString::Int(3), 10, true, Ok(3));
        check(IntOrString::String("25%".into()), 2, true, Ok(1));
        check(IntOrString::String("25%".into()), 2, false, Ok(0));
        check(IntOrString::String("100%".into()), 7, false, Ok(7));
        check(IntOrString::String("25".into()), 7, false, Err(()));
        check(IntOrString::String("x%".into()), 7, false, Err(()));
    }
}
