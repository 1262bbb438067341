//! Persistent volumes, claims, storage classes.

use serde_json::{Value, json};

use super::{Strategy, workload};
use crate::field::FieldErrors;
use crate::json;

pub struct PersistentVolume;
pub static PERSISTENT_VOLUME: PersistentVolume = PersistentVolume;

impl Strategy for PersistentVolume {
    fn default(&self, object: &mut Value) {
        let spec = json::object(object, "spec");
        json::default(spec, "persistentVolumeReclaimPolicy", "Retain");
        json::default(spec, "volumeMode", "Filesystem");
    }

    fn reset_status(&self, object: &mut Value) {
        object["status"] = json!({"phase": "Pending"});
    }

    fn validate(&self, object: &Value, errors: &mut FieldErrors) {
        if object["spec"]["capacity"].get("storage").is_none() {
            errors.required("spec.capacity", "");
        }
        if json::items(object, "/spec/accessModes").is_empty() {
            errors.required("spec.accessModes", "");
        }
    }
}

pub struct Claim;
pub static CLAIM: Claim = Claim;

pub fn default_claim(claim: &mut Value) {
    json::default(json::object(claim, "spec"), "volumeMode", "Filesystem");
}

impl Strategy for Claim {
    fn default(&self, object: &mut Value) {
        default_claim(object);
    }

    fn reset_status(&self, object: &mut Value) {
        object["status"] = json!({"phase": "Pending"});
    }

    fn validate(&self, object: &Value, errors: &mut FieldErrors) {
        if json::items(object, "/spec/accessModes").is_empty() {
            errors.required("spec.accessModes", "at least 1 access mode is required");
        }
        if object["spec"]["resources"]["requests"].get("storage").is_none() {
            errors.required("spec.resources[storage]", "");
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut FieldErrors) {
        workload::immutable(object, old, "/spec/accessModes", errors);
        workload::immutable(object, old, "/spec/storageClassName", errors);
    }
}

pub struct StorageClass;
pub static STORAGE_CLASS: StorageClass = StorageClass;

impl Strategy for StorageClass {
    fn default(&self, object: &mut Value) {
        json::default(object, "reclaimPolicy", "Delete");
        json::default(object, "volumeBindingMode", "Immediate");
    }

    fn validate(&self, object: &Value, errors: &mut FieldErrors) {
        if json::text(object, "/provisioner").unwrap_or_default().is_empty() {
            errors.required("provisioner", "");
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut FieldErrors) {
        workload::immutable(object, old, "/provisioner", errors);
        workload::immutable(object, old, "/reclaimPolicy", errors);
        workload::immutable(object, old, "/volumeBindingMode", errors);
    }
}
