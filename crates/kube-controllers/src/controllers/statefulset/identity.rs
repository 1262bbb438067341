//! The lasting identity of a stateful set's pods: names, labels, host names and claims.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Volume,
};

use crate::objects::{Meta, controlled_by};
use crate::pods;
use crate::revisions;

/// The number at the end of the pod's name, if the rest is the set's name.
pub(super) fn ordinal(set: &StatefulSet, pod: &Pod) -> Option<i32> {
    let digits = pod.name().strip_prefix(set.name())?.strip_prefix('-')?;
    digits.parse().ok().filter(|ordinal: &i32| ordinal.to_string() == digits)
}

pub(super) fn pod_name(set: &StatefulSet, ordinal: i32) -> String {
    format!("{}-{ordinal}", set.name())
}

fn claim_name(set: &StatefulSet, template: &PersistentVolumeClaim, ordinal: i32) -> String {
    format!("{}-{}", template.name(), pod_name(set, ordinal))
}

fn claim_templates(set: &StatefulSet) -> impl Iterator<Item = &PersistentVolumeClaim> {
    set.spec.iter().flat_map(|spec| spec.volume_claim_templates.iter().flatten())
}

/// The pod of an ordinal from a revision's template.
pub(super) fn pod(set: &StatefulSet, template: &PodTemplateSpec, revision: &str, ordinal: i32) -> Pod {
    let mut pod = pods::from_template(template, set.namespace(), set.name(), controlled_by(set));
    let name = pod_name(set, ordinal);
    pod.metadata.generate_name = None;
    pod.metadata.name = Some(name.clone());
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert("statefulset.kubernetes.io/pod-name".to_owned(), name.clone());
    labels.insert("apps.kubernetes.io/pod-index".to_owned(), ordinal.to_string());
    labels.insert(revisions::LABEL.to_owned(), revision.to_owned());
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(name);
    spec.subdomain = set.spec.as_ref().and_then(|spec| spec.service_name.clone()).filter(|name| !name.is_empty());
    let volumes = spec.volumes.get_or_insert_default();
    for claim in claim_templates(set) {
        volumes.retain(|volume| volume.name != claim.name());
        volumes.push(Volume {
            name: claim.name().to_owned(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim_name(set, claim, ordinal),
                read_only: None,
            }),
            ..Volume::default()
        });
    }
    pod
}

/// The claims that the pod of an ordinal mounts. They outlive it, and the set.
pub(super) fn claims(set: &StatefulSet, ordinal: i32) -> Vec<PersistentVolumeClaim> {
    let selector_labels = set.spec.as_ref().and_then(|spec| spec.selector.match_labels.clone()).unwrap_or_default();
    claim_templates(set)
        .map(|template| {
            let mut claim = template.clone();
            claim.metadata.name = Some(claim_name(set, template, ordinal));
            claim.metadata.namespace = Some(set.namespace().to_owned());
            claim.metadata.labels.get_or_insert_default().extend(selector_labels.clone());
            claim.status = None;
            claim
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    fn check(name: &str, expected: Option<i32>) {
        let meta = |name: &str| ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
        let set = StatefulSet { metadata: meta("db"), ..StatefulSet::default() };
        assert_eq!(ordinal(&set, &Pod { metadata: meta(name), ..Pod::default() }), expected, "{name}");
    }

    #[test]
    fn only_own_names_have_ordinals() {
        check("db-0", Some(0));
        check("db-12", Some(12));
        check("db-01", None);
        check("db-x", None);
        check("web-0", None);
        check("db", None);
    }
}
