//! Metrics under Traefik's names, so that rules and dashboards work with either.

use http::Method;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EntryPointLabels {
    code: u16,
    method: &'static str,
    protocol: &'static str,
    entrypoint: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServiceLabels {
    code: u16,
    method: &'static str,
    protocol: &'static str,
    service: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServiceOnly {
    service: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConnectionLabels {
    entrypoint: Arc<str>,
    protocol: &'static str,
}

type Durations<Labels> = Family<Labels, Histogram, fn() -> Histogram>;

pub struct Metrics {
    registry: Mutex<Registry>,
    entry_point_requests: Family<EntryPointLabels, Counter>,
    service_requests: Family<ServiceLabels, Counter>,
    service_durations: Durations<ServiceLabels>,
    service_retries: Family<ServiceOnly, Counter>,
    open_connections: Family<ConnectionLabels, Gauge>,
    reloads: Counter,
}

/// Traefik's default buckets are 0.1, 0.3, 1.2 and 5 s; finer ones below tell something about a fast backend.
fn buckets() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.3, 1.2, 5.0])
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut registry = Registry::default();
        let metrics = (
            Family::default(),
            Family::default(),
            Durations::new_with_constructor(buckets as fn() -> Histogram),
            Family::default(),
            Family::default(),
            Counter::default(),
        );
        let (entry_point_requests, service_requests, service_durations, service_retries, open_connections, reloads) =
            metrics;
        registry.register(
            "traefik_entrypoint_requests",
            "Requests by entry point",
            Family::clone(&entry_point_requests),
        );
        registry.register("traefik_service_requests", "Requests by service", Family::clone(&service_requests));
        registry.register_with_unit(
            "traefik_service_request_duration",
            "Time until the response began",
            Unit::Seconds,
            Family::clone(&service_durations),
        );
        registry.register(
            "traefik_service_retries",
            "Requests that were sent again to another endpoint",
            Family::clone(&service_retries),
        );
        registry.register("traefik_open_connections", "Open client connections", Family::clone(&open_connections));
        registry.register("traefik_config_reloads", "Routing tables that took effect", Counter::clone(&reloads));
        Metrics {
            registry: Mutex::new(registry),
            entry_point_requests,
            service_requests,
            service_durations,
            service_retries,
            open_connections,
            reloads,
        }
    }
}

/// What requests are counted by, beside where they came in and went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    code: u16,
    method: &'static str,
    protocol: &'static str,
}

impl Kind {
    pub fn new(method: &Method, is_upgrade: bool, code: u16) -> Kind {
        Kind { code, method: method_label(method), protocol: if is_upgrade { "websocket" } else { "http" } }
    }
}

/// The series of requests of one kind.
#[derive(Clone)]
pub struct Series {
    entry_point_requests: Counter,
    service_requests: Counter,
    service_durations: Histogram,
}

impl Series {
    pub fn count(&self, took: Duration) {
        self.entry_point_requests.inc();
        self.service_requests.inc();
        self.service_durations.observe(took.as_secs_f64());
    }
}

/// Methods of a client's invention must not become series.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "PATCH" => "PATCH",
        "OPTIONS" => "OPTIONS",
        "CONNECT" => "CONNECT",
        "TRACE" => "TRACE",
        _ => "EXTENSION_METHOD",
    }
}

impl Metrics {
    /// One request that no route took.
    pub fn unrouted(&self, entry_point: &Arc<str>, kind: Kind) {
        self.entry_point_counter(entry_point, kind).inc();
    }

    /// The series that a request of this kind to this service counts in. To be kept: finding them means hashing every label.
    pub fn series(&self, entry_point: &Arc<str>, service: &Arc<str>, kind: Kind) -> Series {
        let Kind { code, method, protocol } = kind;
        let labels = ServiceLabels { code, method, protocol, service: service.clone() };
        Series {
            entry_point_requests: self.entry_point_counter(entry_point, kind),
            service_requests: self.service_requests.get_or_create_owned(&labels),
            service_durations: self.service_durations.get_or_create_owned(&labels),
        }
    }

    fn entry_point_counter(&self, entry_point: &Arc<str>, Kind { code, method, protocol }: Kind) -> Counter {
        let labels = EntryPointLabels { code, method, protocol, entrypoint: entry_point.clone() };
        self.entry_point_requests.get_or_create_owned(&labels)
    }

    pub fn retry(&self, service: &Arc<str>) {
        self.service_retries.get_or_create(&ServiceOnly { service: service.clone() }).inc();
    }

    pub fn reload(&self) {
        self.reloads.inc();
    }

    pub fn open_connections(&self, entrypoint: &Arc<str>) -> Gauge {
        self.open_connections
            .get_or_create_owned(&ConnectionLabels { entrypoint: entrypoint.clone(), protocol: "http" })
    }

    /// In the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry.lock())
            .expect("writing to a String cannot fail");
        text
    }
}
