//! User-assigned identities and their federated credentials.

use super::network::identify;
use super::{Kind, PLAIN, Placement, required};
use crate::fault::Fault;
use crate::ids::Ids;
use crate::resources::Put;

pub(super) static IDENTITY: Kind = Kind {
    resource_type: "Microsoft.ManagedIdentity/userAssignedIdentities",
    read_only: &["properties"],
    put: put_identity,
    patching: super::Patching::Tags,
    ..PLAIN
};

pub(super) static FEDERATED_CREDENTIAL: Kind = Kind {
    resource_type: "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials",
    placement: Placement::Child,
    put: put_credential,
    ..PLAIN
};

fn put_identity(put: &mut Put<'_>) -> Result<(), Fault> {
    identify(put, IDENTITY.resource_type);
    let tenant = put.world.settings.tenant_id.clone();
    let principal = put.guid.clone();
    let principal = put.text("principalId").map_or(principal, str::to_owned);
    let client = client_id_of(&principal);
    put.default("tenantId", tenant.into());
    if put.body["tags"].is_null() {
        put.body["tags"] = serde_json::json!({});
    }
    put.default("principalId", principal.into());
    put.default("clientId", client.into());
    Ok(())
}

/// The application id of an identity, which depends on its object id alone.
pub(crate) fn client_id_of(principal: &str) -> String {
    Ids::new(principal.bytes().fold(0, |sum, byte| u64::wrapping_add(sum.rotate_left(7), u64::from(byte)))).guid()
}

fn put_credential(put: &mut Put<'_>) -> Result<(), Fault> {
    identify(put, FEDERATED_CREDENTIAL.resource_type);
    for name in ["issuer", "subject"] {
        required(put, name)?;
    }
    if put.property("audiences").as_array().is_none_or(|audiences| audiences.len() != 1) {
        return Err(Fault::bad_request("BadRequest", "A federated credential has exactly one audience."));
    }
    Ok(())
}
