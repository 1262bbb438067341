//! `autoscaling/v2` and `core/v1` objects into the autoscaler's decision view, and its status back.

use std::collections::BTreeMap;

use k8s_openapi::api::autoscaling::v2 as wire;
use k8s_openapi::api::core::v1::Pod as WirePod;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as WireQuantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};
use units::{Millis, Quantity, QuantityError, Timestamp};

use crate::hpa::status::{Condition, CurrentValue, MetricStatus, Status};
use crate::hpa::view::{
    Behavior, ConditionStatus, ContainerRequests, MetricIdentifier, MetricSpec, ObjectReference, Phase, Pod, Policy,
    PolicyKind, ReadyCondition, Rules, SelectPolicy, Spec, Target,
};

type Converted<T> = Result<T, QuantityError>;

/// The spec with the API server's defaults (`pkg/apis/autoscaling/v2/defaults.go`) filled in.
///
/// # Errors
/// When a quantity does not parse.
pub fn spec_view(spec: &wire::HorizontalPodAutoscalerSpec) -> Converted<Spec> {
    let metrics = match spec.metrics.as_deref() {
        None | Some([]) => vec![default_metric()],
        Some(metrics) => metrics.iter().map(metric_view).collect::<Converted<_>>()?,
    };
    Ok(Spec {
        target: reference_view(&spec.scale_target_ref),
        min_replicas: Some(spec.min_replicas.unwrap_or(1)),
        max_replicas: spec.max_replicas,
        metrics,
        behavior: spec.behavior.as_ref().map(behavior_view).transpose()?,
    })
}

fn default_metric() -> MetricSpec {
    let target = Target { kind: "Utilization".to_owned(), average_utilization: Some(80), ..Target::default() };
    MetricSpec::Resource { resource: "cpu".to_owned(), target }
}

fn reference_view(reference: &wire::CrossVersionObjectReference) -> ObjectReference {
    ObjectReference {
        api_version: reference.api_version.clone().unwrap_or_default(),
        kind: reference.kind.clone(),
        name: reference.name.clone(),
    }
}

pub fn quantity(wire: &WireQuantity) -> Converted<Quantity> {
    wire.0.parse()
}

fn identifier_view(metric: &wire::MetricIdentifier) -> MetricIdentifier {
    MetricIdentifier {
        name: metric.name.clone(),
        selector: metric.selector.as_ref().map(|selector| serde_json::to_value(selector).unwrap_or_default()),
    }
}

fn target_view(target: &wire::MetricTarget) -> Converted<Target> {
    Ok(Target {
        kind: target.type_.clone(),
        average_utilization: target.average_utilization,
        average_value: target.average_value.as_ref().map(quantity).transpose()?,
        value: target.value.as_ref().map(quantity).transpose()?,
    })
}

fn metric_view(metric: &wire::MetricSpec) -> Converted<MetricSpec> {
    let unknown = || MetricSpec::Unknown { source_type: metric.type_.clone() };
    Ok(match metric.type_.as_str() {
        "Resource" => match &metric.resource {
            Some(source) => {
                MetricSpec::Resource { resource: source.name.clone(), target: target_view(&source.target)? }
            }
            None => unknown(),
        },
        "ContainerResource" => match &metric.container_resource {
            Some(source) => MetricSpec::ContainerResource {
                resource: source.name.clone(),
                container: source.container.clone(),
                target: target_view(&source.target)?,
            },
            None => unknown(),
        },
        "Pods" => match &metric.pods {
            Some(source) => {
                MetricSpec::Pods { metric: identifier_view(&source.metric), target: target_view(&source.target)? }
            }
            None => unknown(),
        },
        "Object" => match &metric.object {
            Some(source) => MetricSpec::Object {
                metric: identifier_view(&source.metric),
                described: reference_view(&source.described_object),
                target: target_view(&source.target)?,
            },
            None => unknown(),
        },
        "External" => match &metric.external {
            Some(source) => {
                MetricSpec::External { metric: identifier_view(&source.metric), target: target_view(&source.target)? }
            }
            None => unknown(),
        },
        _ => unknown(),
    })
}

fn behavior_view(behavior: &wire::HorizontalPodAutoscalerBehavior) -> Converted<Behavior> {
    let policy = |kind, value| Policy { kind, value, period: Millis::from_secs(15) };
    let scale_up = Rules {
        stabilization_window: Some(Millis::ZERO),
        select_policy: SelectPolicy::Max,
        policies: vec![policy(PolicyKind::Pods, 4), policy(PolicyKind::Percent, 100)],
        tolerance: None,
    };
    let scale_down = Rules {
        stabilization_window: None,
        select_policy: SelectPolicy::Max,
        policies: vec![policy(PolicyKind::Percent, 100)],
        tolerance: None,
    };
    Ok(Behavior {
        scale_up: rules_view(behavior.scale_up.as_ref(), scale_up)?,
        scale_down: rules_view(behavior.scale_down.as_ref(), scale_down)?,
    })
}

