//! Kubernetes quantities as the console's integers.

use backend_api::cluster::Resources;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::collections::BTreeMap;

/// A quantity that does not parse counts as nothing: the API server lets none pass.
pub fn resources(list: &BTreeMap<String, Quantity>) -> Resources {
    let parse = |name: &str| list.get(name).and_then(|quantity| quantity.0.parse::<units::Quantity>().ok());
    Resources {
        cpu_millicores: parse("cpu").map_or(0, |quantity| u64::try_from(quantity.millicores().0).unwrap_or(0)),
        memory_bytes: parse("memory").map_or(0, |quantity| u64::try_from(quantity.bytes().0).unwrap_or(0)),
    }
}

pub fn count(list: &BTreeMap<String, Quantity>, name: &str) -> u32 {
    list.get(name)
        .and_then(|quantity| quantity.0.parse::<units::Quantity>().ok())
        .map_or(0, |quantity| u32::try_from(quantity.value()).unwrap_or(0))
}
