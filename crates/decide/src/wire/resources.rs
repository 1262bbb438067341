//! Resource lists.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as WireQuantity;
use units::Quantity;

use crate::scheduling::view::Resources;

/// A quantity that does not parse counts as zero: the API server refuses such objects.
pub(super) fn amount(quantity: &WireQuantity) -> Quantity {
    quantity.0.parse().unwrap_or_else(|_| Quantity::from_millis(0))
}

/// Those resources that the scheduler counts; others, such as a name without a domain, it ignores as upstream does.
pub(super) fn resources(list: &BTreeMap<String, WireQuantity>) -> Resources {
    let mut total = Resources::default();
    for (name, quantity) in list {
        match name.as_str() {
            "cpu" => total.cpu = amount(quantity).millicores(),
            "memory" => total.memory = amount(quantity).bytes(),
            "ephemeral-storage" => total.ephemeral_storage = amount(quantity).bytes(),
            _ if is_scalar(name) => {
                total.scalar.insert(name.clone(), amount(quantity).value());
            }
            _ => {}
        }
    }
    total
}

/// `IsScalarResourceName` of pkg/scheduler/util v1.36.3: extended and prefixed native resources, huge pages, volumes.
fn is_scalar(name: &str) -> bool {
    name.contains('/') || name.starts_with("hugepages-") || name.starts_with("attachable-volumes-")
}

/// The resources that a pod as a whole may request.
pub(super) fn is_pod_level(name: &str) -> bool {
    name == "cpu" || name == "memory" || name.starts_with("hugepages-")
}