fn rules_view(rules: Option<&wire::HPAScalingRules>, defaults: Rules) -> Converted<Rules> {
    let Some(rules) = rules else { return Ok(defaults) };
    Ok(Rules {
        stabilization_window: rules
            .stabilization_window_seconds
            .map(|seconds| Millis::from_secs(seconds.into()))
            .or(defaults.stabilization_window),
        select_policy: match rules.select_policy.as_deref() {
            Some("Min") => SelectPolicy::Min,
            Some("Disabled") => SelectPolicy::Disabled,
            Some(_) => SelectPolicy::Max,
            None => defaults.select_policy,
        },
        policies: rules
            .policies
            .as_ref()
            .map_or(defaults.policies, |policies| policies.iter().map(policy_view).collect()),
        tolerance: match &rules.tolerance {
            Some(tolerance) => Some(quantity(tolerance)?.as_f64()),
            None => None,
        },
    })
}

fn policy_view(policy: &wire::HPAScalingPolicy) -> Policy {
    Policy {
        kind: if policy.type_ == "Percent" { PolicyKind::Percent } else { PolicyKind::Pods },
        value: policy.value,
        period: Millis::from_secs(policy.period_seconds.into()),
    }
}

fn instant(time: &Time) -> Timestamp {
    Timestamp::from(time.0)
}

fn condition_status(status: &str) -> ConditionStatus {
    match status {
        "True" => ConditionStatus::True,
        "False" => ConditionStatus::False,
        _ => ConditionStatus::Unknown,
    }
}

/// # Errors
/// When a request does not parse.
pub fn pod_view(pod: &WirePod) -> Converted<Pod> {
    let status = pod.status.as_ref();
    let ready = status
        .and_then(|status| status.conditions.as_ref())
        .and_then(|conditions| conditions.iter().find(|condition| condition.type_ == "Ready"))
        .map(|condition| ReadyCondition {
            status: condition_status(&condition.status),
            last_transition: condition.last_transition_time.as_ref().map(instant).unwrap_or_default(),
        });
    Ok(Pod {
        name: pod.metadata.name.clone().unwrap_or_default(),
        phase: match status.and_then(|status| status.phase.as_deref()) {
            Some("Pending") => Phase::Pending,
            Some("Running") => Phase::Running,
            Some("Succeeded") => Phase::Succeeded,
            Some("Failed") => Phase::Failed,
            _ => Phase::Unknown,
        },
        deleting: pod.metadata.deletion_timestamp.is_some(),
        start_time: status.and_then(|status| status.start_time.as_ref()).map(instant),
        ready,
        containers: container_requests(pod)?,
        pod_requests: pod_level_requests(pod)?,
    })
}

fn milli_map(requests: Option<&BTreeMap<String, WireQuantity>>) -> Converted<BTreeMap<String, i64>> {
    requests.into_iter().flatten().map(|(name, amount)| Ok((name.clone(), quantity(amount)?.millis()))).collect()
}

/// Containers first, then restartable init containers, in the order in which upstream looks at them.
fn container_requests(pod: &WirePod) -> Converted<Vec<ContainerRequests>> {
    let Some(spec) = &pod.spec else { return Ok(Vec::new()) };
    let sidecars =
        spec.init_containers.iter().flatten().filter(|container| container.restart_policy.as_deref() == Some("Always"));
    spec.containers
        .iter()
        .chain(sidecars)
        .map(|container| {
            let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
            Ok(ContainerRequests { name: container.name.clone(), requests_milli: milli_map(requests)? })
        })
        .collect()
}

/// Where `spec.resources` requests CPU, memory or huge pages, the pod's own requests replace the sum over its
/// containers, resource by resource (`component-helpers/resource`, PodRequests).
fn pod_level_requests(pod: &WirePod) -> Converted<Option<BTreeMap<String, i64>>> {
    let requests =
        pod.spec.as_ref().and_then(|spec| spec.resources.as_ref()).and_then(|resources| resources.requests.as_ref());
    let own = milli_map(requests)?;
    let supported = |name: &String| name == "cpu" || name == "memory" || name.starts_with("hugepages-");
    if !own.keys().any(supported) {
        return Ok(None);
    }
    let mut sum: BTreeMap<String, i64> = BTreeMap::new();
    for container in container_requests(pod)? {
        for (name, milli) in container.requests_milli {
            *sum.entry(name).or_default() += milli;
        }
    }
    sum.extend(own.into_iter().filter(|(name, _)| supported(name)));
    Ok(Some(sum))
}

