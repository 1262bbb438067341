//! Planned maintenance of managed clusters.

use super::network::identify;
use super::{Kind, PLAIN, Placement};
use crate::fault::Fault;
use crate::resources::Put;

pub(super) static CONFIGURATION: Kind = Kind {
    resource_type: "Microsoft.ContainerService/managedClusters/maintenanceConfigurations",
    versions: ("2020-12-01", "2026-12-31"),
    placement: Placement::Child,
    put_status: (200, 200),
    read_only: &["systemData"],
    put,
    ..PLAIN
};

/// The names that AKS's documentation of planned maintenance lists.
const NAMES: [&str; 3] = ["default", "aksManagedAutoUpgradeSchedule", "aksManagedNodeOSUpgradeSchedule"];

fn put(put: &mut Put<'_>) -> Result<(), Fault> {
    identify(put, CONFIGURATION.resource_type);
    let name = put.id.name().to_owned();
    if !NAMES.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
        return Err(Fault::bad_request(
            "InvalidParameter",
            format!("The maintenance configuration name '{name}' is not one of: {}.", NAMES.join(", ")),
        ));
    }
    let has = |field: &str| !put.property(field).is_null();
    let complete = if name.eq_ignore_ascii_case("default") {
        has("timeInWeek") || has("notAllowedTime") || has("maintenanceWindow")
    } else {
        has("maintenanceWindow")
    };
    if !complete {
        let needed =
            if name.eq_ignore_ascii_case("default") { "timeInWeek or notAllowedTime" } else { "maintenanceWindow" };
        return Err(Fault::bad_request(
            "InvalidParameter",
            format!("The maintenance configuration '{name}' needs properties.{needed}."),
        ));
    }
    Ok(())
}
