//! VolumeBinding: bound claims must be reachable from the node, unbound ones must find or get a volume there.
//!
//! Not known here: CSIStorageCapacity, which upstream consults only for drivers that publish it, and in-tree volumes
//! that a driver took over.

use std::collections::BTreeSet;

use super::{Filter, Prepared, Rejection, Verdict};
use crate::scheduling::cluster::{Cluster, Context, NodeState};
use crate::scheduling::view::{
    ClaimView, PersistentVolumeView, PodView, StorageClassView, VolumeBindingMode, VolumeSource,
};

pub(super) const NAME: &str = "VolumeBinding";

const NODE_CONFLICT: &str = "node(s) didn't match PersistentVolume's node affinity";
const BIND_CONFLICT: &str = "node(s) didn't find available persistent volumes to bind";
const VOLUME_MISSING: &str = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";

#[derive(Clone)]
struct State {
    /// The volumes of bound claims; `None` where one is gone.
    bound: Vec<Option<PersistentVolumeView>>,
    /// Claims that wait for their first consumer, smallest first.
    waiting: Vec<ClaimView>,
    /// Volumes of the classes that they name.
    volumes: Vec<PersistentVolumeView>,
    classes: Vec<StorageClassView>,
}

pub(super) fn prepare(cluster: &Cluster, pod: &PodView) -> Prepared {
    let context = &cluster.context;
    let claims = match claims(context, pod) {
        Ok(claims) if claims.is_empty() => return Prepared::Skip,
        Ok(claims) => claims,
        Err(message) => return Prepared::Reject(Rejection::final_(NAME, message)),
    };
    let (mut bound, mut waiting) = (Vec::new(), Vec::new());
    for claim in claims {
        if !claim.volume.is_empty() && claim.bound {
            bound.push(context.volumes.get(&claim.volume).cloned());
        } else if claim.volume.is_empty() && waits(context, claim) {
            waiting.push(claim.clone());
        } else {
            return Prepared::Reject(Rejection::final_(NAME, "pod has unbound immediate PersistentVolumeClaims"));
        }
    }
    waiting.sort_by_key(|claim| claim.bytes);
    let class_names: BTreeSet<_> = waiting.iter().map(|claim| claim.storage_class.as_str()).collect();
    let volumes = context
        .volumes
        .values()
        .filter(|volume| class_names.contains(volume.storage_class.as_str()))
        .cloned()
        .collect();
    let classes = class_names.iter().filter_map(|name| context.storage_classes.get(*name).cloned()).collect();
    Prepared::Ready(Box::new(State { bound, waiting, volumes, classes }))
}

/// As `podHasPVCs` of volumebinding/volume_binding.go v1.36.3.
fn claims<'a>(context: &'a Context, pod: &PodView) -> Result<Vec<&'a ClaimView>, String> {
    let mut found = Vec::new();
    for volume in &pod.volumes {
        let (name, ephemeral) = match &volume.source {
            VolumeSource::Claim { name } => (name, false),
            VolumeSource::Ephemeral { claim } => (claim, true),
            _ => continue,
        };
        let Some(claim) = context.claim(&pod.namespace, name) else {
            return Err(if ephemeral {
                format!("waiting for ephemeral volume controller to create the persistentvolumeclaim \"{name}\"")
            } else {
                format!("persistentvolumeclaim \"{name}\" not found")
            });
        };
        if claim.lost {
            let volume = &claim.volume;
            return Err(format!(
                "persistentvolumeclaim \"{name}\" bound to non-existent persistentvolume \"{volume}\""
            ));
        }
        if claim.deleting {
            return Err(format!("persistentvolumeclaim \"{name}\" is being deleted"));
        }
        if ephemeral && claim.owner_uid != pod.uid {
            let (namespace, pod) = (&pod.namespace, &pod.name);
            return Err(format!("PVC {namespace}/{name} was not created for pod {namespace}/{pod} (pod is not owner)"));
        }
        found.push(claim);
    }
    Ok(found)
}

