//! The routing table in force: routes, services and the pods behind them.

use super::metrics::{Kind, Metrics, Series};
use super::rules::Rule;
use super::table::Table;
use super::timers::Timers;
use super::upstream::Upstream;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub struct Service {
    /// As Traefik labels its metrics: `namespace-name-port@kubernetes`.
    pub name: Arc<str>,
    upstreams: Vec<Arc<Upstream>>,
    next: AtomicUsize,
    /// By entry point and kind: there are few.
    series: Mutex<Vec<(Arc<str>, Kind, Series)>>,
}

impl Service {
    pub fn is_empty(&self) -> bool {
        self.upstreams.is_empty()
    }

    pub fn count(&self, metrics: &Metrics, entry_point: &Arc<str>, kind: Kind, took: Duration) {
        let mut known = self.series.lock();
        let found = known.iter().find(|(of, known, _)| *known == kind && Arc::ptr_eq(of, entry_point));
        if let Some((_, _, series)) = found {
            return series.count(took);
        }
        let series = metrics.series(entry_point, &self.name, kind);
        series.count(took);
        known.push((entry_point.clone(), kind, series));
    }

    /// Round robin over those that are not in `tried`, and among these first those that were not refusing just now.
    pub fn pick(&self, tried: &[SocketAddr]) -> Option<Arc<Upstream>> {
        let count = self.upstreams.len();
        if count == 0 {
            return None;
        }
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let candidates = || {
            (0..count)
                .map(|offset| &self.upstreams[(first + offset) % count])
                .filter(|upstream| !tried.contains(&upstream.address))
        };
        candidates().find(|upstream| !upstream.is_avoided()).or_else(|| candidates().next()).cloned()
    }
}

struct ActiveRoute {
    rule: Rule,
    entry_points: Vec<String>,
    service: Arc<Service>,
}

#[derive(Default)]
struct Active {
    routes: Vec<ActiveRoute>,
    /// Kept from table to table, so that open connections stay of use.
    upstreams: BTreeMap<SocketAddr, Arc<Upstream>>,
}

/// Shared by all requests; replaced as a whole.
pub struct Routing {
    active: RwLock<Arc<Active>>,
    pub timers: Timers,
}

impl Routing {
    pub fn new(timers: Timers) -> Routing {
        Routing { active: RwLock::default(), timers }
    }

    pub fn apply(&self, table: &Table) {
        let before = self.active.read().clone();
        let new_upstream = |address| Upstream::new(address, self.timers.clone());
        let mut upstreams = BTreeMap::new();
        let services: BTreeMap<&str, Arc<Service>> = table
            .services
            .iter()
            .map(|(name, addresses)| {
                let of_service: Vec<_> = addresses
                    .iter()
                    .map(|address| before.upstreams.get(address).cloned().unwrap_or_else(|| new_upstream(*address)))
                    .collect();
                upstreams.extend(of_service.iter().map(|upstream| (upstream.address, upstream.clone())));
                (
                    name.as_str(),
                    Arc::new(Service {
                        name: format!("{name}@kubernetes").into(),
                        upstreams: of_service,
                        next: AtomicUsize::new(0),
                        series: Mutex::default(),
                    }),
                )
            })
            .collect();
        let routes = table
            .routes
            .iter()
            .filter_map(|route| {
                Some(ActiveRoute {
                    rule: route.rule.clone(),
                    entry_points: route.entry_points.clone(),
                    service: services.get(route.service.as_str())?.clone(),
                })
            })
            .collect();
        *self.active.write() = Arc::new(Active { routes, upstreams });
    }

    /// The service that a request of this entry point is for.
    pub fn find(&self, entry_point: &str, host: &str, path: &str) -> Option<Arc<Service>> {
        let active = self.active.read();
        let serves = |route: &&ActiveRoute| {
            route.entry_points.is_empty() || route.entry_points.iter().any(|name| name == entry_point)
        };
        active
            .routes
            .iter()
            .filter(serves)
            .find(|route| route.rule.matches(host, path))
            .map(|route| route.service.clone())
    }

    pub fn close_stale_connections(&self) {
        let active = self.active.read().clone();
        active.upstreams.values().for_each(|upstream| upstream.close_stale());
    }
}
