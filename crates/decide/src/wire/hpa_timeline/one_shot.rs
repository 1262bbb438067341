//! The one-shot form: what the controller would decide on first sight of a cluster's objects.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as WireQuantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use units::{Millis, QuantityError, Timestamp};

use super::{Flags, line};
use crate::hpa::view::{ConditionStatus, ContainerUsage, Metrics, Phase, PodMetrics, Scale, Snapshot};
use crate::hpa::{Memory, decide};
use crate::wire::hpa::{pod_view, quantity, spec_view, status_view};
use crate::wire::input::{InputError, strict};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    hpa: HorizontalPodAutoscaler,
    scale: ScaleDocument,
    pods: Vec<Pod>,
    #[serde(default)]
    pod_metrics: Vec<PodMetricsDocument>,
    now: Timestamp,
    sync: Option<f64>,
    downscale_window: Option<f64>,
    tolerance: Option<f64>,
    cpu_init: Option<f64>,
    initial_readiness: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScaleDocument {
    replicas: i32,
    status_replicas: Option<i32>,
    selector: String,
}

/// `metrics.k8s.io/v1beta1` PodMetrics, which k8s-openapi does not carry.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodMetricsDocument {
    #[serde(default, rename = "apiVersion")]
    _api_version: Option<String>,
    #[serde(default, rename = "kind")]
    _kind: Option<String>,
    metadata: ObjectMeta,
    timestamp: Timestamp,
    window: String,
    containers: Vec<ContainerDocument>,
}

#[derive(Deserialize)]
struct ContainerDocument {
    name: String,
    usage: BTreeMap<String, WireQuantity>,
}

pub(super) fn run(document: &Value) -> Result<Vec<String>, InputError> {
    let parsed: Document = strict(document)?;
    let bad = |field: &str| {
        let field = field.to_owned();
        move |error: QuantityError| InputError::new(field, error.to_string())
    };
    let namespace = parsed.hpa.metadata.namespace.clone().unwrap_or_else(|| "default".to_owned());
    let name = parsed.hpa.metadata.name.clone().unwrap_or_default();
    let status =
        parsed.hpa.status.as_ref().map(status_view).transpose().map_err(bad("hpa.status"))?.unwrap_or_default();
    let snapshot = Snapshot {
        now: parsed.now,
        selecting_autoscalers: vec![format!("{namespace}/{name}")],
        namespace,
        name,
        spec: spec_view(&parsed.hpa.spec).map_err(bad("hpa.spec"))?,
        status,
        scale: Ok(Scale {
            spec_replicas: parsed.scale.replicas,
            status_replicas: parsed.scale.status_replicas.unwrap_or(parsed.scale.replicas),
            selector: parsed.scale.selector,
            selector_error: None,
        }),
        pods: parsed.pods.iter().map(pod_view).collect::<Result<_, _>>().map_err(bad("pods"))?,
        metrics: Metrics { resource: Some(Ok(pod_metrics(&parsed.pod_metrics)?)), ..Metrics::default() },
    };
    let settings = Flags {
        sync: parsed.sync,
        downscale_window: parsed.downscale_window,
        tolerance: parsed.tolerance,
        cpu_init: parsed.cpu_init,
        initial_readiness: parsed.initial_readiness,
    }
    .settings()?;
    let decision = decide(&settings, &snapshot, &mut Memory::default());
    let is_ready = |pod: &&crate::hpa::view::Pod| {
        pod.phase == Phase::Running && pod.ready.is_some_and(|ready| ready.status == ConditionStatus::True)
    };
    let ready = snapshot.pods.iter().filter(is_ready).count();
    Ok(vec![line(Timestamp::default(), parsed.scale.replicas, &decision, ready).to_string()])
}

fn pod_metrics(documents: &[PodMetricsDocument]) -> Result<Vec<PodMetrics>, InputError> {
    documents
        .iter()
        .enumerate()
        .map(|(index, metrics)| {
            let field = |part: &str| format!("podMetrics[{index}].{part}");
            let window = duration(&metrics.window).ok_or_else(|| {
                InputError::new(field("window"), format!("`{}` is not a duration such as 30s", metrics.window))
            })?;
            let containers = metrics
                .containers
                .iter()
                .map(|container| {
                    let usage_milli = container
                        .usage
                        .iter()
                        .map(|(name, usage)| Ok((name.clone(), quantity(usage)?.millis())))
                        .collect::<Result<_, QuantityError>>()
                        .map_err(|error| InputError::new(field("containers"), error.to_string()))?;
                    Ok(ContainerUsage { name: container.name.clone(), usage_milli })
                })
                .collect::<Result<_, InputError>>()?;
            let pod = metrics.metadata.name.clone().unwrap_or_default();
            Ok(PodMetrics { pod, at: metrics.timestamp, window, containers })
        })
        .collect()
}

/// A Go duration as metrics-server prints it: `30s`, `1m0.5s`, `17.042s`.
fn duration(text: &str) -> Option<Millis> {
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit_len = rest[digits..].find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len() - digits);
        total += number
            * match &rest[digits..digits + unit_len] {
                "h" => 3_600_000.0,
                "m" => 60_000.0,
                "s" => 1000.0,
                "ms" => 1.0,
                "us" | "µs" => 0.001,
                "ns" => 0.000_001,
                _ => return None,
            };
        rest = &rest[digits + unit_len..];
    }
    (total > 0.0).then_some(Millis(total as i64))
}
