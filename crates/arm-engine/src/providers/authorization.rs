//! Role assignments and locks: extension resources on any scope.

use arm_model::id::ResourceId;

use super::network::identify;
use super::{Kind, PLAIN, Placement, choose, required};
use crate::fault::Fault;
use crate::resources::{Put, World};
use crate::state::StoredResource;

pub(super) static ROLE_ASSIGNMENT: Kind = Kind {
    resource_type: "Microsoft.Authorization/roleAssignments",
    placement: Placement::Extension,
    put_status: (201, 200),
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

pub(super) static ROLE_DEFINITION: Kind = Kind {
    resource_type: "Microsoft.Authorization/roleDefinitions",
    placement: Placement::Extension,
    put_status: (201, 201),
    read_only: &[
        "properties.type",
        "properties.createdOn",
        "properties.updatedOn",
        "properties.createdBy",
        "properties.updatedBy",
    ],
    put: put_definition,
    in_use: definition_in_use,
    ..PLAIN
};

pub(super) static LOCK: Kind =
    Kind { resource_type: "Microsoft.Authorization/locks", placement: Placement::Extension, put: put_lock, ..PLAIN };

fn put_assignment(put: &mut Put<'_>) -> Result<(), Fault> {
    identify(put, ROLE_ASSIGNMENT.resource_type);
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

fn put_definition(put: &mut Put<'_>) -> Result<(), Fault> {
    identify(put, ROLE_DEFINITION.resource_type);
    let invalid = |code: &str, message: String| Err(Fault::bad_request(code, message));
    if !is_guid(put.id.name()) {
        return invalid(
            "InvalidRoleDefinitionId",
            format!("The role definition ID '{}' is not valid. It must be a GUID.", put.id.name()),
        );
    }
    if crate::roles::built_in(put.id.name(), &put.world.settings.subscription_id).is_some() {
        return Err(Fault::new(
            403,
            "RoleDefinitionUpdateNotPermitted",
            format!("The role definition '{}' is built in and cannot be changed.", put.id.name()),
        ));
    }
    let name = required(put, "roleName")?.to_owned();
    let scopes = put.property("assignableScopes").as_array().cloned().unwrap_or_default();
    if scopes.is_empty() || !scopes.iter().all(|scope| scope.as_str().is_some_and(|scope| scope.starts_with('/'))) {
        return invalid("MissingAssignableScopes", "A custom role needs at least one assignable scope.".to_owned());
    }
    if put.property("permissions").as_array().is_none_or(Vec::is_empty) {
        return invalid("MissingPermissions", "A custom role needs permissions.".to_owned());
    }
    let same_name = |other: &&crate::state::StoredResource| {
        !other.id.eq_ignore_ascii_case(put.id.as_str()) && other.body["properties"]["roleName"] == name.as_str()
    };
    if put.world.of_type(ROLE_DEFINITION.resource_type).iter().any(same_name) {
        return Err(Fault::conflict(
            "RoleDefinitionWithSameNameExists",
            format!("A custom role with the same name '{name}' already exists in this directory."),
        ));
    }
    let now = put.world.now.rfc3339_micros();
    put.default("description", "".into());
    put.set("type", "CustomRole".into());
    put.default("createdOn", now.clone().into());
    put.set("updatedOn", now.into());
    Ok(())
}

fn definition_in_use(world: &World<'_>, definition: &StoredResource) -> Result<(), Fault> {
    let guid = definition.id.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let used = world.of_type(ROLE_ASSIGNMENT.resource_type).into_iter().any(|assignment| {
        assignment.body["properties"]["roleDefinitionId"]
            .as_str()
            .is_some_and(|id| id.to_ascii_lowercase().ends_with(&guid))
    });
    if used {
        return Err(Fault::bad_request(
            "RoleDefinitionHasAssignments",
            "There are existing role assignments referencing role (code: RoleDefinitionHasAssignments).",
        ));
    }
    Ok(())
}

fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text
            .bytes()
            .enumerate()
            .all(|(at, byte)| if [8, 13, 18, 23].contains(&at) { byte == b'-' } else { byte.is_ascii_hexdigit() })
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
