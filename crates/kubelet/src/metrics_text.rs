//! Prometheus text of `/metrics/cadvisor` and `/metrics/resource`, under the names that dashboards expect.

use std::fmt::Write;

use units::{Bytes, Timestamp};

use crate::usage::Sample;

pub(crate) fn cadvisor(node: &str, samples: &[Sample]) -> String {
    let mut text = String::new();
    let own: Vec<&Sample> = samples.iter().filter(|sample| sample.pod.node == node).collect();
    let mut family = |name: &str, kind: &str, help: &str, extra: &str, value: &dyn Fn(&Sample) -> Option<f64>| {
        header(&mut text, name, kind, help);
        for sample in &own {
            if let Some(value) = value(sample) {
                line(&mut text, name, &format!("{}{extra}", cadvisor_labels(sample)), value, Some(sample.at));
            }
        }
    };
    family(
        "container_cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed in seconds.",
        ",cpu=\"total\"",
        &|sample| Some(sample.cpu_seconds),
    );
    family("container_memory_working_set_bytes", "gauge", "Current working set in bytes.", "", &|sample| {
        Some(bytes(sample.memory))
    });
    family("container_memory_rss", "gauge", "Size of RSS in bytes.", "", &|sample| Some(bytes(sample.memory)));
    family("container_memory_usage_bytes", "gauge", "Current memory usage in bytes.", "", &|sample| {
        Some(bytes(sample.memory))
    });
    family("container_spec_cpu_quota", "gauge", "CPU quota of the container.", "", &|sample| {
        sample.container.cpu_limit.map(|limit| limit.0 as f64 * 100.0)
    });
    family(
        "container_start_time_seconds",
        "gauge",
        "Start time of the container since unix epoch in seconds.",
        "",
        &|sample| Some(sample.container.started.0 as f64 / 1000.0),
    );
    text
}

pub(crate) fn resource(node: &str, samples: &[Sample]) -> String {
    let mut text = String::new();
    let own: Vec<&Sample> = samples.iter().filter(|sample| sample.pod.node == node).collect();
    let labels = |sample: &Sample| {
        format!("container={:?},namespace={:?},pod={:?}", sample.container.name, sample.pod.namespace, sample.pod.name)
    };
    let name = "container_cpu_usage_seconds_total";
    header(&mut text, name, "counter", "[STABLE] Cumulative cpu time consumed by the container in core-seconds");
    own.iter().for_each(|sample| line(&mut text, name, &labels(sample), sample.cpu_seconds, Some(sample.at)));
    let name = "container_memory_working_set_bytes";
    header(&mut text, name, "gauge", "[STABLE] Current working set of the container in bytes");
    own.iter().for_each(|sample| line(&mut text, name, &labels(sample), bytes(sample.memory), Some(sample.at)));
    let name = "container_start_time_seconds";
    header(&mut text, name, "gauge", "[STABLE] Start time of the container since unix epoch in seconds");
    own.iter()
        .for_each(|sample| line(&mut text, name, &labels(sample), sample.container.started.0 as f64 / 1000.0, None));
    let name = "node_cpu_usage_seconds_total";
    header(&mut text, name, "counter", "[STABLE] Cumulative cpu time consumed by the node in core-seconds");
    line(&mut text, name, "", own.iter().map(|sample| sample.cpu_seconds).sum(), None);
    let name = "node_memory_working_set_bytes";
    header(&mut text, name, "gauge", "[STABLE] Current working set of the node in bytes");
    line(&mut text, name, "", bytes(own.iter().map(|sample| sample.memory).sum()), None);
    text
}

fn cadvisor_labels(sample: &Sample) -> String {
    let id = format!("/kubepods/pod{}/{}", sample.pod.uid, sample.container.name);
    format!(
        "container={:?},id={id:?},image={:?},name={:?},namespace={:?},pod={:?}",
        sample.container.name,
        sample.container.image,
        format!("{}/{}", sample.pod.uid, sample.container.name),
        sample.pod.namespace,
        sample.pod.name
    )
}

fn header(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, labels: &str, value: f64, at: Option<Timestamp>) {
    let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
    let at = at.map(|at| format!(" {}", at.0)).unwrap_or_default();
    let _ = writeln!(text, "{name}{labels} {value}{at}");
}

fn bytes(bytes: Bytes) -> f64 {
    bytes.0 as f64
}
