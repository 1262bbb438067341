//! Prometheus metrics of this replica.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    status: u16,
}

pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Histogram, fn() -> Histogram>,
    pub waiting: Gauge,
    pub streams: Gauge,
    pub shed: Counter,
    connections: Gauge,
    connections_idle: Gauge,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

/// From what a cached answer takes to what the time limit allows.
fn buckets() -> Histogram {
    Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
}

impl Metrics {
    pub fn new() -> Metrics {
        let mut registry = Registry::default();
        let requests = Family::new_with_constructor(buckets as fn() -> Histogram);
        let (waiting, streams, shed, connections, connections_idle) =
            (Gauge::default(), Gauge::default(), Counter::default(), Gauge::default(), Gauge::default());
        registry.register_with_unit("http_request_duration", "Time to answer", Unit::Seconds, requests.clone());
        registry.register("http_requests_waiting", "Requests that wait for their turn", waiting.clone());
        registry.register("http_streams", "Open event streams", streams.clone());
        registry.register("http_requests_shed", "Requests refused because too many wait", shed.clone());
        registry.register("database_connections", "Connections of the pool", connections.clone());
        registry.register(
            "database_connections_idle",
            "Connections of the pool that nobody uses",
            connections_idle.clone(),
        );
        registry.register("marea_build", "Build information", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        Metrics { registry, requests, waiting, streams, shed, connections, connections_idle }
    }

    pub fn observe(&self, route: &str, status: u16, took: Duration) {
        self.requests.get_or_create(&RequestLabels { route: route.to_owned(), status }).observe(took.as_secs_f64());
    }

    /// In the text format, with the pool's figures of this moment.
    pub fn render(&self, (size, idle): (u32, usize)) -> String {
        self.connections.set(size.into());
        self.connections_idle.set(i64::try_from(idle).unwrap_or(i64::MAX));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).expect("writing to a String cannot fail");
        text
    }
}
