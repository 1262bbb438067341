//! VolumeZone: a volume with zone or region labels needs a node there.

use super::{Filter, Prepared, Rejection, Verdict};
use crate::scheduling::cluster::{Cluster, Context, NodeState};
use crate::scheduling::view::{PodView, VolumeBindingMode, VolumeSource};

pub(super) const NAME: &str = "VolumeZone";

/// The labels that tie a volume to a place, each with the name it has today.
const TOPOLOGY_LABELS: [(&str, &str); 4] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("topology.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "topology.kubernetes.io/region"),
];

#[derive(Clone)]
struct Tie {
    key: &'static str,
    key_today: &'static str,
    places: Vec<String>,
}

#[derive(Clone)]
struct State(Vec<Tie>);

pub(super) fn prepare(cluster: &Cluster, pod: &PodView) -> Prepared {
    match ties(&cluster.context, pod) {
        Ok(ties) if ties.is_empty() => Prepared::Skip,
        Ok(ties) => Prepared::Ready(Box::new(State(ties))),
        Err(message) => Prepared::Reject(Rejection::final_(NAME, message)),
    }
}

fn ties(context: &Context, pod: &PodView) -> Result<Vec<Tie>, String> {
    let mut ties = Vec::new();
    for volume in &pod.volumes {
        let VolumeSource::Claim { name } = &volume.source else { continue };
        let claim =
            context.claim(&pod.namespace, name).ok_or_else(|| format!("persistentvolumeclaim \"{name}\" not found"))?;
        if claim.volume.is_empty() {
            let class = &claim.storage_class;
            if class.is_empty() {
                return Err("PersistentVolumeClaim had no pv name and storageClass name".to_owned());
            }
            let class = context
                .storage_classes
                .get(class)
                .ok_or_else(|| format!("storageclass.storage.k8s.io \"{class}\" not found"))?;
            if class.binding_mode == VolumeBindingMode::WaitForFirstConsumer {
                continue;
            }
            return Err("PersistentVolume had no name".to_owned());
        }
        let volume = context
            .volumes
            .get(&claim.volume)
            .ok_or_else(|| format!("persistentvolume \"{}\" not found", claim.volume))?;
        ties.extend(TOPOLOGY_LABELS.iter().filter_map(|(key, key_today)| {
            // A volume that several zones share lists them with `__` between.
            let places = volume.labels.get(*key)?.split("__").map(str::to_owned).collect();
            Some(Tie { key, key_today, places })
        }));
    }
    Ok(ties)
}

impl Filter for State {
    fn check(&self, _: &PodView, node: &NodeState) -> Verdict {
        let labels = &node.view.labels;
        if !TOPOLOGY_LABELS.iter().any(|(key, _)| labels.contains_key(*key)) {
            return Ok(());
        }
        let here = |tie: &Tie| labels.get(tie.key).or_else(|| labels.get(tie.key_today));
        if self.0.iter().all(|tie| here(tie).is_some_and(|place| tie.places.contains(place))) {
            return Ok(());
        }
        Err(Rejection::final_(NAME, "node(s) had no available volume zone"))
    }

    fn clone_box(&self) -> Box<dyn Filter> {
        Box::new(self.clone())
    }
}
