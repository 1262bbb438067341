//! Stateful sets.

use serde_json::{Value, json};

use super::{Strategy, pod_spec, volume, workload};
use crate::field::FieldErrors;
use crate::json;

pub struct StatefulSet;
pub static STATEFUL_SET: StatefulSet = StatefulSet;

impl Strategy for StatefulSet {
    fn has_generation(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        workload::default_template(object);
        let spec = json::object(object, "spec");
        json::default(spec, "replicas", 1);
        json::default(spec, "revisionHistoryLimit", 10);
        json::default(spec, "podManagementPolicy", "OrderedReady");
        json::default(spec, "serviceName", "");
        let retention = json::object(spec, "persistentVolumeClaimRetentionPolicy");
        json::default(retention, "whenDeleted", "Retain");
        json::default(retention, "whenScaled", "Retain");
        let strategy = json::object(spec, "updateStrategy");
        json::default(strategy, "type", "RollingUpdate");
        if strategy["type"] == "RollingUpdate" {
            json::default(json::object(strategy, "rollingUpdate"), "partition", 0);
        }
        for claim in json::items_mut(spec, "/volumeClaimTemplates") {
            json::default(claim, "apiVersion", "v1");
            json::default(claim, "kind", "PersistentVolumeClaim");
            volume::default_claim(claim);
            json::default(claim, "status", json!({"phase": "Pending"}));
        }
    }

    fn reset_status(&self, object: &mut Value) {
        object["status"] = json!({"replicas": 0, "availableReplicas": 0});
    }

    fn validate(&self, object: &Value, errors: &mut FieldErrors) {
        workload::validate(object, &["Always"], errors);
        pod_spec::supported(&object["spec"], "podManagementPolicy", "spec", &["OrderedReady", "Parallel"], errors);
        let strategy = &object["spec"]["updateStrategy"];
        pod_spec::supported(strategy, "type", "spec.updateStrategy", &["RollingUpdate", "OnDelete"], errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut FieldErrors) {
        let fixed = |v: &Value| {
            let mut spec = v["spec"].clone();
            for field in [
                "replicas",
                "ordinals",
                "template",
                "updateStrategy",
                "revisionHistoryLimit",
                "persistentVolumeClaimRetentionPolicy",
                "minReadySeconds",
            ] {
                json::remove(&mut spec, field);
            }
            for claim in json::items_mut(&mut spec, "/volumeClaimTemplates") {
                json::remove(claim, "status");
            }
            spec
        };
        if fixed(object) != fixed(old) {
            errors.forbidden(
                "spec",
                "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
                 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
            );
        }
    }
}
