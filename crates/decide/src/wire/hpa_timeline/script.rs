//! The scripted form: what the input document says, checked.

use std::collections::BTreeMap;

use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscalerSpec, MetricStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as WireQuantity;
use serde::Deserialize;
use serde_json::Value;
use units::{Millis, Timestamp};

use super::Flags;
use crate::hpa::status;
use crate::hpa::view::{MetricSpec, Settings, Spec};
use crate::wire::hpa::{metric_status_view, quantity, spec_view};
use crate::wire::input::{InputError, strict};

/// A year: enough for any plan, and a bound on what one input can cost.
const MAX_DURATION_SECONDS: f64 = 366.0 * 86_400.0;
const MAX_REPLICAS: i32 = 100_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    spec: HorizontalPodAutoscalerSpec,
    initial_replicas: i32,
    #[serde(default)]
    pod_request: BTreeMap<String, WireQuantity>,
    #[serde(default)]
    pod_ready_delay: f64,
    duration: f64,
    sync: Option<f64>,
    downscale_window: Option<f64>,
    tolerance: Option<f64>,
    cpu_init: Option<f64>,
    initial_readiness: Option<f64>,
    steps: Vec<StepDocument>,
    #[serde(default)]
    verbose: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StepDocument {
    t: f64,
    #[serde(rename = "totalCPU")]
    total_cpu: Option<f64>,
    total_memory: Option<f64>,
    #[serde(rename = "podCPU")]
    pod_cpu: Option<f64>,
    pod_memory: Option<f64>,
    drop: Option<bool>,
    pods: Option<BTreeMap<String, PodOverride>>,
    metrics: Option<Vec<MetricStatus>>,
    spec: Option<HorizontalPodAutoscalerSpec>,
}

/// What a step says of one pod; what it leaves out follows from the load.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct PodOverride {
    /// Millicores.
    pub cpu: Option<f64>,
    /// MiB.
    pub memory: Option<f64>,
    pub ready: Option<bool>,
    pub missing: Option<bool>,
}

/// Usage of one resource: shared by the ready pods, or the same for each; in thousandths of its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Usage {
    Total(i64),
    PerPod(i64),
}

pub(super) struct Step {
    pub at: Timestamp,
    pub cpu: Option<Usage>,
    pub memory: Option<Usage>,
    pub drop: Option<bool>,
    pub pods: Option<BTreeMap<String, PodOverride>>,
    pub metrics: Option<Vec<status::MetricStatus>>,
    pub spec: Option<Spec>,
}

pub(super) struct Script {
    pub spec: Spec,
    pub initial_replicas: i32,
    pub pod_request_milli: BTreeMap<String, i64>,
    /// The container that container metrics measure; `main` when the spec names none.
    pub containers: Vec<String>,
    pub pod_ready_delay: Millis,
    pub duration: Timestamp,
    pub sync: Timestamp,
    pub steps: Vec<Step>,
    pub verbose: bool,
    settings: Settings,
}

/// Seconds with at most three decimals as milliseconds.
pub(super) fn millis(field: &str, seconds: f64) -> Result<Millis, InputError> {
    if !seconds.is_finite() || !(0.0..=MAX_DURATION_SECONDS).contains(&seconds) {
        return Err(InputError::new(
            field,
            format!("{seconds} is not a number of seconds from 0 to {MAX_DURATION_SECONDS}"),
        ));
    }
    let millis = seconds * 1000.0;
    if (millis - millis.round()).abs() > 1e-6 {
        return Err(InputError::new(field, format!("{seconds} has more than three decimals")));
    }
    Ok(Millis(millis.round() as i64))
}

fn amount(field: &str, value: f64, milli_per_unit: f64) -> Result<i64, InputError> {
    let milli = value * milli_per_unit;
    if !(0.0..=9.0e18).contains(&milli) {
        return Err(InputError::new(field, format!("{value} is not a usage from 0 on")));
    }
    Ok(milli as i64)
}

/// Millicores are thousandths of a core already.
pub(super) fn cpu_milli(field: &str, millicores: f64) -> Result<i64, InputError> {
    amount(field, millicores, 1.0)
}

/// MiB in thousandths of a byte, as `MilliValue` of a memory quantity.
pub(super) fn memory_milli(field: &str, mebibytes: f64) -> Result<i64, InputError> {
    amount(field, mebibytes, 1_048_576_000.0)
}

