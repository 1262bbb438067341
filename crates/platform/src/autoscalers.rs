//! HorizontalPodAutoscalers, from manifests.

use std::collections::BTreeMap;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerSpec;
use serde_json::Value;

use crate::objects;

/// A HorizontalPodAutoscaler.
#[derive(Clone, Debug, PartialEq)]
pub struct Autoscaler {
    /// Index into [`crate::Platform::objects`].
    pub object: usize,
    pub namespace: String,
    pub name: String,
    pub target_kind: String,
    pub target: String,
    pub min: u32,
    pub max: u32,
    /// Resource → average utilization in percent of the request.
    pub utilization_percent: BTreeMap<String, u32>,
    /// The whole `spec`, with behaviour and every metric.
    pub spec: HorizontalPodAutoscalerSpec,
}

impl Autoscaler {
    pub(crate) fn read(object: usize, manifest: &Value) -> Option<Autoscaler> {
        if manifest["kind"] != "HorizontalPodAutoscaler" {
            return None;
        }
        let spec = &manifest["spec"];
        let count = |value: &Value| value.as_u64().and_then(|count| u32::try_from(count).ok());
        let metrics = spec["metrics"].as_array().into_iter().flatten();
        let (namespace, name) = objects::identity(manifest)?;
        Some(Autoscaler {
            object,
            namespace,
            name,
            target_kind: spec["scaleTargetRef"]["kind"].as_str()?.to_owned(),
            target: spec["scaleTargetRef"]["name"].as_str()?.to_owned(),
            min: count(&spec["minReplicas"]).unwrap_or(1),
            max: count(&spec["maxReplicas"])?,
            utilization_percent: metrics
                .filter_map(|metric| {
                    let resource = &metric["resource"];
                    Some((resource["name"].as_str()?.to_owned(), count(&resource["target"]["averageUtilization"])?))
                })
                .collect(),
            spec: objects::spec(manifest)?,
        })
    }
}