fn waits(context: &Context, claim: &ClaimView) -> bool {
    context
        .storage_classes
        .get(&claim.storage_class)
        .is_some_and(|class| class.binding_mode == VolumeBindingMode::WaitForFirstConsumer)
}

fn reachable(volume: &PersistentVolumeView, node: &NodeState) -> bool {
    volume.node_affinity.as_ref().is_none_or(|terms| terms.iter().any(|term| term.matches("", &node.view.labels)))
}

impl State {
    /// Whether every waiting claim finds a volume or can get one made.
    fn can_bind(&self, node: &NodeState) -> bool {
        let mut to_provision = Vec::new();
        let mut to_find = Vec::new();
        for claim in &self.waiting {
            match claim.selected_node.as_str() {
                "" => to_find.push(claim),
                selected if selected == node.name() => to_provision.push(claim),
                _ => return false,
            }
        }
        let mut taken = BTreeSet::new();
        for claim in to_find {
            match self.find(claim, node, &taken) {
                Some(volume) => {
                    taken.insert(volume);
                }
                None => to_provision.push(claim),
            }
        }
        to_provision.into_iter().all(|claim| self.can_provision(claim, node))
    }

    /// The smallest volume that fits, as `FindMatchingVolume`; one that is reserved for the claim comes first.
    fn find(&self, claim: &ClaimView, node: &NodeState, taken: &BTreeSet<&str>) -> Option<&str> {
        let key = format!("{}/{}", claim.namespace, claim.name);
        let mut best: Option<&PersistentVolumeView> = None;
        for volume in &self.volumes {
            let reserved = volume.claim.as_deref() == Some(key.as_str())
                && (volume.claim_uid.is_empty() || volume.claim_uid == claim.uid);
            if taken.contains(volume.name.as_str())
                || (volume.claim.is_some() && !reserved)
                || volume.storage_class != claim.storage_class
                || volume.bytes < claim.bytes
                || volume.volume_mode != claim.volume_mode
                || volume.deleting
            {
                continue;
            }
            if reserved {
                return reachable(volume, node).then_some(volume.name.as_str());
            }
            let fits = volume.available
                && claim.selector.as_ref().is_none_or(|selector| selector.matches(&volume.labels))
                && reachable(volume, node)
                && claim.access_modes.iter().all(|mode| volume.access_modes.contains(mode));
            if fits && best.is_none_or(|best| best.bytes > volume.bytes) {
                best = Some(volume);
            }
        }
        best.map(|volume| volume.name.as_str())
    }

    fn can_provision(&self, claim: &ClaimView, node: &NodeState) -> bool {
        let Some(class) = self.classes.iter().find(|class| class.name == claim.storage_class) else { return false };
        let provisions = !class.provisioner.is_empty() && class.provisioner != "kubernetes.io/no-provisioner";
        let topologies = &class.allowed_topologies;
        provisions && (topologies.is_empty() || topologies.iter().any(|t| t.matches(node.name(), &node.view.labels)))
    }
}

impl Filter for State {
    fn check(&self, _: &PodView, node: &NodeState) -> Verdict {
        let mut reasons = Vec::new();
        // Upstream stops at the first claim that fails.
        let first_bad = self.bound.iter().find(|volume| volume.as_ref().is_none_or(|volume| !reachable(volume, node)));
        if let Some(Some(_)) = first_bad {
            reasons.push(NODE_CONFLICT);
        }
        if !self.can_bind(node) {
            reasons.push(BIND_CONFLICT);
        }
        if let Some(None) = first_bad {
            reasons.push(VOLUME_MISSING);
        }
        let mut reasons = reasons.into_iter();
        let Some(reason) = reasons.next() else { return Ok(()) };
        let mut rejection = Rejection::final_(NAME, reason);
        rejection.more.extend(reasons.map(Into::into));
        Err(rejection)
    }

    fn clone_box(&self) -> Box<dyn Filter> {
        Box::new(self.clone())
    }
}
