//! What the server adds to objects, and what its policies refuse, beyond what makes an object valid.

mod limits;
mod pod;
mod pod_security;
mod quota;
mod service_account;

use serde_json::Value;

use crate::api::Transaction;
use crate::error::ApiError;
use crate::json;
use crate::registry::ResourceDef;

const PROTECTED_NAMESPACES: [&str; 3] = ["default", "kube-system", "kube-public"];

pub fn mutate_new(tx: &Transaction<'_>, def: &ResourceDef, object: &mut Value) -> Result<(), ApiError> {
    if &*def.resource == "pods" {
        service_account::inject(tx, object)?;
        pod::set_priority(tx, object)?;
        pod::add_tolerations(object);
        limits::default_pod(tx, object);
    }
    Ok(())
}

pub fn validate_new(tx: &Transaction<'_>, def: &ResourceDef, object: &Value) -> Result<(), ApiError> {
    if &*def.resource == "pods" {
        limits::validate_pod(tx, object)?;
        pod_security::validate(tx, object)?;
    }
    quota::validate(tx, def, object)
}

pub fn validate_changed(tx: &Transaction<'_>, def: &ResourceDef, old: &Value, new: &Value) -> Result<(), ApiError> {
    if &*def.resource == "pods" && old["spec"] != new["spec"] {
        pod_security::validate(tx, new)?;
    }
    Ok(())
}

pub fn validate_delete(_tx: &Transaction<'_>, def: &ResourceDef, old: &Value) -> Result<(), ApiError> {
    let name = json::name(old);
    if &*def.resource == "namespaces" && PROTECTED_NAMESPACES.contains(&name) {
        return Err(ApiError::forbidden("namespaces", name, "this namespace may not be deleted"));
    }
    Ok(())
}
