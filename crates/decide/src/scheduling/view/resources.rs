//! Amounts of the resources that the scheduler counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use units::{Bytes, Millicores};

use super::is_default;

/// What a pod asks for or a node offers. Extended resources, huge pages and attachable volumes are `scalar`, by name,
/// in whole units.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    #[serde(default, skip_serializing_if = "is_default")]
    pub cpu: Millicores,
    #[serde(default, skip_serializing_if = "is_default")]
    pub memory: Bytes,
    #[serde(default, skip_serializing_if = "is_default")]
    pub ephemeral_storage: Bytes,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scalar: BTreeMap<String, i64>,
}

impl Resources {
    pub fn is_zero(&self) -> bool {
        self.cpu.0 == 0 && self.memory.0 == 0 && self.ephemeral_storage.0 == 0 && self.scalar.is_empty()
    }

    pub fn add(&mut self, other: &Resources) {
        self.cpu += other.cpu;
        self.memory += other.memory;
        self.ephemeral_storage += other.ephemeral_storage;
        for (name, amount) in &other.scalar {
            *self.scalar.entry(name.clone()).or_default() += amount;
        }
    }

    pub fn subtract(&mut self, other: &Resources) {
        self.cpu -= other.cpu;
        self.memory -= other.memory;
        self.ephemeral_storage -= other.ephemeral_storage;
        for (name, amount) in &other.scalar {
            *self.scalar.entry(name.clone()).or_default() -= amount;
        }
    }

    /// The larger of both, resource by resource.
    pub fn raise_to(&mut self, other: &Resources) {
        self.cpu = self.cpu.max(other.cpu);
        self.memory = self.memory.max(other.memory);
        self.ephemeral_storage = self.ephemeral_storage.max(other.ephemeral_storage);
        for (name, amount) in &other.scalar {
            let own = self.scalar.entry(name.clone()).or_default();
            *own = (*own).max(*amount);
        }
    }

    /// The first resource of which `self` asks for more than `free` has, by its Kubernetes name.
    pub fn first_missing<'a>(&'a self, free: &Resources) -> Option<&'a str> {
        if self.cpu > free.cpu && self.cpu.0 > 0 {
            return Some("cpu");
        }
        if self.memory > free.memory && self.memory.0 > 0 {
            return Some("memory");
        }
        if self.ephemeral_storage > free.ephemeral_storage && self.ephemeral_storage.0 > 0 {
            return Some("ephemeral-storage");
        }
        self.scalar
            .iter()
            .find(|(name, amount)| **amount > free.scalar.get(*name).copied().unwrap_or(0) && **amount > 0)
            .map(|(name, _)| name.as_str())
    }
}
