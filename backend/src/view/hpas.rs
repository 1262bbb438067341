//! Horizontal pod autoscalers.

use super::{Objects, events, namespaced};
use backend_api::hpa::{Condition, Hpa, Metric, Reason, ReasonSource};
use k8s_openapi::api::autoscaling::v2::{
    HorizontalPodAutoscaler, MetricSpec, MetricStatus, MetricTarget, MetricValueStatus,
};
use k8s_openapi::api::core::v1;

/// As many as the chart and the list beside it show.
const REASONS_SHOWN: usize = 50;

pub fn all(objects: &Objects) -> Vec<Hpa> {
    let mut hpas: Vec<Hpa> = objects.hpas.iter().map(|hpa| one(hpa, objects)).collect();
    hpas.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    hpas
}

fn replicas(count: Option<i32>) -> u32 {
    count.and_then(|count| u32::try_from(count).ok()).unwrap_or(0)
}

fn one(hpa: &HorizontalPodAutoscaler, objects: &Objects) -> Hpa {
    let name = hpa.metadata.name.clone().unwrap_or_default();
    let namespace = hpa.metadata.namespace.clone().unwrap_or_default();
    let (spec, status) = (&hpa.spec, hpa.status.as_ref());
    let current: Vec<&MetricStatus> =
        status.iter().flat_map(|status| status.current_metrics.iter().flatten()).collect();
    let conditions = status.iter().flat_map(|status| status.conditions.iter().flatten());
    Hpa {
        target: format!("{}/{}", spec.scale_target_ref.kind, spec.scale_target_ref.name),
        min_replicas: replicas(spec.min_replicas.or(Some(1))),
        max_replicas: replicas(Some(spec.max_replicas)),
        current_replicas: replicas(status.and_then(|status| status.current_replicas)),
        desired_replicas: replicas(status.map(|status| status.desired_replicas)),
        metrics: spec.metrics.iter().flatten().map(|metric| self::metric(metric, &current)).collect(),
        conditions: conditions
            .map(|condition| Condition {
                kind: condition.type_.clone(),
                status: condition.status.clone(),
                reason: condition.reason.clone().unwrap_or_default(),
                message: condition.message.clone().unwrap_or_default(),
            })
            .collect(),
        created_at: hpa.metadata.creation_timestamp.as_ref().map(|time| time.0.to_string()),
        last_scaled_at: status.and_then(|status| status.last_scale_time.as_ref()).map(|time| time.0.to_string()),
        reasons: reasons(&namespace, &name, objects),
        namespace,
        name,
    }
}

/// Where the metric is in a spec and in a status: its name, and the container's for container metrics.
fn metric(spec: &MetricSpec, current: &[&MetricStatus]) -> Metric {
    let (name, target) = named_target(spec);
    let current = current.iter().filter(|status| status.type_ == spec.type_).find_map(|status| {
        let (status_name, value) = named_value(status)?;
        (status_name == name).then(|| written(value, target.is_some_and(|target| target.type_ == "Utilization")))?
    });
    Metric { target: target.map(written_target).unwrap_or_default(), name, current }
}

fn named_target(spec: &MetricSpec) -> (String, Option<&MetricTarget>) {
    if let Some(resource) = &spec.resource {
        return (resource.name.clone(), Some(&resource.target));
    }
    if let Some(container) = &spec.container_resource {
        return (format!("{}/{}", container.container, container.name), Some(&container.target));
    }
    if let Some(pods) = &spec.pods {
        return (pods.metric.name.clone(), Some(&pods.target));
    }
    if let Some(object) = &spec.object {
        return (object.metric.name.clone(), Some(&object.target));
    }
    match &spec.external {
        Some(external) => (external.metric.name.clone(), Some(&external.target)),
        None => (spec.type_.clone(), None),
    }
}

fn named_value(status: &MetricStatus) -> Option<(String, &MetricValueStatus)> {
    if let Some(resource) = &status.resource {
        return Some((resource.name.clone(), &resource.current));
    }
    if let Some(container) = &status.container_resource {
        return Some((format!("{}/{}", container.container, container.name), &container.current));
    }
    if let Some(pods) = &status.pods {
        return Some((pods.metric.name.clone(), &pods.current));
    }
    if let Some(object) = &status.object {
        return Some((object.metric.name.clone(), &object.current));
    }
    status.external.as_ref().map(|external| (external.metric.name.clone(), &external.current))
}

fn written_target(target: &MetricTarget) -> String {
    let quantity = target.average_value.as_ref().or(target.value.as_ref()).map(|quantity| quantity.0.clone());
    target.average_utilization.map(|percent| format!("{percent}%")).or(quantity).unwrap_or_default()
}

fn written(value: &MetricValueStatus, as_utilization: bool) -> Option<String> {
    let percent = value.average_utilization.filter(|_| as_utilization).map(|percent| format!("{percent}%"));
    percent.or_else(|| value.average_value.as_ref().or(value.value.as_ref()).map(|quantity| quantity.0.clone()))
}

/// The flight recorder's word where there is one; else the autoscaler's own events, which is all that AKS keeps.
fn reasons(namespace: &str, name: &str, objects: &Objects) -> Vec<Reason> {
    if let Some(recorded) = objects.reasons.get(&namespaced(Some(namespace), name)) {
        return recorded.iter().take(REASONS_SHOWN).cloned().collect();
    }
    let about_it = |event: &&v1::Event| {
        let about = &event.involved_object;
        about.kind.as_deref() == Some("HorizontalPodAutoscaler")
            && about.name.as_deref() == Some(name)
            && about.namespace.as_deref() == Some(namespace)
    };
    let mut reasons: Vec<Reason> =
        objects.events.iter().map(|event| &**event).filter(about_it).map(from_event).collect();
    reasons.sort_by(|a, b| (&b.at, &a.id).cmp(&(&a.at, &b.id)));
    reasons.truncate(REASONS_SHOWN);
    reasons
}

/// `scales from 2 to 6 replicas: …` is how `decide::hpa` begins the summary of every rescale.
pub fn rescaled(summary: &str) -> Option<(u32, u32)> {
    let (from, rest) = summary.strip_prefix("scales from ")?.split_once(" to ")?;
    Some((from.parse().ok()?, rest.split_once(" replicas")?.0.parse().ok()?))
}

/// `New size: 6; reason: …`, as upstream's controller words its event.
fn new_size(message: &str) -> Option<u32> {
    message.strip_prefix("New size: ")?.split_once(';')?.0.parse().ok()
}

fn from_event(event: &v1::Event) -> Reason {
    Reason {
        from: None,
        to: event.message.as_deref().and_then(new_size),
        details: Vec::new(),
        id: namespaced(event.metadata.namespace.as_deref(), event.metadata.name.as_deref().unwrap_or_default()),
        source: ReasonSource::Event,
        at: events::seen_at(event),
        summary: event.message.clone().unwrap_or_default(),
        acted: event.reason.as_deref() == Some("SuccessfulRescale"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rescales_are_read_from_the_words_of_decisions_and_events() {
        assert_eq!(rescaled("scales from 2 to 6 replicas: cpu above target"), Some((2, 6)));
        assert_eq!(rescaled("stays at 2 replicas"), None);
        assert_eq!(rescaled("scales from x to 6 replicas"), None);
        assert_eq!(new_size("New size: 6; reason: cpu above target"), Some(6));
        assert_eq!(new_size("the HPA was unable"), None);
    }
}
