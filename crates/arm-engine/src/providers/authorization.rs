//! Role assignments and locks: extension resources on any scope.

use arm_model::id::ResourceId;

use super::network::identify;
use super::{Kind, PLAIN, Placement, choose, required};
use crate::fault::Fault;
use crate::resources::Put;

pub(super) static ROLE_ASSIGNMENT: Kind = Kind {
    resource_type: "Microsoft.Authorization/roleAssignments",
    placement: Placement::Extension,
    put_status: (201, 201),
    read_only: &[
        "properties.scope",
        "properties.createdOn",
        "properties.updatedOn",
        "properties.createdBy",
        "properties.updatedBy",
    ],
    put: put_assignment,
    ..PLAIN
};

pub(super) static LOCK: Kind =
    Kind { resource_type: "Microsoft.Authorization/locks", placement: Placement::Extension, put: put_lock, ..PLAIN };

fn put_assignment(put: &mut Put<'_>) -> Result<(), Fault> {
    identify(put, ROLE_ASSIGNMENT.resource_type);
    let is_guid = |text: &str| {
        text.len() == 36
            && text
                .bytes()
                .enumerate()
                .all(|(at, byte)| if [8, 13, 18, 23].contains(&at) { byte == b'-' } else { byte.is_ascii_hexdigit() })
    };
    if !is_guid(put.id.name()) {
        return Err(Fault::bad_request(
            "InvalidRoleAssignmentId",
            format!("The role assignment ID '{}' is not valid. The role assignment ID must be a GUID.", put.id.name()),
        ));
    }
    let definition = required(put, "roleDefinitionId")?.to_owned();
    if !definition.rsplit('/').next().is_some_and(is_guid) {
        return Err(Fault::bad_request(
            "InvalidRoleDefinitionId",
            format!("The role definition ID '{definition}' is not valid."),
        ));
    }
    let principal = required(put, "principalId")?.to_owned();
    if !is_guid(&principal) {
        return Err(Fault::bad_request(
            "InvalidPrincipalId",
            format!("A valid principal ID must be provided for role assignment: '{principal}'."),
        ));
    }
    let scope = put.id.scope().to_owned();
    if let Some(existing) = put.existing
        && (existing.body["properties"]["principalId"] != *put.property("principalId")
            || existing.body["properties"]["roleDefinitionId"] != *put.property("roleDefinitionId"))
    {
        return Err(Fault::bad_request(
            "RoleAssignmentUpdateNotPermitted",
            "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
        ));
    }
    let twin = put.world.of_type(ROLE_ASSIGNMENT.resource_type).into_iter().find(|other| {
        let properties = &other.body["properties"];
        !other.id.eq_ignore_ascii_case(put.id.as_str())
            && properties["principalId"] == principal.as_str()
            && properties["scope"].as_str().is_some_and(|other| other.eq_ignore_ascii_case(&scope))
            && properties["roleDefinitionId"].as_str().is_some_and(|other| other.eq_ignore_ascii_case(&definition))
    });
    if twin.is_some() {
        return Err(Fault::conflict("RoleAssignmentExists", "The role assignment already exists."));
    }
    let now = put.world.now.rfc3339_micros();
    choose(put, "principalType", &["User", "Group", "ServicePrincipal", "ForeignGroup", "Device"])?;
    put.default("principalType", "ServicePrincipal".into());
    put.set("scope", scope.into());
    put.default("createdOn", now.clone().into());
    put.default("updatedOn", now.into());
    Ok(())
}

fn put_lock(put: &mut Put<'_>) -> Result<(), Fault> {
    identify(put, LOCK.resource_type);
    required(put, "level")?;
    choose(put, "level", &["CanNotDelete", "ReadOnly"])?;
    let scope = put.id.scope().to_owned();
    let on_resource = ResourceId::parse(&scope).ok().filter(|scope| scope.namespace().is_some());
    match on_resource.filter(|scope| put.world.get(scope.key()).is_none()) {
        Some(missing) => {
            Err(Fault::new(404, "ResourceNotFound", format!("The resource '{missing}' to be locked was not found.")))
        }
        None => Ok(()),
    }
}
