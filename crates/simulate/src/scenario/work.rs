//! What a request costs.

use std::collections::BTreeMap;

use serde::Deserialize;
use units::{Bytes, Millicores, Millis};

use super::{ScenarioError, problem, text};

/// One workload's work. Only `cpu` has no default.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Work {
    /// CPU seconds of one request.
    #[serde(deserialize_with = "text::duration_seconds")]
    pub cpu: f64,
    /// Resident memory of a replica without requests.
    #[serde(default = "default_memory", deserialize_with = "text::bytes")]
    pub memory: Bytes,
    /// What each request in progress takes in addition.
    #[serde(default = "no_bytes", deserialize_with = "text::bytes")]
    pub memory_per_request: Bytes,
    /// Requests that a replica works on at the same time; more wait.
    #[serde(default = "default_concurrency")]
    pub concurrency: u32,
    /// From the container's start until it answers its probe.
    #[serde(default = "default_startup", deserialize_with = "text::duration")]
    pub startup: Millis,
    /// CPU that it takes meanwhile.
    #[serde(default = "no_cpu", deserialize_with = "text::millicores")]
    pub startup_cpu: Millicores,
    /// CPU of a ready replica without requests.
    #[serde(default = "no_cpu", deserialize_with = "text::millicores")]
    pub idle: Millicores,
    #[serde(default)]
    pub database: Option<DatabaseWork>,
    /// Seconds after which a client gives up; the request has failed.
    #[serde(default = "default_timeout", deserialize_with = "text::duration_seconds")]
    pub timeout: f64,
    /// How often a client tries again after a failure.
    #[serde(default)]
    pub retries: u32,
    /// Requests to this workload for each of the load, where the load names no routes.
    #[serde(default = "one")]
    pub share: f64,
    /// Coefficient of variation of the CPU time; 1 is exponential.
    #[serde(default = "one")]
    pub variation: f64,
}

/// The part of a request that waits for the database.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct DatabaseWork {
    /// The pool of each replica; without it the one that the deploy stack computes.
    #[serde(default)]
    pub connections: Option<u32>,
    /// Seconds that the idle server works on the request's queries.
    #[serde(deserialize_with = "text::duration_seconds")]
    pub time: f64,
}

fn default_memory() -> Bytes {
    Bytes(64 << 20)
}

fn no_bytes() -> Bytes {
    Bytes(0)
}

fn default_concurrency() -> u32 {
    64
}

fn default_startup() -> Millis {
    Millis::from_secs(2)
}

fn no_cpu() -> Millicores {
    Millicores(0)
}

fn default_timeout() -> f64 {
    30.0
}

fn one() -> f64 {
    1.0
}

impl Work {
    /// Work of so much CPU a request, everything else as a scenario's defaults have it.
    pub fn of_cpu(seconds: f64) -> Work {
        Work {
            cpu: seconds,
            memory: default_memory(),
            memory_per_request: no_bytes(),
            concurrency: default_concurrency(),
            startup: default_startup(),
            startup_cpu: no_cpu(),
            idle: no_cpu(),
            database: None,
            timeout: default_timeout(),
            retries: 0,
            share: 1.0,
            variation: 1.0,
        }
    }

    /// What is assumed of the platform's own workloads where a scenario says nothing of its work.
    pub fn of_the_platform() -> BTreeMap<String, Work> {
        let backend = Work {
            memory: Bytes(96 << 20),
            concurrency: 16,
            startup: Millis::from_secs(4),
            database: Some(DatabaseWork { connections: None, time: 0.003 }),
            ..Work::of_cpu(0.012)
        };
        let frontend = Work { memory: Bytes(16 << 20), startup: Millis::from_secs(1), ..Work::of_cpu(0.001) };
        BTreeMap::from([("backend".to_owned(), backend), ("frontend".to_owned(), frontend)])
    }

    pub(super) fn check(&self, field: &str) -> Result<(), ScenarioError> {
        let refuse = |name: &str, text: &str| Err(problem(format!("{field}.{name}"), text));
        if self.cpu <= 0.0 || self.cpu > 3600.0 {
            return refuse("cpu", "a request must take some CPU, and at most an hour");
        }
        if self.concurrency == 0 || self.concurrency > 1_000_000 {
            return refuse("concurrency", "must be between 1 and 1000000");
        }
        if self.timeout <= 0.0 {
            return refuse("timeout", "must be longer than nothing");
        }
        if self.retries > 10 {
            return refuse("retries", "must be at most 10");
        }
        if !(0.0..=1000.0).contains(&self.share) {
            return refuse("share", "must be between 0 and 1000");
        }
        if !(0.0..=20.0).contains(&self.variation) {
            return refuse("variation", "must be between 0 and 20");
        }
        if let Some(database) = &self.database {
            if database.connections == Some(0) {
                return refuse("database.connections", "must be at least 1");
            }
            if database.time <= 0.0 {
                return refuse("database.time", "must be longer than nothing");
            }
        }
        Ok(())
    }
}