/// # Errors
/// When a quantity does not parse.
pub fn status_view(status: &wire::HorizontalPodAutoscalerStatus) -> Converted<Status> {
    Ok(Status {
        current_replicas: status.current_replicas.unwrap_or(0),
        desired_replicas: status.desired_replicas,
        last_scale_time: status.last_scale_time.as_ref().map(instant),
        current_metrics: status.current_metrics.iter().flatten().map(metric_status_view).collect::<Converted<_>>()?,
        conditions: status
            .conditions
            .iter()
            .flatten()
            .map(|condition| Condition {
                kind: condition.type_.clone(),
                status: condition_status(&condition.status),
                reason: condition.reason.clone().unwrap_or_default(),
                message: condition.message.clone().unwrap_or_default(),
                last_transition_time: condition.last_transition_time.as_ref().map(instant),
            })
            .collect(),
    })
}

/// # Errors
/// When a quantity does not parse.
pub fn metric_status_view(status: &wire::MetricStatus) -> Converted<MetricStatus> {
    let current = |value: &wire::MetricValueStatus| -> Converted<CurrentValue> {
        Ok(CurrentValue {
            average_utilization: value.average_utilization,
            average_value: value.average_value.as_ref().map(quantity).transpose()?,
            value: value.value.as_ref().map(quantity).transpose()?,
        })
    };
    if let Some(source) = &status.resource {
        return Ok(MetricStatus::Resource { resource: source.name.clone(), current: current(&source.current)? });
    }
    if let Some(source) = &status.container_resource {
        let (resource, container) = (source.name.clone(), source.container.clone());
        return Ok(MetricStatus::ContainerResource { resource, container, current: current(&source.current)? });
    }
    if let Some(source) = &status.pods {
        return Ok(MetricStatus::Pods { metric: identifier_view(&source.metric), current: current(&source.current)? });
    }
    if let Some(source) = &status.object {
        let described = reference_view(&source.described_object);
        return Ok(MetricStatus::Object {
            metric: identifier_view(&source.metric),
            described,
            current: current(&source.current)?,
        });
    }
    if let Some(source) = &status.external {
        return Ok(MetricStatus::External {
            metric: identifier_view(&source.metric),
            current: current(&source.current)?,
        });
    }
    Ok(MetricStatus::Missing)
}

/// The status as the API object has it.
pub fn status_wire(status: &Status) -> wire::HorizontalPodAutoscalerStatus {
    let time = |at: Timestamp| Time(at.truncated().into());
    wire::HorizontalPodAutoscalerStatus {
        current_replicas: Some(status.current_replicas),
        desired_replicas: status.desired_replicas,
        last_scale_time: status.last_scale_time.map(time),
        current_metrics: (!status.current_metrics.is_empty())
            .then(|| status.current_metrics.iter().map(metric_status_wire).collect()),
        conditions: Some(
            status
                .conditions
                .iter()
                .map(|condition| wire::HorizontalPodAutoscalerCondition {
                    type_: condition.kind.clone(),
                    status: format!("{:?}", condition.status),
                    reason: Some(condition.reason.clone()),
                    message: Some(condition.message.clone()),
                    last_transition_time: condition.last_transition_time.map(time),
                })
                .collect(),
        ),
        observed_generation: None,
    }
}

fn metric_status_wire(status: &MetricStatus) -> wire::MetricStatus {
    let quantity = |value: Quantity| WireQuantity(value.to_string());
    let current = |value: &CurrentValue| wire::MetricValueStatus {
        average_utilization: value.average_utilization,
        average_value: value.average_value.map(quantity),
        value: value.value.map(quantity),
    };
    let identifier = |metric: &MetricIdentifier| wire::MetricIdentifier {
        name: metric.name.clone(),
        selector: metric
            .selector
            .as_ref()
            .and_then(|selector| serde_json::from_value::<LabelSelector>(selector.clone()).ok()),
    };
    let mut out = wire::MetricStatus::default();
    match status {
        MetricStatus::Resource { resource, current: value } => {
            out.type_ = "Resource".to_owned();
            out.resource = Some(wire::ResourceMetricStatus { name: resource.clone(), current: current(value) });
        }
        MetricStatus::ContainerResource { resource, container, current: value } => {
            out.type_ = "ContainerResource".to_owned();
            let (name, container) = (resource.clone(), container.clone());
            out.container_resource =
                Some(wire::ContainerResourceMetricStatus { name, container, current: current(value) });
        }
        MetricStatus::Pods { metric, current: value } => {
            out.type_ = "Pods".to_owned();
            out.pods = Some(wire::PodsMetricStatus { metric: identifier(metric), current: current(value) });
        }
        MetricStatus::Object { metric, described, current: value } => {
            out.type_ = "Object".to_owned();
            out.object = Some(wire::ObjectMetricStatus {
                metric: identifier(metric),
                described_object: wire::CrossVersionObjectReference {
                    api_version: (!described.api_version.is_empty()).then(|| described.api_version.clone()),
                    kind: described.kind.clone(),
                    name: described.name.clone(),
                },
                current: current(value),
            });
        }
        MetricStatus::External { metric, current: value } => {
            out.type_ = "External".to_owned();
            out.external = Some(wire::ExternalMetricStatus { metric: identifier(metric), current: current(value) });
        }
        MetricStatus::Missing => {}
    }
    out
}