impl Script {
    pub fn parse(document: &Value) -> Result<Script, InputError> {
        let parsed: Document = strict(document)?;
        let spec = checked_spec("spec", &parsed.spec)?;
        if !(0..=MAX_REPLICAS).contains(&parsed.initial_replicas) {
            return Err(InputError::new("initialReplicas", format!("must be from 0 to {MAX_REPLICAS}")));
        }
        let settings = Flags {
            sync: parsed.sync,
            downscale_window: parsed.downscale_window,
            tolerance: parsed.tolerance,
            cpu_init: parsed.cpu_init,
            initial_readiness: parsed.initial_readiness,
        }
        .settings()?;
        let mut pod_request_milli = BTreeMap::new();
        for (name, request) in &parsed.pod_request {
            let request =
                quantity(request).map_err(|error| InputError::new(format!("podRequest.{name}"), error.to_string()))?;
            pod_request_milli.insert(name.clone(), request.millis());
        }
        let duration = Timestamp::default() + millis("duration", parsed.duration)?;
        let steps = parsed
            .steps
            .into_iter()
            .enumerate()
            .map(|(index, step)| checked_step(index, step))
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(index) = steps.windows(2).position(|pair| pair[1].at < pair[0].at) {
            return Err(InputError::new(
                format!("steps[{}].t", index + 1),
                "lies before the step above it; steps go forward in time",
            ));
        }
        Ok(Script {
            containers: container_names(&spec, &steps),
            spec,
            initial_replicas: parsed.initial_replicas,
            pod_request_milli,
            pod_ready_delay: millis("podReadyDelay", parsed.pod_ready_delay)?,
            duration,
            sync: Timestamp::default() + settings.sync_period,
            steps,
            verbose: parsed.verbose,
            settings,
        })
    }

    pub fn settings(&self) -> Settings {
        self.settings.clone()
    }
}

fn checked_spec(field: &str, spec: &HorizontalPodAutoscalerSpec) -> Result<Spec, InputError> {
    let view = spec_view(spec).map_err(|error| InputError::new(field, error.to_string()))?;
    if view.max_replicas < 1 {
        return Err(InputError::new(format!("{field}.maxReplicas"), "must be greater than 0"));
    }
    if view.max_replicas > MAX_REPLICAS {
        return Err(InputError::new(format!("{field}.maxReplicas"), format!("must be at most {MAX_REPLICAS}")));
    }
    if view.min_replicas() < 0 || view.min_replicas() > view.max_replicas {
        return Err(InputError::new(format!("{field}.minReplicas"), "must be from 0 to maxReplicas"));
    }
    Ok(view)
}

fn checked_step(index: usize, step: StepDocument) -> Result<Step, InputError> {
    let field = |name: &str| format!("steps[{index}].{name}");
    let usage = |names: (&str, &str),
                 total: Option<f64>,
                 pod: Option<f64>,
                 convert: fn(&str, f64) -> Result<i64, InputError>| match (total, pod) {
        (Some(_), Some(_)) => {
            Err(InputError::new(field(names.0), format!("stands beside {}; name one of the two", names.1)))
        }
        (Some(total), None) => convert(&field(names.0), total).map(|milli| Some(Usage::Total(milli))),
        (None, Some(pod)) => convert(&field(names.1), pod).map(|milli| Some(Usage::PerPod(milli))),
        (None, None) => Ok(None),
    };
    let metrics = match &step.metrics {
        None => None,
        Some(metrics) => Some(
            metrics
                .iter()
                .map(metric_status_view)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| InputError::new(field("metrics"), error.to_string()))?,
        ),
    };
    Ok(Step {
        at: Timestamp::default() + millis(&field("t"), step.t)?,
        cpu: usage(("totalCPU", "podCPU"), step.total_cpu, step.pod_cpu, cpu_milli)?,
        memory: usage(("totalMemory", "podMemory"), step.total_memory, step.pod_memory, memory_milli)?,
        drop: step.drop,
        pods: step.pods,
        metrics,
        spec: step.spec.as_ref().map(|spec| checked_spec(&field("spec"), spec)).transpose()?,
    })
}

fn container_names(spec: &Spec, steps: &[Step]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for spec in std::iter::once(spec).chain(steps.iter().filter_map(|step| step.spec.as_ref())) {
        for metric in &spec.metrics {
            if let MetricSpec::ContainerResource { container, .. } = metric
                && !names.contains(container)
            {
                names.push(container.clone());
            }
        }
    }
    if names.is_empty() {
        names.push("main".to_owned());
    }
    names
}
