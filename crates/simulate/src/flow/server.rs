//! One replica, and the database behind it, in a steady state.

use super::latency::Response;
use super::queueing::{mean_sojourn, sojourn, wait};
use crate::scenario::Work;

/// From here on a queue is not steady within a minute any more; what comes beyond is a backlog that grows.
const STEADY: f64 = 0.97;

/// How the database is at present.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Database {
    /// Cores that it has.
    pub(crate) cores: f64,
    /// Query seconds a second that all replicas ask for.
    pub(crate) offered: f64,
    /// How many times as slow as it should be.
    pub(crate) slowness: f64,
    pub(crate) up: bool,
}

impl Database {
    /// Seconds that queries of `time` seconds take.
    fn answer(&self, time: f64) -> f64 {
        let time = time * self.slowness;
        // Below one core a query takes longer; above, it still has only one.
        let speed = self.cores.min(1.0);
        let servers = self.servers();
        let load = (self.offered * self.slowness / self.cores).min(STEADY);
        time / speed * mean_sojourn(servers, load)
    }

    fn servers(&self) -> u32 {
        (self.cores as u32).max(1)
    }

    /// The share of what is asked for that it can do.
    pub(crate) fn share(&self) -> f64 {
        let wanted = self.offered * self.slowness;
        if wanted <= self.cores { 1.0 } else { self.cores / wanted }
    }
}

/// What a replica can do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Replica {
    /// Cores that it may use.
    pub(crate) cores: f64,
    /// Connections that it has.
    pub(crate) connections: u32,
}

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Served {
    /// Requests a second that it can finish at most.
    pub(crate) capacity: f64,
    pub(crate) response: Response,
}

/// The steady state of one replica that is offered `rate` requests a second and has `backlog` waiting.
pub(crate) fn serve(work: &Work, replica: &Replica, database: &Database, rate: f64, backlog: f64) -> Served {
    let servers = (replica.cores as u32).max(1);
    let speed = (replica.cores / f64::from(servers)).min(1.0);
    let service = work.cpu / speed;
    let mut capacity = f64::from(servers) * speed / work.cpu;
    let query = work.database.as_ref().map(|work| database.answer(work.time));
    if let Some(query) = query {
        capacity = capacity.min(f64::from(replica.connections) / query);
        if database.share() < 1.0 {
            capacity = capacity.min(rate * database.share());
        }
    }
    let held = service + query.unwrap_or(0.0);
    capacity = capacity.min(f64::from(work.concurrency) / held);
    if capacity <= 0.0 {
        return Served { capacity: 0.0, response: Response::new(work.timeout, 0.0) };
    }
    let served = rate.min(STEADY * capacity);
    let load = (served * service / f64::from(servers)).min(STEADY);
    let (stretch, sharing_scv) = sojourn(servers, load);
    // One server's mean holds for every distribution of the work; its variance grows with that of the work.
    let scv = sharing_scv - 1.0 + work.variation * work.variation;
    let mut mean = service * stretch;
    let mut variance = mean * mean * scv.max(0.0);
    if let Some(query) = query {
        let busy = (served * query / f64::from(replica.connections)).min(STEADY);
        let (waited, wait_variance) = wait(replica.connections, busy);
        mean += query + query * waited;
        variance += query * query + wait_variance * query * query;
    }
    let occupied = (served * mean / f64::from(work.concurrency)).min(STEADY);
    if occupied > 0.3 {
        let (waited, wait_variance) = wait(work.concurrency, occupied);
        variance += wait_variance * mean * mean;
        mean += mean * waited;
    }
    if backlog > 0.0 {
        // Whoever waits longer than the client's patience is not answered: the answers' times end there.
        mean = (mean + backlog / capacity).min(0.98 * work.timeout);
        let room = (work.timeout - mean) / 3.0;
        variance = variance.min(room * room);
    }
    Served { capacity, response: Response::new(mean, variance) }
}
