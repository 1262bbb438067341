//! NodeVolumeLimits: how many volumes a CSI driver attaches to one node.
//!
//! Volumes are those of the pods on the node; attachments that outlive their pod (`VolumeAttachment`) are not known here.

use std::collections::BTreeMap;

use super::{Filter, Prepared, Rejection, Verdict};
use crate::scheduling::cluster::{Cluster, Context, NodeState};
use crate::scheduling::view::{ClaimView, PodView};

pub(super) const NAME: &str = "NodeVolumeLimits";

#[derive(Clone)]
struct State {
    /// The volumes that the pod brings, with their drivers.
    wanted: BTreeMap<String, String>,
    /// By node: the limits of those drivers, and the volumes attached there.
    nodes: BTreeMap<String, BTreeMap<String, i64>>,
    /// By claim: volume and driver, for the pods on nodes.
    volumes: BTreeMap<(String, String), (String, String)>,
}

pub(super) fn prepare(cluster: &Cluster, pod: &PodView) -> Prepared {
    if pod.claims().next().is_none() || cluster.context.csi_nodes.values().all(|node| node.limits.is_empty()) {
        return Prepared::Skip;
    }
    let context = &cluster.context;
    let wanted: BTreeMap<_, _> =
        pod.claims().filter_map(|claim| driver(context, context.claim(&pod.namespace, claim)?)).collect();
    if wanted.is_empty() {
        return Prepared::Skip;
    }
    let limits = context.csi_nodes.values().map(|node| (node.node.clone(), node.limits.clone())).collect();
    let volumes =
        context.claims.iter().filter_map(|(key, claim)| Some((key.clone(), driver(context, claim)?))).collect();
    Prepared::Ready(Box::new(State { wanted, nodes: limits, volumes }))
}

/// The volume that a claim has or, before it is provisioned, will have, and its driver.
fn driver(context: &Context, claim: &ClaimView) -> Option<(String, String)> {
    if let Some(volume) = context.volumes.get(&claim.volume) {
        let csi = !volume.csi_driver.is_empty() && !volume.csi_handle.is_empty();
        return csi.then(|| (format!("{}/{}", volume.csi_driver, volume.csi_handle), volume.csi_driver.clone()));
    }
    let class = context.storage_classes.get(&claim.storage_class)?;
    Some((format!("{}/claim:{}/{}", class.provisioner, claim.namespace, claim.name), class.provisioner.clone()))
}

impl Filter for State {
    fn check(&self, _: &PodView, node: &NodeState) -> Verdict {
        let Some(limits) = self.nodes.get(node.name()).filter(|limits| !limits.is_empty()) else { return Ok(()) };
        let mut attached: BTreeMap<&str, &str> = BTreeMap::new();
        for pod in &node.pods {
            for claim in pod.view.claims() {
                if let Some((volume, driver)) = self.volumes.get(&(pod.view.namespace.clone(), claim.to_owned())) {
                    attached.insert(volume, driver);
                }
            }
        }
        for (driver, limit) in limits {
            let new =
                self.wanted.iter().filter(|(volume, of)| *of == driver && !attached.contains_key(volume.as_str()));
            let new = new.count() as i64;
            let used = attached.values().filter(|of| *of == driver).count() as i64;
            if new > 0 && used + new > *limit {
                return Err(Rejection::resolvable(NAME, "node(s) exceed max volume count"));
            }
        }
        Ok(())
    }

    fn clone_box(&self) -> Box<dyn Filter> {
        Box::new(self.clone())
    }
}
