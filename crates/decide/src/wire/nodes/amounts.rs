//! Quantities that the API server would have refused.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Node, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as WireQuantity;
use units::Quantity;

use crate::wire::input::InputError;

type Amounts = BTreeMap<String, WireQuantity>;

/// # Errors
/// At the first amount that is no quantity, or less than nothing.
fn check(path: &str, amounts: Option<&Amounts>) -> Result<(), InputError> {
    for (name, quantity) in amounts.into_iter().flatten() {
        let message = match quantity.0.parse::<Quantity>() {
            Ok(amount) if amount.millis() >= 0 => continue,
            Ok(_) => format!("`{}` is less than nothing", quantity.0),
            Err(_) => format!("`{}` is not a quantity such as 500m or 2Gi", quantity.0),
        };
        return Err(InputError::new(format!("{path}.{name}"), message));
    }
    Ok(())
}

/// # Errors
/// With the path below `path` of the first bad amount.
pub(super) fn of_pod(path: &str, spec: &PodSpec) -> Result<(), InputError> {
    containers(&format!("{path}.containers"), &spec.containers)?;
    containers(&format!("{path}.initContainers"), spec.init_containers.as_deref().unwrap_or_default())?;
    check(&format!("{path}.overhead"), spec.overhead.as_ref())?;
    let pod_level = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    check(&format!("{path}.resources.requests"), pod_level)
}

fn containers(path: &str, list: &[Container]) -> Result<(), InputError> {
    for (index, container) in list.iter().enumerate() {
        let resources = container.resources.as_ref();
        let path = format!("{path}[{index}].resources");
        check(&format!("{path}.requests"), resources.and_then(|r| r.requests.as_ref()))?;
        check(&format!("{path}.limits"), resources.and_then(|r| r.limits.as_ref()))?;
    }
    Ok(())
}

/// # Errors
/// With the path below `path` of the first bad amount.
pub(super) fn of_node(path: &str, node: &Node) -> Result<(), InputError> {
    let Some(status) = &node.status else { return Ok(()) };
    check(&format!("{path}.status.allocatable"), status.allocatable.as_ref())?;
    check(&format!("{path}.status.capacity"), status.capacity.as_ref())
}
