//! VolumeRestrictions: disks that only one node may attach, claims that only one pod may use.

use std::collections::BTreeSet;

use super::{Filter, Prepared, Rejection, Verdict};
use crate::scheduling::cluster::{Cluster, NodeState, PodClass};
use crate::scheduling::view::{PodView, VolumeSource};

pub(super) const NAME: &str = "VolumeRestrictions";

#[derive(Clone)]
struct State {
    /// The pod's own ReadWriteOncePod claims.
    exclusive: BTreeSet<String>,
    conflicts: i64,
}

pub(super) fn prepare(cluster: &Cluster, pod: &PodView) -> Prepared {
    let mut exclusive = BTreeSet::new();
    for volume in &pod.volumes {
        let VolumeSource::Claim { name } = &volume.source else { continue };
        match cluster.context.claim(&pod.namespace, name) {
            None => {
                let message = format!("persistentvolumeclaim \"{name}\" not found");
                return Prepared::Reject(Rejection::final_(NAME, message));
            }
            Some(claim) if claim.read_write_once_pod => {
                exclusive.insert(name.clone());
            }
            Some(_) => {}
        }
    }
    let in_use = |name: &&String| cluster.claims_in_use.contains_key(&(pod.namespace.clone(), (*name).clone()));
    let conflicts = exclusive.iter().filter(in_use).count() as i64;
    if conflicts == 0 && !pod.volumes.iter().any(|volume| is_restricted(&volume.source)) {
        return Prepared::Skip;
    }
    Prepared::Ready(Box::new(State { exclusive, conflicts }))
}

fn is_restricted(source: &VolumeSource) -> bool {
    matches!(
        source,
        VolumeSource::GcePersistentDisk { .. }
            | VolumeSource::AwsElasticBlockStore { .. }
            | VolumeSource::Iscsi { .. }
            | VolumeSource::Rbd { .. }
    )
}

fn conflict(wanted: &VolumeSource, used: &VolumeSource) -> bool {
    use VolumeSource::{AwsElasticBlockStore, GcePersistentDisk, Iscsi, Rbd};
    match (wanted, used) {
        (GcePersistentDisk { disk: a, read_only: x }, GcePersistentDisk { disk: b, read_only: y }) => {
            a == b && !(*x && *y)
        }
        (AwsElasticBlockStore { volume: a }, AwsElasticBlockStore { volume: b }) => a == b,
        (Iscsi { iqn: a, read_only: x }, Iscsi { iqn: b, read_only: y }) => a == b && !(*x && *y),
        (
            Rbd { monitors: m, pool: p, image: i, read_only: x },
            Rbd { monitors: n, pool: q, image: j, read_only: y },
        ) => m.iter().any(|monitor| n.contains(monitor)) && p == q && i == j && !(*x && *y),
        _ => false,
    }
}

impl State {
    fn shared_claims(&self, pod: &PodView) -> i64 {
        let shares = |volume: &&crate::scheduling::view::VolumeView| matches!(&volume.source, VolumeSource::Claim { name } if self.exclusive.contains(name));
        pod.volumes.iter().filter(shares).count() as i64
    }
}

impl Filter for State {
    fn check(&self, pod: &PodView, node: &NodeState) -> Verdict {
        let wanted = pod.volumes.iter().map(|volume| &volume.source).filter(|source| is_restricted(source));
        for source in wanted {
            let used = node.pods.iter().flat_map(|pod| &pod.view.volumes);
            if used.into_iter().any(|volume| conflict(source, &volume.source)) {
                return Err(Rejection::resolvable(NAME, "node(s) had no available disk"));
            }
        }
        if self.conflicts > 0 {
            let message = "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already \
                           in-use by another pod";
            return Err(Rejection::resolvable(NAME, message));
        }
        Ok(())
    }

    fn add(&mut self, pod: &PodView, _: &PodClass, _: &NodeState) {
        self.conflicts += self.shared_claims(pod);
    }

    fn remove(&mut self, pod: &PodView, _: &PodClass, _: &NodeState) {
        self.conflicts -= self.shared_claims(pod);
    }

    fn clone_box(&self) -> Box<dyn Filter> {
        Box::new(self.clone())
    }
}
